// The indices view: what there is, how large it is, and what happens at the moment.

import { Refused, ask, counters, indexPath, listIndices, send, words } from "./api.js";
import { byId, element, size, tell, whole } from "./dom.js";
import { showJson } from "./json.js";
import { Rates } from "./rates.js";

const EVERY_MS = 2000;
const rows = byId("index-rows");
const detail = byId("index-detail");
const rates = new Rates(byId("tiles"));
let isCounting = true;
let timer = 0;
let listeners = [];
let last = "";

export function start(...interested) {
  listeners = interested;
  byId("index-close").addEventListener("click", () => {
    location.hash = "#/indices";
  });
  document.addEventListener("visibilitychange", () => document.hidden || poll());
  poll();
}

/** Show the view; with a name behind the `#`, what that index is. */
export function show(parameters) {
  const name = parameters.get("index");
  detail.hidden = !name;
  if (name) describe(name);
  poll();
}

async function describe(name) {
  byId("index-title").textContent = name;
  byId("index-search").href = `#/search?${new URLSearchParams({ index: name })}`;
  try {
    showJson(byId("index-json"), (await send("GET", indexPath(name))).text);
  } catch (error) {
    byId("index-json").textContent = words(error);
  }
  byId("index-title").scrollIntoView({ block: "nearest" });
}

/** Ask for the list and the counters, now and again in a while; not while nobody looks. */
async function poll() {
  clearTimeout(timer);
  let again = true;
  try {
    const counting = isCounting ? counters() : null;
    const [list, stats, counted] = await Promise.all([listIndices(), ask("GET", "/_stats?level=cluster"), counting]);
    isCounting = counted !== null;
    rates.take(stats._all.total, counted, performance.now());
    draw(list);
    tell(byId("indices-problem"), null);
  } catch (error) {
    tell(byId("indices-problem"), words(error));
    // Whoever may not see it, or has not said who he is, is not asked for his password every two seconds.
    again = !(error instanceof Refused);
  }
  clearTimeout(timer);
  if (again && !document.hidden) timer = setTimeout(poll, EVERY_MS);
}

function draw(list) {
  // A list that has not changed is left alone: whoever is in it with the keyboard stays there.
  const now = JSON.stringify(list);
  if (now === last) return;
  const focused = document.activeElement?.dataset.index;
  last = now;
  const largest = Math.max(1, ...list.map((each) => Number(each["store.size"] ?? 0)));
  rows.replaceChildren(...list.map((each) => row(each, largest)));
  [...rows.querySelectorAll("a")].find((link) => link.dataset.index === focused)?.focus();
  byId("no-indices").hidden = list.length > 0;
  for (const offer of listeners) offer(list.filter((each) => each.status === "open").map((each) => each.index));
}

function row(each, largest) {
  const known = (value, shape) => (value === null || value === undefined ? "–" : shape(value));
  const number = (text) => element("td", { class: "number" }, text);
  const link = { href: `#/indices?${new URLSearchParams({ index: each.index })}`, "data-index": each.index };
  const share = { max: largest, value: each["store.size"] ?? 0, "aria-hidden": "true" };
  const health = each.status === "open" ? each.health : "closed";
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, element("a", link, each.index)),
    element("td", {}, element("span", { class: `health ${health}` }, health)),
    number(known(each["docs.count"], whole)),
    number(known(each["docs.deleted"], whole)),
    number(known(each["store.size"], size)),
    element("td", {}, element("progress", share)),
  );
}
