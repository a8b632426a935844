"""The life of a server: start, readiness, clients that leave, the watchdog, shutdown."""

import json
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

import harness
from harness import BINARY, ROOT, SLOW, Server
from ops import (LONG_CONTEXT, N_WORDS, SMALL, WORDS, Client, by_reason, dummy_model, fault_binary, long_server,
                 wait_for)

ENDLESS = {"prompt": "Once upon a time", "max_tokens": 100_000, "ignore_eos": True, "temperature": 0}
SHORT = {"prompt": "Once upon a time", "max_tokens": 5, "temperature": 0}
HELD, RUNNING, WAITING = "inferd:kv_blocks_held", "vllm:num_requests_running", "vllm:num_requests_waiting"


def refused(server):
    """How a server that is shutting down answers: (status, headers, error)."""
    status, headers, body = server.request("POST", "/v1/completions", SHORT)
    return status, headers, json.loads(body)["error"]


def readiness(server):
    status, body = server.get("/health/ready")
    return status, json.loads(body)


# --- shutdown ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_signal_lets_running_and_queued_requests_finish(tmp_path, sig):
    n = 2000 // SLOW
    with long_server(tmp_path, "--max-num-seqs", "2") as server:
        body = {**ENDLESS, "max_tokens": n}
        streams = [Client(server, {**body, "stream": True}) for _ in range(2)]
        for c in streams:
            c.read_until(b"data: ", 3)
        queued = [Client(server, {**body, "max_tokens": 3, "stream": stream}) for stream in (True, False)]
        server.wait_metric(WAITING, 2)
        assert readiness(server)[0] == 200
        server.process.send_signal(sig)
        wait_for("not ready", lambda: readiness(server)[0] == 503)
        assert readiness(server)[1]["reason"] == "draining"
        assert server.get("/health/live")[0] == 200
        status, headers, error = refused(server)
        assert status == 503 and headers["Retry-After"] == "1" and "shutting down" in error["message"]
        for c in streams + queued:
            c.read_all()
            assert c.status == 200, c.buffer[:300]
        for c, n_tokens in zip(streams + queued[:1], (n, n, 3)):
            *chunks, done = c.events
            assert done == "[DONE]"
            choices = [json.loads(e)["choices"][0] for e in chunks]
            assert choices[-1]["finish_reason"] == "length", choices[-1]
            assert n_tokens <= len(chunks) <= n_tokens + 2
        assert json.loads(queued[1].body)["usage"]["completion_tokens"] == 3
        assert server.process.wait(20 * SLOW) == 0
        with pytest.raises(OSError):
            server.get("/health/live")


def test_shutdown_timeout_aborts_what_still_runs(tmp_path):
    with long_server(tmp_path, "--shutdown-timeout", "1") as server:
        stream = Client(server, {**ENDLESS, "stream": True}).read_until(b"data: ")
        whole = Client(server, ENDLESS)
        server.wait_metric(RUNNING, 2)
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        stream.read_all()
        whole.read_all()
        took = time.monotonic() - start
        last = json.loads(stream.events[-1])
        assert "shutting down" in last["error"]["message"], last
        assert "[DONE]" not in stream.events
        assert whole.status == 503 and whole.head["retry-after"] == "1", whole.buffer[:300]
        assert json.loads(whole.body)["error"]["type"]
        assert server.process.wait(10 * SLOW) == 0
        assert 0.9 < took < 1 + 2 * SLOW, took


def test_shutdown_timeout_zero_does_not_wait(tmp_path):
    with long_server(tmp_path, "--shutdown-timeout", "0") as server:
        stream = Client(server, {**ENDLESS, "stream": True}).read_until(b"data: ")
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert "error" in json.loads(stream.read_all().events[-1])
        assert server.process.wait(10 * SLOW) == 0
        assert time.monotonic() - start < 2 * SLOW


def test_second_signal_ends_at_once(tmp_path):
    server = long_server(tmp_path, "--shutdown-timeout", "600")
    stream = Client(server, {**ENDLESS, "stream": True}).read_until(b"data: ")
    server.process.send_signal(signal.SIGTERM)
    wait_for("not ready", lambda: readiness(server)[0] == 503)
    assert server.process.poll() is None
    start = time.monotonic()
    assert server.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    assert time.monotonic() - start < 2 * SLOW
    stream.close()


