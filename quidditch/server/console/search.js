// The search view: as one types, the best documents with the words that were found.

import { ask, searchPath, send, sourcePath, words } from "./api.js";
import { byId, element, tell, whole } from "./dom.js";
import { showJson } from "./json.js";
import { CLOSE, OPEN, marked } from "./marks.js";

const PAGE = 20;
const WAIT_MS = 180;
const SNIPPET = 280;
const TITLES = ["title", "name", "headline", "subject", "label"];

const form = byId("search-form");
const box = byId("search-text");
const chosen = byId("search-index");
const list = byId("hits");
const more = byId("more");
let running = new AbortController();
let timer = 0;

export function start() {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  box.addEventListener("input", () => {
    clearTimeout(timer);
    waitForAnswer();
    timer = setTimeout(search, WAIT_MS);
  });
  chosen.addEventListener("change", search);
  more.addEventListener("click", () => search({ from: list.children.length }));
  list.addEventListener("keydown", walk);
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && list.firstElementChild) {
      event.preventDefault();
      focusHit(list.firstElementChild);
    }
  });
}

/** Show the view for what stands behind the `#`: `index` and `q`; as it was left, where nothing stands there. */
export function show(parameters) {
  box.focus({ preventScroll: true });
  if (!parameters.size && list.children.length) return rememberSearch();
  const [text, index] = [parameters.get("q") ?? "", parameters.get("index") ?? ""];
  const changed = text !== box.value || index !== chosen.value || !list.children.length;
  box.value = text;
  choose(index);
  if (changed) search({ remember: false });
}

/** Offer these indices, keeping the choice. */
export function offer(names) {
  const kept = chosen.value;
  const options = ["", ...names].map((name) => element("option", { value: name }, name || "All indices"));
  chosen.replaceChildren(...options);
  choose(kept);
}

function choose(index) {
  if (![...chosen.options].some((option) => option.value === index)) {
    chosen.append(element("option", { value: index }, index || "All indices"));
  }
  chosen.value = index;
}

async function search({ from = 0, remember = true } = {}) {
  clearTimeout(timer);
  const signal = waitForAnswer();
  if (remember) rememberSearch();
  try {
    const answer = await ask("POST", searchPath(chosen.value), request(box.value.trim(), from), { signal });
    if (!signal.aborted) draw(answer, from);
  } catch (error) {
    if (error.name === "AbortError") return;
    byId("search-status").textContent = "";
    tell(byId("search-problem"), words(error));
    if (!from) list.replaceChildren();
    list.setAttribute("aria-busy", "false");
    more.hidden = true;
  }
}

/** An answer that is still on its way is not wanted any more. Returns the signal of the next. */
function waitForAnswer() {
  running.abort();
  running = new AbortController();
  list.setAttribute("aria-busy", "true");
  return running.signal;
}

function rememberSearch() {
  const parameters = new URLSearchParams();
  if (chosen.value) parameters.set("index", chosen.value);
  if (box.value) parameters.set("q", box.value);
  history.replaceState(null, "", `#/search${parameters.size ? `?${parameters}` : ""}`);
}

function request(text, from) {
  const tags = { pre_tags: [OPEN], post_tags: [CLOSE] };
  const highlight = { ...tags, fragment_size: 160, number_of_fragments: 2, fields: { "*": {} } };
  return text
    ? { query: { quidditch_plain: { query: text } }, from, size: PAGE, highlight, track_total_hits: true }
    : { query: { match_all: {} }, from, size: PAGE, track_total_hits: true };
}

function draw({ took, hits, quidditch_notes: notes = [] }, from) {
  tell(byId("search-problem"), null);
  const many = hits.total.value;
  byId("search-status").textContent = `${whole(many)} ${many === 1 ? "document" : "documents"} · ${took} ms`;
  if (notes.length) byId("search-status").append(` · ${notes.join("; ")}`);
  const items = hits.hits.map(hitItem);
  if (from) list.append(...items);
  else list.replaceChildren(...items);
  list.setAttribute("aria-busy", "false");
  more.hidden = !items.length || list.children.length >= many;
  if (from && items.length) focusHit(items[0]);
}

// ---------------------------------------------------------------------------------------------- one document

function hitItem(hit) {
  const [field, title] = titleOf(hit);
  const body = element("pre", { class: "source", hidden: true });
  const open = element("button", { type: "button", class: "title", "aria-expanded": "false", dir: "auto" }, ...title);
  open.addEventListener("click", () => toggle(open, body, hit));
  const meta = [element("bdi", {}, hit._index), element("bdi", {}, hit._id)];
  if (hit._score !== null) meta.push(element("span", { title: "Score" }, hit._score.toFixed(2)));
  return element("li", {}, open, element("p", { class: "meta" }, ...meta), ...snippets(hit, field), body);
}

/** The field that names a document, and its text as nodes, marked where it was found. */
function titleOf(hit) {
  const source = hit._source ?? {};
  const entries = Object.entries(source).filter(([, value]) => typeof value === "string" && value.trim());
  const field =
    TITLES.find((name) => entries.some(([key]) => key === name)) ??
    entries.find(([, value]) => value.length <= 120)?.[0];
  if (field === undefined) return [undefined, [String(hit._id)]];
  return [field, markedWhole(source[field], hit.highlight?.[field])];
}

/** A value, marked where its fragments are marked. */
function markedWhole(value, fragments = []) {
  let shown = value;
  for (const fragment of fragments) shown = shown.replace(plain(fragment), () => fragment);
  return marked(shown.length <= SNIPPET * 2 ? shown : value.slice(0, SNIPPET));
}

const plain = (fragment) => fragment.replaceAll(OPEN, "").replaceAll(CLOSE, "");

function snippets(hit, titleField) {
  const found = Object.entries(hit.highlight ?? {}).filter(([field]) => field.split(".")[0] !== titleField);
  if (found.length) return found.slice(0, 3).map(([field, texts]) => snippet(field, between(texts.map(marked))));
  const rest = Object.entries(hit._source ?? {}).find(
    ([field, value]) => field !== titleField && typeof value === "string" && value.length > 40,
  );
  if (!rest) return [];
  const [field, value] = rest;
  return [snippet(field, [value.length > SNIPPET ? `${value.slice(0, SNIPPET)}…` : value])];
}

const between = (groups) => groups.flatMap((nodes, place) => (place ? [" … ", ...nodes] : nodes));

const snippet = (field, nodes) =>
  element("p", { class: "snippet", dir: "auto" }, element("span", { class: "field" }, `${field}:`), " ", ...nodes);

/** Open or close the whole document, which is fetched as it was given. */
async function toggle(open, body, hit) {
  body.hidden = !body.hidden;
  open.setAttribute("aria-expanded", String(!body.hidden));
  if (body.hidden || body.childNodes.length) return;
  body.textContent = "…";
  try {
    showJson(body, (await send("GET", sourcePath(hit._index, hit._id))).text);
  } catch (error) {
    body.textContent = words(error);
  }
}

// -------------------------------------------------------------------------------------------------- keyboard

const focusHit = (item) => item.querySelector("button").focus();

function walk(event) {
  const item = event.target.closest("li");
  if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "ArrowDown" || event.key === "j") {
    const next = item.nextElementSibling ?? (more.hidden ? null : more);
    if (next === more) more.focus();
    else if (next) focusHit(next);
  } else if (event.key === "ArrowUp" || event.key === "k") {
    if (item.previousElementSibling) focusHit(item.previousElementSibling);
    else box.focus();
  } else return;
  event.preventDefault();
}
