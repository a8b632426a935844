"""`inferd bench engine`: the report of a tiny model, weights from nothing, and what is refused."""

import json
import math
import pathlib
import subprocess

import pytest

from harness import BINARY, ROOT, SLOW

DEMO = ROOT / "models/demo"
PLUGIN = pathlib.Path(BINARY).resolve().parent / "libinferd-cuda-host.so"
OPERATORS = {"qkv", "o", "gate_up", "down", "lm_head", "attention", "norm", "quantize", "rope", "silu_mul", "embed", "sample", "other"}


def bench(*args):
    return subprocess.run([BINARY, "bench", "engine", *map(str, args)], capture_output=True, text=True, timeout=300 * SLOW)


def report(tmp_path, *args):
    done = bench("--output", tmp_path / "report.json", *args)
    assert done.returncode == 0, done
    return done, json.loads((tmp_path / "report.json").read_text())


def refused(code, *args):
    done = bench(*args)
    assert done.returncode == code and done.stdout == "", done
    last = done.stderr.splitlines()[-1]
    assert last.startswith("inferd bench engine: "), done.stderr
    return last


def config_with(tmp_path, **changes):
    config = json.loads((DEMO / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
    return tmp_path


def check_spread(s):
    assert 0 < s["min"] <= s["median"] <= s["max"]


def check_figure(f, profiled, cache_bytes):
    check_spread(f["tokens_per_s"])
    check_spread(f["step_ms"])
    assert f["tokens_per_s"]["median"] == pytest.approx(f["tokens_per_step"] / f["step_ms"]["median"] * 1e3)
    assert f["steps"] >= 1 and f["bytes"] > 0 and f["operations"] > 0
    assert f["share"] == pytest.approx(f["limit_ms"] / f["step_ms"]["median"])
    assert f["limit_tokens_per_s"] == pytest.approx(f["tokens_per_step"] / f["limit_ms"] * 1e3)
    assert f["limited_by"] in ("memory", "compute")
    # One thread at its best cannot beat the machine; a tenth for the clock's changes.  Where nobody says how large the
    # caches are, the model may well be read from them, faster than from memory.
    assert 0 < f["share"] <= (1.1 if cache_bytes else 20)
    assert ("profile" in f) == profiled
    if not profiled:
        return
    ops = {op["name"]: op for op in f["profile"]["operators"]}
    assert set(ops) <= OPERATORS and set(ops) >= OPERATORS - {"quantize"}
    assert 0.5 < sum(op["time_share"] for op in ops.values()) <= 1
    assert all(op["ms"] > 0 for op in ops.values())
    linears = [ops[name] for name in ("qkv", "o", "gate_up", "down", "lm_head")]
    assert sum(op["bytes"] for op in linears) + ops["attention"]["bytes"] == pytest.approx(f["bytes"])
    assert sum(op["operations"] for op in linears) + ops["attention"]["operations"] == pytest.approx(f["operations"])


def stored_elements(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
    return sum(math.prod(t["shape"]) for name, t in header.items() if name != "__metadata__")


def test_a_report(tmp_path):
    done, r = report(tmp_path, DEMO, "--quantization", "all", "--batch", "1,3", "--context", "40", "--prompt-len", "48",
                     "--threads", "1", "--repeat", "2", "--profile")
    assert r["weights"] == "stored" and r["threads"] == 1 and r["kv_cache_dtype"] == "bfloat16"
    assert r["architecture"] == "LlamaForCausalLM" and r["parameters"] == stored_elements(DEMO / "model.safetensors")
    assert set(r["limits"]) == {"memory", "int8", "bfloat16", "float32"}
    for limit in r["limits"].values():
        check_spread(limit)
        assert limit["how"] and limit["min"] <= limit["limit"] <= limit["max"] and 0 < limit["cpu_share"] < 1.1
    steps = [(f["quantization"], f["step"], f["batch"], f["context"], f["tokens_per_step"]) for f in r["figures"]]
    assert steps == [(q, *step) for q in ("bfloat16", "int8", "int8-w8a16", "int4")
                     for step in (("prefill", 1, 48, 48), ("decode", 1, 40, 1), ("decode", 3, 40, 3))]
    for f in r["figures"]:
        check_figure(f, True, r["cache_bytes"])
    # The bytes of a decode: weights, and 6 layers of 2 heads of 64, key and value, in bfloat16.
    kv = 6 * 2 * 64 * 2 * 2
    assert r["figures"][2]["bytes"] - r["figures"][1]["bytes"] == 2 * 41 * kv
    sizes = r["weight_bytes"]
    assert sizes["bfloat16"] > sizes["int8"] == sizes["int8-w8a16"] > sizes["int4"] > 0
    # For people: a line for each figure, and the profile's operators.
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[:4] for line in lines if line[1:2] in (["prefill"], ["decode"])] == [list(map(str, s[:4])) for s in steps]
    assert sum(line[:1] == ["attention"] for line in lines) == len(steps)
    assert "decode, batch 3, context 40" in done.stderr


def test_shape_alone(tmp_path):
    done, r = report(tmp_path, "--model", config_with(tmp_path, max_position_embeddings=24, num_hidden_layers=1),
                     "--quantization", "none,bf16", "--batch", "1", "--context", "16,100,200", "--repeat", "1")
    assert r["weights"] == "random"
    assert [(f["step"], f["context"]) for f in r["figures"]] == [("prefill", 24), ("decode", 16), ("decode", 24)]
    assert "the prompt's length 512 is lowered to the model's 24 positions" in done.stderr
    assert "context 200 is lowered to the model's 24 positions" in done.stderr
    assert "random weights" in done.stderr
    for f in r["figures"]:
        check_figure(f, False, r["cache_bytes"])


def test_gpu(tmp_path):
    """On the GPU's backend (kernels as host code): the same figures, without limits where the device has none."""
    model = config_with(tmp_path, num_hidden_layers=1)
    work = [model, "--device", "cuda", "--cuda-plugin", PLUGIN, "--prompt-len", "8,20", "--batch", "1,2", "--context", "24", "--repeat", "1"]
    done, r = report(tmp_path, *work, "--quantization", "bf16,int8")
    assert r["device"] == "cuda" and r["gpu"] == "host shim" and r["limits"] == {} and "threads" not in r
    assert [(f["quantization"], f["step"], f["batch"], f["context"]) for f in r["figures"]] == [
        (q, *step) for q in ("bfloat16", "int8")
        for step in (("prefill", 1, 8), ("prefill", 1, 20), ("decode", 1, 24), ("decode", 2, 24))]
    for f in r["figures"]:
        check_spread(f["step_ms"])
        assert f["bytes"] > 0 and f["operations"] > 0 and "share" not in f and "limit_ms" not in f
    assert "not known" in done.stdout and "asking the GPU" in done.stderr
    report(tmp_path, *work, "--enforce-eager", "--no-async-scheduling")
    assert "--profile goes with --device cpu" in refused(2, *work, "--profile")
    assert "cannot be read" in refused(1, model, "--device", "cuda", "--cuda-plugin", tmp_path / "none.so")


def test_quiet(tmp_path):
    done, _ = report(tmp_path, DEMO, "--batch", "1", "--context", "8", "--prompt-len", "8", "--repeat", "1", "--no-progress",
                     "--quantization", "float32", "--kv-cache-dtype", "float32", "--block-size", "32", "--cpu-isa", "avx2")
    assert done.stderr == ""


def test_refusals(tmp_path):
    assert "--batch: \"x\" is no whole number" in refused(2, DEMO, "--batch", "x")
    assert "did you mean --context?" in refused(2, DEMO, "--contxt", "3")
    assert "has no config.json" in refused(1, tmp_path)
    assert "unknown instruction set avx9" in refused(2, DEMO, "--cpu-isa", "avx9")
    big = config_with(tmp_path, num_hidden_layers=1000, hidden_size=65536, intermediate_size=262144)
    assert "can be used here" in refused(1, big, "--batch", "1")
    assert "GiB of KV-cache" in refused(1, config_with(tmp_path, max_position_embeddings=1 << 20), "--batch", "8192", "--context", 1 << 20)
    done = bench("--help")
    assert done.returncode == 0 and "the limit of a step" in done.stdout