def working_server(tmp_path, command, timeout):
    """(server, client): the pool works for seconds on what the client has sent, and cannot be stopped."""
    model = dummy_model(tmp_path / "long", max_position_embeddings=LONG_CONTEXT, vocab_size=N_WORDS, **SMALL)
    shutil.copy(WORDS / "tokenizer.json", model)
    server = Server("--load-format", "dummy", "--kv-cache-memory-bytes", "100M", "--max-body-size", "64M",
                    "--shutdown-timeout", str(timeout), command=command, model=model)

    def n_threads():
        return len(list(pathlib.Path(f"/proc/{server.process.pid}/task").iterdir()))

    before = n_threads()
    text = "".join(random.Random(1).choices("abcdefghij", k=1 << 16)) * 900
    client = Client(server, {"prompt": text, "truncate_prompt_tokens": 5, "max_tokens": 1},
                    path="/v1/completions" + ("/render" if command == "render-server" else ""))
    wait_for("the pool to begin", lambda: n_threads() > before)  # its threads come with its first job
    return server, client


@pytest.mark.parametrize("command", ["serve", "render-server"])
def test_shutdown_timeout_is_kept_while_the_pool_works(tmp_path, command):
    server, client = working_server(tmp_path, command, 1)
    start = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    client.read_all()
    assert client.status == 503 and client.head["retry-after"] == "1", client.buffer[:300]
    assert "shutting down" in json.loads(client.body)["error"]["message"]
    assert server.process.wait(20 * SLOW) == 0
    assert 0.9 < time.monotonic() - start < 1 + 2 * SLOW
    server.reader.join(10)
    kinds = "tokenize_or_render=1 preparing=0" if command == "render-server" else "tokenize_or_render=0 preparing=1"
    assert "running=1 " in server.log and "shutdown_timeout aborted=1" in server.log, server.log
    assert f"shutdown_jobs_left {kinds}" in server.log and "Sanitizer" not in server.log, server.log


@pytest.mark.parametrize("command", ["serve", "render-server"])
def test_shutdown_does_not_wait_for_work_that_nobody_wants(tmp_path, command):
    server, client = working_server(tmp_path, command, 600)
    client.close()
    start = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - start < 2 * SLOW
    assert "status=499" in server.log or command == "render-server", server.log


def test_idle_server_stops_at_once_with_open_connections():
    """Kept-alive connections without a request hold nobody up."""
    with Server() as server:
        idle = Client(server, SHORT).read_all()
        assert idle.status == 200
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
        start = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - start < 2 * SLOW
        for s in silent:
            s.close()


# --- watchdog and failure: builds that know INFERD_FAULT -----------------------------------------------

def faulty(fault, *args):
    binary = fault_binary()
    if not binary:
        pytest.skip("a release build injects no faults: see INFERD_DEBUG_BIN")
    old, harness.BINARY = harness.BINARY, binary
    try:
        return Server(*args, env={"INFERD_FAULT": fault})
    finally:
        harness.BINARY = old


def test_watchdog_tells_of_a_step_that_hangs(tmp_path):
    go_on = tmp_path / "go_on"
    with faulty(f"step_hang:4:{go_on}", "--watchdog-timeout", "1") as server:
        assert readiness(server)[0] == 200
        stream = Client(server, {**SHORT, "max_tokens": 20, "stream": True}).read_until(b"data: ", 3)
        start = time.monotonic()
        state = wait_for("not ready", lambda: (r := readiness(server))[0] == 503 and r[1])
        assert time.monotonic() - start > 0.5
        assert state["reason"] == "engine_hangs" and state["message"]
        assert server.get("/health/live")[0] == 200
        status, headers, error = refused(server)
        assert status == 503 and headers["Retry-After"] == "1" and "step" in error["message"]
        assert server.metric(RUNNING) == 1  # a scrape does not wait for the engine
        go_on.touch()
        assert stream.read_all().events[-1] == "[DONE]"
        assert readiness(server)[0] == 200
        assert server.post("/v1/completions", SHORT)[0] == 200


