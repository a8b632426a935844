"""What a request's prompt is without running it: the render endpoints, the server that has nothing
else, and long prompts that must not hold up anybody.  Ids are held against PyPI tokenizers, texts
against Jinja2."""

import json
import shutil
import signal
import subprocess
import threading
import time

import jinja2
import jsonschema
import pytest
import tokenizers

from harness import BINARY, CHATML, CONTEXT, IS_STORIES, MODEL_NAME, SHARED, SLOW, STORIES, VOCAB, Server
from ops import N_WORDS, SMALL, WORDS, Client, dummy_model, long_server, wait_for

FAMILIES = SHARED / "data/tokenizers"
TEXTS = ["Once upon a time", "", " two  spaces", "tab\tnew\nline", "naïve café – 東京 🙂🏽", "<s> </s> <unk>", "a\u0301"]
MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Tell me a story. 🙂"}]
COMPLETION, CHAT = "/v1/completions/render", "/v1/chat/completions/render"
ITEM = {"type": "object", "required": ["token_ids"], "additionalProperties": False,
        "properties": {"token_ids": {"type": "array", "items": {"type": "integer", "minimum": 0}}}}
SCHEMAS = {COMPLETION: {"type": "array", "items": ITEM}, CHAT: ITEM}
TOKENS = "vllm:generation_tokens_total"


def reference(folder=STORIES):
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


def chat_text(messages, add_generation_prompt=True):
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    return env.from_string(CHATML.read_text()).render(messages=messages, add_generation_prompt=add_generation_prompt)


def render(server, path, body):
    status, answer = server.post(path, body)
    assert status == 200, answer
    jsonschema.validate(answer, SCHEMAS[path])
    return [a["token_ids"] for a in answer] if path == COMPLETION else answer["token_ids"]


@pytest.fixture(scope="module")
def renderer():
    with Server("--chat-template", CHATML, command="render-server") as s:
        yield s


@pytest.fixture(params=["serve", "render-server"])
def server(request, stories, renderer):
    return stories if request.param == "serve" else renderer


# --- what comes out ----------------------------------------------------------------------------------

def test_completion_ids_are_the_reference_s(server):
    ref = reference()
    for text in TEXTS:
        assert render(server, COMPLETION, {"prompt": text}) == [ref.encode(text).ids]
    for text in filter(None, TEXTS):
        body = {"prompt": text, "add_special_tokens": False}
        assert render(server, COMPLETION, body) == [ref.encode(text, add_special_tokens=False).ids]


def test_every_prompt_of_a_batch_has_its_own_object(server):
    ref = reference()
    assert render(server, COMPLETION, {"prompt": TEXTS}) == [ref.encode(t).ids for t in TEXTS]
    assert render(server, COMPLETION, {"prompt": [1, 403, 407]}) == [[1, 403, 407]]
    assert render(server, COMPLETION, {"prompt": [[1, 403], [407]]}) == [[1, 403], [407]]
    bos, *rest = ref.encode("Once upon a time").ids
    assert [bos, *rest[-2:]] == [1, 261, 378] or not IS_STORIES
    assert render(server, COMPLETION, {"prompt": "Once upon a time", "truncate_prompt_tokens": 3}) == [[bos, *rest[-2:]]]


def test_chat_ids_are_the_template_s_text(server):
    ref = reference()
    for extra, text in (({}, chat_text(MESSAGES)), ({"add_generation_prompt": False}, chat_text(MESSAGES, False))):
        expected = ref.encode(text, add_special_tokens=False).ids
        assert render(server, CHAT, {"messages": MESSAGES, **extra}) == expected
    with_bos = ref.encode(chat_text(MESSAGES)).ids
    assert render(server, CHAT, {"messages": MESSAGES, "add_special_tokens": True}) == with_bos


def test_the_model_runs_on_what_was_rendered(stories):
    """The whole body of a generation is taken, and its prompt is the rendered one."""
    body = {"model": MODEL_NAME, "prompt": ["Once upon a time", "He"], "max_tokens": 1, "temperature": 0.5, "n": 2,
            "stop": ["x"], "seed": 1, "return_token_ids": True, "logprobs": 2}
    ids = render(stories, COMPLETION, body)
    choices = stories.post("/v1/completions", body)[1]["choices"]
    assert [c["prompt_token_ids"] for c in choices if c["index"] % 2 == 0] == ids
    body = {"messages": MESSAGES, "max_tokens": 1, "return_token_ids": True, "logprobs": True}
    assert stories.post("/v1/chat/completions", body)[1]["prompt_token_ids"] == render(stories, CHAT, body)
    assert render(stories, CHAT, {**body, "stream": True}) == render(stories, CHAT, body)


