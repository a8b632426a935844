"""A whole server on the GPU backend, whose kernels run as host code (tests/cuda_host): steps planned ahead,
prefix reuse, clients that leave, a device that fails.  The model is tiny: such kernels are slow."""

import concurrent.futures
import json
import pathlib

import pytest
from harness import BINARY, STORIES, Server
from ops import Client, dummy_model, wait_for

PLUGIN = pathlib.Path(BINARY).resolve().parent / "libinferd-cuda-host.so"
TINY = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 16, "torch_dtype": "float32", "tie_word_embeddings": False}
COMMON = ["--load-format", "dummy", "--tokenizer", STORIES, "--seed", "3", "--max-num-seqs", "6",
          "--max-num-batched-tokens", "32", "--dtype", "float32", "--kv-cache-dtype", "float32",
          "--max-model-len", "96", "--kv-cache-memory-bytes", "64K", "--no-log-requests"]
CUDA = ["--device", "cuda", "--cuda-plugin", PLUGIN]
# How a server runs steps; late: nothing runs on the device before the host waits for it.
KINDS = {"ahead-late": ([], {"INFERD_CUDA_HOST_STREAM": "late"}),
         "one-by-one": (["--no-async-scheduling", "--no-kernel-overlap"], {})}
COMPLETIONS = "/v1/completions"
HELD, RUNNING = "inferd:kv_blocks_held", "vllm:num_requests_running"


def tiny_server(folder, *args, env=None, gpu=True):
    return Server(*COMMON, *(CUDA if gpu else []), *args, model=dummy_model(folder, **TINY), env=env)


def body(prompt, n_tokens=6, **more):
    return {"prompt": prompt, "max_tokens": n_tokens, "temperature": 0, "ignore_eos": True,
            "return_token_ids": True, **more}


LONG = "The dog and the cat ran to the big tree and sat down. "
GREEDY = [
    body("Once", 5),
    body("Lily", 1),
    body(LONG, 3, logprobs=3),
    body("Tom", 5, repetition_penalty=1.3, presence_penalty=0.4),
    body("Sam", 4, frequency_penalty=1.5, n=2),
    body("Sam", 4, logit_bias={"300": 4, "17": -100}),
    body("Anna", 4, min_tokens=3, ignore_eos=False),
]
DRAWN = [
    body("Once", 4, temperature=0.8, seed=12, top_p=0.7, n=2),
    body("Max", 4, temperature=1.2, seed=13, top_k=20, min_p=0.02, logprobs=2),
    body("Max", 4, temperature=1, seed=14, repetition_penalty=1.2),
]


@pytest.fixture(scope="module")
def cpu(tmp_path_factory):
    with tiny_server(tmp_path_factory.mktemp("cpu"), gpu=False) as s:
        yield s


@pytest.fixture(scope="module", params=KINDS)
def gpu(request, tmp_path_factory):
    args, env = KINDS[request.param]
    with tiny_server(tmp_path_factory.mktemp("gpu"), *args, env=env) as s:
        yield s
        s.wait_idle()
        assert s.metric(HELD) == 0


def answer(server, request):
    status, data = server.post(COMPLETIONS, request, timeout=120)
    assert status == 200, data
    return data


def outputs(data):
    return [(c["token_ids"], c["text"], c["finish_reason"]) for c in data["choices"]]


def whole(server, request):
    return outputs(answer(server, request))


def streamed(server, request):
    parts = {}
    for event in server.stream(COMPLETIONS, request):
        for c in event["choices"]:
            ids, text, finish = parts.get(c["index"], ([], "", None))
            parts[c["index"]] = (ids + c.get("token_ids", []), text + c["text"], c["finish_reason"] or finish)
    return [parts[i] for i in sorted(parts)]


