// Highlights. The server puts tags of our choice around the words that were found; they are drawn at random when
// the page is loaded, so that no document can hold them, and are split off here: nothing is read as markup.

import { element } from "./dom.js";

const secret = [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join("");
export const OPEN = `\ue000${secret}\ue001`;
export const CLOSE = `\ue002${secret}\ue003`;

/** A text with tags as nodes: strings, and a `mark` for each stretch between two tags. */
export function marked(text) {
  const [before, ...rest] = text.split(OPEN);
  const nodes = [before];
  for (const piece of rest) {
    const [inside, ...after] = piece.split(CLOSE);
    nodes.push(element("mark", {}, inside), after.join(""));
  }
  return nodes.filter((node) => node !== "");
}
