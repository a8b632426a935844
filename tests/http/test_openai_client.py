"""The official OpenAI client against the server, and every body and chunk against the schema."""

import asyncio
import json

import openai
import pytest

import schema
from harness import CHATML, IS_STORIES, MODEL_NAME, RUN_ON, TOKENS, Server
from ops import bare_model

PROMPT = "Once upon a time"
# What stories260K says; another model's words are its own.
GOES_ON = ", there was a little girl named Lily." if IS_STORIES else ""
STOPS = ["Lily", "girl named L", "little girl", ". She", "\n"] if IS_STORIES else []
CHAT = [{"role": "user", "content": "Tell me a story"}]


@pytest.fixture(scope="module")
def client(stories):
    with openai.OpenAI(base_url=stories.url + "/v1", api_key="none", max_retries=0) as c:
        yield c


def validated(raw, name):
    """The parsed object of a with_raw_response call, its body checked."""
    schema.check(name, json.loads(raw.text if isinstance(raw.text, str) else raw.text()))
    return raw.parse()


def test_models(client, stories):
    _, data = stories.get("/v1/models")
    schema.check("ListModelsResponse", json.loads(data))
    models = client.models.list().data
    assert len(models) == 1
    one = client.models.retrieve(models[0].id)
    assert one.id == models[0].id
    schema.check("Model", json.loads(stories.get("/v1/models/" + one.id)[1]))


def test_completion(client):
    raw = client.completions.with_raw_response.create(model=MODEL_NAME, prompt=PROMPT, max_tokens=20, temperature=0,
                                                      extra_body=RUN_ON)
    done = validated(raw, "CreateCompletionResponse")
    assert done.choices[0].text.strip() and done.choices[0].text.startswith(GOES_ON)
    assert done.choices[0].finish_reason == "length"
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (5, 20, 25)
    assert raw.headers["x-request-id"]


def test_completion_stream_equals_whole(client, stories):
    args = dict(model=MODEL_NAME, prompt=PROMPT, max_tokens=60, temperature=0)
    whole = client.completions.create(**args, extra_body=RUN_ON).choices[0].text
    chunks = list(client.completions.create(**args, stream=True, stream_options={"include_usage": True}, extra_body=RUN_ON))
    assert "".join(c.choices[0].text for c in chunks if c.choices) == whole
    assert chunks[-1].usage.completion_tokens == 60 and not chunks[-1].choices
    for event in stories.stream("/v1/completions", {**args, **RUN_ON, "stream_options": {"include_usage": True}}):
        schema.check("CompletionChunk", event)


def test_chat(client):
    raw = client.chat.completions.with_raw_response.create(model=MODEL_NAME, messages=CHAT, max_tokens=12,
                                                           temperature=0)
    done = validated(raw, "CreateChatCompletionResponse")
    assert done.choices[0].message.role == "assistant" and done.choices[0].message.content
    again = client.chat.completions.create(model=MODEL_NAME, messages=CHAT, max_completion_tokens=12, temperature=0)
    assert again.choices[0].message.content == done.choices[0].message.content


def test_chat_stream(client, stories):
    args = dict(model=MODEL_NAME, messages=CHAT, max_tokens=30, temperature=0)
    whole = client.chat.completions.create(**args, extra_body=RUN_ON).choices[0].message.content
    chunks = list(client.chat.completions.create(**args, stream=True, extra_body=RUN_ON))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    for event in stories.stream("/v1/chat/completions", {**args, **RUN_ON, "logprobs": True, "top_logprobs": 3,
                                                         "stream_options": {"include_usage": True}}):
        schema.check("CreateChatCompletionStreamResponse", event)


