// The live view: the connection to /live, and who draws what of it.  One event changes data only; drawing happens in
// the next animation frame, and only of what changed.

import { ApiError, explain, readEvents, request } from "./api.js";
import { Bars } from "./bars.js";
import { Charts } from "./charts.js";
import { $, setText } from "./dom.js";
import { count, duration, isNumber, percent, plural, rate } from "./format.js";
import { KvGrid } from "./grid.js";

const QUIET_MAX_MS = 40_000; // the server sends a comment every 15 s: two missed ones and the connection is dead
const BACKOFF_MIN_MS = 500;
const BACKOFF_MAX_MS = 10_000;

class Live {
  constructor(on) {
    Object.assign(this, { on, hello: null, now: null, frame: 0, dirty: false, abort: null, ttft: null });
    this.bars = new Bars();
    this.grid = new KvGrid();
    this.charts = new Charts();
    new ResizeObserver(() => this.redraw()).observe($("live"));
  }

  /** Connects and stays connected, until the server says that there is nothing to connect to. */
  async start() {
    this.abort?.abort();
    const mine = (this.abort = new AbortController());
    let wait = BACKOFF_MIN_MS;
    while (!mine.signal.aborted) {
      const before = performance.now();
      try {
        await this.read(mine);
        throw new ApiError("The connection ended.", { kind: "cut" });
      } catch (e) {
        if (mine.signal.aborted) return;
        if (!(e instanceof ApiError) && e.name !== "AbortError") console.error(e);
        if (e.status === 404 || e.status === 401) {
          this.on.state(e.status === 404 ? "off" : "locked");
          document.body.classList.add("stale");
          return;
        }
        if (performance.now() - before > BACKOFF_MAX_MS) wait = BACKOFF_MIN_MS;
        this.lost(e);
        await pause(Math.max(wait * (0.75 + Math.random() / 2), (e.retryAfter ?? 0) * 1000));
        wait = Math.min(2 * wait, BACKOFF_MAX_MS);
      }
    }
  }

  async read(mine) {
    const inner = new AbortController();
    const leave = () => inner.abort();
    mine.signal.addEventListener("abort", leave);
    let watchdog = 0;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(leave, QUIET_MAX_MS);
    };
    try {
      const response = await request("live", { signal: inner.signal });
      alive();
      for await (const { event, data } of readEvents(response)) {
        alive();
        if (event !== "comment") this.take(event, JSON.parse(data));
      }
    } finally {
      clearTimeout(watchdog);
      mine.signal.removeEventListener("abort", leave);
    }
  }

  take(event, data) {
    if (event === "hello") {
      this.hello = data;
      if (data.model) this.on.model(data.model);
      this.charts.setHistory(data.history ?? []);
      this.takeTtft(data.history ?? []);
      document.body.classList.remove("stale");
      this.on.state("ready");
    } else if (event === "state") {
      this.now = data;
      document.body.classList.remove("stale");
      this.on.state(data.state);
    } else if (event === "point") {
      this.charts.add(data);
      this.takeTtft([data]);
    } else {
      return;
    }
    this.dirty = true;
    this.schedule();
  }

  takeTtft(points) {
    const last = points.findLast((point) => point.ttft_ms);
    if (last) this.ttft = last.ttft_ms;
  }

  lost(e) {
    document.body.classList.add("stale");
    this.on.state("lost", e.status ? explain(e).text : "The connection to the server is lost. Connecting again…");
  }

  schedule() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (!this.dirty || $("live").offsetWidth === 0) return;
      this.dirty = false;
      this.draw();
    });
  }

  draw() {
    if (this.now) {
      this.bars.draw(this.now);
      if (this.hello && this.now.kv) this.grid.draw(this.hello, this.now);
      this.tiles(this.now);
    }
    this.charts.draw(this.now?.time);
  }

  tiles({ n_running = 0, n_waiting = 0, rate: speed = {}, kv, total = {} }) {
    const hello = this.hello ?? {};
    setText($("t-running"), count(n_running));
    setText($("t-seqs"), isNumber(hello.max_num_seqs) ? `of at most ${count(hello.max_num_seqs)}` : "");
    setText($("t-waiting"), count(n_waiting));
    setText($("t-preempted"), total.preemptions ? plural(total.preemptions, "preemption") : "");
    setText($("t-output"), rate(speed.output));
    setText($("t-prompt"), rate(speed.prompt));
    setText($("t-ttft"), this.ttft ? duration(this.ttft[0]) : "–");
    setText($("t-ttft99"), this.ttft ? `p99 ${duration(this.ttft[1])}` : "median of the last second");
    if (kv) {
      const all = kv.used + kv.cached + kv.free;
      setText($("t-kv"), percent(all ? kv.used / all : 0));
      setText($("t-kv-blocks"), `of ${count(all)} blocks`);
    }
    const hits = total.prefix_queries ? ` · ${percent(total.prefix_hits / total.prefix_queries)} of prompt tokens looked up came from the prefix cache` : "";
    setText($("totals"), isNumber(total.requests) ? `Since the start: ${plural(total.requests, "request")} · ${count(total.prompt)} prompt and ${count(total.output)} output tokens${hits}` : "");
  }

  redraw() {
    this.dirty = true;
    this.schedule();
  }

  recolour() {
    this.grid.recolour();
    this.charts.recolour();
    this.redraw();
  }
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

export function initLive(on) {
  const live = new Live(on);
  return { start: () => live.start(), redraw: () => live.redraw(), recolour: () => live.recolour() };
}
