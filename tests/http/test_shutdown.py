"""SIGTERM: not ready at once, what runs finishes within --shutdown-timeout, a second signal ends now."""

import concurrent.futures
import json
import signal
import time

import openai
import pytest

import schema
from harness import SLOW, Server

# Some seconds of work: prompts that wait for the one sequence that may run.
WORK = {"prompt": ["Once upon a time"] * 40, "max_tokens": 400, "temperature": 0, "ignore_eos": True}


def busy(server, pool, **more):
    """The pending answer of WORK, once it runs."""
    answer = pool.submit(server.post, "/v1/completions", {**WORK, **more}, timeout=120)
    server.wait_metric("vllm:num_requests_running", 1)
    return answer


def until_draining(server):
    end = time.monotonic() + 20 * SLOW
    while server.get("/health/ready")[0] != 503:
        assert time.monotonic() < end, "still ready after SIGTERM"
        time.sleep(0.01)


def test_running_requests_finish_and_new_ones_are_503():
    with concurrent.futures.ThreadPoolExecutor(2) as pool, \
            Server("--max-num-seqs", "1", "--shutdown-timeout", 100 * SLOW) as s:
        answer = busy(s, pool)
        s.process.send_signal(signal.SIGTERM)
        until_draining(s)
        assert s.get("/health/live")[0] == 200
        assert b"draining" in s.get("/health/ready")[1]
        with openai.OpenAI(base_url=s.url + "/v1", api_key="none", max_retries=0) as c:
            with pytest.raises(openai.APIStatusError) as e:
                c.completions.create(model="stories260K", prompt="x", max_tokens=1)
        assert e.value.status_code == 503 and int(e.value.response.headers["retry-after"]) >= 1
        schema.check("ErrorResponse", json.loads(e.value.response.text))
        assert not answer.done(), "the work was too short to show anything"
        status, done = answer.result()
        assert status == 200 and done["usage"]["completion_tokens"] == 40 * 400
        assert s.process.wait(20 * SLOW) == 0


def test_timeout_ends_what_still_runs():
    with concurrent.futures.ThreadPoolExecutor(2) as pool, \
            Server("--max-num-seqs", "1", "--shutdown-timeout", "0.2") as s:
        answer = busy(s, pool)
        s.process.send_signal(signal.SIGTERM)
        assert s.process.wait(20 * SLOW) == 0
        status, body = answer.result()
        assert status == 503, body
        schema.check("ErrorResponse", body)


def test_timeout_ends_streams_with_an_error_event():
    with concurrent.futures.ThreadPoolExecutor(2) as pool, \
            Server("--max-num-seqs", "1", "--shutdown-timeout", "0.2") as s:
        answer = pool.submit(s.request, "POST", "/v1/completions", {**WORK, "stream": True}, timeout=120)
        s.wait_metric("vllm:num_requests_running", 1)
        s.process.send_signal(signal.SIGTERM)
        assert s.process.wait(20 * SLOW) == 0
        status, _, data = answer.result()
        assert status == 200
        events = [e[6:] for e in data.decode().split("\n\n") if e.startswith("data: ")]
        errors = [json.loads(e) for e in events if e != "[DONE]" and "error" in json.loads(e)]
        assert len(errors) == 1 and "shutting down" in errors[0]["error"]["message"], events[-2:]


def test_second_signal_ends_at_once():
    s = Server("--max-num-seqs", "1", "--shutdown-timeout", "600")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = busy(s, pool)
        s.process.send_signal(signal.SIGTERM)
        until_draining(s)
        began = time.monotonic()
        s.stop(signal.SIGTERM)
        assert time.monotonic() - began < 2 * SLOW
        assert answer.exception() is not None  # the connection broke


def test_idle_server_ends_at_once():
    s = Server("--shutdown-timeout", "600")
    s.get("/health")
    began = time.monotonic()
    assert s.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 2 * SLOW
