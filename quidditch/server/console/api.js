// Requests to the server that this page came from.

export class Refused extends Error {
  constructor(status, body) {
    super(reasonOf(body) || `The server answered ${status}.`);
    this.status = status;
  }
}

function reasonOf(body) {
  const error = body?.error;
  if (typeof error === "string") return error;
  return error ? [error.type, error.reason].filter(Boolean).join(": ") : "";
}

/** The status, the text and the milliseconds of one answer, whatever its status. */
export async function send(method, path, body, { signal, type = "application/json" } = {}) {
  const started = performance.now();
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = type;
  // From the origin, for the page's own address may hold a name and a password, and `fetch` takes none that does.
  const url = new URL(path, location.origin);
  const response = await fetch(url, { method, body, headers, signal, redirect: "error" });
  const text = await response.text();
  return { status: response.status, ok: response.ok, text, ms: performance.now() - started };
}

/** The body of an answer. Throws `Refused` with the server's reason. */
export async function ask(method, path, body, options) {
  const answer = await send(method, path, body === undefined ? undefined : JSON.stringify(body), options);
  let value;
  try {
    value = JSON.parse(answer.text);
  } catch {
    throw new Refused(answer.status, { error: `${answer.status}: an answer that is no JSON` });
  }
  if (!answer.ok) throw new Refused(answer.status, value);
  return value;
}

const named = (index) => (index ? `/${encodeURIComponent(index)}` : "");

export const searchPath = (index) => `${named(index)}/_search`;
export const sourcePath = (index, id) => `${named(index)}/_source/${encodeURIComponent(id)}`;
export const indexPath = (index) => named(index);

/** One record an index: {index, health, status, "docs.count", …}, numbers as strings. */
export const listIndices = () =>
  ask("GET", "/_cat/indices?format=json&bytes=b&s=index&expand_wildcards=open,closed");

/** The counters of the server by name and labels, as Prometheus reads them; null where it shows none. */
export async function counters() {
  const { ok, text } = await send("GET", "/_metrics");
  if (!ok) return null;
  const lines = text.split("\n").filter((line) => line && !line.startsWith("#"));
  return lines.map((line) => {
    const place = line.lastIndexOf(" ");
    return [line.slice(0, place), Number(line.slice(place + 1))];
  });
}

/** What went wrong, in words for a reader. */
export function words(error) {
  if (error instanceof Refused) return error.message;
  return error instanceof TypeError ? "The server does not answer." : String(error.message ?? error);
}
