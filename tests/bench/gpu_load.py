"""What the measurements of a GPU need of a server: its life, mixed requests, the counters it gives.  Standard library only."""

import concurrent.futures
import http.client
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import threading
import time


class Failure(Exception):
    """In words for people."""


def tail(path, lines=12):
    return "\n".join(pathlib.Path(path).read_text(errors="replace").splitlines()[-lines:])


def percentile(values, part):
    """Of the sorted values, the one below which `part` of them lie; None of none."""
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))] if values else None


class Server:
    """`with Server([binary, "serve", ...], log, 60) as s:`; s.ready_s are the seconds until it was."""

    def __init__(self, command, log, timeout, env=None):
        self.log, self.command = pathlib.Path(log), [*map(str, command), "--host", "127.0.0.1", "--port", "0", "--ready-fd", "1"]
        start = time.monotonic()
        with open(self.log, "w") as out:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=out,
                                            env={**os.environ, **(env or {})}, start_new_session=True)
        timer = threading.Timer(timeout, self.process.kill)
        timer.start()
        try:
            address = self.process.stdout.readline()  # or the end, where it exits or is killed
            self.ready_s = time.monotonic() - start
            if not address.startswith(b"http://"):
                raise Failure(f"exit status {self.process.wait()} after {self.ready_s:.1f} s, not ready within {timeout:.0f} s: "
                              f"{' '.join(self.command)}\n{tail(self.log)}")
            self.port = int(address.rsplit(b":", 1)[1])
        except BaseException:
            self.__exit__()
            raise
        finally:
            timer.cancel()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Ends it as an operator would, and kills it where that does not help."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def get(self, path):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            c.request("GET", path)
            return c.getresponse().read().decode()
        finally:
            c.close()

    def metric(self, name):
        """A gauge, or a counter's sum over its labels."""
        values = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", self.get("/metrics"), re.M)
        if not values:
            raise Failure(f"/metrics has no {name}")
        return sum(map(float, values))

    def wait_metric(self, name, value, timeout):
        end = time.monotonic() + timeout
        while (found := self.metric(name)) != value:
            if time.monotonic() > end:
                raise Failure(f"{name} is {found:g} after {timeout:g} s, not {value}")
            time.sleep(0.02)


# --- mixed requests --------------------------------------------------------------------------

def mixed_requests(n, vocab_size, longest, n_tokens, seed=7):
    """Short and long prompts, streamed or not, greedy or drawn with a seed; every eighth client leaves."""
    rng = random.Random(seed)
    for i in range(n):
        n_prompt = rng.randint(longest // 2, longest) if i % 4 == 3 else rng.randint(1, max(2, longest // 16))
        body = {"prompt": [rng.randrange(3, vocab_size) for _ in range(n_prompt)], "max_tokens": rng.randint(n_tokens // 2, n_tokens),
                "ignore_eos": True, "stream": i % 2 == 0, "temperature": 0}
        if body["stream"]:
            body["stream_options"] = {"include_usage": True}
        if i % 3 == 0:
            body.update(temperature=0.8, top_p=0.95, seed=i)
        yield body, i % 8 == 4  # those stream


def events(answer):
    for line in answer:
        if line.startswith(b"data: "):
            if line.strip() == b"data: [DONE]":
                return
            yield json.loads(line[6:])
    raise Failure("a stream ended without [DONE]")


def ask(port, body, leaves, timeout):
    """{sent, first, times of events, tokens}; tokens None: left."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        sent, times, tokens = time.monotonic(), [], None
        c.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = c.getresponse()
        if answer.status != 200:
            raise Failure(f"HTTP {answer.status}: {answer.read()[:300].decode(errors='replace')}")
        if not body["stream"]:
            data = json.loads(answer.read())
            reason, tokens = data["choices"][0]["finish_reason"], data["usage"]["completion_tokens"]
            return check(body, reason, tokens, {"sent": sent, "times": [], "end": time.monotonic()})
        reason = None
        for event in events(answer):
            if "error" in event:
                raise Failure(f"an error in a stream: {event['error']}")
            if event["choices"]:
                times.append(time.monotonic())
                reason = event["choices"][0]["finish_reason"] or reason
            if event.get("usage"):
                tokens = event["usage"]["completion_tokens"]
            if leaves and len(times) == 2:
                return {"sent": sent, "times": times, "end": time.monotonic(), "tokens": None}
        return check(body, reason, tokens, {"sent": sent, "times": times, "end": time.monotonic()})
    finally:
        c.close()


def check(body, reason, tokens, result):
    if reason != "length" or tokens != body["max_tokens"]:
        raise Failure(f"{tokens} tokens and finish_reason {reason} where {body['max_tokens']} were asked for")
    return {**result, "tokens": tokens}


def run_mixed(server, requests, timeout):
    """All at once.  What came of it; Failure where an answer is wrong, or where the server holds something afterwards."""
    requests = list(requests)
    done, wrong = [], []
    with concurrent.futures.ThreadPoolExecutor(len(requests)) as pool:
        running = [pool.submit(ask, server.port, body, leaves, timeout) for body, leaves in requests]
        for f in running:
            try:
                done.append(f.result())
            except (Failure, OSError, http.client.HTTPException, ValueError, KeyError) as e:
                wrong.append(f"{type(e).__name__}: {e}")
    if wrong:
        raise Failure(f"{len(wrong)} of {len(requests)} requests failed; the first: {wrong[0]}\n{tail(server.log)}")
    for name in ("vllm:num_requests_running", "vllm:num_requests_waiting", "inferd:kv_blocks_held"):
        server.wait_metric(name, 0, 20)
    whole = [d for d in done if d["tokens"] is not None]
    seconds = max(d["end"] for d in done) - min(d["sent"] for d in done)
    gaps = [b - a for d in done for a, b in zip(d["times"], d["times"][1:])]
    ttft = [d["times"][0] - d["sent"] for d in done if d["times"]]
    return {"requests": len(requests), "answers": len(whole), "left": len(done) - len(whole), "seconds": seconds,
            "output_tokens": sum(d["tokens"] for d in whole), "tokens_per_s": sum(d["tokens"] for d in whole) / seconds,
            **{f"{name}_ms_p{int(100 * q)}": 1e3 * percentile(values, q)
               for name, values in (("ttft", ttft), ("itl", gaps)) for q in (0.5, 0.99)}}
