"""Behind HAProxy: health checks, refusals retried elsewhere, a restart that no client notices, and streams that are
not held back."""

import json
import shutil
import signal
import socket
import subprocess
import time

import pytest

from harness import SLOW, Server
from ops import Client, long_server, wait_for

pytestmark = pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not installed")
SHORT = {"prompt": "Once upon a time", "max_tokens": 3, "temperature": 0}
CONFIG = """
global
    stats socket {stats} mode 600 level admin
defaults
    mode http
    timeout connect 2s
    timeout client 120s
    timeout server 120s
    option http-no-delay
    retries 3
    option redispatch 1
    option http-buffer-request
    retry-on conn-failure empty-response 503
frontend api
    bind 127.0.0.1:{port}
    default_backend inferd
backend inferd
    balance roundrobin
    option httpchk GET /health/ready
    http-check expect status 200
    default-server check inter 100ms fall 1 rise 1
{servers}
"""


class Proxy:
    """HAProxy in front of the servers; looks like one to Client."""

    def __init__(self, folder, servers):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        lines = [f"    server s{i} 127.0.0.1:{s.port}" for i, s in enumerate(servers)]
        config = folder / "haproxy.cfg"
        self.stats_path = folder / "stats"
        config.write_text(CONFIG.format(port=self.port, stats=self.stats_path, servers="\n".join(lines)))
        self.process = subprocess.Popen(["haproxy", "-db", "-f", str(config)], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        wait_for("the proxy", lambda: self.states() == ["UP"] * len(servers))

    request, post, get = Server.request, Server.post, Server.get

    def states(self):
        """Of each server, as the health checks see it."""
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(self.stats_path))
                s.sendall(b"show stat\n")
                text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        except OSError:
            assert self.process.poll() is None, self.process.stdout.read()
            return []
        rows = [line.split(",") for line in text.splitlines() if line.startswith("inferd,s")]
        return [row[17] for row in rows]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)


def test_streams_are_not_held_back(tmp_path):
    with long_server(tmp_path) as server, Proxy(tmp_path, [server]) as proxy:
        c = Client(proxy, {**SHORT, "max_tokens": 100_000, "ignore_eos": True, "stream": True})
        c.read_until(b"data: ", 5)
        assert c.status == 200 and c.head["content-type"].startswith("text/event-stream")
        assert server.metric("vllm:num_requests_running") == 1  # far from its end
        c.close()  # the proxy passes it on: what it held is free
        wait_for("blocks are free", lambda: server.metric("inferd:kv_blocks_held") == 0)
        server.wait_idle()


def test_one_server_is_restarted_under_load(tmp_path):
    with long_server(tmp_path / "a") as a, long_server(tmp_path / "b") as b, Proxy(tmp_path, [a, b]) as proxy:
        n = 3000 // SLOW
        streams = [Client(proxy, {**SHORT, "max_tokens": n, "ignore_eos": True, "stream": True}) for _ in range(4)]
        for c in streams:
            c.read_until(b"data: ", 2)
        assert a.metric("vllm:num_requests_running") == b.metric("vllm:num_requests_running") == 2
        a.process.send_signal(signal.SIGTERM)
        answered = 0
        until = time.monotonic() + 1
        while time.monotonic() < until:  # while it drains, whatever the checks have noticed: 200
            status, body = proxy.post("/v1/completions", SHORT)
            assert status == 200, body
            answered += 1
        for c in streams:
            assert c.read_all().events[-1] == "[DONE]"
            assert json.loads(c.events[-2])["choices"][0]["finish_reason"] == "length"
        assert a.process.wait(20 * SLOW) == 0
        wait_for("one is down", lambda: proxy.states() == ["DOWN", "UP"])
        for _ in range(5):
            assert proxy.post("/v1/completions", SHORT)[0] == 200
        assert answered > 3
