// The KV pool as a grid on a canvas: each cell a few blocks, in the colour of the request that holds most of them.

import { hueOf } from "./bars.js";
import { $, setText } from "./dom.js";
import { count, plural } from "./format.js";

const CELL_MIN = 6, CELL_MAX = 16; // CSS pixels, gap included
const HEIGHT_MAX = 260; // cells shrink before the grid grows taller than this
const FREE = 0, CACHED = -1, SHARED = -2;

export class KvGrid {
  constructor() {
    this.canvas = $("kv-grid");
    this.colours = null;
    this.owners = new Int32Array(0);
    this.hover = -1;
    this.canvas.addEventListener("pointermove", (e) => this.point(e));
    this.canvas.addEventListener("pointerleave", () => { this.hover = -1; this.note(); });
  }

  recolour() {
    this.colours = null;
  }

  draw(hello, now) {
    this.hello = hello;
    this.decode(hello.cells ?? 0, now.kv.runs ?? []);
    this.layout();
    this.paint();
    setText($("kv-used"), count(now.kv.used));
    setText($("kv-cached"), count(now.kv.cached));
    setText($("kv-free"), count(now.kv.free));
    const label = `KV pool: ${count(now.kv.used)} blocks in use, ${count(now.kv.cached)} cached, ${count(now.kv.free)} free`;
    if (this.canvas.getAttribute("aria-label") !== label) this.canvas.setAttribute("aria-label", label);
    this.note();
  }

  decode(cells, runs) {
    if (this.owners.length !== cells) this.owners = new Int32Array(cells);
    let at = 0;
    for (const [owner, n] of runs) {
      this.owners.fill(owner, at, Math.min(cells, at + n));
      at += n;
    }
    this.canvas.dataset.owners = new Set(this.owners.filter((owner) => owner > 0)).size;
  }

  layout() {
    const width = this.canvas.parentElement.clientWidth - 2 * 16, n = Math.max(1, this.owners.length);
    let size = CELL_MAX;
    while (size > CELL_MIN && Math.ceil(n / Math.floor(width / size)) * size > HEIGHT_MAX) size--;
    const columns = Math.max(1, Math.min(n, Math.floor(width / size)));
    Object.assign(this, { size, columns, rows: Math.ceil(n / columns), ratio: window.devicePixelRatio || 1 });
    const w = Math.round(columns * size * this.ratio), h = Math.round(this.rows * size * this.ratio);
    if (this.canvas.width === w && this.canvas.height === h) return;
    this.canvas.width = w;
    this.canvas.height = h;
    this.canvas.style.width = `${columns * size}px`;
    this.canvas.style.height = `${this.rows * size}px`;
  }

  paint() {
    const style = getComputedStyle(document.documentElement), of = (name) => style.getPropertyValue(name).trim();
    this.colours ??= { free: of("--kv-free"), cached: of("--kv-cached"), shared: of("--kv-shared"), l: of("--req-l"), c: of("--req-c") };
    const { free, cached, shared, l, c } = this.colours, ctx = this.canvas.getContext("2d");
    const side = this.size - (this.size > 8 ? 2 : 1);
    ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    ctx.clearRect(0, 0, this.columns * this.size, this.rows * this.size);
    let last = null;
    this.owners.forEach((owner, i) => {
      if (owner !== last) {
        ctx.fillStyle = owner === FREE ? free : owner === CACHED ? cached : owner === SHARED ? shared : `oklch(${l} ${c} ${hueOf(owner)})`;
        last = owner;
      }
      ctx.beginPath();
      ctx.roundRect((i % this.columns) * this.size, Math.floor(i / this.columns) * this.size, side, side, side > 7 ? 2 : 1);
      ctx.fill();
    });
  }

  point(e) {
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor((e.clientX - box.left) / this.size), row = Math.floor((e.clientY - box.top) / this.size);
    const cell = row * this.columns + column;
    this.hover = column >= 0 && column < this.columns && cell < this.owners.length ? cell : -1;
    this.note();
  }

  note() {
    if (!this.hello) return;
    const { blocks_per_cell: per, block_size: tokens } = this.hello, owner = this.owners[this.hover];
    const who = { [FREE]: "free", [CACHED]: "cached, held by nobody", [SHARED]: "shared by several requests" }[owner];
    setText($("kv-note"), this.hover >= 0 ? `Cell ${count(this.hover + 1)}: ${who ?? `request #${owner}`}`
      : `A cell is ${plural(per, "block")} of ${plural(tokens, "token")}.`);
  }
}
