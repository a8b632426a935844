// The chat: turns, sending, streaming, stop, edit, retry.  The turns live in store.js, Markdown in render.js.

import { advice, ApiError, explain, fieldOf, generate, lacksTemplate } from "./api.js";
import { $, announce, copyButton, el, icon, iconButton, setText } from "./dom.js";
import { count, duration, plural, rate } from "./format.js";
import { checkParams, isPlain, labelOf, requestFields, setPlain, showParam, systemPrompt } from "./params.js";
import { Markdown, PlainText, Stream } from "./render.js";
import { deleteChat, exportChat, latestChat, listChats, newChat, saveChat } from "./store.js";

const NEAR_END = 48; // pixels from the end within which the log follows the answer
const FINISH = { length: "stopped at max tokens or the end of the context", stop: "", content_filter: "filtered" };

let chat = latestChat() ?? newChat(false);
let model = "";
let running = null; // {abort, stopped} while an answer streams in
let follow = true;
let onFailed = () => {};

// --- drawing

function toEnd() {
  const log = $("log");
  log.scrollTop = log.scrollHeight;
}

function afterWrite() {
  if (follow) toEnd();
}

function onScroll() {
  const log = $("log");
  follow = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END;
  $("to-end").hidden = follow;
}

function writerFor(turn, body) {
  return chat.plain ? new PlainText(body) : new Markdown(body);
}

function drawAnswer(turn, index) {
  const body = el("div", { class: "answer-text" }), note = el("span", { class: "turn-note" });
  const fault = el("div", { class: "fault", role: "alert" });
  const article = el("article", { class: "turn answer", "aria-label": "Answer" }, body, fault,
    el("div", { class: "turn-foot" },
      copyButton("Copy the answer", () => turn.content),
      iconButton("retry", "Retry", () => retry(index)), note));
  const view = { article, body, note, fault };
  showEnd(turn, view, index);
  return view;
}

/** What stands below an answer: the measurements, and an error in words with what can be done. */
function showEnd(turn, view, index) {
  setText(view.note, turn.note ?? "");
  view.fault.hidden = !turn.fault;
  view.article.classList.toggle("failed", turn.fault !== undefined);
  view.fault.replaceChildren();
  if (!turn.fault) return;
  const { text, template, field } = turn.fault, asked = chat.turns[index - 1]?.role === "user";
  const button = (label, onclick) => el("button", { type: "button", class: "plain", onclick }, label);
  view.fault.append(el("p", {}, `${text} What you send next goes without ${asked ? "this message" : "it"}.`));
  view.fault.append(el("div", { class: "fault-acts" },
    template ? button("Go on as plain completion", () => goPlain(index)) : button("Try again", () => retry(index)),
    field && labelOf(field) ? button(`Change ${labelOf(field).toLowerCase()}`, () => showParam(field)) : null,
    asked ? button("Edit the message", () => edit(index - 1)) : null,
    button("Remove", () => remove(index))));
}

function drawTurn(turn, index) {
  if (turn.role === "assistant") {
    const view = drawAnswer(turn, index), writer = writerFor(turn, view.body);
    writer.write(turn.content);
    writer.end();
    return view.article;
  }
  return el("article", { class: "turn own", "aria-label": "Your message" },
    el("p", { class: "own-text" }, turn.content),
    el("div", { class: "turn-foot" }, copyButton("Copy the message", () => turn.content),
      iconButton("edit", "Edit", () => edit(index))));
}

function draw() {
  $("turns").replaceChildren(...chat.turns.map(drawTurn));
  if (chat.turns.length === 0) {
    $("turns").append(el("div", { class: "welcome" }, el("p", { class: "welcome-head" }, "Ask the model something."),
      el("p", { class: "small" }, "Nothing leaves this server; the chat is kept by this tab until it is closed."),
      el("button", { type: "button", class: "plain", onclick: () => showParam("system") }, icon("sliders"),
        systemPrompt() ? "Change the system prompt" : "Write a system prompt")));
  }
  follow = true;
  toEnd();
}

function showRunning() {
  const send = $("send"), on = running !== null;
  send.classList.toggle("stop", on);
  send.setAttribute("aria-label", on ? "Stop" : "Send");
  send.title = on ? "Stop (Esc)" : "Send (Enter)";
  send.replaceChildren(icon(on ? "stop" : "send"));
  $("turns").classList.toggle("busy", on);
}

