// The panel of request parameters.  An empty field is not sent: the server's default holds, which the field shows.  What
// the server would refuse is said at the field, at once, and is not sent.

import { $, announce, el, setText } from "./dom.js";
import { loadParams, saveParams } from "./store.js";

/** Ranges are those of docs/api.md; `whole` numbers are also safe in a double. */
const FIELDS = [
  { name: "temperature", label: "Temperature", min: 0, max: 2, step: 0.1, hint: "0 always takes the likeliest token" },
  { name: "top_p", label: "Top p", min: 0, max: 1, step: 0.05, hint: "draw from the likeliest tokens that sum to this" },
  { name: "max_tokens", label: "Max tokens", min: 1, step: 1, whole: true, hint: "longest answer" },
  { name: "seed", label: "Seed", step: 1, whole: true, hint: "same seed, same answer" },
];
const MORE_FIELDS = [
  { name: "top_k", label: "Top k", min: -1, step: 1, whole: true, hint: "draw from so many of the likeliest; 0: from all" },
  { name: "min_p", label: "Min p", min: 0, max: 1, step: 0.05, hint: "least probability, as a part of the likeliest token’s" },
  { name: "repetition_penalty", label: "Repetition penalty", min: 0.001, max: 1000, step: 0.05, hint: "above 1: against what prompt and answer have" },
  { name: "frequency_penalty", label: "Frequency penalty", min: -2, max: 2, step: 0.1, hint: "against tokens by how often the answer has them" },
  { name: "presence_penalty", label: "Presence penalty", min: -2, max: 2, step: 0.1, hint: "against tokens that the answer has" },
];
const ALL_FIELDS = [...FIELDS, ...MORE_FIELDS];
const OTHER_LABELS = { stop: "Stop strings" };
const PLAIN_MAX_TOKENS = 256; // the API's own default for plain completions, 16, is no answer to read

let values = loadParams();
let defaults = {}; // the server's, by name; null: none
let changed = () => {};

export const isPlain = () => values.plain === true;

export function setPlain(plain) {
  values.plain = plain;
  const box = $("p-plain");
  if (box) box.checked = plain;
  store();
}

const isSet = (name) => values[name] !== undefined && values[name] !== "";

/** What a field may hold, in words. */
function rangeOf({ min, max, whole }) {
  const kind = whole ? "a whole number" : "a number";
  return max !== undefined ? `${kind} from ${min} to ${max}` : min !== undefined ? `${kind}, ${min} or more` : `${kind} below 2^53`;
}

/** What is wrong with a field, "" when nothing is. */
function problemOf(field) {
  if (!isSet(field.name)) return "";
  const value = Number(values[field.name]);
  const fits = field.whole ? Number.isSafeInteger(value) : Number.isFinite(value);
  return fits && value >= (field.min ?? -Infinity) && value <= (field.max ?? Infinity) ? "" : `has to be ${rangeOf(field)}`;
}

/** Whether all fields can be sent; if not, the first that cannot gets the focus. */
export function checkParams() {
  const bad = ALL_FIELDS.find(problemOf);
  if (!bad) return true;
  showParam(bad.name);
  announce(`Not sent: ${bad.label} ${problemOf(bad)}.`);
  return false;
}

/** What the panel calls a field of a request, undefined when it has none. */
export const labelOf = (name) => ALL_FIELDS.find((field) => field.name === name)?.label ?? OTHER_LABELS[name];

/** Opens the panel at a field. */
export function showParam(name) {
  const field = $(`p-${name}`);
  field.closest("details")?.setAttribute("open", "");
  if (!$("params").matches(":popover-open")) $("params").showPopover();
  field.focus();
}

/** The fields for a request body. */
export function requestFields(plain) {
  const out = {};
  for (const { name } of ALL_FIELDS) if (isSet(name)) out[name] = Number(values[name]);
  if (plain) out.max_tokens ??= PLAIN_MAX_TOKENS;
  const stop = (values.stop ?? "").split("\n").filter((line) => line !== "");
  if (stop.length > 0) out.stop = stop;
  return out;
}

