// What happens at the moment: totals of the server, polled, and their change a second.

import { drawing, element, size, whole } from "./dom.js";

const KEPT = 60;
const [WIDTH, HEIGHT] = [160, 36];

const SEARCHES = /^quidditch_http_requests_total\{kind="search"/;
const WRITES = /^quidditch_indexing_writes_total\{result="(created|updated|deleted)"/;

// The name of a tile, its total in the stats, which are empty without an index, and counters, whether its change a second
// is shown, and how.
const TILES = [
  ["Searches a second", (stats, counted) => sum(counted, SEARCHES) ?? stats.search?.query_total, true, oneDigit],
  ["Writes a second", (stats, counted) => sum(counted, WRITES) ?? stats.indexing?.index_total, true, oneDigit],
  ["Documents", (stats) => stats.docs?.count ?? 0, false, whole],
  ["Bytes on disk", (stats) => stats.store?.size_in_bytes ?? 0, false, size],
];

/** Of the counters whose name and labels fit; undefined where the server shows none. */
function sum(counted, pattern) {
  const found = (counted ?? []).filter(([name]) => pattern.test(name));
  return found.length ? found.reduce((total, [, value]) => total + value, 0) : undefined;
}

/** Tiles with a number and its last minutes as a line. What a server does not count has no tile. */
export class Rates {
  constructor(place) {
    this.place = place;
    this.tiles = new Map();
  }

  /** Totals of the moment `now` in milliseconds. One that fell, since the server started anew, gives no rate. */
  take(stats, counted, now) {
    for (const [name, total, isRate, shape] of TILES) {
      const value = total(stats, counted);
      if (value === undefined) continue;
      const tile = this.tiles.get(name) ?? this.add(name);
      const shown = isRate ? (1000 * (value - tile.total)) / (now - tile.at) : value;
      Object.assign(tile, { total: value, at: now });
      if (!Number.isFinite(shown) || shown < 0) continue;
      tile.values = [...tile.values, shown].slice(-KEPT);
      tile.number.textContent = shape(shown);
      const line = points(tile.values);
      tile.line.setAttribute("points", line.join(" "));
      tile.area.setAttribute("points", [`${line[0].split(",")[0]},${HEIGHT}`, ...line, `${WIDTH},${HEIGHT}`].join(" "));
    }
  }

  add(name) {
    const number = element("strong", {}, "–");
    const line = drawing("polyline");
    const area = drawing("polygon");
    const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" };
    const chart = drawing("svg", box, area, line);
    this.place.append(element("div", { class: "tile" }, element("span", {}, name), number, chart));
    const tile = { number, line, area, values: [], total: NaN };
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
