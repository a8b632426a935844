"""The web page's files, and GET /live: what viewers are told, and what they must not cost."""

import contextlib
import json
import pathlib
import re
import signal
import socket
import time

import pytest

from harness import ROOT, RUN_ON, SLOW, Server
from ops import Client, fault_binary, long_server, wait_for

ENDLESS = {"prompt": "Once upon a time", "max_tokens": 100_000, "ignore_eos": True, "temperature": 0}
WEB = ROOT / "server/web"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml",
         ".png": "image/png"}


class Viewer:
    """GET /live on a socket of its own."""

    def __init__(self, server, key=None, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", server.port))
        auth = f"Authorization: Bearer {key}\r\n" if key else ""
        self.socket.sendall(f"GET /live HTTP/1.0\r\nHost: x\r\n{auth}\r\n".encode())
        self.buffer, self.events = b"", []
        while b"\r\n\r\n" not in self.buffer:
            self.receive()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.status, self.head = int(head.split(b" ", 2)[1]), head.decode().lower()

    def receive(self):
        part = self.socket.recv(65536)
        self.buffer += part
        return part

    def next(self):
        """(name, data) of the next event, None at the end of the stream; comments are left out."""
        while True:
            while b"\n\n" not in self.buffer:
                if not self.receive():
                    return None
            event, self.buffer = self.buffer.split(b"\n\n", 1)
            if event.startswith(b":"):
                continue
            name, data = event.decode().split("\n")
            assert name.startswith("event: ") and data.startswith("data: ")
            return name[7:], json.loads(data[6:])

    def ever(self, name, condition):
        """An event that has come already, or one that comes."""
        seen = [data for n, data in self.events if n == name and condition(data)]
        return seen[0] if seen else self.until(name, condition)

    def until(self, name, condition=lambda data: True):
        end = time.monotonic() + 20 * SLOW
        while time.monotonic() < end:
            event = self.next()
            assert event, f"ended before {name}"
            self.events.append(event)
            if event[0] == "state":
                check_state(event[1])
            if event[0] == name and condition(event[1]):
                return event[1]
        raise AssertionError(f"no such {name}")

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def check_state(s):
    cells = {}
    for owner, count in s["kv"]["runs"]:
        assert count > 0
        cells[owner] = cells.get(owner, 0) + count
    assert len(s["running"]) == min(64, s["n_running"])
    assert len(s["waiting"]) == min(64, s["n_waiting"])
    assert min(s["kv"].get(k) for k in ("used", "cached", "free")) >= 0
    for r in s["running"]:
        assert r["state"] in ("prefill", "decode", "preempted")
        assert 0 <= r["output"] <= r["max"] and 0 <= r["cached"] <= r["prompt"]
        if r["state"] == "decode":
            assert r["prompt"] + r["output"] - 1 <= r["computed"] + 1
    s["cells"] = cells


# --- files ------------------------------------------------------------------------------------------

def test_each_file_of_the_page(stories):
    files = [p for p in WEB.iterdir() if "." in p.name]
    assert WEB / "index.html" in files
    for file in files:
        path = "/" if file.name == "index.html" else f"/web/{file.name}"
        status, headers, body = stories.request("GET", path)
        assert status == 200 and body == file.read_bytes(), path
        if file.suffix in TYPES:
            assert headers["Content-Type"].split(";")[0] == TYPES[file.suffix]
        csp = headers["Content-Security-Policy"]
        assert "default-src 'none'" in csp and "frame-ancestors 'none'" in csp and "unsafe" not in csp
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
        assert headers["Cache-Control"] == "no-cache"
        tag = headers["ETag"]
        for list_of_tags in (tag, f'"x", W/{tag}', "*"):
            status, again, body = stories.request("GET", path, headers={"If-None-Match": list_of_tags})
            assert (status, body, again["ETag"]) == (304, b"", tag)
        assert stories.request("GET", path, headers={"If-None-Match": '"x"'})[0] == 200
        status, head, body = stories.request("HEAD", path)
        assert (status, body, head["Content-Length"]) == (200, b"", headers["Content-Length"])
        assert stories.request("POST", path, {})[0] == 405
    for path in ("/web/", "/web/nothing.js", "/web/index.html", "/web/../web.c", "/web/%2e%2e/web.c"):
        assert stories.request("GET", path)[0] == 404, path


def test_no_web_and_render_server():
    for args, command in ((("--no-web",), "serve"), ((), "render-server")):
        with Server(*args, command=command) as s:
            for path in ("/", "/web/index.html", "/live"):
                assert s.request("GET", path)[0] == 404


# --- viewers ----------------------------------------------------------------------------------------

def test_viewer_sees_a_request_and_then_silence(tmp_path):
    n = 6000 // SLOW
    with long_server(tmp_path, "--max-num-seqs", "8") as s, Viewer(s) as v:
        assert v.status == 200
        assert "content-type: text/event-stream" in v.head and "cache-control: no-store" in v.head
        hello = v.until("hello")
        assert hello["protocol"] == 1 and hello["max_num_seqs"] == 8 and hello["history"] == []
        assert -(-hello["n_blocks"] // hello["blocks_per_cell"]) == hello["cells"] <= 1024
        first = v.until("state")
        assert first["state"] == "ready" and first["n_running"] == 0
        assert first["cells"] == {0: hello["cells"]}
        body = {"prompt": "Once upon a time", "max_tokens": n, "ignore_eos": True, "n": 2}
        c = Client(s, {**body, "stream": True})
        busy = v.until("state", lambda d: d["n_running"] == 2 and d["running"][0]["output"] > 1)
        a, b = busy["running"]
        assert a["id"] == b["id"] > 0 and a["own"] and (a["choice"], b["choice"]) == (0, 1)
        assert a["max"] == n and a["state"] == "decode" and busy["cells"].get(a["id"], 0) > 0
        c.read_all()
        last = v.until("state", lambda d: d["n_running"] == 0 and d["total"]["output"] == 2 * n)
        assert last["kv"]["used"] == 0
        assert sum(last["kv"][k] for k in ("used", "cached", "free")) == hello["n_blocks"]
        metrics = s.metrics()
        total = {k.split("{")[0]: value for k, value in metrics.items()}
        assert total["vllm:prompt_tokens_total"] == last["total"]["prompt"]
        assert total["vllm:generation_tokens_total"] == last["total"]["output"]
        assert last["total"]["requests"] == 1
        point = v.ever("point", lambda d: d["done"] == 1)
        assert point["e2e_ms"][0] <= point["e2e_ms"][1]
        v.ever("state", lambda d: d["rate"]["output"] == 0 and d["total"]["output"] == 2 * n)
        v.socket.settimeout(2.5)
        with pytest.raises(socket.timeout):
            v.receive()
        with Viewer(s) as later:
            history = later.until("hello")["history"]
            assert sum(p["output"] for p in history) == 2 * n
            assert sum(p["prompt"] for p in history) == last["total"]["prompt"]


def test_viewers_are_few():
    with Server() as s:
        viewers = [Viewer(s) for _ in range(16)]
        for v in viewers:
            assert v.until("hello") and v.until("state")
        status, headers, body = s.request("GET", "/live")
        assert status == 503 and headers["Retry-After"] and b"16 viewers" in body
        viewers.pop().close()
        wait_for("a place", lambda: viewers.append(Viewer(s)) or
                 (viewers[-1].status == 200 or viewers.pop().close()))
        assert s.post("/v1/completions", {"prompt": "a", "max_tokens": 3, **RUN_ON})[0] == 200
        assert viewers[-1].until("state", lambda d: d["total"]["output"] == 3)
        for v in viewers:
            v.close()


def test_tenants_see_sizes_of_others(tmp_path):
    with long_server(tmp_path, "--api-key", "anna", "bert") as s:
        assert s.request("GET", "/live")[0] == 401
        assert s.request("GET", "/")[0] == 200
        headers = "Authorization: Bearer anna\r\n"
        body = {**ENDLESS, "prompt": "Once upon a time there was a little girl. " * 8, "stream": True}
        warm = Client(s, {**body, "max_tokens": 1}, headers=headers).read_all()
        assert warm.status == 200
        c = Client(s, body, headers=headers).read_until(b"data: ", 3)
        with Viewer(s, "anna") as own, Viewer(s, "bert") as other:
            a = own.until("state", lambda d: d["n_running"] == 1)["running"][0]
            b = other.until("state", lambda d: d["n_running"] == 1)["running"][0]
            assert a["own"] is True and a["cached"] > 0
            assert b["own"] is False and b["cached"] == 0
            assert a["id"] == b["id"] and a["prompt"] == b["prompt"]
        c.close()


def test_a_viewer_that_does_not_read_holds_up_nobody(tmp_path):
    with long_server(tmp_path, "--max-num-seqs", "64") as s:
        clients = [Client(s, ENDLESS) for _ in range(40)]
        with Viewer(s, receive_buffer=4096) as slow, Viewer(s) as v:
            start = v.until("state", lambda d: d["n_running"] == 40)["time"]
            v.until("state", lambda d: d["time"] > start + 1)
            for c in clients:
                c.reset()
            v.until("state", lambda d: d["n_running"] == 0)
            # It is told the end when it reads again.
            slow.until("state", lambda d: d["n_running"] == 40)
            slow.until("state", lambda d: d["n_running"] == 0)


@pytest.mark.parametrize("reads", [True, False])
def test_shutdown_does_not_wait_for_viewers(tmp_path, reads):
    with long_server(tmp_path, "--max-num-seqs", "64") as s:
        clients = [Client(s, ENDLESS) for _ in range(20)]
        v = Viewer(s, receive_buffer=None if reads else 4096)
        with Viewer(s) as other:
            other.until("state", lambda d: d["n_running"] == 20)
        for c in clients[1:]:
            c.reset()
        s.process.send_signal(signal.SIGTERM)
        if reads:
            assert v.until("state", lambda d: d["state"] == "draining")
            assert v.next() is None  # at once: a stream still runs
            assert s.request("GET", "/live")[0] == 503
        clients[0].reset()
        start = time.monotonic()
        assert s.process.wait(20 * SLOW) == 0
        assert time.monotonic() - start < 10 * SLOW
        v.close()


def wake_ups(server):
    """Of all threads, since their start."""
    files = pathlib.Path(f"/proc/{server.process.pid}/task").glob("*/status")
    return sum(int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", f.read_text())[1]) for f in files)


def test_viewers_that_leave_cost_nothing():
    with Server() as s:
        for _ in range(40):
            with Viewer(s) as v:
                v.until("hello")
        with contextlib.ExitStack() as stack:
            def look_on():
                v = Viewer(s)
                return stack.enter_context(v) if v.status == 200 else v.close()

            for _ in range(16):  # the places of those who left are free again
                wait_for("a place", look_on).until("state")
            before = wake_ups(s)
            wait_for("the viewers' timer", lambda: wake_ups(s) > before)
        seen = [time.monotonic(), wake_ups(s)]

        def sleeps():
            """Longer than that timer's second."""
            if (n := wake_ups(s)) != seen[1]:
                seen[:] = time.monotonic(), n
            return time.monotonic() - seen[0] > 1.2

        wait_for("nothing wakes the server", sleeps)


def test_viewers_are_told_that_the_engine_failed():
    """With the last state, before the stream ends and the process with it."""
    binary = fault_binary()
    if not binary:
        pytest.skip("a release build injects no faults: see INFERD_DEBUG_BIN")
    server = Server(env={"INFERD_FAULT": "step_fail:5"}, binary=binary)
    with Viewer(server) as v:
        v.until("state", lambda d: d["state"] == "ready")
        c = Client(server, {**ENDLESS, "max_tokens": 200, "stream": True})
        v.until("state", lambda d: d["state"] == "engine_failed")
        while event := v.next():
            assert event[1]["state"] == "engine_failed"
        c.close()
    assert server.process.wait(20 * SLOW) == 1
    server.reader.join(10)
    assert "Sanitizer" not in server.log, server.log
