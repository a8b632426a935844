"""Whatever a client sends: a clear 4xx, the server alive, no block lost."""

import json
import os
import pathlib
import random
import socket
import struct
import time

import pytest
import tokenizers

from harness import CHATML, IS_STORIES, RUN_ON, SHARED, SLOW, STORIES, Server

SUITE = SHARED / "data/json/JSONTestSuite"


@pytest.fixture(scope="module")
def server():
    with Server("--chat-template", CHATML, "--max-body-size", "1M", "--header-timeout", "2",
                "--idle-timeout", "3", "--max-num-seqs", "16") as s:
        yield s
        s.wait_idle()
        assert s.metric("vllm:kv_cache_usage_perc") == 0


def assert_alive(server):
    status, body = server.post("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 3,
                                                   "temperature": 0})
    assert status == 200 and body["usage"]["completion_tokens"] == 3, body


def assert_error(status, body, expected=400):
    assert status == expected, (status, body)
    error = json.loads(body)["error"] if isinstance(body, bytes) else body["error"]
    assert error["message"] and error["type"], error
    return error


@pytest.mark.skipif(not SUITE.is_dir(), reason="JSONTestSuite is absent")
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/tokenize"])
def test_json_suite_as_bodies(server, path):
    files = sorted(SUITE.rglob("*.json"))
    assert len(files) > 300
    for f in files:
        data = f.read_bytes()
        status, _, body = server.request("POST", path, data)
        # None of the suite's documents is a valid request; a valid JSON document misses fields.
        assert_error(status, body)
    assert_alive(server)


GOOD = {"/v1/completions": {"prompt": "Hi", "max_tokens": 2},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}}
WRONG = [None, True, False, 0, -1, 1, 1.5, -1e308, 1e308, 2**53 + 1, -2**63, 10**30, "", "x", "\u0000",
         "9" * 400, [], [[]], [None], [1e9], [-1], {}, {"a": 1}, [[[[]]]], ["a", 1], {"": None}]
FIELDS = """model prompt messages suffix max_tokens max_completion_tokens temperature top_p top_k min_p n best_of
stream stream_options logprobs top_logprobs echo stop presence_penalty frequency_penalty repetition_penalty
logit_bias user seed min_tokens ignore_eos stop_token_ids include_stop_str_in_output skip_special_tokens
spaces_between_special_tokens add_generation_prompt continue_final_message add_special_tokens
truncate_prompt_tokens priority cache_salt return_token_ids tools tool_choice parallel_tool_calls functions
function_call response_format metadata store service_tier reasoning_effort modalities audio prediction
web_search_options prompt_logprobs guided_json structured_outputs chat_template chat_template_kwargs documents
allowed_token_ids bad_words use_beam_search length_penalty request_id unknown_field""".split()


@pytest.mark.parametrize("path", GOOD)
def test_every_field_with_every_wrong_type(server, path):
    """200 or 4xx, never anything else, and an error names its parameter."""
    refused = 0
    for field in FIELDS:
        for value in WRONG:
            body = {**GOOD[path], field: value}
            status, _, data = server.request("POST", path, body)
            assert status in (200, 400, 404, 413, 429), (field, value, status, data)
            if status != 200:
                refused += 1
                assert_error(status, data, status)
    assert refused > 500
    assert_alive(server)


def test_hostile_numbers_as_text(server):
    for text in ("1e400", "-1e400", "1e-400", "0.1e99999999", "NaN", "Infinity", "-0", "00", "1.", "0x10",
                 "9" * 4000, "1" + "0" * 308, "-9223372036854775809", "18446744073709551616", "1E+2"):
        for field in ("max_tokens", "temperature", "seed", "n", "top_k", "logprobs"):
            body = '{"prompt":"Hi","max_tokens":2,"%s":%s}' % (field, text)
            status, _, data = server.request("POST", "/v1/completions", body)
            assert status in (200, 400), (field, text, status, data)
    assert_alive(server)


def test_broken_utf8_and_nul(server):
    for bad in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\x00", b"\xe2\x82"):
        body = b'{"prompt":"a' + bad + b'b","max_tokens":1}'
        status, _, data = server.request("POST", "/v1/completions", body)
        assert_error(status, data)
    for escape in ("\\u0000", "\\ud800", "\\udc00x", "\\ud800\\ud800"):
        status, _, data = server.request("POST", "/v1/completions", '{"prompt":"a%s","max_tokens":1}' % escape)
        assert_error(status, data)
    assert_alive(server)


def test_truncated_bodies(server):
    whole = json.dumps(GOOD["/v1/chat/completions"]).encode()
    for n in range(len(whole)):
        status, _, data = server.request("POST", "/v1/chat/completions", whole[:n])
        assert_error(status, data)
    # The body ends before its announced length: the connection closes, nothing starts.
    server.raw(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n" + whole, 10,
               half_close=True)
    assert_alive(server)


def test_oversized_body_is_413(server):
    status, _, data = server.request("POST", "/v1/completions", b'{"prompt":"' + b"a" * (2 << 20) + b'"}')
    assert_error(status, data, 413)
    # Announced only: refused before a byte of it is sent.
    answer = server.raw(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 5)
    assert b" 413 " in answer.split(b"\r\n")[0], answer[:200]
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    answer = server.raw(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
                        chunk * 40, 5)
    assert answer == b"" or b" 413 " in answer.split(b"\r\n")[0], answer[:200]
    assert_alive(server)


