"""What surrounds a request: its id, browsers, deadlines, bounds of queue and connections."""

import json
import re
import socket
import time

import pytest

from harness import CHATML, ROOT, SLOW, Server
from ops import Client, by_reason, long_server

SHORT = {"prompt": "Once upon a time", "max_tokens": 3, "temperature": 0}
ENDLESS = {"prompt": "Once upon a time", "max_tokens": 100_000, "ignore_eos": True, "temperature": 0}


# --- X-Request-Id, version, CORS ---------------------------------------------------------------------

def id_of(server, path="/v1/completions", body=SHORT, **headers):
    status, got, data = server.request("POST", path, body, headers)
    return status, got["X-Request-Id"], json.loads(data)


def test_models_tell_the_defaults(tmp_path):
    """Of the model's own generation_config, and those that hold without it."""
    model = tmp_path / "demo"
    model.mkdir()
    for file in (ROOT / "models/demo").iterdir():
        (model / file.name).symlink_to(file)
    (model / "generation_config.json").unlink()
    own = {"temperature": 0.3, "top_p": 0.95, "top_k": 7, "repetition_penalty": 1.1, "max_new_tokens": 70}
    (model / "generation_config.json").write_text(json.dumps(own))
    for args, expected in (((), {"temperature": 0.3, "top_p": 0.95, "top_k": 7, "min_p": 0, "repetition_penalty": 1.1, "max_tokens": 70}),
                           (("--generation-config", "vllm"), {"temperature": 1, "top_p": 1, "top_k": 0, "min_p": 0,
                                                              "repetition_penalty": 1, "max_tokens": None})):
        with Server(*args, model=model) as s:
            assert json.loads(s.get("/v1/models")[1])["data"][0]["default_sampling_params"] == expected
            assert json.loads(s.get("/v1/models/demo")[1])["default_sampling_params"] == expected


def test_request_id_is_echoed(stories):
    for given in ("abc-123", "x" * 128, "req/7:{}~!"):
        status, echoed, body = id_of(stories, **{"X-Request-Id": given})
        assert status == 200 and echoed == given and body["id"] == "cmpl-" + given
    # Errors and other routes carry it too.
    assert id_of(stories, body={"prompt": 7}, **{"x-request-id": "e1"})[:2] == (400, "e1")
    assert stories.request("GET", "/nope", None, {"X-REQUEST-ID": "e2"})[1]["X-Request-Id"] == "e2"
    assert stories.request("GET", "/health", None, {"X-Request-Id": "e3"})[1]["X-Request-Id"] == "e3"
    c = Client(stories, {**SHORT, "stream": True}, headers="X-Request-Id: s1\r\n").read_all()
    assert c.head["x-request-id"] == "s1" and all(json.loads(e)["id"] == "cmpl-s1" for e in c.events[:-1])


def test_request_id_is_made_where_none_is_usable(stories):
    made = set()
    for headers in ({}, {"X-Request-Id": ""}, {"X-Request-Id": "x" * 129}, {"X-Request-Id": "a b"},
                    {"X-Request-Id": "caf\xe9"}, {"X-Request-Id": "a\tb"}):
        status, own, body = id_of(stories, **headers)
        assert status == 200 and re.fullmatch(r"[\w-]{8,64}", own), (headers, own)
        assert body["id"].endswith(own)
        made.add(own)
    assert len(made) == 6


def test_request_id_cannot_split_the_answer(stories):
    answer = stories.raw(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                         b"X-Request-Id: a\x0bb\r\n\r\n")
    assert answer.split(b" ")[1] == b"400" and b"\x0b" not in answer, answer
    answer = stories.raw(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                         b"X-Request-Id: a\r\n Injected: yes\r\n\r\n")
    assert b"\r\nInjected:" not in answer and b"\r\n Injected:" not in answer, answer


