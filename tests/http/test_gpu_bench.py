"""tests/bench/gpu_bench.py, which a GPU's owner runs: on the GPU's backend with kernels as host code and a tiny model."""

import json
import pathlib
import subprocess
import sys

import pytest
from harness import BINARY, ROOT, SLOW

sys.path.insert(0, str(ROOT / "tests/bench"))
import gpu_load  # noqa: E402

PLUGIN = pathlib.Path(BINARY).resolve().parent / "libinferd-cuda-host.so"


def bench(out, *args, plugin=PLUGIN):
    command = [sys.executable, ROOT / "tests/bench/gpu_bench.py", "--binary", BINARY, "--plugin", plugin, "--tiny", "--out", out, *args]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=240 * SLOW)
    assert done.stderr == "", done
    return done.returncode, done.stdout.splitlines()[-1], json.loads((out / "report.json").read_text()), (out / "report.md").read_text()


def test_all_steps(tmp_path):
    code, last, r, page = bench(tmp_path, "--variant", "INFERD_CUDA_HOST_STREAM=late --enforce-eager")
    assert (code, last) == (0, "4 passed, 0 failed"), r["steps"]
    assert [s["name"] for s in r["steps"]] == ["engine tiny", "server", "switches", "disk"]
    assert len(r["engine"]["tiny"]["figures"]) == 2 * (2 + 4) and r["engine"]["tiny"]["gpu"] == "host shim"
    mixed = r["server"]["mixed"]
    assert mixed["requests"] == 12 and mixed["answers"] == 11 and mixed["left"] == 1 and mixed["output_tokens"] >= 33
    for figures in (mixed, r["server"]["load"], *(v["server"][0] for v in r["switches"])):
        assert figures["tokens_per_s"] > 0 and 0 < figures["ttft_ms_p50"] <= figures["ttft_ms_p99"]
        assert figures["itl_ms_p50"] <= figures["itl_ms_p99"]
    assert [v["name"] for v in r["switches"]] == ["as it is", "--enforce-eager", "--no-async-scheduling", "--no-kernel-overlap",
                                                  "INFERD_CUDA_HOST_STREAM=late --enforce-eager"]
    assert all(set(v["decode"]) == {"1", "2"} for v in r["switches"])
    assert set(r["disk"]) == {"write_s", "ready_s_bf16", "ready_s_int8"} and not (tmp_path / "checkpoint").exists()
    for head in ("## Engine: tiny on host shim", "## Server", "## Switches", "## From disk", "| disk |"):
        assert head in page
    assert "| int8 | decode | 2 | 48 |" in page and "FAILED" not in page


def test_a_step_that_fails_leaves_the_others(tmp_path):
    code, last, r, page = bench(tmp_path, "--only", "switches", "disk", "--variant=--no-such-option")
    assert (code, last) == (1, "1 passed, 1 failed")
    assert "no-such-option" in r["steps"][0]["failed"] and r["steps"][1]["failed"] is None
    assert len(r["switches"][0]["server"]) == 1 and "as it is" in page and "FAILED" in page
    code, last, r, _ = bench(tmp_path / "none", "--only", "engine", "server", plugin=tmp_path / "none.so")
    assert (code, last) == (1, "0 passed, 2 failed") and all("none.so" in s["failed"] for s in r["steps"])
    code, last, r, _ = bench(tmp_path / "disk", "--only", "disk", "--disk", "0")
    assert (code, last) == (1, "0 passed, 1 failed") and "may be used (--disk)" in r["steps"][0]["failed"]


def test_answers_that_are_not_whole():
    body = {"max_tokens": 5}
    assert gpu_load.check(body, "length", 5, {})["tokens"] == 5
    for reason, tokens in (("stop", 5), ("length", 4), ("length", None), (None, 5)):
        with pytest.raises(gpu_load.Failure):
            gpu_load.check(body, reason, tokens, {})
    with pytest.raises(gpu_load.Failure):
        list(gpu_load.events([b'data: {"choices": []}\n']))


def test_requests_are_mixed():
    requests = list(gpu_load.mixed_requests(64, 1000, 1500, 128))
    assert len(requests) == 64 and all(max(b["prompt"]) < 1000 and 64 <= b["max_tokens"] <= 128 for b, _ in requests)
    assert sum(len(b["prompt"]) >= 750 for b, _ in requests) == 16 and sum(len(b["prompt"]) < 100 for b, _ in requests) == 48
    assert sum(leaves for _, leaves in requests) == 8 and all(b["stream"] for b, leaves in requests if leaves)
    assert {(b["stream"], "seed" in b) for b, _ in requests} == {(s, d) for s in (False, True) for d in (False, True)}
    assert gpu_load.percentile([3, 1, 2], 0.5) == 2 and gpu_load.percentile([3, 1, 2], 0.99) == 3 and gpu_load.percentile([], 0.5) is None
