// The panel of request parameters.  An empty field is not sent: the server's default holds.  Ranges are the
// server's to judge; it refuses in words, which the chat shows.

import { $, el } from "./dom.js";
import { loadParams, saveParams } from "./store.js";

const FIELDS = [
  { name: "temperature", label: "Temperature", min: 0, max: 2, step: 0.1, hint: "0 always takes the likeliest token" },
  { name: "top_p", label: "Top p", min: 0, max: 1, step: 0.05, hint: "draw from the likeliest tokens that sum to this" },
  { name: "max_tokens", label: "Max tokens", min: 1, step: 1, hint: "longest answer; empty: all that fits into the context" },
  { name: "seed", label: "Seed", step: 1, hint: "same seed, same answer" },
];
const PLAIN_MAX_TOKENS = 256; // the API's own default for plain completions, 16, is no answer to read

let values = loadParams();
let changed = () => {};

export const isPlain = () => values.plain === true;

export function setPlain(plain) {
  values.plain = plain;
  const box = $("p-plain");
  if (box) box.checked = plain;
  store();
}

/** The fields for a request body; throws a RangeError in words where one cannot be sent. */
export function requestFields(plain) {
  const out = {};
  for (const { name, label } of FIELDS) {
    const text = values[name];
    if (text === undefined || text === "") continue;
    const value = Number(text);
    if (!Number.isFinite(value)) throw new RangeError(`${label}: "${text}" is not a number.`);
    if (name === "seed" && !Number.isSafeInteger(value)) throw new RangeError("Seed: a whole number below 2^53, please.");
    out[name] = value;
  }
  if (plain) out.max_tokens ??= PLAIN_MAX_TOKENS;
  const stop = (values.stop ?? "").split("\n").filter((line) => line !== "");
  if (stop.length > 0) out.stop = stop;
  return out;
}

export const systemPrompt = () => (values.system ?? "").trim();

/** What differs from the server's defaults, in a few words. */
export function summary() {
  const parts = [];
  if (isPlain()) parts.push("plain completion");
  if (systemPrompt() && !isPlain()) parts.push("system prompt");
  for (const { name, label } of FIELDS) if (values[name]) parts.push(`${label.toLowerCase()} ${values[name]}`);
  if (values.stop) parts.push("stop");
  return parts.length > 0 ? parts.join(" · ") : "server’s defaults";
}

function store() {
  saveParams(values);
  changed();
}

function take(input) {
  values[input.dataset.name] = input.value;
  // Text that is no number reads as "" here; the browser knows.
  if (input.validity?.badInput) values[input.dataset.name] = "?";
  store();
}

function textField(name, label, rows, placeholder) {
  const area = el("textarea", { id: `p-${name}`, "data-name": name, rows, placeholder, oninput: () => take(area) });
  area.value = values[name] ?? "";
  return el("div", { class: "p-field wide" }, el("label", { for: area.id }, label), area);
}

function numberField({ name, label, min, max, step, hint }) {
  const input = el("input", { id: `p-${name}`, type: "number", "data-name": name, min, max, step: "any", placeholder: "default",
    inputmode: "decimal", title: hint, "aria-describedby": `p-${name}-hint`, oninput: () => take(input) });
  if (name !== "seed") {
    // Arrow keys go in sensible steps although any value may be typed.
    input.addEventListener("keydown", (e) => {
      if (e.key !== "ArrowUp" && e.key !== "ArrowDown") return;
      e.preventDefault();
      const next = (Number(input.value) || (name === "temperature" || name === "top_p" ? 1 : 0)) + (e.key === "ArrowUp" ? step : -step);
      input.value = String(Math.round(Math.min(max ?? Infinity, Math.max(min ?? -Infinity, next)) * 100) / 100);
      take(input);
    });
  }
  input.value = values[name] ?? "";
  return el("div", { class: "p-field" }, el("label", { for: input.id }, label), input,
    el("span", { id: `p-${name}-hint`, class: "small" }, hint));
}

/** Fills the panel; onchange after every change. */
export function initParams(onchange) {
  changed = onchange;
  draw();
}

function draw() {
  const plain = el("input", { id: "p-plain", type: "checkbox", onchange: () => { values.plain = plain.checked; store(); } });
  plain.checked = isPlain();
  const reset = el("button", { type: "button", class: "plain", onclick: () => {
    values = {};
    draw();
    store();
    $("p-system").focus();
  } }, "Back to the server’s defaults");
  $("params").replaceChildren(
    el("div", { class: "pop-head" }, el("h2", {}, "Parameters")),
    el("div", { class: "p-grid" },
      textField("system", "System prompt", 3, "none"),
      ...FIELDS.map(numberField),
      textField("stop", "Stop strings, one a line", 2, "none"),
      el("label", { class: "p-check wide", for: "p-plain" }, plain,
        el("span", {}, "Plain completion", el("span", { class: "small" }, "the text so far is the prompt; no chat template, no system prompt")))),
    el("div", { class: "pop-foot" }, reset));
}
