// Talks to the server: asks, stops, and looks at what it serves.
import { readChunks } from "./stream.js";

/** The server said no. `message` can be shown to a reader. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function send(path, { key, body, signal } = {}) {
  const headers = { ...(body && { "Content-Type": "application/json" }), ...(key && { Authorization: `Bearer ${key}` }) };
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Refused(0, "The server cannot be reached.");
  }
  if (!response.ok) throw new Refused(response.status, await refusal(response));
  return response;
}

async function refusal(response) {
  const said = await response.json().then((body) => body.error.message).catch(() => null);
  const wait = response.headers.get("Retry-After");
  const advice = {
    401: "The key can be set in the settings.",
    503: wait ? `Try again in ${wait} s.` : "Try again in a moment.",
  };
  return [said ?? `The server answered with status ${response.status}.`, advice[response.status]].filter(Boolean).join(" ");
}

/** The chunks of an answer. `mode`: "parallel" or "serial". */
export async function* ask(messages, mode, settings, signal) {
  const { model, temperature, max_tokens, seed, plan, key } = settings;
  const aspd = { stream: "live", ...(mode === "serial" ? { parallel: "off" } : { parallel: "auto", plan }) };
  const body = { model, messages, stream: true, temperature, max_tokens, ...(seed !== null && { seed }), aspd };
  const response = await send("v1/chat/completions", { key, body, signal });
  yield* readChunks(response.body);
}

/** Stops an answer, or one branch of it. An answer that is over meanwhile is no error. */
export async function stop(id, branch, key) {
  const body = branch ? { id, action: "branch_end", branch } : { id, action: "cancel" };
  await send("v1/chat/completions/control", { key, body }).catch(() => {});
}

/** The models that can be asked: [{ id, aspd: { protocol, loaded } }]. */
export async function models(key) {
  return (await (await send("v1/models", { key })).json()).data;
}

/** Whether this model has to be brought into memory first. */
export async function isAway(model, key) {
  const served = await models(key).catch(() => []);
  return served.some(({ id, aspd }) => id === model && !aspd.loaded);
}

/** "ready", "loading" or "away". */
export async function health() {
  return send("health").then(
    () => "ready",
    (refused) => (refused.status === 503 ? "loading" : "away"),
  );
}
