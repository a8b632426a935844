// The live view: the connection to /live, and who draws what of it.  One event changes data only; drawing happens in
// the next animation frame, and only of what changed.

import { ApiError, explain, readEvents, readiness, request } from "./api.js";
import { Bars } from "./bars.js";
import { Charts } from "./charts.js";
import { $, setText } from "./dom.js";
import { count, duration, isNumber, percent, plural, rate } from "./format.js";
import { KvGrid } from "./grid.js";

const QUIET_MAX_MS = 40_000; // the server sends a comment every 15 s: two missed ones and the connection is dead
const BACKOFF_MIN_MS = 500;
const BACKOFF_MAX_MS = 10_000;
const LEAVE_MS = 5_000; // a place at /live is given back when nobody has looked at it for so long
const ASK_MS = 15_000; // without a live view: how often the server's state is asked for,
const ASK_SOON_MS = 2_000; // and while it is not ready
const MOVE_MS = 5_000; // the charts move on while nothing happens
const FIRST_TOKEN_S = 10; // older measurements are not of now

class Live {
  constructor(on) {
    Object.assign(this, { on, hello: null, now: null, nowAt: 0, frame: 0, dirty: false, ttft: null });
    // abort ends the loop of start(), reading one connection to /live; left tells that it was ended because nobody
    // looks; known is whether the page has what it asks a server that is ready; wake ends a pause.
    Object.assign(this, { abort: null, reading: null, left: false, leaving: 0, none: false, away: false, known: false, wake: () => {} });
    this.bars = new Bars();
    this.grid = new KvGrid();
    this.charts = new Charts();
    new ResizeObserver(() => this.redraw()).observe($("live"));
    document.addEventListener("visibilitychange", () => this.review());
    // A browser keeps a page that was left, and its connections, in case the person comes back.
    addEventListener("pagehide", () => {
      this.away = true;
      this.leave();
    });
    addEventListener("pageshow", () => {
      this.away = false;
      this.review();
    });
  }

  isSeen() {
    return !document.hidden && !this.away;
  }

  isWanted() {
    return !this.none && this.isSeen() && document.body.dataset.view !== "chat";
  }

  /** The view has changed, or whether the tab is seen. */
  review() {
    clearTimeout(this.leaving);
    if (this.reading && !this.isWanted()) {
      this.leaving = setTimeout(() => this.leave(), LEAVE_MS);
    } else {
      this.wake();
    }
    this.redraw(); // a canvas knows its size only once it is shown
  }

  /** Gives the place at /live back. */
  leave() {
    if (!this.reading) return;
    this.left = true;
    this.reading.abort();
  }

  /** Follows the server: by /live while somebody looks, else by asking for its state now and then. */
  async start() {
    this.abort?.abort();
    const { signal } = (this.abort = new AbortController());
    let wait = BACKOFF_MIN_MS;
    while (!signal.aborted) {
      if (!this.isSeen()) {
        await this.pause(signal);
        continue;
      }
      const before = performance.now();
      try {
        if (this.isWanted()) {
          await this.read(signal);
          throw new ApiError("The connection ended.", { kind: "cut" });
        }
        const ready = (await this.ask(signal)) === "ready";
        wait = BACKOFF_MIN_MS;
        await this.pause(signal, ready ? ASK_MS : ASK_SOON_MS);
      } catch (e) {
        if (signal.aborted) return;
        if (this.left) {
          this.left = false;
          continue;
        }
        if (!(e instanceof ApiError) && e.name !== "AbortError") console.error(e);
        if (e.status === 401) {
          this.on.state("locked");
          document.body.classList.add("stale");
          return;
        }
        if (performance.now() - before > BACKOFF_MAX_MS) wait = BACKOFF_MIN_MS;
        await this.fail(e, signal);
        await this.pause(signal, Math.max(wait * (0.75 + Math.random() / 2), (e.retryAfter ?? 0) * 1000));
        wait = Math.min(2 * wait, BACKOFF_MAX_MS);
      }
    }
  }

