"""tests/bench/compare: inferd alone, and beside peers that print what real ones were seen to print."""

import json
import os
import pathlib
import shlex
import statistics
import subprocess

import pytest

from harness import BINARY, ROOT, SLOW

PEERS = pathlib.Path(__file__).resolve().parent / "peers"
PROGRAMS = ("llama-bench", "llama-batched-bench", "llama-server")
ALONE = ["--precisions", "int8,int4", "--threads", 1, "--rounds", 1, "--repeat", 1, "--prompt-len", 32, "--batches", "1,2", "--context", 16,
         "--streams", 2, "--input-len", 8, "--output-len", 4]
# The work of the recordings.
RECORDED = ["--threads", 2, "--rounds", 2, "--repeat", 3, "--prompt-len", 512, "--batches", "1,16", "--context", 128, "--streams", 4,
            "--requests", 8, "--input-len", 10, "--output-len", 5]
BATCHED = {"ik": {1: 17.23, 16: 27.54}}


def compare(*args, env=None):
    return subprocess.run([str(ROOT / "tests/bench/compare"), "--inferd", BINARY, "--timeout", str(60 * SLOW), *map(str, args)],
                          capture_output=True, text=True, timeout=600 * SLOW, env={**os.environ, **(env or {})})


def report(tmp_path, *args):
    done = compare("--json", tmp_path / "report.json", *args)
    assert done.returncode == 0, done
    return done, json.loads((tmp_path / "report.json").read_text())


def fails(code, *args, env=None):
    done = compare(*args, env=env)
    assert done.returncode == code and "Traceback" not in done.stderr, done
    return done.stderr


def peer(tmp_path, kind):
    """The options for a folder with the fake programs of a peer, and a file that begins as a model."""
    folder, model = tmp_path / kind / "bin", tmp_path / "model-Q8_0.gguf"
    folder.mkdir(parents=True)
    for program in PROGRAMS:
        (folder / program).write_text(f"#!/bin/sh\nexec {shlex.quote(str(PEERS / 'fake_peer.py'))} {kind} {program} \"$@\"\n")
        (folder / program).chmod(0o755)
    model.write_bytes(b"GGUF")
    return ["--peer", folder.parent, "--peer-model", f"int8={model}"]


def test_alone(tmp_path):
    done, r = report(tmp_path, *ALONE)
    figures = [row["figure"] for row in r["results"] if row["precision"] == "int4"]
    assert figures == ["prefill 32, tokens/s", "decode, batch 1, context 16, tokens/s", "decode, batch 2, context 16, tokens/s",
                       "2 streams, output tokens/s", "2 streams, all tokens/s", "2 streams, p50 between tokens, ms",
                       "2 streams, p99 between tokens, ms"]
    assert [row["figure"] for row in r["results"] if row["precision"] == "int8"] == figures
    for row in r["results"]:
        assert row["peers"] == [] and len(row["inferd"]) == len(row["others"]["inferd"]) == 1
        assert row["inferd"][0] > 0 or "between" in row["figure"]
        assert f"{row['figure']}" in done.stdout
    assert r["peers"] == [] and r["settings"]["threads"] == 1


@pytest.mark.full
@pytest.mark.parametrize("kind", BATCHED)
def test_beside(tmp_path, kind):
    done, r = report(tmp_path, *peer(tmp_path, kind), *RECORDED, *(["--repack"] if kind == "ik" else []))
    recorded = json.loads((PEERS / f"{kind}_bench.json").read_text())[0]
    name = "ik_llama.cpp" if kind == "ik" else "llama.cpp"
    assert [p["name"] for p in r["peers"]] == [name] + ([name + " -rtr"] if kind == "ik" else [])
    assert r["peers"][0]["build"] == f"{recorded['build_commit']} ({recorded['build_number']})"
    rows = {row["figure"]: row for row in r["results"]}
    expected = {"prefill 512, tokens/s": statistics.median(recorded["samples_ts"]),
                **{f"decode, batch {b}, context 128, tokens/s": speed for b, speed in BATCHED[kind].items()}}
    for figure, theirs in expected.items():
        for p in rows[figure]["peers"]:
            assert p["values"] == [theirs, theirs] and p["weights"] == "model-Q8_0"
            assert p["ratios"] == pytest.approx([ours / theirs for ours in rows[figure]["inferd"]])
        assert f"{theirs:.2f}" in done.stdout
    for figure in ("output tokens/s", "all tokens/s"):
        assert all(v > 0 for v in rows[f"4 streams, {figure}"]["peers"][0]["values"])
    order = [line.split(": ")[1] for line in done.stderr.splitlines() if line.startswith("decode")]
    assert order == [*["inferd", *[p["name"] for p in r["peers"]]], *[*[p["name"] for p in r["peers"]][::-1], "inferd"]]


@pytest.mark.parametrize("broken, only, said", [
    ("fails", "prefill", "wrong number of tensors"), ("fails", "server", "wrong number of tensors"),
    ("hangs", "decode", "Give a larger --timeout"), ("short", "server", "output_tokens is 32, not 40")])
def test_a_peer_that_does_not_do_its_work(tmp_path, broken, only, said):
    message = fails(1, *peer(tmp_path, "ik"), *RECORDED, "--rounds", 1, "--only", only, *(["--timeout", 20] if broken == "hangs" else []),
                    env={"FAKE_PEER": broken})
    assert said in message and message.splitlines()[-1] != ""


@pytest.mark.parametrize("args, said", [
    (["--batches", "1,32"], "reported the batches [1, 16], not [1, 32]"), (["--context", 64], "reported the batches [], not [1, 16]"),
    (["--context", 8], "--context must be above 8"), (["--only", "prefill", "--repeat", 2], "did not report 2 runs of 512 tokens")])
def test_a_report_of_other_work(tmp_path, args, said):
    assert said in fails(1, *peer(tmp_path, "ik"), *RECORDED, "--rounds", 1, "--only", "decode", *args)


def test_refusals(tmp_path):
    given = peer(tmp_path, "ik")
    text = tmp_path / "text"
    text.write_text("no model")
    for args, said in [
            (["--peer", tmp_path, *given[2:]], f"{tmp_path} has no llama-batched-bench, llama-bench, llama-server"),
            (given[:2], "has no --peer-model"), (given[2:], "--peer-model without a --peer"),
            ([*given, "--precisions", "int4"], "no --peer-model int4=FILE"), ([*given, "--precisions", "fp8"], "\"fp8\" is none of int8"),
            ([*given[:2], "--peer-model", f"int8={text}"], "is no GGUF file"),
            ([*given[:2], "--peer-model", f"int8={tmp_path}/absent"], "No such file"),
            ([*given[:2], "--peer-model", f"2:int8={text}"], "there are 1 --peer"),
            ([*given[:2], "--peer-model", "q8=x"], "PRECISION one of int8, int4, bf16"),
            (["--model", tmp_path], "no config.json there"), (["--batches", "1,x"], "\"x\" is no whole number"),
            (["--inferd", tmp_path / "absent"], "run make, or give --inferd"), (["--only", "train"], "\"train\" is none of prefill")]:
        message = fails(1 if "llama-server" in said else 2, *args)
        assert said in message, (args, message)
