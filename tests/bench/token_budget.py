#!/usr/bin/env python3
"""What a storm of prompts does to running streams, for each token budget: the gap between their tokens
is bounded by the time of a step that is full.

    python3 tests/bench/token_budget.py ../shared/models/shapes/llama-1.1b --budgets 128 512 [-- OPTIONS OF THE SERVER]

Random weights in int8.  Four streams decode, alone and while eight clients send prompts of 2,000 ids
as fast as they are answered; prints the gaps' median, 99th percentile and greatest, and beside them the mean
time of a step in that phase and its tokens (/metrics).  In the storm nearly all steps are full.
"""

import argparse
import json
import multiprocessing
import pathlib
import random
import re
import time

from prompt_storm import Server, percentile, storm, watch

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def counters(server):
    text = server.get("/metrics")[1].decode()
    names = {"steps": "inferd:steps_total", "seconds": "inferd:step_seconds_total",
             "tokens": "vllm:iteration_tokens_total_sum"}
    return {k: float(re.search(rf"^{re.escape(v)}(?:{{[^}}]*}})? (\S+)$", text, re.M).group(1)) for k, v in names.items()}


def phase(server, seconds, body=None, n_clients=0):
    """(begin, end, mean seconds of a step, mean tokens of a step)"""
    before, begin = counters(server), time.monotonic()
    if body:
        count = multiprocessing.Value("i", 0)
        p = multiprocessing.Process(target=storm, args=(server.port, "/v1/completions", body, n_clients, 0,
                                                        begin + seconds, count))
        p.start()
    time.sleep(seconds)
    end, after = time.monotonic(), counters(server)
    if body:
        p.join()
    d = {k: after[k] - before[k] for k in before}
    return begin, end, d["seconds"] / d["steps"], d["tokens"] / d["steps"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", type=pathlib.Path, help="folder with a config.json")
    parser.add_argument("--budgets", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--seconds", type=float, default=12, help="of the storm; half of it alone")
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=2000, help="ids")
    parser.add_argument("args", nargs="*", help="behind --: options of the server")
    a = parser.parse_args()
    rng = random.Random(1)
    body = json.dumps({"prompt": [rng.randrange(100, 1000) for _ in range(a.prompt)], "max_tokens": 1}).encode()
    for budget in a.budgets:
        with Server("--load-format", "dummy", "--quantization", "int8", "--tokenizer", ROOT / "models/demo",
                    "--no-log-requests", "--no-enable-prefix-caching", "--max-num-batched-tokens", budget,
                    "--max-num-seqs", 2 * (a.streams + a.clients),
                    *a.args, model=a.shape) as s:
            here, there = multiprocessing.Pipe()
            watcher = multiprocessing.Process(target=watch, args=(s.port, a.streams, there))
            watcher.start()
            time.sleep(1)
            phases = {"alone": phase(s, a.seconds / 2), "storm": phase(s, a.seconds, body, a.clients)}
            here.send("end")
            gaps, _ = here.recv()
            watcher.join()
        for name, (begin, end, step, tokens) in phases.items():
            mine = [v for t, v in gaps if begin + 0.5 <= t < end]  # without the beginning, which is neither
            p50, p99, most = (percentile(mine, p) for p in (0.5, 0.99, 1))
            print(f"budget {budget:5} {name}: gaps {len(mine):5}, p50 {p50:7.1f} p99 {p99:7.1f} max {most:7.1f} ms; "
                  f"a step {step * 1e3:7.1f} ms of {tokens:6.1f} tokens; p99 / step {p99 / step / 1e3:.2f}", flush=True)


if __name__ == "__main__":
    main()