def check_logprobs(got, want):
    for a, b in zip(got["choices"], want["choices"], strict=True):
        if b["logprobs"]:
            for x, y in zip(a["logprobs"]["token_logprobs"], b["logprobs"]["token_logprobs"], strict=True):
                assert x == y or abs(x - y) < 1e-3


def test_answers_are_those_of_a_cpu(cpu, gpu):
    """All at once, every other one streamed: greedy ones have the CPU's text, drawn ones that which they
    had alone."""
    assert "device=cuda" in gpu.log and "device=cpu" in cpu.log
    requests = GREEDY + DRAWN
    wanted = [answer(cpu, r) for r in GREEDY] + [answer(gpu, r) for r in DRAWN]
    with_logprobs = next(i for i, r in enumerate(requests) if "logprobs" in r)
    check_logprobs(answer(gpu, requests[with_logprobs]), wanted[with_logprobs])
    with concurrent.futures.ThreadPoolExecutor(len(requests)) as pool:
        running = [pool.submit(streamed if i % 2 else whole, gpu, r) for i, r in enumerate(requests)]
        for r, f, want in zip(requests, running, wanted, strict=True):
            assert f.result() == outputs(want), r


def test_stops_that_are_seen_a_step_late(cpu, gpu):
    """Stop ids and stop strings: exactly up to there, whatever the device has drawn beyond; and the
    surplus is in no later answer that shares the prefix."""
    prompt = LONG + "Then"
    ids, text, _ = whole(cpu, body(prompt, 10))[0]
    cut = next(text[i:i + 3] for i in range(5, len(text)) if text.index(text[i:i + 3]) >= 5)
    for more in ({"stop_token_ids": [ids[5]]}, {"stop": [cut], "include_stop_str_in_output": True}):
        want = whole(cpu, body(prompt, 10, **more))
        assert want[0][2] == "stop"
        assert streamed(gpu, body(prompt, 10, **more)) == want, more
    done = answer(gpu, body(prompt, 10))
    assert outputs(done) == [(ids, text, "length")]
    assert done["usage"]["prompt_tokens_details"]["cached_tokens"] > 0


def test_clients_that_leave(gpu):
    free = gpu.metric(HELD)
    clients = [Client(gpu, {**body("Tom", 60), "stream": True, "seed": i}, timeout=120) for i in range(3)]
    clients[0].read_until(b"data: ")
    for c in clients:
        c.close()
    gpu.wait_metric(RUNNING, 0, 60)
    gpu.wait_metric(HELD, free, 60)
    assert whole(gpu, GREEDY[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_device_that_fails(tmp_path, kind):
    """From a moment on every wait for the device fails: running requests end with an error, the server
    is never ready again, and the process exits with 1."""
    args, env = KINDS[kind]
    broken = tmp_path / "broken"
    server = tiny_server(tmp_path / "model", *args, env={**env, "INFERD_CUDA_HOST_FAIL": str(broken)})
    assert whole(server, GREEDY[0])[0][2] == "length"
    stream = Client(server, {**body("Once", 80), "stream": True}, timeout=120).read_until(b"data: ", 2)
    plain = [Client(server, body(p, 80), timeout=120) for p in ("Tom", "Lily")]
    server.wait_metric(RUNNING, 3)
    broken.touch()
    for c in [stream, *plain]:
        c.read_all()
    assert "[DONE]" not in stream.events
    error = json.loads(stream.events[-1])["error"]
    assert error["type"] == "server_error" and error["message"], error
    for c in plain:
        assert c.status == 500 and json.loads(c.body)["error"]["message"], c.buffer[:300]
    try:  # from here on never ready again, up to the end
        status, data = server.get("/health/ready")
        assert status == 503 and json.loads(data)["reason"] == "engine_failed"
    except OSError:
        pass
    wait_for("the end", lambda: server.process.poll() is not None)
    assert server.process.wait() == 1
    server.reader.join(10)
    assert "engine_failed" in server.log and "the host shim failed" in server.log
    assert "Sanitizer" not in server.log, server.log
