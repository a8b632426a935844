// The last five minutes as small charts on canvas, with axes; the pointer reads all of them at the same second.

import { $, el, setText } from "./dom.js";
import { duration, isNumber, minuteOfDay, rate, short, timeOfDay } from "./format.js";

const WINDOW_S = 300;
const PAD = { left: 46, right: 8, top: 8, bottom: 20 };
const HEIGHT = 118;
const CHARTS = [
  { name: "Output", unit: "tokens/s", lines: [{ of: (p) => p.output, colour: "--accent", fill: true }], format: rate, zero: true },
  { name: "Prompt", unit: "tokens/s", lines: [{ of: (p) => p.prompt, colour: "--second", fill: true }], format: rate, zero: true },
  { name: "First token", unit: "median, p99", lines: [
    { of: (p) => p.ttft_ms?.[1], colour: "--faint" }, { of: (p) => p.ttft_ms?.[0], colour: "--accent" }], format: duration },
  { name: "Between tokens", unit: "median, p99", lines: [
    { of: (p) => p.itl_ms?.[1], colour: "--faint" }, { of: (p) => p.itl_ms?.[0], colour: "--accent" }], format: duration },
];

/** Steps of 1, 2 and 5 from `least` on: at most four of them up to the largest value. */
function ticks(max, least) {
  const raw = Math.max(max / 3, least), unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * unit).find((k) => k >= raw);
  return Array.from({ length: Math.ceil(max / step) + 1 || 2 }, (_, i) => i * step);
}

export class Charts {
  constructor() {
    this.points = new Map(); // by second
    this.end = 0;
    this.hover = null; // seconds
    this.colours = null;
    this.charts = CHARTS.map((chart) => this.build(chart));
  }

  build(chart) {
    const canvas = el("canvas", { role: "img", "aria-label": `${chart.name}, ${chart.unit}, last five minutes` });
    const value = el("output", { class: "chart-value" });
    $("charts").append(el("figure", { class: "chart" }, el("figcaption", {}, el("b", {}, chart.name), ` ${chart.unit}`, value), canvas));
    canvas.addEventListener("pointermove", (e) => {
      const box = canvas.getBoundingClientRect(), part = (e.clientX - box.left - PAD.left) / (box.width - PAD.left - PAD.right);
      this.hover = part < 0 || part > 1 ? null : Math.round(this.end - WINDOW_S * (1 - part));
      this.draw(this.end);
    });
    canvas.addEventListener("pointerleave", () => {
      this.hover = null;
      this.draw(this.end);
    });
    return { ...chart, canvas, value };
  }

  setHistory(points) {
    this.points.clear();
    for (const point of points) this.add(point);
  }

  add(point) {
    if (!isNumber(point.t)) return;
    this.points.set(Math.floor(point.t), point);
    this.end = Math.max(this.end, point.t);
    for (const t of this.points.keys()) if (t < this.end - WINDOW_S) this.points.delete(t);
  }

  recolour() {
    this.colours = null;
  }

  draw(now) {
    this.end = Math.max(this.end, Math.floor(now ?? 0));
    if (this.end === 0) return;
    const style = getComputedStyle(document.documentElement);
    this.colours ??= Object.fromEntries(["--accent", "--second", "--faint", "--line", "--muted", "--text"].map((name) => [name, style.getPropertyValue(name).trim()]));
    this.font ??= `11px ${getComputedStyle(document.body).fontFamily}`;
    const seconds = [];
    for (let t = Math.floor(this.end) - WINDOW_S; t <= this.end; t++) seconds.push(t);
    for (const chart of this.charts) this.drawChart(chart, seconds);
    setText($("chart-time"), this.hover ? timeOfDay(this.hover) : "");
  }