// --- answers

/** What goes to the server: all but the turns that failed, which would fail again or stand there unanswered. */
function sentTurns() {
  const hasFailed = (turn) => turn?.role === "assistant" && turn.fault !== undefined;
  return chat.turns.filter((turn, i) => (turn.role === "user" ? !hasFailed(chat.turns[i + 1]) : turn.content && !turn.fault));
}

function bodyOf(plain) {
  const common = { model, stream: true, stream_options: { include_usage: true }, ...requestFields(plain) }, turns = sentTurns();
  if (plain) return { ...common, prompt: turns.map((turn) => turn.content).join("") };
  const messages = turns.map(({ role, content }) => ({ role, content }));
  if (systemPrompt()) messages.unshift({ role: "system", content: systemPrompt() });
  return { ...common, messages };
}

function noteOf({ started, first, last, tokens, usage, finish, stopped }) {
  const n = usage?.completion_tokens ?? tokens, parts = [plural(n, "token")];
  // From the sending on: tokens arrive in bursts, so that first to last says nothing of a short answer.
  if (n > 0 && last > started) parts.push(`${rate((n * 1000) / (last - started))} tokens/s`);
  if (first) parts.push(`first after ${duration(first - started)}`);
  const cached = usage?.prompt_tokens_details?.cached_tokens;
  if (usage) parts.push(`prompt ${count(usage.prompt_tokens)}${cached ? `, ${count(cached)} from the cache` : ""}`);
  if (stopped) parts.push("stopped");
  else if (FINISH[finish]) parts.push(FINISH[finish]);
  return parts.join(" · ");
}

/** Reads one answer into the turn and the stream; returns the measurements.  They are filled in when it throws, too. */
async function readAnswer(body, turn, stream, seen, signal) {
  const path = chat.plain ? "v1/completions" : "v1/chat/completions";
  for await (const piece of generate(path, body, signal)) {
    if (piece.token) {
      seen.tokens++;
      seen.last = performance.now();
      seen.first ||= seen.last;
    }
    if (piece.text) {
      turn.content += piece.text;
      stream.push(piece.text);
    }
    if (piece.finish) seen.finish = piece.finish;
    if (piece.usage) seen.usage = piece.usage;
  }
}

/** Streams the answer to the turns so far. */
async function answer() {
  const mine = chat, turn = { role: "assistant", content: "" };
  const run = { abort: new AbortController(), stopped: false };
  const seen = { started: performance.now(), first: 0, last: 0, tokens: 0, usage: null, finish: "", stopped: false };
  chat.plain = isPlain();
  const body = bodyOf(chat.plain), hasMore = sentTurns().length > 1;
  let fault = null;
  chat.turns.push(turn);
  const index = chat.turns.length - 1, view = drawAnswer(turn, index);
  view.article.classList.add("writing");
  $("turns").append(view.article);
  const stream = new Stream(writerFor(turn, view.body), afterWrite);
  running = run;
  showRunning();
  follow = true;
  toEnd();
  try {
    await readAnswer(body, turn, stream, seen, run.abort.signal);
  } catch (e) {
    if (!run.stopped) {
      fault = { text: `${explain(e)} ${advice(e, hasMore)}`.trim(), template: lacksTemplate(e), field: fieldOf(e) };
    }
    if (!(e instanceof ApiError) && e.name !== "AbortError") console.error(e);
  }
  stream.end();
  seen.stopped = run.stopped;
  if (seen.tokens > 0 || run.stopped) turn.note = noteOf(seen);
  if (fault) turn.fault = fault;
  view.article.classList.remove("writing");
  if (running === run) running = null;
  showRunning();
  if (mine === chat) {
    if (view.article.isConnected) showEnd(turn, view, index);
    else if (!running && mine.turns.includes(turn)) draw(); // the turns were drawn anew while it was being stopped
    afterWrite();
  }
  saveChat(mine);
  drawChats();
  if (fault) onFailed();
  announce(fault ? fault.text : run.stopped ? "Stopped" : "Answer complete");
}

function stop() {
  if (!running) return false;
  running.stopped = true;
  running.abort.abort();
  running = null;
  showRunning();
  return true;
}

