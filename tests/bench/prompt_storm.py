"""What long prompts do to those who are being served: streams run, and every few seconds other
clients begin or stop to send prompts of a megabyte.  Prints, for each kind of storm, the gaps
between the streams' tokens (median and 99th percentile) and the latency of /health beside those
of the quiet phases around it, and the ratios.

    python3 tests/bench/prompt_storm.py [--rounds 5] [--seconds 3] [--rate 20] [--json FILE]

"control" is the cost of the storm itself: the same bytes sent to a path that does not exist, which
the server reads and drops.  Server and clients share the machine: where it has few cores, judge by
the ratio to the control.  The model is random, of a shape whose step takes a few milliseconds."""

import argparse
import json
import multiprocessing
import os
import pathlib
import random
import selectors
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "http"))
from harness import SHARED, STORIES, Server  # noqa: E402

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 512, "intermediate_size": 1536,
          "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 512,
          "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
          "tie_word_embeddings": False, "torch_dtype": "float32", "bos_token_id": 1, "eos_token_id": 2}


def request(path, body):
    head = (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n")
    return head.encode() + body


def read_answer(sock):
    """Reads one answer with a Content-Length and drops it; its status."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(1 << 16)
        if not part:
            raise ConnectionError("closed")
        data += part
    head, rest = data.split(b"\r\n\r\n", 1)
    length = next(int(x[15:]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length:"))
    left = length - len(rest)
    while left > 0:
        left -= len(sock.recv(1 << 18))
    return int(head[9:12])


def watch(port, n_streams, pipe):
    """A process: reads the streams and asks for /health; sends the samples when told to end."""
    body = json.dumps({"prompt": "Once upon a time", "max_tokens": 8000, "stream": True, "ignore_eos": True,
                       "temperature": 0}).encode()
    gaps, health, last = [], [], {}
    sel = selectors.DefaultSelector()

    def begin():
        s = socket.create_connection(("127.0.0.1", port))
        s.sendall(request("/v1/completions", body))
        sel.register(s, selectors.EVENT_READ)
        last[s] = None

    for _ in range(n_streams):
        begin()
    probe = socket.create_connection(("127.0.0.1", port))
    sel.register(probe, selectors.EVENT_READ)
    asked, next_ask = None, time.monotonic()
    while not pipe.poll():
        now = time.monotonic()
        if asked is None and now >= next_ask:
            probe.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            asked = time.monotonic()
        for key, _ in sel.select(0.005):
            data = key.fileobj.recv(1 << 16)
            now = time.monotonic()
            if key.fileobj is probe:
                health.append((now, now - asked))
                asked, next_ask = None, now + 0.01
                continue
            n = data.count(b"data: {")
            if n and last[key.fileobj]:
                gaps.append((now, now - last[key.fileobj]))
            if n:
                last[key.fileobj] = now
            if not data or b"[DONE]" in data:
                sel.unregister(key.fileobj)
                begin()
    pipe.send((gaps, health))


def storm(port, path, body, n_clients, rate, end, count):
    """A process: sends the body again and again until `end`, at most `rate` times a second."""
    os.nice(19)
    data = request(path, body)
    lock, due = threading.Lock(), [time.monotonic()]

    def client():
        s = socket.create_connection(("127.0.0.1", port))
        while True:
            with lock:
                at = max(due[0], time.monotonic())
                due[0] = at + (1 / rate if rate else 0)
            if at >= end:
                return
            time.sleep(max(0, at - time.monotonic()))
            s.sendall(data)
            read_answer(s)
            with count.get_lock():
                count.value += 1

    threads = [threading.Thread(target=client) for _ in range(n_clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def text_of(size):
    files = sorted((SHARED / "data/text").rglob("*.txt")) + sorted((SHARED / "data/text").rglob("*"))
    text = ""
    for f in files:
        if f.is_file():
            text += f.read_text(errors="ignore")
        if len(text) >= size:
            return text[:size]
    words = "once upon a time there was little girl named lily who".split()
    return " ".join(random.choices(words, k=size // 4))[:size]


def make_model(tokenizer):
    dir = tempfile.mkdtemp()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (tokenizer / name).is_file():
            shutil.copy(tokenizer / name, dir)
    n_ids = max(t["id"] for t in json.loads((tokenizer / "tokenizer.json").read_text()).get("added_tokens", [])
                + [{"id": 511}]) + 1
    vocab = json.loads((tokenizer / "tokenizer.json").read_text())["model"]["vocab"]
    pathlib.Path(dir, "config.json").write_text(json.dumps({**CONFIG, "vocab_size": max(n_ids, len(vocab))}))
    return dir


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(p * len(values)))] * 1e3 if values else float("nan")


def run(server, a):
    text = text_of(a.size)
    body = json.dumps({"prompt": text}).encode()
    kinds = {"control": "/v1/nothing", "tokenize": "/tokenize", "render": "/v1/completions/render",
             "completions": "/v1/completions"}
    here, there = multiprocessing.Pipe()
    watcher = multiprocessing.Process(target=watch, args=(server.port, a.streams, there))
    watcher.start()
    time.sleep(1)
    phases, sent = [], {k: 0 for k in kinds}
    for _ in range(a.rounds):
        for kind, path in kinds.items():
            begin = time.monotonic()
            time.sleep(a.seconds)
            middle = time.monotonic()
            count = multiprocessing.Value("i", 0)
            p = multiprocessing.Process(target=storm, args=(server.port, path, body, a.clients, a.rate,
                                                            middle + a.seconds, count))
            p.start()
            p.join()
            phases.append((kind, begin, middle, time.monotonic()))
            sent[kind] += count.value
    here.send("end")
    gaps, health = here.recv()
    watcher.join()
    return phases, sent, gaps, health


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of a phase")
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--clients", type=int, default=4, help="connections of the storm")
    parser.add_argument("--rate", type=float, default=20, help="prompts a second; 0: as fast as they are answered")
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--tokenizer", type=pathlib.Path, default=STORIES)
    parser.add_argument("--json")
    parser.add_argument("args", nargs="*", help="behind --: options of the server")
    a = parser.parse_args()
    model = make_model(a.tokenizer)
    with Server("--no-log-requests", "--load-format", "dummy", *a.args, model=model) as s:
        phases, sent, gaps, health = run(s, a)
    shutil.rmtree(model)

    def within(samples, lo, hi):
        return [v for t, v in samples if lo <= t < hi]

    figures = {}
    print(f"{'':12} {'prompts/s':>9}   gap p50 ms      gap p99 ms      ratio   /health p50    p99    max ms")
    for kind in sent:
        mine = [p for p in phases if p[0] == kind]
        quiet = [within(gaps, b, m) for _, b, m, _ in mine]
        loud = [within(gaps, m, e) for _, _, m, e in mine]
        probe = sum((within(health, m, e) for _, _, m, e in mine), [])
        f = {"per_second": sent[kind] / sum(e - m for _, _, m, e in mine),
             "quiet_p50": statistics.median(percentile(q, 0.5) for q in quiet),
             "quiet_p99": statistics.median(percentile(q, 0.99) for q in quiet),
             "p50": statistics.median(percentile(q, 0.5) for q in loud),
             "p99": statistics.median(percentile(q, 0.99) for q in loud),
             "health_p50": percentile(probe, 0.5), "health_p99": percentile(probe, 0.99),
             "health_max": percentile(probe, 1)}
        figures[kind] = f
        print(f"{kind:12} {f['per_second']:9.1f} {f['quiet_p50']:7.2f} {f['p50']:7.2f} {f['quiet_p99']:7.2f} "
              f"{f['p99']:7.2f} {f['p99'] / f['quiet_p99']:9.2f}      {f['health_p50']:7.2f} {f['health_p99']:6.2f} "
              f"{f['health_max']:6.2f}")
    if a.json:
        pathlib.Path(a.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