  /** Until the time has passed (none: for ever), the page has something new to ask, or the loop ends. */
  pause(signal, ms) {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = ms === undefined ? 0 : setTimeout(done, ms);
      this.wake = done;
      signal.addEventListener("abort", done);
    });
  }

  /** The server's state without the live view. */
  async ask(signal) {
    const state = await readiness(signal);
    if (state === "ready") await this.learn();
    this.on.state(state);
    return state;
  }

  /** What a server that is ready is asked once. */
  async learn() {
    if (this.known) return;
    this.known = true;
    try {
      await this.on.ready();
    } catch (e) {
      this.known = false;
      throw e;
    }
  }

  async read(outer) {
    const inner = (this.reading = new AbortController());
    const leave = () => inner.abort();
    outer.addEventListener("abort", leave);
    this.left = false;
    let watchdog = 0, clock = 0;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(leave, QUIET_MAX_MS);
    };
    try {
      const response = await request("live", { signal: inner.signal });
      alive();
      clock = setInterval(() => this.redraw(), MOVE_MS);
      for await (const { event, data } of readEvents(response)) {
        alive();
        if (event !== "comment") this.take(event, JSON.parse(data));
      }
    } finally {
      clearTimeout(watchdog);
      clearInterval(clock);
      outer.removeEventListener("abort", leave);
      if (this.reading === inner) this.reading = null;
    }
  }

  take(event, data) {
    if (event === "hello") {
      this.hello = data;
      if (data.model) this.on.model(data.model);
      this.charts.setHistory(data.history ?? []);
      this.takeTtft(data.history ?? []);
      this.say("");
      this.on.state("ready");
    } else if (event === "state") {
      this.now = data;
      this.nowAt = performance.now();
      document.body.classList.remove("stale");
      this.on.state(data.state);
      if (data.state === "ready") this.learn().catch(() => {}); // the next state asks again
    } else if (event === "point") {
      this.charts.add(data);
      this.takeTtft([data]);
    } else {
      return;
    }
    this.dirty = true;
    this.schedule();
  }

  /** A line above the live view that says why it does not show what is now. */
  say(text) {
    document.body.classList.toggle("stale", text !== "");
    $("live-note").hidden = text === "";
    setText($("live-note"), text);
  }

  /** No live view: that is all, or the server is not there. */
  async fail(e, signal) {
    if (e.status) {
      try {
        const ready = (await this.ask(signal)) === "ready";
        this.none = e.status === 404;
        if (this.none) this.say("This server has no live view.");
        else if (ready) this.say(`${e.message} The chat works all the same, and this page goes on trying.`);
        else document.body.classList.add("stale"); // the banner says why
        return;
      } catch {
        // Then it is more than the live view.
      }
    }
    this.known = false;
    this.say("");
    document.body.classList.add("stale");
    this.on.state("lost", e.status ? explain(e) : "The connection to the server is lost. Connecting again…");
  }

  takeTtft(points) {
    const last = points.findLast((point) => point.ttft_ms);
    if (last) this.ttft = { t: last.t, ms: last.ttft_ms };
  }

  /** The server's time, which goes on while nothing is said. */
  time() {
    return this.now ? this.now.time + (performance.now() - this.nowAt) / 1000 : undefined;
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
    this.charts.draw(this.time());
  }

  tiles({ n_running = 0, n_waiting = 0, rate: speed = {}, kv, total = {} }) {
    const hello = this.hello ?? {};
    setText($("t-running"), count(n_running));
    setText($("t-seqs"), isNumber(hello.max_num_seqs) ? `of at most ${count(hello.max_num_seqs)}` : "");
    setText($("t-waiting"), count(n_waiting));
    setText($("t-preempted"), total.preemptions ? plural(total.preemptions, "preemption") : "");
    setText($("t-output"), rate(speed.output));
    setText($("t-prompt"), rate(speed.prompt));
    const ttft = this.ttft && this.time() - this.ttft.t <= FIRST_TOKEN_S ? this.ttft.ms : null;
    setText($("t-ttft"), ttft ? duration(ttft[0]) : "–");
    setText($("t-ttft99"), ttft ? `median, p99 ${duration(ttft[1])}` : `none in ${FIRST_TOKEN_S} s`);
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

export function initLive(on) {
  const live = new Live(on);
  return { start: () => live.start(), review: () => live.review(), recolour: () => live.recolour() };
}
