"""What stands between the browser and inferd in a test of the page: it serves server/web/ with the page's
Content-Security-Policy, passes the API through to a real inferd, and plays the parts that a test must script:
an answer of any text, and the events of /live."""

import http.client
import http.server
import json
import threading
import time

from harness import ROOT

WEB = ROOT / "server/web"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css"}
CSP = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
       "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


def chat_events(text):
    """A streamed answer, a few characters an event, for either API."""
    chunks = [{"delta": {"role": "assistant", "content": ""}}]
    chunks += [{"delta": {"content": text[i:i + 5]}, "text": text[i:i + 5]} for i in range(0, len(text), 5)]
    chunks += [{"delta": {}, "finish_reason": "stop"}]
    return [{"choices": [{"index": 0, **c}]} for c in chunks]


class Front:
    def __init__(self, upstream):
        front, self.upstream = self, upstream
        self.answer = None  # the text of every chat answer, instead of the upstream's
        self.extra = {}  # fields that every request gets
        self.model = None  # what /v1/models calls the model, instead of the upstream
        self.refusals = []  # (status, headers, body) of the next requests for an answer
        self.bodies = []  # of the requests for an answer, as the page sent them
        self.cut = None  # the next answer breaks off after so many events,
        self.length = None  # which is lost, not ended, when its head says that so many bytes come
        self.tail = []  # chunks before the end of an answer
        self.gate = threading.Event()  # when clear, an answer waits in its middle and before its end
        self.gate.set()
        self.live, self.changed, self.connections = [], threading.Condition(), 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                name = "index.html" if self.path == "/" else self.path.removeprefix("/web/")
                if self.path == "/live":
                    front.serve_live(self)
                elif "/" not in name and (WEB / name).is_file():
                    front.serve_file(self, WEB / name)
                elif self.path == "/v1/models" and front.model is not None:
                    front.begin(self, 200, "application/json")
                    self.wfile.write(json.dumps({"object": "list", "data": [{"id": front.model}]}).encode())
                else:
                    front.forward(self)

            def do_POST(self):
                if front.refusals:
                    front.refuse(self)
                elif front.answer is not None and self.path in ("/v1/chat/completions", "/v1/completions"):
                    front.serve_answer(self)
                else:
                    front.forward(self)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def begin(self, h, status, kind, *more):
        h.send_response(status)
        for name, value in (*more, ("Content-Type", kind), ("Cache-Control", "no-store"), ("Content-Security-Policy", CSP)):
            h.send_header(name, value)
        h.end_headers()

    def read_body(self, h):
        self.bodies.append(json.loads(h.rfile.read(int(h.headers["Content-Length"]))))

    def refuse(self, h):
        status, headers, body = self.refusals.pop(0)
        self.read_body(h)
        self.begin(h, status, "application/json" if body.startswith("{") else "text/html", *headers.items())
        h.wfile.write(body.encode())

    def serve_answer(self, h):
        self.read_body(h)
        cut, length, self.cut, self.length = self.cut, self.length, None, None
        self.begin(h, 200, "text/event-stream", *([("Content-Length", length)] if length else []))
        events = chat_events(self.answer)
        events[-1:-1] = self.tail
        try:
            for i, event in enumerate([*map(json.dumps, events), "[DONE]"][:cut]):
                if i == len(events) // 2:
                    self.gate.wait()
                h.wfile.write(f"data: {event}\n\n".encode())
                h.wfile.flush()
            self.gate.wait()
        except OSError:
            pass  # stopped

    def serve_file(self, h, path):
        self.begin(h, 200, TYPES[path.suffix])
        h.wfile.write(path.read_bytes())

    def forward(self, h):
        """The upstream sees a client that leaves when the browser does."""
        body = h.rfile.read(int(h.headers.get("Content-Length", 0)))
        if body and self.extra:
            body = json.dumps({**json.loads(body), **self.extra}).encode()
        c = http.client.HTTPConnection("127.0.0.1", self.upstream.port, timeout=60)
        keep = {k: h.headers[k] for k in ("Content-Type", "Authorization") if h.headers[k]}
        try:
            c.request(h.command, h.path, body or None, keep)
            r = c.getresponse()
            self.begin(h, r.status, r.getheader("Content-Type", "text/plain"))
            while part := r.read1(65536):
                h.wfile.write(part)
                h.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            c.close()

    def say(self, event, data):
        with self.changed:
            self.live.append(f"event: {event}\ndata: {json.dumps(data)}\n\n".encode())
            self.changed.notify_all()

    def cut_live(self):
        """Ends the connections to /live; the next ones begin with an empty script."""
        with self.changed:
            self.live = []
            self.changed.notify_all()

    def serve_live(self, h):
        self.begin(h, 200, "text/event-stream")
        with self.changed:
            mine, at = self.live, 0
            self.connections += 1
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.live is not mine or len(mine) > at)
                if self.live is not mine:
                    return
                parts, at = mine[at:], len(mine)
            try:
                h.wfile.write(b"".join(parts))
                h.wfile.flush()
            except OSError:
                return

    def close(self):
        self.gate.set()
        self.cut_live()
        self.server.shutdown()
        self.server.server_close()


def hello(cells=1024):
    now = int(time.time())
    history = [{"t": now - 280 + i, "prompt": 300 + 90 * (i % 7), "output": 200 + (i * 37) % 160, "running": 8, "waiting": 0,
                "ttft_ms": [20 + i % 9, 60 + (i * 13) % 50], "itl_ms": [3 + i % 3, 8 + i % 5], "e2e_ms": None, "kv": 0.2,
                "done": 1} for i in range(0, 270)]
    return {"protocol": 1, "version": "0.0", "model": "demo", "max_model_len": 1024, "max_num_seqs": 256, "block_size": 16,
            "n_blocks": cells * 4, "cells": cells, "blocks_per_cell": 4, "history": history}


def state(n_running, n_waiting=0, output=30, cells=1024):
    running = [{"id": i + 1, "own": True, "prompt": 60 + 23 * i, "cached": 16 * (i % 3), "output": output + 5 * i if i % 5 else 0, "max": 256,
                "computed": 60 + 23 * i if i % 5 else 30, "age_ms": 800 + 31 * i, "state": "decode" if i % 5 else "prefill"}
               for i in range(n_running)]
    waiting = [{"id": 90 + i, "own": True, "prompt": 300, "max": 64, "age_ms": 12} for i in range(n_waiting)]
    runs = [[i + 1, 8 + i] for i in range(n_running)] + [[-2, 12], [-1, 180]]
    runs.append([0, cells - sum(n for _, n in runs)])
    used = 4 * sum(n for owner, n in runs if owner > 0 or owner == -2)
    return {"time": time.time(), "state": "ready", "n_running": n_running, "n_waiting": n_waiting, "running": running,
            "waiting": waiting, "kv": {"used": used, "cached": 720, "free": 4 * cells - used - 720, "runs": runs},
            "rate": {"prompt": 812.5, "output": 340.2},
            "total": {"prompt": 100000, "output": 20000, "requests": 412, "preemptions": 0, "prefix_queries": 1000,
                      "prefix_hits": 800}}