function send(text) {
  if (running || (text.trim() === "" && !(isPlain() && sentTurns().length > 0)) || !checkParams()) return;
  document.querySelector(".welcome")?.remove();
  if (text !== "") {
    chat.turns.push({ role: "user", content: text });
    $("turns").append(drawTurn(chat.turns.at(-1), chat.turns.length - 1));
  }
  $("composer-text").value = "";
  resize($("composer-text"));
  answer();
}

function retry(index) {
  if (!checkParams()) return;
  stop();
  chat.turns.length = index;
  draw();
  $("composer-text").focus(); // the button that had the focus is gone
  answer();
}

function goPlain(index) {
  setPlain(true);
  retry(index);
}

/** Takes an answer that failed out of the chat, and the message that it was to answer. */
function remove(index) {
  stop();
  const from = chat.turns[index - 1]?.role === "user" ? index - 1 : index;
  chat.turns.splice(from, index - from + 1);
  if (chat.turns.length === 0) deleteChat(chat.id);
  else saveChat(chat);
  draw();
  drawChats();
  announce("Removed");
  $("composer-text").focus();
}

/** A message becomes a field; sending it drops what came after. */
function edit(index) {
  const article = $("turns").children[index], turn = chat.turns[index];
  const area = el("textarea", { class: "edit-text", rows: 1, "aria-label": "Edit the message" });
  area.value = turn.content;
  const leave = () => {
    article.replaceWith(drawTurn(turn, index));
    $("composer-text").focus();
  };
  const done = () => {
    if (area.value.trim() === "" || !checkParams()) return;
    stop();
    chat.turns.length = index;
    draw();
    send(area.value);
    $("composer-text").focus();
  };
  area.addEventListener("input", () => resize(area));
  area.addEventListener("keydown", (e) => {
    if (e.isComposing) return;
    if (e.key === "Escape") leave();
    else if (e.key === "Enter" && !e.shiftKey) done();
    else return;
    e.preventDefault();
    e.stopPropagation();
  });
  article.replaceChildren(el("div", { class: "edit" }, area, el("div", { class: "row-end" },
    el("span", { class: "small" }, index < chat.turns.length - 1 ? "What follows is dropped." : ""),
    el("button", { type: "button", class: "plain", onclick: leave }, "Cancel"),
    el("button", { type: "button", class: "primary", onclick: done }, "Send"))));
  resize(area);
  area.focus();
}

function editLast() {
  const index = chat.turns.findLastIndex((turn) => turn.role === "user");
  if (index < 0) return false;
  edit(index);
  return true;
}

// --- chats of this tab

function show(next) {
  stop();
  chat = next;
  draw();
  drawChats();
  $("chats").hidePopover();
  $("composer-text").focus();
}

const startNew = () => show(newChat(isPlain()));

function drawChats() {
  $("chat-list").replaceChildren(...listChats().map((item) => el("li", {},
    el("button", { type: "button", class: "chat-item", "aria-current": item.id === chat.id ? "true" : null, onclick: () => show(item) },
      item.title),
    iconButton("trash", `Delete ${item.title}`, () => {
      deleteChat(item.id);
      if (item.id === chat.id) startNew();
      else drawChats();
    }))));
  $("export").disabled = chat.turns.length === 0;
}

// --- the message field

function resize(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + 2}px`;
}

function onComposerKey(e) {
  if (e.isComposing) return; // Enter then chooses a word of an input method
  if (e.key === "Enter" && !e.shiftKey && !e.altKey) {
    e.preventDefault();
    send(e.target.value);
  } else if (e.key === "ArrowUp" && e.target.value === "" && !running && editLast()) {
    e.preventDefault();
  }
}

/** failed() is called after an answer that failed. */
export function initChat({ failed }) {
  onFailed = failed;
  const text = $("composer-text");
  text.addEventListener("input", () => resize(text));
  text.addEventListener("keydown", onComposerKey);
  $("composer").addEventListener("submit", (e) => {
    e.preventDefault();
    if (!stop()) send(text.value);
  });
  $("new-chat").addEventListener("click", startNew);
  $("export").addEventListener("click", () => exportChat(chat, model));
  $("log").addEventListener("scroll", onScroll, { passive: true });
  $("to-end").addEventListener("click", toEnd);
  draw();
  drawChats();
  showRunning();
  text.focus();
  return { stop, startNew, setModel: (name) => { model = name; } };
}
