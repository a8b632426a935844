"""/metrics as Prometheus reads it: format, names, and figures that agree with what was sent."""

import re
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness import CHATML, CONFIG, CONTEXT, IS_STORIES, MODEL_NAME, RUN_ON, Server
from ops import Client


# vLLM's, but for those of features that do not exist here (LoRA, speculation, sleep, KV transfer).
VLLM = {
    "gauge": """num_requests_running num_requests_waiting num_requests_waiting_by_reason kv_cache_usage_perc
                cache_config_info""",
    "counter": """prompt_tokens generation_tokens num_preemptions request_success prefix_cache_queries
                  prefix_cache_hits admission_rejections""",
    "histogram": """time_to_first_token_seconds inter_token_latency_seconds time_per_output_token_seconds
                    request_time_per_output_token_seconds e2e_request_latency_seconds request_queue_time_seconds
                    request_prefill_time_seconds request_decode_time_seconds request_inference_time_seconds
                    request_prompt_tokens request_generation_tokens request_max_num_generation_tokens
                    request_params_n request_params_max_tokens iteration_tokens_total""",
}
EDGES = {
    "time_to_first_token_seconds": ".001 .005 .01 .02 .04 .06 .08 .1 .25 .5 .75 1 2.5 5 7.5 10 20 40 80 160 640 2560",
    "inter_token_latency_seconds": ".001 .002 .005 .01 .025 .05 .075 .1 .15 .2 .3 .4 .5 .75 1 2.5 5 7.5 10 20 40 80",
    "e2e_request_latency_seconds": ".3 .5 .8 1 1.5 2 2.5 5 10 15 20 30 40 50 60 120 240 480 960 1920 7680",
    "request_prompt_tokens": "1 2 5 10 20 50 100 200 500 1000" + " 2000" * (CONTEXT > 1000),
    "iteration_tokens_total": "1 8 16 32 64 128 256 512 1024 2048 4096 8192 16384",
}


@pytest.fixture(scope="module")
def server():
    with Server("--chat-template", CHATML, "--no-enable-prefix-caching", "--max-num-seqs", "4") as s:
        yield s
        s.wait_idle()


def text_of(server):
    status, headers, data = server.request("GET", "/metrics")
    assert status == 200 and headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return data.decode()


def families(server):
    return {f.name: f for f in text_string_to_metric_families(text_of(server))}


def value(fams, name, none_is_0=False, **labels):
    """Sum over the samples called `name` whose labels agree."""
    found = [s.value for f in fams.values() for s in f.samples
             if s.name == name and all(s.labels.get(k) == v for k, v in labels.items())]
    assert found or none_is_0, name
    return sum(found)


def test_text_format(server):
    """What the format asks for and lenient parsers let pass."""
    text = text_of(server)
    assert text.endswith("\n")
    seen, series, current = set(), set(), None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split(" ")[2]
            assert current not in seen and len(line.split(" ", 3)[3]) > 3, line
            seen.add(current)
            kind = None
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current and kind in ("gauge", "counter", "histogram"), line
        else:
            m = re.fullmatch(r'([a-zA-Z_:][\w:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)', line)
            assert m and kind, line
            base = m[1]
            if kind == "histogram":
                base = re.sub(r"_(bucket|sum|count)$", "", base)
            assert base == current, f"{line} outside its family {current}"
            assert (m[1], m[2]) not in series, f"twice: {line}"
            series.add((m[1], m[2]))
            assert float(m[3]) >= 0, line
            if kind == "counter":
                assert m[1].endswith("_total"), line


def test_promtool_finds_nothing_wrong(server):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed (Debian package prometheus)")
    done = subprocess.run(["promtool", "check", "metrics"], input=text_of(server), text=True, capture_output=True)
    # Colons in names and a counter-like histogram name are vLLM's; promtool calls them style.
    complaints = [line for line in (done.stdout + done.stderr).splitlines()
                  if line and "should not contain ':'" not in line and "iteration_tokens_total" not in line]
    assert not complaints, complaints


def test_names_and_labels(server):
    fams = families(server)
    for kind, names in VLLM.items():
        for name in names.split():
            family = fams["vllm:" + name]
            assert family.type == kind, name
            for s in family.samples:
                assert s.labels["model_name"] == MODEL_NAME and s.labels["engine"] == "0", s
    reasons = {s.labels["finished_reason"] for s in fams["vllm:request_success"].samples}
    assert reasons == {"stop", "length", "abort", "error"}
    waiting = {s.labels["reason"] for s in fams["vllm:num_requests_waiting_by_reason"].samples}
    assert waiting == {"capacity", "deferred"}
    info = fams["vllm:cache_config_info"].samples[0]
    assert info.value == 1 and info.labels["block_size"] == "16" and info.labels["cache_dtype"] == CONFIG["torch_dtype"]
    assert int(info.labels["num_gpu_blocks"]) > 0 and info.labels["enable_prefix_caching"] == "False"
    for name in ("process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds", "process_max_fds",
                 "process_start_time_seconds", "inferd:startup_seconds", "inferd:http_requests"):
        assert name in fams, name


