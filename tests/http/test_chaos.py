"""Clients that connect, send, and vanish at random: afterwards nothing runs, nothing waits, every
block is free, and memory is flat."""

import json
import os
import random
import socket
import struct
import threading
import time

import pytest

from harness import CHATML, SANITIZED, Server

pytestmark = pytest.mark.load
SECONDS = float(os.environ.get("LOAD_SECONDS", "60"))
CLIENTS = 200


def body_of(rng):
    prompt = " ".join(rng.choice(["Once", "upon", "a", "time", "Lily", "Tim", "dog"])
                      for _ in range(rng.randrange(1, 60)))
    body = {"max_tokens": rng.randrange(1, 300), "stream": rng.random() < 0.6, "ignore_eos": True,
            "n": rng.choice([1, 1, 1, 2, 4]), "temperature": rng.choice([0, 1])}
    if rng.random() < 0.3:
        return "/v1/chat/completions", {**body, "messages": [{"role": "user", "content": prompt}]}
    if rng.random() < 0.1:
        body.update(stop=["dog", "upon a"])
    return "/v1/completions", {**body, "prompt": prompt}


def client(port, seed, until, counts):
    rng = random.Random(seed)
    while time.monotonic() < until:
        path, body = body_of(rng)
        data = json.dumps(body).encode()
        data = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(data)) + data
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
                if rng.random() < 0.15:
                    data = data[:rng.randrange(len(data))]
                s.sendall(data)
                s.settimeout(rng.choice([0.001, 0.02, 0.1, 0.5]))
                got = 0
                want = rng.choice([0, 1, 1000, 20000])
                while got < want:
                    part = s.recv(4096)
                    if not part:
                        break
                    got += len(part)
                if rng.random() < 0.5:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            counts["done"] += 1
        except (OSError, socket.timeout):
            counts["vanished"] += 1


def storm(server, seconds):
    counts = {"done": 0, "vanished": 0}
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=client, args=(server.port, i, until, counts)) for i in range(CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return counts


def test_vanishing_clients_leave_nothing_behind():
    with Server("--chat-template", CHATML, "--max-num-seqs", "64", "--kv-cache-memory-bytes", "2M",
                "--no-log-requests", "--max-num-queued-reqs", "512") as server:
        storm(server, min(5, SECONDS / 4))  # buffers, pools and the allocator's arenas grow to their size
        server.wait_idle(60)
        before = server.rss_kib()
        counts = storm(server, SECONDS)
        server.wait_idle(60)
        assert counts["done"] + counts["vanished"] > CLIENTS, counts
        assert server.metric("vllm:kv_cache_usage_perc") == 0
        after = server.rss_kib()
        print(f"{counts}, RSS {before} -> {after} KiB, preemptions {server.metric('vllm:num_preemptions_total')}")
        # A sanitizer's own books (asan: a quarantine of 256 MiB; tsan: shadow) grow with the work.
        assert after < before * 1.15 + (300 << 10 if SANITIZED else 4096), (before, after)
        status, answer = server.post("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 5})
        assert status == 200, answer
