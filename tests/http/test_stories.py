"""stories260K over HTTP: the reference's ids and text however the server is set up."""

import concurrent.futures
import json

import pytest

from harness import CHATML, SHARED, STORIES, Server

pytestmark = pytest.mark.shared
CASES = json.loads((STORIES / "expected.json").read_text())["cases"] if SHARED.is_dir() else []


def body_of(case, **more):
    return {"prompt": case["prompt"], "max_tokens": len(case["ids"]), "temperature": 0, "ignore_eos": True,
            "return_token_ids": True, "skip_special_tokens": True, **more}


def check(server, **more):
    for case in CASES:
        status, done = server.post("/v1/completions", body_of(case, **more))
        assert status == 200, done
        choice = done["choices"][0]
        assert choice["token_ids"] == case["ids"]
        assert choice["text"] == case["text"]
        assert choice.get("prompt_token_ids", done.get("prompt_token_ids")) == case["prompt_ids"]


def check_from_the_middle(server, cut=100):
    """The story goes on the same when the prompt is its first part, met for the first time or found
    in the prefix cache."""
    cached = []
    for case in CASES:
        for _ in range(3):
            status, done = server.post("/v1/completions", body_of(case, prompt=case["prompt_ids"] + case["ids"][:cut],
                                                                  max_tokens=len(case["ids"]) - cut))
            assert status == 200, done
            assert done["choices"][0]["token_ids"] == case["ids"][cut:]
            cached.append(done["usage"]["prompt_tokens_details"]["cached_tokens"])
    return cached


def check_in_company(server, n=32):
    def other(i):
        return server.post("/v1/completions", {
            "prompt": f"{i} " + "The dog and the cat ran to the big tree. " * (i % 7 + 1), "max_tokens": 40 + 5 * i,
            "temperature": i % 3 / 2, "seed": i, "n": 1 + i % 2, "ignore_eos": True})[0]

    with concurrent.futures.ThreadPoolExecutor(n + 4) as pool:
        others = [pool.submit(other, i) for i in range(n)]
        for _ in range(3):
            list(pool.map(lambda _: check(server), range(4)))
        assert [f.result() for f in others] == [200] * n


def test_alone(stories):
    check(stories)


def test_streamed_equals_unstreamed(stories):
    for case in CASES:
        events = stories.stream("/v1/completions", body_of(case))
        assert "".join(e["choices"][0]["text"] for e in events) == case["text"]
        assert len(events) == len(case["ids"])  # one event per token
        assert [i for e in events for i in e["choices"][0]["token_ids"]] == case["ids"]


def test_logprobs(stories):
    for case in CASES:
        _, done = stories.post("/v1/completions", body_of(case, logprobs=0))
        got = done["choices"][0]["logprobs"]["token_logprobs"]
        assert max(abs(a - b) for a, b in zip(got, case["logprobs"], strict=True)) < 1e-3


def test_in_company(stories):
    check_in_company(stories)


def test_same_seed_same_text_whatever_else_runs(stories):
    body = {"prompt": "Once upon a time", "max_tokens": 100, "temperature": 1.1, "seed": 99, "top_p": 0.9, "n": 2}
    alone = [c["text"] for c in stories.post("/v1/completions", body)[1]["choices"]]
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        for _, done in pool.map(lambda i: stories.post("/v1/completions", {**body, "seed": 99 if i % 2 else i}), range(24)):
            pass
        again = list(pool.map(lambda i: stories.post("/v1/completions", body)[1], range(24)))
    for done in again:
        assert [c["text"] for c in done["choices"]] == alone


@pytest.mark.parametrize("options", [
    ["--max-num-batched-tokens", "16", "--max-num-seqs", "16"],
    ["--no-enable-prefix-caching"],
    ["--kv-cache-memory-bytes", "1M", "--max-num-seqs", "24"],
    ["--block-size", "64"],
    ["--cpu-isa", "scalar"],
    ["--cpu-isa", "avx2"],
    ["--threads", "1"],
    ["--threads", "4"],
], ids=lambda o: "_".join(o).strip("-"))
@pytest.mark.full
def test_every_setup_gives_the_same_ids(options):
    with Server(*options) as s:
        check(s)
        check_in_company(s, 16)
        check(s)
        cached = check_from_the_middle(s)
        if "--kv-cache-memory-bytes" in options:
            assert s.metric("vllm:num_preemptions_total") > 0
        if "--no-enable-prefix-caching" not in options:
            assert cached[-1] > 0 and s.metric("vllm:prefix_cache_hits_total") >= cached[-1]
        else:
            assert cached[-1] == 0
        s.wait_idle()
        assert s.metric("vllm:kv_cache_usage_perc") == 0


def test_prefix_cache_under_dynamic_rope(tmp_path):
    """Beyond the original context keys turn with the prompt's length: another prompt may not have them."""
    for file in STORIES.iterdir():
        if file.name != "config.json":
            (tmp_path / file.name).symlink_to(file)
    config = json.loads((STORIES / "config.json").read_text())
    config |= {"max_position_embeddings": 128, "rope_scaling": {"type": "dynamic", "factor": 4.0}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    ids = CASES[0]["prompt_ids"] + CASES[0]["ids"]
    cached = 0
    with Server(model=tmp_path) as s, Server("--no-enable-prefix-caching", model=tmp_path) as plain:
        for n in (100, 110, 150, 180, 90, 140, 200):
            body = {"prompt": ids[:n], "max_tokens": 40, "temperature": 0, "ignore_eos": True,
                    "return_token_ids": True, "logprobs": 0}
            done, expected = (x.post("/v1/completions", body)[1] for x in (s, plain))
            assert done["choices"][0]["token_ids"] == expected["choices"][0]["token_ids"], n
            got = zip(*(d["choices"][0]["logprobs"]["token_logprobs"] for d in (done, expected)), strict=True)
            assert max(abs(a - b) for a, b in got) < 1e-3, n
            cached += done["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached > 0


@pytest.mark.parametrize("scheme, n_same", [("int8", 20), ("int8-w8a16", 20), ("int4", 5)])
def test_quantised_weights_run(scheme, n_same):
    with Server("--quantization", scheme) as s:
        status, done = s.post("/v1/completions", body_of(CASES[0]))
        assert status == 200 and done["usage"]["completion_tokens"] == len(CASES[0]["ids"])
        same = sum(a == b for a, b in zip(done["choices"][0]["token_ids"], CASES[0]["ids"]))
        assert same >= n_same  # rounding moves a choice sooner or later; the start agrees