def test_histograms_hold_together(server):
    for _ in range(3):
        assert server.post("/v1/completions", {"prompt": "Once", "max_tokens": 30, **RUN_ON})[0] == 200
    fams = families(server)
    for family in fams.values():
        if family.type != "histogram":
            continue
        edges = [float(s.labels["le"]) for s in family.samples if s.name.endswith("_bucket")]
        counts = [s.value for s in family.samples if s.name.endswith("_bucket")]
        assert edges == sorted(set(edges)) and edges[-1] == float("inf"), family.name
        assert counts == sorted(counts), family.name
        assert value(fams, family.name + "_count") == counts[-1] > 0, family.name
        total = value(fams, family.name + "_sum")
        at_least = sum((b - a) * lo for lo, a, b in zip([0] + edges, [0] + counts, counts))
        assert total >= at_least * 0.999, family.name
    for name, want in EDGES.items():
        have = [float(s.labels["le"]) for s in fams["vllm:" + name].samples if s.name.endswith("_bucket")][:-1]
        assert have == [float(e) for e in want.split()], name
    # A fast model is seen: its gaps are under vLLM's first edge, and told apart.
    assert value(fams, "vllm:inter_token_latency_seconds_bucket", le="0.01") > 0


def test_counters_agree_with_what_was_sent(server):
    story = server.post("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 40, "temperature": 0,
                                            **RUN_ON})[1]["choices"][0]["text"]
    stop = "girl" if IS_STORIES else story[20:24]
    server.wait_idle()
    before = families(server)
    sent = [("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 7, "temperature": 0,
                                  **RUN_ON}),
            ("/v1/completions", {"prompt": ["Once", "Lily"], "max_tokens": 3, "n": 2, "ignore_eos": True}),
            ("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 200, "temperature": 0, "stop": stop,
                                  **RUN_ON}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5,
                                      "ignore_eos": True})]
    prompt = generated = 0
    for path, body in sent:
        status, answer = server.post(path, body)
        assert status == 200, answer
        prompt += answer["usage"]["prompt_tokens"]
        generated += answer["usage"]["completion_tokens"]
    for path, body in (("/v1/completions", {"prompt": 1.5}), ("/v1/completions", {"prompt": "a", "model": "no"})):
        assert server.post(path, body)[0] in (400, 404)
    # One more that leaves.
    c = Client(server, {"prompt": "Once", "max_tokens": 490, "ignore_eos": True, "n": 4, "stream": True})
    c.read_until(b"data: ").reset()
    server.wait_idle()
    after = families(server)

    def grown(name, **labels):
        # A route has no series before its first request.
        return value(after, name, **labels) - value(before, name, **labels, none_is_0="route" in labels)

    success = {r: grown("vllm:request_success_total", finished_reason=r) for r in ("stop", "length", "abort", "error")}
    assert success["stop"] == 1 and success["error"] == 0, success
    assert success["abort"] == 1, success
    assert success["length"] == 4, success  # the batch is two requests
    left = grown("vllm:request_generation_tokens_sum") - generated
    assert left >= 1  # what the last client did not wait for
    assert grown("vllm:request_prompt_tokens_sum") - prompt in (1, 2)
    assert grown("vllm:request_prompt_tokens_count") == 6
    assert grown("vllm:time_to_first_token_seconds_count") == 6
    assert grown("vllm:e2e_request_latency_seconds_count") == 6
    assert grown("vllm:request_params_n_sum") == 1 + 2 + 2 + 1 + 1 + 4
    # The model runs on for the moment until it hears of a stop string or of a client that left.
    assert grown("vllm:generation_tokens_total") >= generated + left
    assert grown("vllm:prompt_tokens_total") >= prompt
    assert grown("inferd:http_requests_total", route="/v1/completions", status="200") == 4
    assert grown("inferd:http_requests_total", route="/v1/chat/completions", status="200") == 1
    assert grown("inferd:http_requests_total", route="/v1/completions", status="400") == 1
    for gauge in ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"):
        assert value(after, gauge) == 0


def test_tokens_are_counted_exactly(server):
    server.wait_idle()
    before = families(server)
    status, answer = server.post("/v1/completions", {"prompt": ["Once upon", "Lily went to"], "max_tokens": 23, "n": 2,
                                                     "ignore_eos": True})
    assert status == 200
    server.wait_idle()
    after = families(server)

    def grown(name):
        return value(after, name) - value(before, name)

    assert grown("vllm:prompt_tokens_total") == answer["usage"]["prompt_tokens"]
    assert grown("vllm:generation_tokens_total") == answer["usage"]["completion_tokens"] == 2 * 2 * 23
    assert grown("vllm:inter_token_latency_seconds_count") == 2 * 2 * 22
    # Every token but each choice's last is computed.
    assert grown("vllm:iteration_tokens_total_sum") >= answer["usage"]["prompt_tokens"] + 2 * 2 * 22
    assert grown("vllm:iteration_tokens_total_count") == grown("inferd:steps_total") >= 23


def test_hostile_model_name_is_escaped():
    name = 'a"b\\c\nd}é'
    with Server("--served-model-name", name, "--no-log-requests") as s:
        assert {x.labels["model_name"] for x in families(s)["vllm:num_requests_running"].samples} == {name}
        test_text_format(s)


def test_metrics_can_be_switched_off():
    with Server("--disable-metrics") as s:
        assert s.get("/metrics")[0] == 404
        assert s.post("/v1/completions", {"prompt": "Hi", "max_tokens": 2})[0] == 200