def test_version(stories):
    status, body = stories.get("/version")
    assert status == 200
    got = json.loads(body)
    assert re.fullmatch(r"\d+\.\d+\.\d+", got["version"]) and got["revision"]


def cors(headers):
    return {k.lower(): v for k, v in headers.items() if k.lower().startswith("access-control-")}


def test_no_cors_unless_asked_for(stories):
    origin = {"Origin": "https://evil.example"}
    for method, path, body in (("POST", "/v1/completions", SHORT), ("GET", "/health", None)):
        assert cors(stories.request(method, path, body, origin)[1]) == {}
    ask = {**origin, "Access-Control-Request-Method": "POST"}
    status, headers, _ = stories.request("OPTIONS", "/v1/completions", None, ask)
    assert status == 204 and cors(headers) == {} and "POST" in headers["Allow"]


def test_cors_for_listed_origins():
    with Server("--allowed-origins", "https://a.example", "https://b.example", "--api-key", "k") as s:
        ask = {"Origin": "https://b.example", "Access-Control-Request-Method": "POST",
               "Access-Control-Request-Headers": "authorization"}
        status, headers, _ = s.request("OPTIONS", "/v1/completions", None, ask)  # browsers send no key here
        assert status == 204 and headers["Access-Control-Allow-Origin"] == "https://b.example"
        assert "POST" in headers["Access-Control-Allow-Methods"] and headers["Vary"] == "Origin"
        assert "Authorization" in headers["Access-Control-Allow-Headers"]
        other = cors(s.request("OPTIONS", "/v1/completions", None, {**ask, "Origin": "https://c.example"})[1])
        assert "access-control-allow-origin" not in other
        # An error must be readable by the page as well.
        status, headers, _ = s.request("POST", "/v1/completions", SHORT, {"Origin": "https://a.example"})
        assert status == 401 and headers["Access-Control-Allow-Origin"] == "https://a.example"
        assert headers["WWW-Authenticate"] == "Bearer"
    with Server("--allowed-origins", "*") as s:
        headers = s.request("GET", "/health", None, {"Origin": "https://any.example"})[1]
        assert headers["Access-Control-Allow-Origin"] == "*"


def test_pages_of_other_sites_get_no_work_done(stories):
    """A browser sends text/plain across sites without asking; it says so in a header that pages cannot set."""
    for site in ("cross-site", "same-site"):
        sent = {"Sec-Fetch-Site": site, "Origin": "https://evil.example", "Content-Type": "text/plain"}
        status, _, body = stories.request("POST", "/v1/completions", SHORT, sent)
        error = json.loads(body)["error"]
        assert status == 403 and error["code"] == "origin_not_allowed" and "https://evil.example" in error["message"]
        assert stories.request("POST", "/v1/completions", SHORT, {"Sec-Fetch-Site": site})[0] == 403
        assert stories.request("GET", "/v1/models", None, sent)[0] == 200  # links lead here
    for site in ("same-origin", "none"):
        assert stories.request("POST", "/v1/completions", SHORT, {"Sec-Fetch-Site": site})[0] == 200
    with Server("--allowed-origins", "https://a.example") as s:
        sent = {"Sec-Fetch-Site": "cross-site", "Origin": "https://a.example"}
        assert s.request("POST", "/v1/completions", SHORT, sent)[0] == 200
        assert s.request("POST", "/v1/completions", SHORT, {**sent, "Origin": "https://b.example"})[0] == 403


