"""A real inferd process for a test: started on a free port, watched, stopped."""

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SHARED = (ROOT / os.environ.get("INFERD_SHARED", "../shared")).resolve()
# What most tests serve: a small trained model; without the shared folder it is the one that comes with inferd.
STORIES = SHARED / "models/stories260K" if SHARED.is_dir() else ROOT / "models/demo"
CONFIG = json.loads((STORIES / "config.json").read_text())
MODEL_NAME, CONTEXT, VOCAB = STORIES.name, CONFIG["max_position_embeddings"], CONFIG["vocab_size"]
BOS = json.loads((STORIES / "tokenizer_config.json").read_text())["bos_token"]
"""Ids by the tokens' texts as the vocabulary writes them."""
TOKENS = json.loads((STORIES / "tokenizer.json").read_text())["model"]["vocab"]
IS_STORIES = MODEL_NAME == "stories260K"
# What a request needs to go on for as long as stories260K does by itself; another model may end its answer.
RUN_ON = {} if IS_STORIES else {"ignore_eos": True}
BINARY = os.environ.get("INFERD_BIN", str(ROOT / "build/release/inferd"))
CHATML = pathlib.Path(__file__).parent / "chatml.jinja"
SANITIZED = any(s in BINARY for s in ("/asan/", "/tsan/"))
"""Sanitizer builds are several times slower: tests of time scale by this."""
SLOW = 8 if SANITIZED else 1


SCHEMAS = {"/v1/completions": ("CreateCompletionResponse", "CompletionChunk"),
           "/v1/chat/completions": ("CreateChatCompletionResponse", "CreateChatCompletionStreamResponse"),
           "/v1/models": ("ListModelsResponse", None)}


def check_schema(method, path, status, content_type, data):
    """Every answer that passes through here against OpenAI's description of it."""
    import schema  # it needs this module's paths

    if method == "HEAD" or not schema.SPEC.is_file():
        return
    if status >= 400 and content_type.startswith("application/json") and not path.startswith("/health"):
        schema.check("ErrorResponse", json.loads(data))
    elif status == 200 and path in SCHEMAS and content_type.startswith("application/json"):
        schema.check(SCHEMAS[path][0], json.loads(data))
    elif status == 200 and path in SCHEMAS and content_type.startswith("text/event-stream"):
        for event in data.decode().split("\n\n"):
            if not event.startswith("data: ") or event == "data: [DONE]":
                continue
            value = json.loads(event[6:])
            schema.check("ErrorResponse" if "error" in value else SCHEMAS[path][1], value)


class Server:
    """`with Server("--max-num-seqs", "8") as s:`; the log is in s.log once stopped."""

    def __init__(self, *args, model=STORIES, env=None, wait=True, command="serve", binary=None):
        """model=None: none is named, which serves the demo model."""
        self.args = [binary or BINARY, command, *([] if model is None else [str(model)]), "--port", "0", *map(str, args)]
        self.started = time.monotonic()
        self.process = subprocess.Popen(self.args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, errors="replace", env={**os.environ, **(env or {})})
        self.lines, self.port, self.ready_s = [], None, None
        self.is_ready = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if wait and not self.is_ready.wait(60 * SLOW):
            self.process.kill()
            raise RuntimeError("not ready:\n" + self.log)
        if wait and self.port is None:
            raise RuntimeError(f"exited with {self.process.wait()}:\n{self.log}")

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            found = re.search(r'(?:inferd ready: |"event":"ready".*"address":")http://\S*?:(\d+)', line)
            if found:
                self.port, self.ready_s = int(found.group(1)), time.monotonic() - self.started
                self.is_ready.set()
        self.is_ready.set()

    @property
    def log(self):
        return "".join(self.lines)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def request(self, method, path, body=None, headers=None, timeout=60):
        """(status, headers, body bytes); body may be bytes, str, or anything JSON."""
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * SLOW)
        try:
            c.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
            r = c.getresponse()
            data = r.read()
            check_schema(method, path, r.status, r.getheader("Content-Type", ""), data)
            return r.status, dict(r.getheaders()), data
        finally:
            c.close()

    def post(self, path, body, **kw):
        """(status, parsed JSON)."""
        status, _, data = self.request("POST", path, body, **kw)
        return status, json.loads(data)

    def get(self, path, **kw):
        status, _, data = self.request("GET", path, **kw)
        return status, data

    def raw(self, data, timeout=30, half_close=False):
        """Sends bytes on a fresh connection and returns all that comes back before the close or
        the time-out."""
        out = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout * SLOW) as s:
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
                while True:
                    part = s.recv(65536)
                    if not part:
                        break
                    out += part
            except (ConnectionError, socket.timeout):
                pass
        return out

    def stream(self, path, body, headers=None):
        """Parsed SSE events of a streamed answer, without [DONE]."""
        status, _, data = self.request("POST", path, {**body, "stream": True}, headers)
        assert status == 200, data
        events = [e[6:] for e in data.decode().split("\n\n") if e.startswith("data: ")]
        assert events[-1] == "[DONE]", events[-1]
        return [json.loads(e) for e in events[:-1]]

    def metrics(self):
        """{name{labels}: value} of /metrics."""
        _, data = self.get("/metrics")
        out = {}
        for line in data.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                out[name] = float(value)
        return out

    def metric(self, name):
        """Sum over the labels of one metric."""
        return sum(v for k, v in self.metrics().items() if k == name or k.startswith(name + "{"))

    def wait_metric(self, name, value, timeout=20):
        end = time.monotonic() + timeout * SLOW
        while self.metric(name) != value:
            assert time.monotonic() < end, f"{name} is {self.metric(name)}, not {value}"
            time.sleep(0.02)

    def wait_idle(self, timeout=30):
        self.wait_metric("vllm:num_requests_running", 0, timeout)
        self.wait_metric("vllm:num_requests_waiting", 0, timeout)

    def rss_kib(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text).group(1))

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self, sig=signal.SIGTERM, timeout=60):
        """Exit status."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            rc = self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError("did not stop:\n" + self.log[-4000:])
        self.reader.join(10)
        return rc

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        rc = self.stop()
        assert "Sanitizer" not in self.log, self.log[-8000:]
        if kind is None:
            assert rc == 0, f"exit status {rc}:\n{self.log[-4000:]}"
