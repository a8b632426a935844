// One bar per request.  Left of the line its prompt (from the cache, computed, left to do), right of it its output,
// growing towards its bound.  Bars are kept per request and only their lengths change.

import { $, el, setText } from "./dom.js";
import { count, duration, plural, short } from "./format.js";

const PROMPT_SHARE = 0.34; // of a bar's width; live.css draws the line there
const OUTPUT_LEAST = 32; // tokens the output axis shows at least
const STATE_WORDS = { prefill: "reads its prompt", decode: "writes", preempted: "was preempted and waits for space" };

/** A request's hue: neighbours in number are far apart in colour. */
export const hueOf = (id) => (id * 137.508 + 20) % 360;

/** The next round number: 1, 2, 3, 4, 5, 6, 8, 10, 20, ... */
const nice = (n) => {
  const unit = 10 ** Math.floor(Math.log10(Math.max(1, n)));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((k) => k * unit).find((k) => k >= n) ?? 10 * unit;
};

export class Bars {
  constructor() {
    this.rows = new Map(); // by request and choice
    this.scale = { prompt: 1, output: OUTPUT_LEAST };
  }

  draw({ running = [], waiting = [], n_running = 0, n_waiting = 0 }) {
    this.setScale(running, waiting);
    const seen = new Set();
    let at = 0;
    for (const [requests, waits] of [[running, false], [waiting, true]]) {
      for (const r of requests) {
        const key = `${r.id}.${r.choice ?? 0}`;
        seen.add(key);
        this.place(this.row(key, r), at++);
        this.update(this.rows.get(key), r, waits);
      }
    }
    for (const [key, row] of this.rows) {
      if (seen.has(key)) continue;
      row.item.remove();
      this.rows.delete(key);
    }
    const more = n_running + n_waiting - at;
    $("bars-none").hidden = at > 0;
    $("bars-more").hidden = more <= 0;
    setText($("bars-more"), more > 0 ? `and ${plural(more, "more", "more")}` : "");
  }

  setScale(running, waiting) {
    const all = [...running, ...waiting];
    $("axis").hidden = all.length === 0;
    if (all.length === 0) return; // without a request there is nothing to measure
    const prompt = Math.max(1, ...all.map((r) => r.prompt)), bound = Math.max(1, ...all.map((r) => r.max));
    const output = Math.max(OUTPUT_LEAST, ...running.map((r) => r.output));
    // Bounds far beyond what is written yet would make all bars stubs: the axis then grows with the output.
    // A quarter of the output axis is round, so that its marks are whole numbers.
    const most = 4 * nice(bound / 4), scale = { prompt: nice(prompt), output: Math.min(most, 4 * nice((output * 1.5) / 4)) };
    if (this.rows.size > 0) scale.output = Math.max(scale.output, Math.min(this.scale.output, most));
    if (scale.output === this.scale.output && $("axis-out").childElementCount > 0) {
      this.scale = scale;
      return;
    }
    this.scale = scale;
    $("axis-out").replaceChildren(...[0, 0.25, 0.5, 0.75, 1].map((part) => el("span", {}, short(part * scale.output))));
  }

  row(key, r) {
    let row = this.rows.get(key);
    if (row) return row;
    const part = (name) => el("i", { class: name });
    row = { cached: part("b-cached"), computed: part("b-computed"), left: part("b-left"), out: part("b-out"), bound: part("b-bound"),
      name: el("span", { class: "bar-name" }), say: el("span", { class: "bar-say" }) };
    const track = el("div", { class: "track" }, row.left, row.computed, row.cached, row.bound, row.out);
    row.item = el("li", { class: "request", "data-id": r.id }, row.name, track, row.say);
    row.item.style.setProperty("--hue", hueOf(r.id).toFixed(1));
    this.rows.set(key, row);
    return row;
  }

  place(row, at) {
    const list = $("bars");
    if (list.children[at] !== row.item) list.insertBefore(row.item, list.children[at] ?? null);
  }

  update(row, r, waits) {
    const scale = this.scale, state = waits ? "waiting" : r.state, output = r.output ?? 0;
    const computed = waits ? 0 : Math.min(r.computed ?? 0, r.prompt), cached = Math.min(r.cached ?? 0, computed);
    if (row.item.dataset.state !== state) row.item.dataset.state = state;
    row.item.classList.toggle("others", r.own === false);
    // From the right, where the line is: left to do, computed, from the cache.  Each lies over the one before.
    const width = (tokens) => `${((100 * PROMPT_SHARE * tokens) / scale.prompt).toFixed(2)}%`;
    setStyle(row.left, "width", width(r.prompt));
    setStyle(row.computed, "width", width(computed));
    setStyle(row.cached, "width", width(cached));
    for (const [node, from] of [[row.left, 0], [row.computed, r.prompt - computed], [row.cached, r.prompt - cached]]) {
      setStyle(node, "right", `${(100 * (1 - PROMPT_SHARE) + (100 * PROMPT_SHARE * (node === row.left ? 0 : from)) / scale.prompt).toFixed(2)}%`);
    }
    const far = (tokens) => `${(100 * (1 - PROMPT_SHARE) * Math.min(1, tokens / scale.output)).toFixed(2)}%`;
    setStyle(row.out, "width", far(output));
    setStyle(row.bound, "width", far(r.max));
    row.bound.classList.toggle("beyond", r.max > scale.output);
    setText(row.name, `#${r.id}${r.choice ? `.${r.choice}` : ""}`);
    const say = waits ? `waits ${duration(r.age_ms)}` : r.state === "decode" ? `${count(output)} / ${short(r.max)}`
      : r.state === "preempted" ? "preempted" : `${count(computed)} / ${count(r.prompt)}`;
    setText(row.say, say);
    const title = `Request ${r.id}${r.own === false ? " (another key's)" : ""}: ${waits ? "waits" : STATE_WORDS[r.state] ?? r.state}; `
      + `prompt ${count(r.prompt)}, ${count(cached)} from the cache, output ${count(output)} of at most ${count(r.max)}, ${duration(r.age_ms)} old`;
    if (row.item.title !== title) row.item.title = title;
  }
}

function setStyle(node, name, value) {
  if (node.style[name] !== value) node.style[name] = value;
}
