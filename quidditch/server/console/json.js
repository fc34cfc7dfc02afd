// JSON on the page: indented and coloured token by token. Numbers stay as they were sent, however many digits.

import { element } from "./dom.js";

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const COLOURED_LIMIT = 200_000;

/** The text of a JSON value with two blanks a level; null where it is not JSON. */
export function formatted(text) {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  return [...laidOut(text)].map(([piece]) => piece).join("");
}

/** Show a text in an element: as JSON if it is, as it stands if not. */
export function showJson(target, text) {
  const whole = formatted(text);
  if (whole === null || whole.length > COLOURED_LIMIT) {
    target.replaceChildren(whole ?? text);
    return;
  }
  const nodes = [];
  for (const [piece, kind] of laidOut(text)) nodes.push(kind ? element("span", { class: kind }, piece) : piece);
  target.replaceChildren(...nodes);
}

/** [piece, class] of each token and of the space between. */
function* laidOut(text) {
  const tokens = text.match(TOKEN) ?? [];
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  for (let place = 0; place < tokens.length; place += 1) {
    const token = tokens[place];
    const following = tokens[place + 1];
    if (token === "{" || token === "[") {
      const empty = following === "}" || following === "]";
      yield [empty ? token + following : token, ""];
      if (empty) place += 1;
      else {
        depth += 1;
        yield [line(), ""];
      }
    } else if (token === "}" || token === "]") {
      depth -= 1;
      yield [line() + token, ""];
    } else if (token === ",") yield [token + line(), ""];
    else if (token === ":") yield [": ", ""];
    else yield [token, following === ":" ? "key" : kindOf(token)];
  }
}

function kindOf(token) {
  if (token.startsWith('"')) return "text";
  return /^[-\d]/.test(token) ? "digits" : "word";
}
