// The page: which view is shown, the keys that work everywhere, colours.

import { ask } from "./api.js";
import { byId } from "./dom.js";
import * as indices from "./indices.js";
import * as query from "./query.js";
import * as search from "./search.js";

const VIEWS = { search, query, indices };
const THEMES = ["system", "light", "dark"];

/** `#/search?q=dune` shows the view `search` with its parameters. */
function route() {
  if (location.hash === "#main") return;
  const [, name, text] = /^#\/(\w+)(?:\?(.*))?$/.exec(location.hash) ?? [null, "search", ""];
  const chosen = Object.hasOwn(VIEWS, name) ? name : "search";
  for (const view of Object.keys(VIEWS)) byId(view).hidden = view !== chosen;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === chosen) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${chosen[0].toUpperCase()}${chosen.slice(1)} · Quidditch`;
  VIEWS[chosen].show(new URLSearchParams(text ?? ""));
}

function keys(event) {
  const isTyping = event.target.matches("input, textarea, select");
  if (event.key === "Escape" && isTyping) event.target.blur();
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    event.preventDefault();
    if (byId("search").hidden) location.hash = "#/search";
    byId("search-text").focus();
    byId("search-text").select();
  }
  const view = Object.keys(VIEWS)[Number(event.key) - 1];
  if (view) {
    event.preventDefault();
    location.hash = `#/${view}`;
  }
}

function paint(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = { system: "◐", light: "○", dark: "●" }[theme];
  byId("theme").setAttribute("aria-label", `Colours: ${theme}`);
}

function startColours() {
  const kept = localStorage.getItem("quidditch-theme");
  paint(THEMES.includes(kept) ? kept : "system");
  byId("theme").addEventListener("click", () => {
    const now = THEMES.indexOf(document.documentElement.dataset.theme);
    const next = THEMES[(now + 1) % THEMES.length];
    localStorage.setItem("quidditch-theme", next);
    paint(next);
  });
}

async function nameNode() {
  const { name, version } = await ask("GET", "/");
  byId("node").textContent = `${name} · ${version.build_hash}`;
}

startColours();
search.start();
query.start();
indices.start(search.offer, query.offer);
addEventListener("hashchange", route);
addEventListener("keydown", keys);
route();
nameNode().catch(() => {});