export const systemPrompt = () => (values.system ?? "").trim();

/** The server's defaults, as /v1/models gives them: what an empty field shows. */
export function setDefaults(of) {
  defaults = of ?? {};
  showFields();
}

function defaultOf(name) {
  if (name === "max_tokens" && isPlain()) return String(PLAIN_MAX_TOKENS);
  if (name === "seed") return "random";
  if (name === "frequency_penalty" || name === "presence_penalty") return "0";
  const value = defaults[name];
  if (value === undefined) return "";
  if (name === "max_tokens" && value === null) return "all that fits";
  return name === "top_k" && value < 1 ? "off" : String(value);
}

/** What differs from the server's defaults, in a few words, and whether it can be sent. */
export function summary() {
  const parts = [], bad = ALL_FIELDS.find(problemOf);
  if (bad) return { text: `${bad.label} ${problemOf(bad)}`, bad: true };
  if (isPlain()) parts.push("plain completion");
  if (systemPrompt() && !isPlain()) parts.push("system prompt");
  for (const { name, label } of ALL_FIELDS) if (isSet(name)) parts.push(`${label.toLowerCase()} ${values[name]}`);
  if (values.stop) parts.push("stop");
  return { text: parts.length > 0 ? parts.join(" · ") : "System prompt, parameters", bad: false };
}

function store() {
  saveParams(values);
  showFields();
  changed();
}

/** The default in each field, and what is wrong with it in place of its hint. */
function showFields() {
  for (const field of ALL_FIELDS) {
    const input = $(`p-${field.name}`), hint = $(`p-${field.name}-hint`);
    if (!input) continue;
    const problem = problemOf(field);
    const preset = defaultOf(field.name);
    input.placeholder = preset === "" ? "default" : `default: ${preset}`;
    if (problem) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    setText(hint, problem || field.hint);
  }
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
  const input = el("input", { id: `p-${name}`, type: "number", "data-name": name, min, max, step: "any",
    inputmode: "decimal", "aria-describedby": `p-${name}-hint`, oninput: () => take(input) });
  if (name !== "seed") {
    // Arrow keys go in sensible steps although any value may be typed.
    input.addEventListener("keydown", (e) => {
      if (e.key !== "ArrowUp" && e.key !== "ArrowDown") return;
      e.preventDefault();
      const from = Number(input.value === "" ? defaultOf(name) : input.value) || 0; // a default in words counts as 0
      const next = from + (e.key === "ArrowUp" ? step : -step);
      input.value = String(Math.round(Math.min(max ?? Infinity, Math.max(min ?? -Infinity, next)) * 100) / 100);
      take(input);
    });
  }
  input.value = values[name] ?? "";
  return el("div", { class: "p-field" }, el("label", { for: input.id }, label), input,
    el("span", { id: `p-${name}-hint`, class: "small", "aria-live": "polite" }, hint));
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
  const more = el("details", { class: "wide" }, el("summary", {}, "More sampling parameters"), el("div", { class: "p-grid" }, ...MORE_FIELDS.map(numberField)));
  more.open = MORE_FIELDS.some(({ name }) => isSet(name));
  $("params").replaceChildren(
    el("div", { class: "pop-head" }, el("h2", {}, "System prompt and parameters")),
    el("div", { class: "p-grid" },
      textField("system", "System prompt", 3, "none"),
      ...FIELDS.map(numberField),
      more,
      textField("stop", "Stop strings, one a line", 2, "none"),
      el("label", { class: "p-check wide", for: "p-plain" }, plain,
        el("span", {}, "Plain completion", el("span", { class: "small" }, "the text so far is the prompt; no chat template, no system prompt")))),
    el("div", { class: "pop-foot" }, reset));
  showFields();
}