def test_chat_content_parts_and_roles(client):
    parts = [{"role": "system", "content": "Be kind."},
             {"role": "user", "content": [{"type": "text", "text": "Tell me"}, {"type": "text", "text": "a story"}]},
             {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Now."}]
    flat = [parts[0], {"role": "user", "content": "Tell me\na story"}, *parts[2:]]
    a = client.chat.completions.create(model=MODEL_NAME, messages=parts, max_tokens=8, temperature=0)
    b = client.chat.completions.create(model=MODEL_NAME, messages=flat, max_tokens=8, temperature=0)
    assert a.usage.prompt_tokens == b.usage.prompt_tokens
    assert a.choices[0].message.content == b.choices[0].message.content


def test_completion_logprobs_and_echo(client):
    raw = client.completions.with_raw_response.create(model=MODEL_NAME, prompt=PROMPT, max_tokens=6, temperature=0,
                                                      logprobs=3, echo=True, extra_body=RUN_ON)
    choice = validated(raw, "CreateCompletionResponse").choices[0]
    lp = choice.logprobs
    assert choice.text.startswith(PROMPT)
    assert len(lp.tokens) == len(lp.token_logprobs) == len(lp.top_logprobs) == len(lp.text_offset) == 5 + 6
    assert lp.token_logprobs[0] is None and all(x <= 0 for x in lp.token_logprobs[1:])
    # Greedy: an output token is the best of its position.
    for token, value, top in list(zip(lp.tokens, lp.token_logprobs, lp.top_logprobs))[5:]:
        assert len(top) >= 3 and abs(max(top.values()) - value) < 1e-6 and token in top
    # The scored prompt agrees with what generation says of the same tokens.
    plain = client.completions.create(model=MODEL_NAME, prompt=PROMPT, max_tokens=6, temperature=0, logprobs=3,
                                      extra_body=RUN_ON)
    for a, b in zip(plain.choices[0].logprobs.token_logprobs, lp.token_logprobs[5:]):
        assert abs(a - b) < 1e-4
    only = client.completions.create(model=MODEL_NAME, prompt=choice.text, max_tokens=0, logprobs=0, echo=True)
    scored = only.choices[0].logprobs.token_logprobs
    assert only.usage.completion_tokens == 0 and len(scored) == only.usage.prompt_tokens


def test_chat_logprobs(client):
    raw = client.chat.completions.with_raw_response.create(model=MODEL_NAME, messages=CHAT, max_tokens=5,
                                                           temperature=0, logprobs=True, top_logprobs=4, extra_body=RUN_ON)
    choice = validated(raw, "CreateChatCompletionResponse").choices[0]
    assert len(choice.logprobs.content) == 5
    text = b"".join(bytes(t.bytes) for t in choice.logprobs.content).decode(errors="replace")
    assert choice.message.content.strip() in text
    for t in choice.logprobs.content:
        assert len(t.top_logprobs) == 4 and t.top_logprobs[0].token == t.token


def test_n_and_seed(client):
    args = dict(model=MODEL_NAME, prompt=PROMPT, max_tokens=24, temperature=1.0, n=4, seed=11, extra_body=RUN_ON)
    raw = client.completions.with_raw_response.create(**args)
    a = validated(raw, "CreateCompletionResponse")
    assert sorted(c.index for c in a.choices) == [0, 1, 2, 3]
    texts = [c.text for c in sorted(a.choices, key=lambda c: c.index)]
    assert len(set(texts)) > 1
    b = client.completions.create(**args)
    assert [c.text for c in sorted(b.choices, key=lambda c: c.index)] == texts
    assert a.usage.completion_tokens == 4 * 24 and a.usage.prompt_tokens == 5
    streamed = {}
    for chunk in client.completions.create(**args, stream=True):
        for c in chunk.choices:
            streamed[c.index] = streamed.get(c.index, "") + c.text
    assert [streamed[i] for i in range(4)] == texts


def test_batches_of_prompts(client, stories):
    prompts = [PROMPT, "One day, a dog", "Lily"]
    done = client.completions.create(model=MODEL_NAME, prompt=prompts, max_tokens=10, temperature=0)
    assert [c.index for c in done.choices] == [0, 1, 2]
    alone = [client.completions.create(model=MODEL_NAME, prompt=p, max_tokens=10, temperature=0) for p in prompts]
    assert [c.text for c in done.choices] == [a.choices[0].text for a in alone]
    assert done.usage.prompt_tokens == sum(a.usage.prompt_tokens for a in alone)
    ids = [stories.post("/tokenize", {"prompt": p})[1]["tokens"] for p in prompts]
    by_ids = client.completions.create(model=MODEL_NAME, prompt=ids, max_tokens=10, temperature=0)
    assert [c.text for c in by_ids.choices] == [c.text for c in done.choices]
    one = client.completions.create(model=MODEL_NAME, prompt=ids[0], max_tokens=10, temperature=0)
    assert one.choices[0].text == done.choices[0].text


def test_stop_strings_never_leak(client):
    args = dict(model=MODEL_NAME, prompt=PROMPT, max_tokens=80, temperature=0)
    whole = client.completions.create(**args, extra_body=RUN_ON).choices[0].text
    for stop in (*STOPS, whole[7:12], whole[30:47], whole[22:25], whole[50:51]):
        expected = whole[:whole.index(stop)]
        stops = dict(**args, stop=[stop, "never seen"])
        done = client.completions.create(**stops, extra_body=RUN_ON)
        assert done.choices[0].text == expected and done.choices[0].finish_reason == "stop"
        parts = [c.choices[0].text for c in client.completions.create(**stops, stream=True, extra_body=RUN_ON)]
        assert "".join(parts) == expected
        kept = client.completions.create(**stops, extra_body={**RUN_ON, "include_stop_str_in_output": True})
        assert kept.choices[0].text == expected + stop
        assert kept.usage.completion_tokens == done.usage.completion_tokens < 80


def test_stop_token_ids_and_eos(client, stories):
    args = dict(model=MODEL_NAME, prompt=PROMPT, max_tokens=80, temperature=0)
    whole = client.completions.create(**args, extra_body={**RUN_ON, "return_token_ids": True}).choices[0]
    stop = whole.token_ids[9]
    n = whole.token_ids.index(stop)
    done = client.completions.create(**args, extra_body={**RUN_ON, "stop_token_ids": [stop]}).choices[0]
    assert done.finish_reason == "stop" and whole.text.startswith(done.text)
    if IS_STORIES:
        dot = client.completions.create(**args, extra_body={"stop_token_ids": [426]}).choices[0]  # "."
        assert dot.finish_reason == "stop" and dot.text == whole.text[:whole.text.index(".")]
        longer = client.completions.create(**args, extra_body={"stop_token_ids": [426], "min_tokens": 40})
        assert longer.usage.completion_tokens >= 40
    assert done.text == client.completions.create(**{**args, "max_tokens": n}, extra_body=RUN_ON).choices[0].text
    longer = client.completions.create(**args, extra_body={"stop_token_ids": [stop], "min_tokens": 40})
    assert longer.usage.completion_tokens >= 40
    status, _ = stories.post("/v1/completions", {**args, "ignore_eos": True, "max_tokens": 400})
    assert status == 200


def test_cached_tokens_are_counted(client):
    prompt = "The little red hen went to the park with Tom and Sam. " * 4
    first = client.completions.create(model=MODEL_NAME, prompt=prompt, max_tokens=5, temperature=0)
    second = client.completions.create(model=MODEL_NAME, prompt=prompt, max_tokens=5, temperature=0)
    assert first.choices[0].text == second.choices[0].text
    cached = second.usage.prompt_tokens_details.cached_tokens
    assert cached > 0 and cached % 16 == 0 and cached < second.usage.prompt_tokens
    salted = client.completions.create(model=MODEL_NAME, prompt=prompt, max_tokens=5, temperature=0,
                                       extra_body={"cache_salt": "another tenant"})
    assert salted.usage.prompt_tokens_details.cached_tokens == 0


def test_logit_bias_and_penalties(client, stories):
    args = dict(model=MODEL_NAME, prompt=PROMPT, max_tokens=12, temperature=0)
    ids = {"return_token_ids": True, **RUN_ON}
    plain = client.completions.create(**args, extra_body=ids).choices[0].token_ids
    banned = client.completions.create(**args, logit_bias={plain[0]: -100}, extra_body=ids).choices[0].token_ids
    assert plain[0] not in banned
    if IS_STORIES:
        assert plain[0] == 432
        assert not client.completions.create(**args, logit_bias={"432": -100}).choices[0].text.startswith(",")
    dot = TOKENS["."]
    assert dot == 426 or not IS_STORIES
    forced = client.completions.create(**args, logit_bias={dot: 100}).choices[0]
    assert forced.text == "." * 12
    bounded = client.completions.create(**args, logit_bias={dot: 100}, frequency_penalty=2, presence_penalty=2,
                                        extra_body={"repetition_penalty": 2.0})
    assert bounded.choices[0].text


def test_async_streams_with_cancel(stories):
    async def main():
        async with openai.AsyncOpenAI(base_url=stories.url + "/v1", api_key="x", max_retries=0) as c:
            async def one(i):
                stream = await c.completions.create(model=MODEL_NAME, prompt=f"{PROMPT} {i}", max_tokens=450,
                                                    temperature=0, stream=True, extra_body={"ignore_eos": True})
                n = 0
                async for _ in stream:
                    n += 1
                    if i % 2 and n == 5:
                        await stream.close()
                        break
                return n
            return await asyncio.gather(*[one(i) for i in range(24)])

    counts = asyncio.run(main())
    assert all(n == 5 for n in counts[1::2]) and all(n >= 450 for n in counts[::2])
    stories.wait_idle()


@pytest.mark.parametrize("change, kind, param", [
    ({"temperature": 3}, openai.BadRequestError, "temperature"),
    ({"max_tokens": -1}, openai.BadRequestError, "max_tokens"),
    ({"model": "nope"}, openai.NotFoundError, "model"),
    ({"n": 0}, openai.BadRequestError, "n"),
    ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}, openai.BadRequestError, "tools"),
    ({"response_format": {"type": "json_object"}}, openai.BadRequestError, "response_format"),
    ({"messages": []}, openai.BadRequestError, "messages"),
    ({"extra_body": {"guided_json": {}}}, openai.BadRequestError, "guided_json"),
    ({"extra_body": {"no_such_thing": 1}}, openai.BadRequestError, "no_such_thing"),
    ({"messages": [{"role": "user", "content": "word " * 2000}]}, openai.BadRequestError, "messages"),
])
def test_error_classes(client, change, kind, param):
    args = {"model": MODEL_NAME, "messages": CHAT, "max_tokens": 4, **change}
    with pytest.raises(kind) as e:
        client.chat.completions.create(**args)
    body = json.loads(e.value.response.text)
    schema.check("ErrorResponse", body)
    assert body["error"]["param"] == param, body


