#!/usr/bin/env python3
"""What a server's memory is beside weights and KV-cache, and how much of it is in huge pages.

    python3 tests/bench/memory.py ../shared/models/shapes/llama-1.1b [--quantization int8] [-- OPTIONS OF THE SERVER]

Random weights.  Prints, when ready and after 16 streams that have filled the KV-cache, the resident size, what is
left of it without the weights and (after the streams, when all of it has been touched) the KV-cache, and
AnonHugePages (/proc/PID/smaps_rollup); then the same after one prompt that fills half of the KV-cache.  --parts lists the largest mappings.
"""

import argparse
import concurrent.futures
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "http"))
from harness import ROOT, Server  # noqa: E402

MIB = 1 << 20


def rollup(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {k: int(v) * 1024 / MIB for k, v in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}


def parts(pid):
    """(resident MiB, in huge pages, size, name) of each mapping, the largest first."""
    out = []
    text = pathlib.Path(f"/proc/{pid}/smaps").read_text()
    for m in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.M):
        f = {k: int(v) / 1024 for k, v in re.findall(r"^(\w+):\s+(\d+) kB", m, re.M)}
        if f:
            out.append((f["Rss"], f["AnonHugePages"], f["Size"], " ".join(m.split("\n", 1)[0].split()[5:]) or "anonymous"))
    return sorted(out, reverse=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", type=pathlib.Path, help="folder with a config.json")
    parser.add_argument("--quantization", default="int8")
    parser.add_argument("--kv-tokens", type=int, default=4096, help="room in the KV-cache; the streams use all of it")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--parts", type=int, default=0, metavar="N", help="show the N largest mappings")
    parser.add_argument("args", nargs="*", help="behind --: options of the server")
    a = parser.parse_args()
    c = json.loads((a.shape / "config.json").read_text())
    head = c.get("head_dim", c["hidden_size"] // c["num_attention_heads"])
    kv_size = a.kv_tokens * c["num_hidden_layers"] * 2 * c["num_key_value_heads"] * head * 2  # bf16
    with Server("--load-format", "dummy", "--quantization", a.quantization, "--tokenizer", ROOT / "models/demo",
                "--kv-cache-dtype", "bfloat16", "--kv-cache-memory-bytes", kv_size, "--max-model-len", a.kv_tokens // 2, "--max-num-seqs", a.streams,
                "--max-num-queued-reqs", 64, *a.args, model=a.shape) as s:
        weights = int(re.search(r"weight_bytes=(\d+)", s.log).group(1)) / MIB
        kv = int(re.search(r"kv_cache_bytes=(\d+)", s.log).group(1)) / MIB
        blocks, size = (int(re.search(rf"{k}=(\d+)", s.log).group(1)) for k in ("kv_blocks", "block_size"))

        def show(when, kv_touched):
            r = rollup(s.process.pid)
            print(f"{when}: resident {r['Rss']:.0f} MiB, beside weights ({weights:.0f}) and KV-cache ({kv_touched:.0f}) "
                  f"{r['Rss'] - weights - kv_touched:+.0f}; huge pages {r['AnonHugePages']:.0f}", flush=True)
            for part in parts(s.process.pid)[:a.parts]:
                print("    {:8.1f} resident {:8.1f} huge {:8.1f} mapped  {}".format(*part))

        show("ready", 0)
        # Every block once: the pool gives unused blocks out before it takes cached ones again.
        n = blocks * size // a.streams - 16
        body = {"prompt": [7, 8, 9, 10, 11, 12, 13, 14], "max_tokens": n, "ignore_eos": True, "temperature": 0.8}
        with concurrent.futures.ThreadPoolExecutor(a.streams) as pool:
            for status, _ in pool.map(lambda i: s.post("/v1/completions", {**body, "seed": i}, timeout=600), range(a.streams)):
                assert status == 200
        show(f"after {a.streams} streams of {n} tokens", kv)
        prompt = [7 + i % 90 for i in range(a.kv_tokens // 2 - 8)]
        assert s.post("/v1/completions", {"prompt": prompt, "max_tokens": 1}, timeout=600)[0] == 200
        show(f"after a prompt of {len(prompt)}", kv)


if __name__ == "__main__":
    main()