@pytest.mark.shared
@pytest.mark.parametrize("family", ["gpt-2", "phi-3-mini", "mistral-7b-v0.3"])
def test_directories_that_hold_a_tokenizer_alone(family):
    ref = reference(FAMILIES / family)
    with Server(model=FAMILIES / family, command="render-server") as s:
        assert s.ready_s < 2 * SLOW
        for text in TEXTS:
            if ref.encode(text).ids:
                assert render(s, COMPLETION, {"prompt": text}) == [ref.encode(text).ids]
        models = json.loads(s.get("/v1/models")[1])["data"]
        assert [(m["id"], m["max_model_len"]) for m in models] == [(family, None)]
        assert s.post("/tokenize", {"prompt": "abc"})[1]["max_model_len"] is None
        # No context is known: what the body's limit lets through is rendered.
        text = "word " * 200_000
        assert render(s, COMPLETION, {"prompt": text, "max_tokens": 10**6}) == [ref.encode(text).ids]


# --- what is refused ---------------------------------------------------------------------------------

BAD_COMPLETIONS = [
    {}, [], "no JSON", {"prompt": 7}, {"prompt": []}, {"prompt": [VOCAB]}, {"prompt": [-1]}, {"prompt": "x", "nope": 1},
    {"prompt": "x", "temperature": 9}, {"prompt": "x", "model": "other"}, {"prompt": "x", "n": 0},
    {"prompt": "x", "max_tokens": CONTEXT + 88}, {"prompt": "word " * (CONTEXT + 88)}, {"prompt": "x", "best_of": 3},
    {"prompt": "word " * 300_000}, {"prompt": ["x"] * 3000}, {"prompt": "x", "stream_options": {}},
    {"prompt": "", "add_special_tokens": False}, {"prompt": "x", "guided_json": {}}, '{"prompt": "\\ud800"}',
    '{"prompt": "a", "prompt": "b"}',
]
BAD_CHATS = [
    {}, {"messages": []}, {"messages": "x"}, {"messages": [{"role": "user"}]}, {"messages": MESSAGES, "max_tokens": CONTEXT + 88},
    {"messages": [{"role": "user", "content": "word " * (CONTEXT + 88)}]}, {"messages": MESSAGES, "top_logprobs": 1},
    {"messages": [{"role": "user", "content": "word " * 300_000}]}, {"messages": MESSAGES, "model": "other"},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
    {"messages": [{"role": "wizard", "content": "x"}]},
]


@pytest.mark.parametrize("path,bad", [("/v1/completions", b) for b in BAD_COMPLETIONS] +
                         [("/v1/chat/completions", b) for b in BAD_CHATS], ids=lambda v: str(v)[:40])
def test_refusals_are_those_of_the_generation(stories, renderer, path, bad):
    expected = stories.post(path, bad)
    assert expected[0] >= 400
    assert stories.post(path + "/render", bad) == expected
    assert renderer.post(path + "/render", bad) == expected


def test_an_empty_array_is_called_empty(renderer):
    for path, body in ((COMPLETION, {"prompt": []}), (CHAT, {"messages": []})):
        status, answer = renderer.post(path, body)
        assert status == 400 and answer["error"]["message"].endswith("; it is empty."), answer


def test_routes_are_like_others(server):
    for path in SCHEMAS:
        status, headers, _ = server.request("GET", path)
        assert status == 405 and headers["Allow"] == "POST, OPTIONS"
        status, _, data = server.request("POST", path, b"x", {"Content-Type": "multipart/form-data; boundary=x"})
        assert status == 415 and json.loads(data)["error"]["code"] == "unsupported_media_type"
        assert server.request("POST", path, {"prompt": "x"}, {"X-Request-Id": "r1"})[1]["X-Request-Id"] == "r1"


@pytest.mark.parametrize("command", ["serve", "render-server"])
def test_keys_limits_metrics(command):
    args = ("--api-key", "secret", "--max-body-size", "4K", "--max-model-len", "100")
    with Server(*args, command=command) as s:
        key = {"Authorization": "Bearer secret"}
        assert s.post(COMPLETION, {"prompt": "x"})[0] == 401
        assert s.post(COMPLETION, {"prompt": "x"}, headers=key)[0] == 200
        assert s.post(COMPLETION, {"prompt": "x" * 5000}, headers=key)[0] == 413
        status, answer = s.post(COMPLETION, {"prompt": "word " * 200}, headers=key)
        assert status == 400 and "100 tokens" in answer["error"]["message"], answer
        assert s.get("/health")[0] == s.get("/health/live")[0] == 200
        status, data = s.get("/metrics", headers=key)
        counted = [line for line in data.decode().splitlines() if 'route="/v1/completions/render"' in line]
        assert sorted((line.split('status="')[1][:3], line[-1]) for line in counted) == \
            [("200", "1"), ("400", "1"), ("401", "1"), ("413", "1")]
        assert (b"vllm:" in data) == (command == "serve")