def test_headers_that_smuggle_are_refused(server):
    body = b'{"prompt":"Hi","max_tokens":1}'
    n = str(len(body)).encode()
    for headers in (b"Content-Length: " + n + b"\r\nContent-Length: 3\r\n",
                    b"Content-Length: " + n + b"\r\nContent-Length: " + n + b"\r\n",
                    b"Content-Length: " + n + b"\r\nTransfer-Encoding: chunked\r\n",
                    b"Host: y\r\nContent-Length: " + n + b"\r\n",
                    b"Content-Length: -1\r\n", b"Content-Length: 1x\r\n", b"Content-Length: +5\r\n"):
        answer = server.raw(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n" + body, 5)
        assert b" 400 " in answer.split(b"\r\n")[0], (headers, answer[:200])
    assert_alive(server)


def test_header_floods(server):
    big = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 200000 + b"\r\n\r\n"
    answer = server.raw(big, 5)
    assert answer == b"" or answer.split(b" ")[1] in (b"400", b"413", b"414", b"431"), answer[:100]
    many = b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(20000)) + b"\r\n"
    answer = server.raw(many, 5)
    assert answer == b"" or answer.split(b" ")[1] in (b"400", b"413", b"414", b"431"), answer[:100]
    for junk in (b"\r\n\r\n", b"GARBAGE\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n",
                 b"POST /v1/completions HTTP/1.0\r\n\r\n", bytes(range(256))):
        server.raw(junk, 3, half_close=True)
    assert_alive(server)


def test_slow_headers_time_out(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20 * SLOW) as s:
        start = time.monotonic()
        s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n")
        try:
            while time.monotonic() - start < 15 * SLOW:
                s.sendall(b"X-Slow: 1\r\n")
                s.settimeout(0.3)
                try:
                    if s.recv(1000) == b"":
                        break
                except socket.timeout:
                    pass
        except ConnectionError:
            pass
        assert time.monotonic() - start < 10 * SLOW
    assert_alive(server)


def test_half_closed_and_reset_connections(server):
    body = json.dumps({"prompt": "Once upon a time", "max_tokens": 400, "ignore_eos": True}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    rng = random.Random(1)
    for i in range(60):
        s = socket.create_connection(("127.0.0.1", server.port))
        cut = rng.randrange(len(head) + len(body) + 1)
        s.sendall((head + body)[:cut])
        if i % 3 == 0:
            s.shutdown(socket.SHUT_WR)
        elif i % 3 == 1:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    server.wait_idle()
    assert_alive(server)


def test_wrong_paths_methods_and_types(server):
    for method, path, want in (("GET", "/nope", 404), ("POST", "/health", 405), ("GET", "/v1/completions", 405),
                               ("DELETE", "/v1/models", 405), ("GET", "/v1/models/nope", 404),
                               ("GET", "/%00", 400), ("GET", "/../../etc/passwd", 404), ("GET", "/v1/models/%ff", 404)):
        status, _, data = server.request(method, path)
        assert_error(status, data, want)
    assert_alive(server)


def test_deep_nesting(server):
    for deep in ("[" * 100000, '{"a":' * 50000, '{"prompt":' + "[" * 1000 + "]" * 1000 + "}"):
        status, _, data = server.request("POST", "/v1/completions", deep)
        assert_error(status, data)
    assert_alive(server)


def test_nul_in_the_path(server):
    for path in ("/v1/models%00", "/health%00/../metrics", "/v1/models?x=%00"):
        assert_error(*server.request("GET", path)[::2])
    assert server.request("GET", "/v1/models")[0] == 200


def test_echo_of_a_truncated_prompt(stories):
    """Echo and its offsets are of the prompt that the model got."""
    _, done = stories.post("/v1/completions", {"prompt": "one two three four five six", "truncate_prompt_tokens": 4,
                                               "max_tokens": 3, "echo": True, "logprobs": 0, "temperature": 0,
                                               "return_token_ids": True, **RUN_ON})
    choice = done["choices"][0]
    lp = choice["logprobs"]
    assert done["usage"]["prompt_tokens"] == 4
    # The blank that SentencePiece puts before a text is none of it.
    ids = choice["prompt_token_ids"] + choice["token_ids"]
    assert choice["text"] == tokenizers.Tokenizer.from_file(str(STORIES / "tokenizer.json")).decode(ids)
    if IS_STORIES:
        assert choice["text"] == "".join(lp["tokens"][1:]).lstrip()
    assert choice["text"].lstrip() == "".join(lp["tokens"][1:]).lstrip()
    assert lp["text_offset"][-1] + len(lp["tokens"][-1]) == len(choice["text"])


def test_answers_are_bounded(stories):
    """What a prompt's log-probabilities may take is known before the first token; what is below it streams."""
    ids = [1] + [5 + i % 400 for i in range(480)]
    body = {"prompt": ids, "echo": True, "logprobs": 20, "n": 64, "max_tokens": 2, "ignore_eos": True, "stream": True}
    events = stories.stream("/v1/completions", body)
    assert sum(len(e["choices"][0]["logprobs"]["tokens"]) for e in events if e["choices"]) == 64 * (len(ids) + 2)
    status, done = stories.post("/v1/completions", {**body, "prompt": [ids] * 32, "n": 128})
    assert status == 400 and done["error"]["param"] == "logprobs"
    status, done = stories.post("/v1/completions", {"prompt": [ids] * 1000, "prompt_logprobs": 20, "max_tokens": 1})
    assert status == 400 and done["error"]["param"] == "prompt_logprobs"


def test_values_of_a_body_are_bounded(stories):
    """30 MB of "1," would be 1.2 GB as a tree."""
    body = '{"prompt":"x","max_tokens":2,"metadata":{"a":[' + "1," * 15_000_000 + "1]}}"
    status, _, answer = stories.request("POST", "/v1/completions", body)
    assert status == 400 and b"too many values" in answer
