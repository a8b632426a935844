"""What the tests of `inferd chat` need: a person at a pseudo-terminal, and a server that does what a
test wants of it."""

import fcntl
import http.server
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

from harness import BINARY, SLOW

WAIT_S = 30 * SLOW


class Terminal:
    """`inferd chat ARGS` with a terminal on its three descriptors; `with` ends it by force if it
    has not ended by itself."""

    def __init__(self, *args, home, env=None, columns=80):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        base = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
        base |= {"TERM": "xterm", "NO_COLOR": "1", "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
        self.process = subprocess.Popen([BINARY, "chat", *map(str, args)], stdin=slave, stdout=slave, stderr=slave,
                                        env={k: v for k, v in (base | (env or {})).items() if v is not None},
                                        start_new_session=True, cwd=home,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.seen, self.at = b"", 0

    def _read(self, end):
        """False: the other side is closed."""
        ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
        assert ready, f"nothing more comes; behind {self.seen[:self.at][-200:]!r} there is {self.seen[self.at:]!r}"
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: no process has the terminal any more
            return False
        self.seen += data
        return bool(data)

    def expect(self, pattern):
        """The match of the next `pattern`; what comes next is looked for behind it."""
        end = time.monotonic() + WAIT_S
        while not (found := re.compile(pattern, re.S).search(self.seen, self.at)):
            assert self._read(end), f"ended without {pattern!r}: {self.seen[self.at:]!r}"
        self.at = found.end()
        return found

    def type(self, text):
        os.write(self.master, text if isinstance(text, bytes) else text.encode())

    def prompt(self):
        self.expect(rb"\n?\r?> ")

    def say(self, text):
        """A line; waits for the prompt behind what comes of it, and returns that."""
        start = self.at
        self.type(text + "\r")
        self.expect(rb"\r?\n> ")
        return self.seen[start:self.at].decode(errors="replace")

    def wait(self):
        """Exit status, once it has ended and all is read."""
        end = time.monotonic() + WAIT_S
        while self._read(end):
            pass
        return self.process.wait(WAIT_S)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
        assert b"Sanitizer" not in self.seen, self.seen.decode(errors="replace")


def event(text=None, finish=None, **more):
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "x", "choices": [choice], **more}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


class Fake:
    """An OpenAI-compatible server.  Each chat request is answered by the next function of `script`,
    called with the handler; without one "answer N" is streamed.  `asked` holds the bodies."""

    def __init__(self, *script):
        self.script, self.asked, self.headers = list(script), [], []
        self.models = {"object": "list", "data": [{"id": "fake/model", "object": "model"}]}
        self.left = threading.Event()
        """A client has closed its connection in the middle of an answer."""
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def reply(self, status, body, content_type="application/json"):
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def begin(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                self.close_connection = True

            def stream(self, *pieces):
                self.begin()
                for piece in pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()

            def until_left(self):
                """Returns when the client closes."""
                while self.connection.recv(4096):
                    pass
                fake.left.set()

            def do_GET(self):
                fake.headers.append(dict(self.headers))
                self.reply(200 if self.path.endswith("/v1/models") else 404, fake.models)

            def do_POST(self):
                fake.headers.append(dict(self.headers))
                fake.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                if fake.script:
                    return fake.script.pop(0)(self)
                self.stream(event("answer "), event(str(len(fake.asked))), event(finish="stop"),
                            b"data: " + json.dumps({"choices": [], "usage": USAGE}).encode() + b"\n\n", DONE)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def texts(self, i=-1):
        """(role, text) of each message of a request."""
        return [(m["role"], m["content"]) for m in self.asked[i]["messages"]]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