def test_draining_server_renders_no_more(tmp_path):
    with long_server(tmp_path) as s:
        stream = Client(s, {"prompt": "Once", "max_tokens": 100_000, "ignore_eos": True, "stream": True})
        stream.read_until(b"data: ")
        assert s.post(COMPLETION, {"prompt": "x"})[0] == 200
        s.process.send_signal(signal.SIGTERM)
        wait_for("draining", lambda: s.get("/health")[0] == 503)
        status, headers, data = s.request("POST", COMPLETION, {"prompt": "x"})
        assert status == 503 and "shutting down" in json.loads(data)["error"]["message"]
        assert headers["Retry-After"] == "1"
        stream.close()
        assert s.process.wait(20 * SLOW) == 0


# --- the server without weights ----------------------------------------------------------------------

def test_render_server_says_what_it_is(renderer):
    for path in ("/v1/completions", "/v1/chat/completions"):
        status, answer = renderer.post(path, {"prompt": "x"})
        assert status == 404 and answer["error"]["code"] == "not_found"
        assert "render server" in answer["error"]["message"] and path + "/render" in answer["error"]["message"]
    assert renderer.get("/nope")[0] == 404
    assert json.loads(renderer.get("/health")[1]) == {"status": "ready"}
    assert json.loads(renderer.get("/v1/models")[1])["data"][0]["max_model_len"] == CONTEXT
    assert renderer.get(f"/v1/models/{MODEL_NAME}")[0] == 200 and renderer.get("/v1/models/other")[0] == 404
    assert "default_sampling_params" not in json.loads(renderer.get("/v1/models")[1])["data"][0]
    assert renderer.get("/version")[0] == 200 and renderer.request("HEAD", "/health")[0] == 200
    ids = renderer.post("/tokenize", {"prompt": "Once upon a time"})[1]["tokens"]
    assert renderer.post("/detokenize", {"tokens": ids[1:]})[1] == {"prompt": "Once upon a time"}