def test_a_page_cannot_give_the_server_a_name_of_its_own(stories):
    """DNS rebinding: the browser thinks that evil.example is this server, and says so in Host."""
    port = stories.url.rsplit(":", 1)[1]
    for method, path, body in (("POST", "/v1/completions", SHORT), ("GET", "/v1/models", None), ("GET", "/", None)):
        status, _, answer = stories.request(method, path, body, {"Host": f"evil.example:{port}"})
        assert status == 403 and "--allowed-hosts evil.example" in json.loads(answer)["error"]["message"]
        for name in ("localhost", "LocalHost", "127.0.0.1", "[::1]", "a.localhost", "10.1.2.3"):
            assert stories.request(method, path, body, {"Host": f"{name}:{port}"})[0] == 200, name
        for name in ("api.example", "api.example:443", f"api.example:{int(port) + 1}"):  # what proxies send
            assert stories.request(method, path, body, {"Host": name})[0] == 200, name
    with Server("--allowed-hosts", "box.lan") as s:
        port = s.url.rsplit(":", 1)[1]
        assert s.request("GET", "/v1/models", None, {"Host": f"Box.lan:{port}"})[0] == 200
        assert s.request("GET", "/v1/models", None, {"Host": f"notbox.lan:{port}"})[0] == 403
        assert s.request("GET", "/v1/models", None, {"Host": f"localhost.evil.example:{port}"})[0] == 403
    for args in (("--allowed-hosts", "*"), ("--host", "0.0.0.0"), ("--api-key", "k")):
        with Server(*args) as s:
            sent = {"Host": "any.example:" + s.url.rsplit(":", 1)[1], "Authorization": "Bearer k"}
            assert s.request("GET", "/v1/models", None, sent)[0] == 200


def test_root_path_of_a_proxy():
    with Server("--root-path", "/llm") as s:
        assert s.post("/llm/v1/completions", SHORT)[0] == 200
        assert s.post("/v1/completions", SHORT)[0] == 200
        assert s.get("/llmv1/models")[0] == 404 and s.get("/llm")[0] == 404


# --- deadlines and bounds -------------------------------------------------------------------------------

def test_request_timeout(tmp_path):
    with long_server(tmp_path, "--request-timeout", "1", "--max-num-seqs", "2") as s:
        start = time.monotonic()
        clients = [Client(s, {**ENDLESS, "stream": stream}) for stream in (True, False)]
        queued = Client(s, {**ENDLESS, "stream": True})
        stream, whole = [c.read_all() for c in clients]
        assert 0.9 < time.monotonic() - start < 1 + 2 * SLOW
        error = json.loads(stream.events[-1])["error"]
        assert "--request-timeout" in error["message"] and "[DONE]" not in stream.events
        assert json.loads(stream.events[0])["choices"]
        assert whole.status == 408 and "--request-timeout" in json.loads(whole.body)["error"]["message"]
        # One that never ran, or hardly: a plain 408, or an error at the end of a stream that had begun.
        queued.read_all()
        last = queued.events[-1] if queued.status == 200 else queued.body
        assert queued.status in (200, 408) and "--request-timeout" in json.loads(last)["error"]["message"]
        s.wait_idle()
        assert by_reason(s, "abort") == 3
        assert s.metric("inferd:kv_blocks_held") == 0
        assert s.post("/v1/completions", SHORT)[0] == 200


def fill(server, n_queued, prompt):
    """One that runs and n that wait."""
    running = Client(server, {**ENDLESS, "stream": True}).read_until(b"data: ")
    queued = []
    for i in range(n_queued):
        queued.append(Client(server, {**SHORT, "prompt": prompt}))
        server.wait_metric("vllm:num_requests_waiting", i + 1)
    return running, queued


def refusal(server, body):
    status, headers, data = server.request("POST", "/v1/completions", body)
    assert status == 429 and int(headers["Retry-After"]) >= 1, (status, data)
    return json.loads(data)["error"]


def test_queue_is_bounded_by_requests(tmp_path):
    with long_server(tmp_path, "--max-num-seqs", "1", "--max-num-queued-reqs", "3") as s:
        running, queued = fill(s, 3, "Lily")
        for body in (SHORT, {**SHORT, "stream": True}):  # nothing of a stream goes out before
            error = refusal(s, body)
            assert "queue is full" in error["message"] and error["type"], error
        assert s.metric("vllm:admission_rejections_total") == 2
        assert s.get("/health/ready")[0] == 200  # busy is not broken
        running.close()
        for c in queued:
            assert c.read_all().status == 200
        assert s.post("/v1/completions", SHORT)[0] == 200


