#!/usr/bin/env python3
"""Time and memory of a start: packing a checkpoint, and mapping what was packed, in turn.

    python3 tests/bench/start_times.py ../shared/models/shapes/llama-1.1b --work /var/tmp/starts

Writes a checkpoint of the shape with random bf16 weights, in shards as published ones have them, and for each
quantization starts `inferd serve` without and with a packed file, --rounds times each.  The folder --work, which it
makes, needs room for the checkpoint and its packed forms and is removed in the end.
"""

import argparse
import array
import json
import os
import pathlib
import random
import re
import shutil
import statistics
import struct
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SHARD = 1_000_000_000  # bytes
POOL = 1 << 20  # random numbers, from which the tensors take stretches


def tensors(c):
    """(name, shape) in the order of published files."""
    d, f, v, h = c["hidden_size"], c["intermediate_size"], c["vocab_size"], c["num_attention_heads"]
    e = c.get("head_dim", d // h)
    kv = c.get("num_key_value_heads", h) * e
    if not c.get("tie_word_embeddings"):
        yield "lm_head.weight", (v, d)
    yield "model.embed_tokens.weight", (v, d)
    for i in range(c["num_hidden_layers"]):
        for name, shape in [("input_layernorm", (d,)), ("mlp.down_proj", (d, f)), ("mlp.gate_proj", (f, d)),
                            ("mlp.up_proj", (f, d)), ("post_attention_layernorm", (d,)),
                            ("self_attn.k_proj", (kv, d)), ("self_attn.o_proj", (d, h * e)),
                            ("self_attn.q_proj", (h * e, d)), ("self_attn.v_proj", (kv, d))]:
            yield f"model.layers.{i}.{name}.weight", shape
    yield "model.norm.weight", (d,)


def count(shape):
    return shape[0] * (shape[1] if len(shape) == 2 else 1)


def write_shard(path, part, rng, pool):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in part:
        size = 2 * count(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for _, shape in part:
            left = count(shape)
            if len(shape) == 1:
                out.write(struct.pack("<H", 0x3F80) * left)  # a gain of one
                continue
            while left > 0:
                first = rng.randrange(POOL)
                n = min(left, POOL - first)
                out.write(pool[2 * first:2 * (first + n)])
                left -= n


def make_checkpoint(shape, out):
    config = json.loads((shape / "config.json").read_text())
    out.mkdir(parents=True)
    (out / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(ROOT / "models/demo" / name, out)
    rng = random.Random(1)
    bits = (struct.unpack("<I", struct.pack("<f", rng.gauss(0, 0.02)))[0] >> 16 for _ in range(POOL))
    pool = array.array("H", bits).tobytes()
    shards = [[]]
    for t in tensors(config):
        if shards[-1] and 2 * sum(count(s) for _, s in [*shards[-1], t]) > SHARD:
            shards.append([])
        shards[-1].append(t)
    where = {}
    for i, part in enumerate(shards):
        name = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        write_shard(out / name, part, rng, pool)
        where.update({t: name for t, _ in part})
    (out / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))


def start(args, log, until=None):
    """Seconds to the line on --ready-fd, CPU seconds until then, MiB: resident, private, and of the weights."""
    r, w = os.pipe()
    os.set_inheritable(w, True)
    with open(log, "w") as err:
        t0 = time.monotonic()
        p = subprocess.Popen([*map(str, args), "--port", "0", "--ready-fd", str(w)], pass_fds=(w,), stderr=err)
        os.close(w)
        ready, seconds = os.read(r, 100), time.monotonic() - t0
    os.close(r)
    if not ready:
        sys.exit(log.read_text())
    fields = pathlib.Path(f"/proc/{p.pid}/stat").read_text().rsplit(")", 1)[1].split()
    cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    rollup = pathlib.Path(f"/proc/{p.pid}/smaps_rollup").read_text()
    rss, anon = (int(re.search(rf"{k}:\s+(\d+)", rollup).group(1)) / 1024 for k in ("Rss", "Anonymous"))
    while until and until not in log.read_text():
        if p.poll() is not None:
            sys.exit(log.read_text())
        time.sleep(0.1)
    p.terminate()
    p.wait()
    weights = int(re.search(r"weight_bytes=(\d+)", log.read_text()).group(1)) / (1 << 20)
    return seconds, cpu, rss, anon, weights


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", type=pathlib.Path, help="folder with a config.json")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="a folder that is not there yet")
    parser.add_argument("--binary", default=str(ROOT / "build/release/inferd"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quantization", nargs="+", default=["int8", "int4", "none"])
    a = parser.parse_args()
    a.work.mkdir(parents=True)
    try:
        make_checkpoint(a.shape, a.work / "model")
        for q in a.quantization:
            plain = [a.binary, "serve", a.work / "model", "--quantization", q, "--kv-cache-memory-bytes", "256M",
                     "--max-num-seqs", "16"]
            mapped = [*plain, "--packed-cache-dir", a.work / "packed"]
            start(mapped, a.work / "log", "packed_cache_written")
            print(re.search(r"packed_cache_written.*", (a.work / "log").read_text()).group(0), flush=True)
            runs = {"packs": [], "maps": []}
            for _ in range(a.rounds):
                runs["packs"].append(start(plain, a.work / "log"))
                runs["maps"].append(start(mapped, a.work / "log", "packed_cache file="))
            for name, rows in runs.items():
                s, cpu = ([f"{x:.2f}" for x in sorted(r[i] for r in rows)] for i in (0, 1))
                rss, anon, weights = (statistics.median(r[i] for r in rows) for i in (2, 3, 4))
                print(f"{q} {name}: seconds {' '.join(s)}; CPU {' '.join(cpu)}; weights {weights:.0f} MiB, resident "
                      f"{rss - weights:+.0f}, private {anon:.0f}; load {os.getloadavg()[0]:.1f}", flush=True)
    finally:
        shutil.rmtree(a.work)


if __name__ == "__main__":
    main()