def test_hanging_step_does_not_hold_up_a_shutdown():
    """The engine cannot be stopped then: the process exits without it, and says so by its status."""
    server = faulty("step_stuck:2", "--watchdog-timeout", "1", "--shutdown-timeout", "1")
    stream = Client(server, {**SHORT, "stream": True})
    wait_for("not ready", lambda: readiness(server)[0] == 503)
    start = time.monotonic()
    assert server.stop() == 1
    assert 0.9 < time.monotonic() - start < 20 * SLOW
    assert "hangs" in server.log
    stream.close()


def test_failed_step_ends_all_requests_and_the_process():
    server = faulty("step_fail:5", "--max-num-seqs", "2")
    body = {**SHORT, "max_tokens": 200, "ignore_eos": True}
    # Two run when the fifth step fails at the latest, and one may wait.
    clients = [Client(server, {**body, "stream": i == 0}) for i in range(3)]
    for c in clients:
        c.read_all()
    if clients[0].status == 200:
        last = json.loads(clients[0].events[-1])
        assert last["error"]["type"] and "[DONE]" not in clients[0].events, last
    for c in clients:
        assert c.status in (200 if c is clients[0] else 500, 500, 503), c.buffer[:300]
    assert clients[1].status == 500 and json.loads(clients[1].body)["error"]["message"]
    try:  # from here on never ready again, up to the end
        assert readiness(server) == (503, {**readiness(server)[1], "reason": "engine_failed"})
    except OSError:
        pass
    assert server.process.wait(20 * SLOW) == 1
    server.reader.join(10)
    assert "engine_failed" in server.log and "injected device failure" in server.log
    assert "Sanitizer" not in server.log, server.log


# --- clients that leave ---------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def slow_steps(tmp_path_factory):
    """Long prompts in chunks and two places: requests can be met in every state."""
    with long_server(tmp_path_factory.mktemp("slow"), "--max-num-seqs", "2", "--max-num-batched-tokens", "256",
                     "--no-enable-prefix-caching") as server:
        yield server
        server.wait_idle()


def prompt_of(n):
    return [3 + i % 500 for i in range(n)]


def leave(server, client, how):
    """The client goes; how many steps begun after that until its blocks were free."""
    aborts = by_reason(server, "abort")
    before = server.metric("inferd:steps_total")
    getattr(client, how)()
    wait_for("blocks are free", lambda: server.metric(HELD) == 0)
    assert server.metric(RUNNING) == 0 and server.metric(WAITING) == 0
    assert by_reason(server, "abort") == aborts + 1
    return server.metric("inferd:steps_total") - before


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("stream", [True, False])
def test_client_that_leaves_while_its_prompt_is_computed(slow_steps, stream, how):
    server = slow_steps
    client = Client(server, {"prompt": prompt_of(20_000), "max_tokens": 5, "stream": stream})
    wait_for("prefill", lambda: server.metric(HELD) > 300)
    steps = leave(server, client, how)
    # One that began before it left, one while the metrics were read.
    assert steps <= 3, steps


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("stream", [True, False])
def test_client_that_leaves_while_its_answer_is_made(slow_steps, stream, how):
    server = slow_steps
    # A long past makes slow steps, so that they can be counted.
    past = 1500 // SLOW
    client = Client(server, {"prompt": prompt_of(past), "max_tokens": 50_000, "ignore_eos": True, "n": 2,
                             "stream": stream})
    if stream:
        client.read_until(b"data: ", 20)
    made = server.metric("vllm:generation_tokens_total")
    wait_for("decode", lambda: server.metric("vllm:generation_tokens_total") > made + 10)
    t = time.monotonic()
    steps = leave(server, client, how)
    # What is bounded is the time to notice: no step is counted after the last metric was read.
    assert steps < 100 and time.monotonic() - t < 2 * SLOW, steps


@pytest.mark.parametrize("stream", [True, False])
def test_client_that_leaves_the_queue(slow_steps, stream):
    server = slow_steps
    body = {**ENDLESS, "max_tokens": 50_000}
    running = [Client(server, {**body, "stream": True}).read_until(b"data: ") for _ in range(2)]
    queued = Client(server, {**body, "stream": stream})
    server.wait_metric(WAITING, 1)
    aborts = by_reason(server, "abort")
    queued.close()
    server.wait_metric(WAITING, 0)
    assert server.metric(RUNNING) == 2 and server.metric("inferd:waiting_tokens") == 0
    assert by_reason(server, "abort") == aborts + 1
    for c in running:
        c.reset()
    server.wait_metric(HELD, 0)
    assert by_reason(server, "abort") == aborts + 3