def test_queue_is_bounded_by_tokens(tmp_path):
    with long_server(tmp_path, "--max-num-seqs", "1", "--max-num-queued-tokens", "1000") as s:
        running, queued = fill(s, 2, [5] * 450)
        assert s.metric("inferd:waiting_tokens") == 900
        assert "tokens" in refusal(s, {**SHORT, "prompt": [5] * 450})["message"]
        small = Client(s, {**SHORT, "prompt": [5] * 90})
        s.wait_metric("vllm:num_requests_waiting", 3)
        # A batch goes in whole or not at all.
        refusal(s, {**SHORT, "prompt": [[5] * 4, [5] * 400]})
        s.wait_metric("inferd:waiting_tokens", 990)
        running.close()
        for c in queued + [small]:
            assert c.read_all().status == 200
        s.wait_metric("inferd:waiting_tokens", 0)
        # Longer than the bound and alone: it may wait.
        assert s.post("/v1/completions", {**SHORT, "prompt": [5] * 3000})[0] == 200


def test_connections_are_bounded():
    with Server("--max-connections", "10") as s:
        held = [socket.create_connection(("127.0.0.1", s.port)) for _ in range(10)]
        for h in held:  # each is taken up by the server
            h.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in h.recv(1000)
        answer = s.raw(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 10)
        assert b" 503 " in answer.split(b"\r\n")[0] and b"Retry-After: " in answer, answer
        assert b"connections" in answer
        held.pop().close()
        end = time.monotonic() + 10 * SLOW
        while True:
            try:
                if s.get("/health/ready")[0] == 200:
                    break
            except OSError:
                pass
            assert time.monotonic() < end
        for h in held:
            h.close()


def test_idle_connections_are_closed():
    with Server("--idle-timeout", "1") as s:
        with socket.create_connection(("127.0.0.1", s.port), timeout=20 * SLOW) as c:
            c.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in c.recv(1000)
            start = time.monotonic()
            assert c.recv(1000) == b""
            assert 0.5 < time.monotonic() - start < 5 * SLOW
        # An answer that takes longer than that is no idleness.
        with Server("--idle-timeout", "1", "--chat-template", CHATML, "--max-num-seqs", "1") as slow:
            body = {"prompt": ["Once upon a time"] * 60, "max_tokens": 400, "ignore_eos": True}
            assert slow.post("/v1/completions", body)[0] == 200


def test_request_log_says_what_was_and_nothing_else():
    """A refused request has a status, a code and a field, but no time to its first token."""
    with Server() as s:
        for rid, body in (("fine", SHORT), ("hot", {**SHORT, "temperature": "hot"}), ("who", {**SHORT, "model": "x"})):
            s.post("/v1/completions", body, headers={"X-Request-Id": rid})
    fine, hot, who = (next(k for k in s.lines if f"={rid} " in k or f"-{rid}" in k) for rid in ("fine", "hot", "who"))
    assert " ttft_s=0." in fine and "status=200" in fine and "error=" not in fine, fine
    assert "status=400" in hot and "error=invalid_request_error param=temperature" in hot and "ttft_s" not in hot, hot
    assert "status=404" in who and "error=model_not_found" in who and "ttft_s" not in who, who


def test_forms_are_refused_and_other_types_read_as_json(stories):
    status, body = stories.post("/v1/completions", SHORT, headers={"Content-Type": "Multipart/form-data; boundary=x"})
    assert status == 415 and body["error"]["code"] == "unsupported_media_type", body
    assert "application/json" in body["error"]["message"]
    for kind in ("application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8"):
        assert stories.post("/v1/completions", SHORT, headers={"Content-Type": kind})[0] == 200
