// The query view: any request to this server, and its answer.

import { send, words } from "./api.js";
import { byId, element, size } from "./dom.js";
import { formatted, showJson } from "./json.js";

const method = byId("query-method");
const path = byId("query-path");
const body = byId("query-body");
const answer = byId("query-answer");
const status = byId("query-status");

const FIRST = '{\n  "query": {\n    "match_all": {}\n  },\n  "size": 5\n}';
const READS = ["_search", "_count", "_mapping", "_settings", "_analyze", "_bulk"];

export function start() {
  body.value = FIRST;
  byId("query-form").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  byId("query").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      run();
    }
  });
  byId("query-format").addEventListener("click", format);
}

export function show() {
  path.focus({ preventScroll: true });
}

/** Offer the paths of these indices. */
export function offer(names) {
  const bases = ["", ...names.map((name) => `/${encodeURIComponent(name)}`)];
  const paths = bases.flatMap((base) => READS.map((last) => `${base}/${last}`));
  byId("query-paths").replaceChildren(...paths.map((value) => element("option", { value })));
}

function format() {
  const whole = formatted(body.value);
  if (whole !== null) body.value = whole;
  else complain();
}

/** Say where the body stops to be JSON. */
function complain() {
  try {
    JSON.parse(body.value);
  } catch (error) {
    report(`The body is not JSON: ${error.message}`, false);
  }
}

async function run() {
  const target = path.value.startsWith("/") ? path.value : `/${path.value}`;
  // Two slashes in front would name another host, and there are more ways to write that.
  if (new URL(target, location.href).origin !== location.origin) {
    return report("The path leads to another host.", false);
  }
  const isLines = /\/_(bulk|msearch)(\?|$)/.test(target);
  const text = isLines ? `${body.value.trimEnd()}\n` : body.value.trim();
  const sent = method.value === "GET" || method.value === "DELETE" || !text.trim() ? undefined : text;
  report("…", true);
  try {
    const type = isLines ? "application/x-ndjson" : "application/json";
    // A browser sends no body with GET; the routes that read one take POST as well.
    const got = await send(method.value, target, sent, { type });
    report(`${got.status} · ${Math.round(got.ms)} ms · ${size(got.text.length)}`, got.ok);
    showJson(answer, got.text);
  } catch (error) {
    report(words(error), false);
    answer.replaceChildren();
  }
}

function report(text, ok) {
  status.textContent = text;
  status.classList.toggle("failed", !ok);
}