def test_suffix_is_refused(client):
    with pytest.raises(openai.BadRequestError) as e:
        client.completions.create(model=MODEL_NAME, prompt=PROMPT, suffix="end")
    assert e.value.param == "suffix"


def test_no_template_is_a_clear_400(tmp_path):
    with Server(model=bare_model(tmp_path)) as s:
        status, body = s.post("/v1/chat/completions", {"messages": CHAT})
        assert status == 400 and "--chat-template" in body["error"]["message"], body
        schema.check("ErrorResponse", body)


def test_api_keys(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# team A\nsecret-a\n\nsecret-b\n")
    with Server("--api-key-file", keys, "--api-key", "secret-c") as s:
        for path in ("/health", "/health/live", "/health/ready"):
            assert s.get(path)[0] == 200
        for path in ("/v1/models", "/metrics", "/version", "/nope"):
            assert s.get(path)[0] == 401, path
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=s.url + "/v1", api_key="wrong", max_retries=0).models.list()
        prompt = "A long enough prompt that fills more than one block of the cache, twice over, at the very least."
        cached = []
        for key in ("secret-a", "secret-a", "secret-b", "secret-c"):
            c = openai.OpenAI(base_url=s.url + "/v1", api_key=key, max_retries=0)
            done = c.completions.create(model=MODEL_NAME, prompt=prompt, max_tokens=1)
            cached.append(done.usage.prompt_tokens_details.cached_tokens)
        assert cached[1] > 0 and cached[0] == cached[2] == cached[3] == 0, cached
        status, body = s.post("/v1/completions", {"prompt": "x"})
        assert status == 401
        schema.check("ErrorResponse", body)


def test_full_queue_is_429_before_any_byte():
    with Server("--max-num-seqs", "1", "--max-num-queued-reqs", "2") as s:
        async def main():
            async with openai.AsyncOpenAI(base_url=s.url + "/v1", api_key="x", max_retries=0) as c:
                async def one():
                    try:
                        done = await c.completions.create(model=MODEL_NAME, prompt=PROMPT, max_tokens=300,
                                                          extra_body={"ignore_eos": True})
                        return done.usage.completion_tokens
                    except openai.RateLimitError as e:
                        schema.check("ErrorResponse", json.loads(e.response.text))
                        assert int(e.response.headers["retry-after"]) >= 1
                        return 429
                return await asyncio.gather(*[one() for _ in range(40)])

        results = asyncio.run(main())
        assert results.count(429) >= 1 and results.count(300) >= 2 and set(results) == {429, 300}, results
        # A batch that does not fit is refused whole.
        status, body = s.post("/v1/completions", {"prompt": [PROMPT] * 10, "max_tokens": 1})
        assert status == 429, body
        s.wait_idle()
        assert s.metric("vllm:admission_rejections_total") >= 1