def test_one_that_leaves_does_not_disturb_its_neighbour(slow_steps):
    server = slow_steps
    body = {"prompt": "Once upon a time", "max_tokens": 300, "ignore_eos": True, "temperature": 0}
    alone = server.post("/v1/completions", body)[1]["choices"][0]["text"]
    leaver = Client(server, {**ENDLESS, "prompt": "Lily went", "stream": True}).read_until(b"data: ", 5)
    other = Client(server, {**body, "stream": True}).read_until(b"data: ")
    leaver.reset()
    chunks = [json.loads(e) for e in other.read_all().events[:-1]]
    assert "".join(c["choices"][0]["text"] for c in chunks) == alone


# --- start and idleness -----------------------------------------------------------------------------------

def test_ready_within_a_second():
    seconds = []
    for _ in range(3):
        with Server() as server:
            seconds.append(server.ready_s)
            assert readiness(server)[0] == 200
            metrics = server.metrics()
    rss = min(v for k, v in metrics.items() if k == "process_resident_memory_bytes")
    print(f"ready after {min(seconds):.3f} s, RSS {rss / 2**20:.1f} MiB")
    assert min(seconds) < 1 * SLOW, seconds
    startup = {k: v for k, v in metrics.items() if k.startswith("inferd:startup_seconds")}
    assert len(startup) == 4 and all(0 <= v < SLOW for v in startup.values()), startup


def wake_ups(server):
    """Times that any thread of the server was put on a core."""
    total = 0
    for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        text = (task / "status").read_text()
        total += sum(map(int, re.findall(r"voluntary_ctxt_switches:\s+(\d+)", text)))
    return total


def assert_idle(server, seconds):
    # Let kept-alive connections and the last answers come to an end.
    wait_for("quiet", lambda: (a := wake_ups(server), time.sleep(0.3), wake_ups(server) == a)[2])
    before, cpu = wake_ups(server), server.cpu_seconds()
    time.sleep(seconds)
    assert wake_ups(server) == before
    assert server.cpu_seconds() == cpu


def test_idle_server_does_nothing():
    """Not one wake-up of any thread, before and after load."""
    seconds = 3
    with Server() as server:
        assert_idle(server, seconds)
        for i in range(20):
            assert server.post("/v1/completions", {**SHORT, "n": 4, "stream": False})[0] == 200
        server.stream("/v1/completions", SHORT)
        Client(server, {**SHORT, "max_tokens": 400, "stream": True}).read_until(b"data: ").reset()
        server.wait_idle()
        assert_idle(server, seconds)
        assert server.post("/v1/completions", SHORT)[0] == 200


# --- many streams -------------------------------------------------------------------------------------------

@pytest.mark.load
def test_thousands_of_open_streams():
    """All at once, each to its end; descriptors and blocks are back afterwards."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    n = min(4000, hard - 600) if not harness.SANITIZED else 400
    if n < 100:
        pytest.skip(f"only {hard} file descriptors")
    with Server("--max-num-seqs", "256", "--no-log-requests") as server:
        assert server.post("/v1/completions", SHORT)[0] == 200
        server.wait_idle()
        fds = wait_for("descriptors", lambda: server.metric("process_open_fds"))
        bench = subprocess.Popen(
            [BINARY, "bench", "serve", "--url", server.url, "--concurrency", str(n), "--num-requests", str(2 * n),
             "--input-len", "8", "--output-len", "32", "--no-progress", "--output", "/dev/stdout"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        most = 0
        out = []
        reader = threading.Thread(target=lambda: out.extend(bench.communicate()), daemon=True)
        reader.start()
        while reader.is_alive():
            most = max(most, server.metric("process_open_fds"))
            time.sleep(0.05)
        assert bench.returncode == 0, out
        server.wait_idle()
        print(f"{n} streams, at most {most:.0f} descriptors\n{out[0][:1500]}")
        assert most >= n, most
        assert by_reason(server, "length") == 2 * n + 1 + 1  # and the two single ones: warm-up, first
        assert by_reason(server, "abort") == by_reason(server, "error") == 0
        server.wait_metric(HELD, 0)
        wait_for("descriptors are closed", lambda: server.metric("process_open_fds") <= fds)
