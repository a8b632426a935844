// The server's API: where it is, the API key, requests, errors in words, server-sent events.

/** The page may lie behind a prefix (--root-path): this module's own address tells where the API is. */
export const root = new URL("../", import.meta.url);

const KEY = "inferd.key"; // in sessionStorage: gone with the tab, unseen by others
const EVENT_SIZE_MAX = 8 << 20; // far above any event of this server: a bound for what is no SSE at all

/** What went wrong.  kind: http | network (no answer) | cut (the answer broke off) | stream (an error event). */
export class ApiError extends Error {
  constructor(message, { kind = "http", status = 0, code = null, param = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { kind, status, code, param, retryAfter });
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
    error = value.error ?? { message: value.message };
  } catch {
    // A proxy's page, or nothing at all: the status has to do.
  }
  const wait = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  return new ApiError(error.message ?? `The server answered with status ${response.status}.`, {
    status: response.status, code: error.code ?? null, param: error.param ?? null,
    retryAfter: Number.isFinite(wait) ? wait : null,
  });
}

/** A sentence or two about an error, and whether the same request may succeed later. */
export function explain(error) {
  const soon = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : " Try again in a moment.";
  if (!(error instanceof ApiError)) return { text: `The page failed: ${error.message}`, again: true };
  if (error.kind === "network") return { text: "The server cannot be reached. Does it run, and is the network up?", again: true };
  if (error.kind === "cut") return { text: "The connection to the server was lost; the answer is not complete.", again: true };
  if (error.kind === "stream") return { text: `The server ended the answer: ${error.message}`, again: true };
  if (error.status === 401) return { text: "The server needs an API key.", again: true };
  if (error.status === 429) return { text: `The server has too many requests waiting.${soon}`, again: true };
  if (error.status === 503) return { text: error.message + soon, again: true };
  if (error.code === "context_length_exceeded") {
    return { text: `This does not fit into the model's context any more. ${error.message} `
      + "Start a new chat, shorten or edit an earlier message, or lower max tokens.", again: false };
  }
  return { text: error.message, again: error.status >= 500 };
}

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