  drawChart(chart, seconds) {
    const { canvas } = chart, width = canvas.parentElement.clientWidth, ratio = window.devicePixelRatio || 1;
    if (width === 0) return;
    if (canvas.width !== Math.round(width * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = HEIGHT * ratio;
    }
    // A second without a point had no activity: a speed was 0 then, a latency was not measured.
    const series = chart.lines.map((line) => seconds.map((t) => line.of(this.points.get(t) ?? {}) ?? (chart.zero ? 0 : null)));
    const max = Math.max(0, ...series.flat().filter(isNumber)), marks = ticks(max || (chart.zero ? 10 : 100), chart.zero ? 1 : 1e-3), top = marks.at(-1);
    const x = (i) => PAD.left + ((width - PAD.left - PAD.right) * i) / WINDOW_S;
    const y = (v) => HEIGHT - PAD.bottom - ((HEIGHT - PAD.top - PAD.bottom) * v) / top;
    const ctx = canvas.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, width, HEIGHT);
    this.drawAxes(ctx, chart, seconds, { x, y, marks, width });
    chart.lines.forEach((line, k) => drawLine(ctx, series[k], { x, y }, this.colours[line.colour], line.fill));
    this.drawHover(ctx, chart, seconds, series, { x, y });
  }

  drawAxes(ctx, chart, seconds, { x, y, marks, width }) {
    ctx.font = this.font;
    ctx.fillStyle = this.colours["--muted"];
    ctx.strokeStyle = this.colours["--line"];
    ctx.lineWidth = 1;
    ctx.textBaseline = "middle";
    ctx.textAlign = "right";
    for (const mark of marks) {
      const at = Math.round(y(mark)) + 0.5;
      ctx.beginPath();
      ctx.moveTo(PAD.left, at);
      ctx.lineTo(width - PAD.right, at);
      ctx.stroke();
      ctx.fillText(chart.zero ? short(mark) : mark === 0 ? "0" : axisDuration(mark), PAD.left - 6, at);
    }
    ctx.textAlign = "center";
    ctx.textBaseline = "alphabetic";
    seconds.forEach((t, i) => {
      if (t % 60 === 0 && x(i) > PAD.left + 14 && x(i) < width - PAD.right - 12) ctx.fillText(minuteOfDay(t), x(i), HEIGHT - 5);
    });
  }

  drawHover(ctx, chart, seconds, series, { x, y }) {
    const at = this.hover === null ? -1 : seconds.indexOf(this.hover);
    if (at < 0) {
      setText(chart.value, "");
      return;
    }
    ctx.strokeStyle = this.colours["--muted"];
    ctx.beginPath();
    ctx.moveTo(Math.round(x(at)) + 0.5, PAD.top);
    ctx.lineTo(Math.round(x(at)) + 0.5, HEIGHT - PAD.bottom);
    ctx.stroke();
    ctx.fillStyle = this.colours["--text"];
    for (const values of series) if (isNumber(values[at])) dot(ctx, x(at), y(values[at]), 2.5);
    setText(chart.value, [...series].reverse().map((values) => chart.format(values[at])).join(", "));
  }
}

const axisDuration = (ms) => (ms < 1000 ? `${Number(ms.toPrecision(2))} ms` : `${Number((ms / 1000).toPrecision(2))} s`);

function dot(ctx, x, y, radius) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fill();
}

/** Stretches of neighbouring seconds are lines; a second alone is a dot. */
function drawLine(ctx, values, { x, y }, colour, fill) {
  ctx.strokeStyle = ctx.fillStyle = colour;
  ctx.lineWidth = 1.6;
  ctx.lineJoin = "round";
  for (let i = 0; i < values.length; i++) {
    if (!isNumber(values[i])) continue;
    let end = i;
    while (end + 1 < values.length && isNumber(values[end + 1])) end++;
    if (end === i) dot(ctx, x(i), y(values[i]), 1.6);
    ctx.beginPath();
    for (let k = i; k <= end; k++) ctx.lineTo(x(k), y(values[k]));
    ctx.stroke();
    if (fill && end > i) {
      ctx.lineTo(x(end), y(0));
      ctx.lineTo(x(i), y(0));
      ctx.globalAlpha = 0.14;
      ctx.fill();
      ctx.globalAlpha = 1;
    }
    i = end;
  }
}
