// The server's API: where it is, the API key, requests, errors in words, server-sent events.

/** The page may lie behind a prefix (--root-path): this module's own address tells where the API is. */
export const root = new URL("../", import.meta.url);

const KEY = "inferd.key"; // in sessionStorage: gone with the tab, unseen by others
const EVENT_SIZE_MAX = 8 << 20; // far above any event of this server: a bound for what is no SSE at all

/** What went wrong.  kind: http | network (no answer) | cut (the answer broke off) | stream (an error event). */
export class ApiError extends Error {
  constructor(message, { kind = "http", status = 0, code = null, param = null, reason = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { kind, status, code, param, reason, retryAfter });
  }
}

let askForKey = async () => false;
let asking = null;

/** ask(why) shows a dialog and resolves to whether there is a key now. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

export function setKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** Requests that fail at the same time share one dialog. */
export function requestKey(why) {
  asking ??= askForKey(why).finally(() => { asking = null; });
  return asking;
}

/** fetch() that knows the key, asks for it on 401, and throws an ApiError on every status but 2xx. */
export async function request(path, { body, signal } = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = {};
    if (key) headers.Authorization = `Bearer ${key}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      // A redirect would carry the key to who knows where: the API has none.
      response = await fetch(new URL(path, root), {
        method: body === undefined ? "GET" : "POST", headers, signal, cache: "no-store", redirect: "error",
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch (e) {
      if (e.name === "AbortError") throw e;
      throw new ApiError("The server cannot be reached.", { kind: "network" });
    }
    if (response.ok) return response;
    const error = await readError(response);
    if (response.status !== 401) throw error;
    // Another request may have brought a key while this one was on its way.
    if (sessionStorage.getItem(KEY) !== key) continue;
    if (!(await requestKey(key ? "The server did not take this key." : "This server needs an API key."))) throw error;
    signal?.throwIfAborted();
  }
}

export async function getJson(path, options) {
  return (await request(path, options)).json();
}

async function readError(response) {
  let error = {};
  try {
    const value = await response.json();
    error = value.error ?? { message: value.message, reason: value.reason };
  } catch {
    // A proxy's page, or nothing at all: the status has to do.
  }
  const wait = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  return new ApiError(error.message ?? `The server answered with status ${response.status}.`, {
    status: response.status, code: error.code ?? null, param: error.param ?? null, reason: error.reason ?? null,
    retryAfter: Number.isFinite(wait) ? wait : null,
  });
}

/** "ready", or in the server's word why it is not. */
export async function readiness(signal) {
  try {
    await request("health/ready", { signal });
    return "ready";
  } catch (e) {
    if (e instanceof ApiError && e.reason) return e.reason;
    throw e;
  }
}

/** A sentence or two about an error. */
export function explain(error) {
  const soon = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : " Try again in a moment.";
  if (!(error instanceof ApiError)) return `The page failed: ${error.message}`;
  if (error.kind === "network") return "The server cannot be reached. Does it run, and is the network up?";
  if (error.kind === "cut") return "The connection to the server was lost; the answer is not complete.";
  if (error.kind === "stream") return `The server ended the answer: ${error.message}`;
  if (error.status === 401) return "The server needs an API key.";
  if (error.status === 429) return `The server has too many requests waiting.${soon}`;
  if (error.status === 503) return error.message + soon;
  return error.message;
}

const isTooLong = (error) => error instanceof ApiError && error.code === "context_length_exceeded";

/** Whether a prompt would fit, but not together with as many tokens of output as were asked for. */
const asksForTooMuch = (error) => isTooLong(error) && /in the completion/.test(error.message);

/** What else there is to do about an error than its words say; hasMore: earlier messages were sent with this one. */
export const advice = (error, hasMore) =>
  (isTooLong(error) && hasMore ? "Earlier messages count, too: a new chat has room." : "");

/** The field of a request that an error is about, or null. */
export const fieldOf = (error) => (asksForTooMuch(error) ? "max_tokens" : error instanceof ApiError ? error.param : null);

export const lacksTemplate = (error) =>
  error instanceof ApiError && error.status === 400 && /no chat template/i.test(error.message);

/**
 * The events of a response as {event, data}; a comment comes as {event: "comment"}, so that a reader can tell a
 * quiet stream from a dead one.  WHATWG HTML, "Server-sent events"; ids and retry times are not used here.
 */
export async function* readEvents(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "", event = "", data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      if (rest.length > EVENT_SIZE_MAX) throw new ApiError("An event without an end.", { kind: "cut" });
      // A lone CR at the end may be half of a CRLF: it stays until the next piece.
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield { event: event || "message", data: data.join("\n") };
          event = "";
          data = [];
        } else if (line.startsWith(":")) {
          yield { event: "comment", data: line.slice(1).trim() };
        } else {
          const colon = line.indexOf(":");
          const field = colon < 0 ? line : line.slice(0, colon);
          const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
          if (field === "event") event = text;
          else if (field === "data") data.push(text);
        }
      }
    }
  } catch (e) {
    if (e.name === "AbortError" || e instanceof ApiError) throw e;
    throw new ApiError("The connection was lost.", { kind: "cut" });
  } finally {
    // Whoever stops reading leaves: the server then ends the request.
    reader.cancel().catch(() => {});
  }
}

/**
 * One streamed answer, chat or plain completion, as {text, token}, {finish} and {usage} pieces; `token` tells that
 * the piece is one output token, which may have no text yet.
 */
export async function* generate(path, body, signal) {
  const response = await request(path, { body, signal });
  for await (const { event, data } of readEvents(response)) {
    if (event === "comment") continue;
    if (data === "[DONE]") return;
    let chunk;
    try {
      chunk = JSON.parse(data);
    } catch {
      throw new ApiError("An event of the answer is not JSON.", { kind: "cut" });
    }
    if (chunk.error) throw new ApiError(chunk.error.message ?? "unknown error", { kind: "stream", code: chunk.error.code ?? null });
    const choice = chunk.choices?.[0];
    if (choice) {
      const opening = choice.delta?.role !== undefined && !choice.delta.content;
      yield { text: choice.delta?.content ?? choice.text ?? "", token: !opening };
      if (choice.finish_reason) yield { finish: choice.finish_reason };
    }
    if (chunk.usage) yield { usage: chunk.usage };
  }
  throw new ApiError("The answer ended early.", { kind: "cut" });
}