def test_render_server_reads_no_weights(tmp_path):
    """Nor does it mind a model that inferd cannot run."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(STORIES / name, tmp_path)
    model = dummy_model(tmp_path, architectures=["DeepseekV3ForCausalLM"], model_type="deepseek_v3",
                        max_position_embeddings=77)
    with Server(model=model, command="render-server") as s:
        assert s.post("/tokenize", {"prompt": "x"})[1]["max_model_len"] == 77
        assert s.post(COMPLETION, {"prompt": "word " * 80})[1]["error"]["code"] == "context_length_exceeded"
        status, answer = s.post(CHAT, {"messages": MESSAGES})
        assert status == 400 and "--chat-template" in answer["error"]["message"]
        before = s.cpu_seconds()
        time.sleep(1)
        assert s.cpu_seconds() - before <= 0.01  # idle costs nothing
    with Server("--max-model-len", "50", model=model, command="render-server") as s:
        assert s.post("/tokenize", {"prompt": "x"})[1]["max_model_len"] == 50


@pytest.mark.parametrize("change,args,words", [
    ("", ["--max-model-len", str(2 * CONTEXT)], f"longer than the model's {CONTEXT} positions"),
    ("rm tokenizer.json", [], "tokenizer"),
    ("echo '{' > config.json", [], "config.json"),
    ("", ["--chat-template", "/nope"], "/nope"),
    ("", ["--port", "x"], "port"),
])
def test_render_server_that_cannot_start_says_why(tmp_path, change, args, words):
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(STORIES / name, tmp_path)
    subprocess.run(change, shell=True, cwd=tmp_path, check=True)
    done = subprocess.run([BINARY, "render-server", tmp_path, "--port", "0", *args], capture_output=True, text=True,
                          timeout=20 * SLOW)
    assert done.returncode == (2 if "--port" in args else 1), done
    assert done.stderr.startswith("inferd render-server: ") and words in done.stderr, done.stderr


def test_render_server_stops_when_told_while_it_works(renderer):
    with Server(command="render-server") as s:
        c = Client(s, {"prompt": "word " * 2_000_000, "truncate_prompt_tokens": 5}, path=COMPLETION)
        wait_for("the request to be taken up", lambda: s.get("/health")[0] == 200)
        s.process.send_signal(signal.SIGTERM)
        assert s.process.wait(30 * SLOW) == 0
        c.close()


def test_help():
    done = subprocess.run([BINARY, "render-server", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--max-model-len" in done.stdout and "--max-num-seqs" not in done.stdout


# --- long prompts and the others ---------------------------------------------------------------------

def served_meanwhile(server, path, body):
    """Sends a body that takes long, and counts how often /health is answered until its own answer
    has come: not once, when the loop works on the body itself.  (count, seconds, status)"""
    done, result = threading.Event(), []

    def long_one():
        result.append(server.request("POST", path, body, timeout=300)[0])
        done.set()

    thread = threading.Thread(target=long_one)
    begin = time.monotonic()
    thread.start()
    n = 0
    while not done.is_set():
        assert server.get("/health")[0] == 200
        n += 1
    thread.join()
    return n, time.monotonic() - begin, result[0]


def long_context_server(folder):
    """A model with a large tokenizer and a context in which a megabyte does not fit, but nearly."""
    model = dummy_model(folder / "long", max_position_embeddings=1 << 17, vocab_size=N_WORDS, **SMALL)
    shutil.copy(WORDS / "tokenizer.json", model)
    return Server("--load-format", "dummy", "--kv-cache-memory-bytes", "400M", model=model)


def endless(server):
    stream = Client(server, {"prompt": "Once", "max_tokens": 100_000, "ignore_eos": True, "stream": True})
    return stream.read_until(b"data: ")


@pytest.mark.parametrize("path", [COMPLETION, "/v1/completions"])
def test_a_long_prompt_holds_up_nobody(tmp_path, path):
    body = json.dumps({"prompt": "word " * 3_000_000, "truncate_prompt_tokens": 2})
    with long_context_server(tmp_path) as s:
        stream = endless(s)
        before = s.metric(TOKENS)
        n, seconds, status = served_meanwhile(s, path, body)
        assert status == 200
        assert n >= 10, f"/health was answered {n} times in {seconds:.2f} s"
        assert s.metric(TOKENS) - before >= 10
        stream.close()


@pytest.mark.parametrize("path,field", [("/tokenize", "prompt"), (COMPLETION, "prompt"), ("/detokenize", "tokens")])
def test_a_long_answer_holds_up_nobody(tmp_path, path, field):
    """Millions of ids are written, sent and forgotten; where no context is known all are given."""
    value = [5] * 2_000_000 if field == "tokens" else "word " * 3_000_000
    shutil.copy(WORDS / "tokenizer.json", tmp_path)
    with Server(model=tmp_path, command="render-server") as s:
        n, seconds, status = served_meanwhile(s, path, json.dumps({field: value}))
        assert status == 200
        assert n >= 10, f"/health was answered {n} times in {seconds:.2f} s"


def test_a_storm_of_megabyte_prompts_holds_up_nobody(tmp_path):
    body = json.dumps({"prompt": "word " * 200_000}).encode()
    with long_context_server(tmp_path) as s:
        streams = [endless(s) for _ in range(4)]
        statuses = {path: [] for path in ("/tokenize", COMPLETION, "/v1/completions")}

        def client():
            for path in [*statuses] * 2:
                statuses[path].append(s.request("POST", path, body)[0])

        threads = [threading.Thread(target=client) for _ in range(4)]
        for t in threads:
            t.start()
        n, slowest = 0, 0.0
        while any(t.is_alive() for t in threads):
            begin = time.monotonic()
            assert s.get("/health")[0] == 200
            slowest = max(slowest, time.monotonic() - begin)
            n += 1
        for t in threads:
            t.join()
        assert statuses == {"/tokenize": [200] * 8, COMPLETION: [400] * 8, "/v1/completions": [400] * 8}
        assert n >= 10 and slowest < 2 * SLOW, (n, slowest)
        for c in streams:
            c.read_until(b"data: ", c.buffer.count(b"data: ") + 5)
            c.close()


# --- tools: they shape the prompt, which is all that is asked for here ---------------------------------

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "n": 1.0, "big": 1234567890123456789}}}


def test_tools_pick_the_template_for_them(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(STORIES, folder)
    (folder / "chat_template.jinja").write_text("plain {{ messages[0].content }}")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates/tool_use.jinja").write_text("{{ tools|tojson }} {{ messages[0].content }}")
    talk = {"messages": [{"role": "user", "content": "hi"}]}
    ids = reference()
    with Server(command="render-server", model=folder) as s:
        for tools, want in ((None, "plain hi"), ([], "plain hi"), ([WEATHER], json.dumps([WEATHER]) + " hi")):
            got = render(s, CHAT, {**talk, **({} if tools is None else {"tools": tools}), "tool_choice": "auto"})
            assert got == ids.encode(want, add_special_tokens=False).ids, want
        status, answer = s.post(CHAT, {**talk, "tools": [1]})
        assert status == 400 and "tools" in answer["error"]["message"]
    with Server(model=folder) as s:  # no answer with calls is offered
        status, answer = s.post("/v1/chat/completions", {**talk, "tools": [WEATHER]})
        assert status == 400 and answer["error"]["param"] == "tools"
        assert CHAT in answer["error"]["message"]
        assert render(s, CHAT, {**talk, "tools": [WEATHER]})
