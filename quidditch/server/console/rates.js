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
      const line = points(tile.values);
      tile.line.setAttribute("points", line.join(" "));
      tile.area.setAttribute("points", [`${line[0].split(",")[0]},${HEIGHT}`, ...line, `${WIDTH},${HEIGHT}`].join(" "));
    }
    this.before = { stats, now };
  }

  add(name) {
    const number = element("strong", {}, "–");
    const line = drawing("polyline");
    const area = drawing("polygon");
    const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" };
    const chart = drawing("svg", box, area, line);
    this.place.append(element("div", { class: "tile" }, element("span", {}, name), number, chart));
    const tile = { number, line, area, values: [] };
    this.tiles.set(name, tile);
    return tile;
  }
}

function oneDigit(value) {
  return value < 10 && value > 0 ? value.toFixed(1) : whole(Math.round(value));
}

/** The values from zero up, the newest at the right edge. */
function points(values) {
  const top = Math.max(...values, 1e-9);
  const step = WIDTH / (KEPT - 1);
  const x = (place) => (KEPT - values.length + place) * step;
  const y = (value) => HEIGHT - 2 - ((HEIGHT - 4) * value) / top;
  return values.map((value, place) => `${x(place).toFixed(1)},${y(value).toFixed(1)}`);
}
