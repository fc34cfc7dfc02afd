// What happens at the moment: totals of the server, polled, and their change a second.

import { drawing, element, size, whole } from "./dom.js";

const KEPT = 60;
const [WIDTH, HEIGHT] = [160, 36];

// The name of a tile, its total in the stats, whether it is shown as a rate, and how its number is written.
const TILES = [
  ["Searches a second", (stats) => stats.search?.query_total, true, oneDigit],
  ["Documents written a second", (stats) => stats.indexing?.index_total, true, oneDigit],
  ["Documents", (stats) => stats.docs?.count, false, whole],
  ["Bytes on disk", (stats) => stats.store?.size_in_bytes, false, size],
];

/** Tiles with a number and its last minutes as a line. What a server does not count has no tile. */
export class Rates {
  constructor(place) {
    this.place = place;
    this.before = null;
    this.tiles = new Map();
  }

  /** Totals of the moment `now` in milliseconds. A total that fell (a server started anew) gives no rate. */
  take(stats, now) {
    for (const [name, total, isRate, shape] of TILES) {
      const value = total(stats);
      if (value === undefined) continue;
      const tile = this.tiles.get(name) ?? this.add(name);
      const rate = this.before && (1000 * (value - total(this.before.stats))) / (now - this.before.now);
      const shown = isRate ? rate : value;
      if (shown === null || shown < 0 || !Number.isFinite(shown)) continue;
      tile.values = [...tile.values, shown].slice(-KEPT);
      tile.number.textContent = shape(shown);
      tile.line.setAttribute("points", points(tile.values));
    }
    this.before = { stats, now };
  }

  add(name) {
    const number = element("strong", {}, "–");
    const line = drawing("polyline", { points: "" });
    const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" };
    this.place.append(element("div", { class: "tile" }, element("span", {}, name), number, drawing("svg", box, line)));
    const tile = { number, line, values: [] };
    this.tiles.set(name, tile);
    return tile;
  }
}

function oneDigit(value) {
  return value < 10 && value > 0 ? value.toFixed(1) : whole(Math.round(value));
}

function points(values) {
  const top = Math.max(...values, 1e-9);
  const step = WIDTH / (KEPT - 1);
  const first = KEPT - values.length;
  return values
    .map((value, place) => `${((first + place) * step).toFixed(1)},${(HEIGHT - 2 - ((HEIGHT - 4) * value) / top).toFixed(1)}`)
    .join(" ");
}
