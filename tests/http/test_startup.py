"""How a server starts, and how it says that it does not: options, models, damaged files."""

import json
import os
import random
import re
import shutil
import socket
import struct
import subprocess

import pytest

from harness import BINARY, CONFIG, MODEL_NAME, SLOW, STORIES, VOCAB, Server
from ops import dummy_model

HIDDEN, N_LAYERS = CONFIG["hidden_size"], CONFIG["num_hidden_layers"]
DTYPE = {"float32": b'"F32"', "bfloat16": b'"BF16"'}[CONFIG["torch_dtype"]]
SHORT = {"prompt": "Once upon a time", "max_tokens": 3, "temperature": 0}


def attempt(*args, model=STORIES, env=None):
    """(exit status, the last line) of a server that is expected not to start."""
    done = subprocess.run([BINARY, "serve", *([str(model)] if model else []), "--port", "0", *map(str, args)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60 * SLOW,
                          env={**os.environ, **(env or {})})
    text = done.stdout.decode(errors="replace")
    assert "Sanitizer" not in text and "runtime error" not in text, text
    return done.returncode, text.strip().split("\n")[-1]


def refused(*args, status=1, **kw):
    """The one line in which it says why."""
    rc, line = attempt(*args, **kw)
    assert rc == status, (rc, line)
    assert line.startswith("inferd serve: ") and len(line) < 700, line
    return line


# --- options -------------------------------------------------------------------------------------------

def test_options_that_do_not_exist():
    assert 'did you mean "max-num-seqs"' in refused("--max-num-seq", "4", status=2)
    assert 'did you mean "port"' in refused("--prot", "4", status=2)
    assert "frobnicate-the-tensors" in refused("--frobnicate-the-tensors", status=2)
    assert "tensor-parallel-size" in refused("--tensor-parallel-size", "2", status=2)
    assert "port" in refused("--port", "70000", status=2)
    assert "max-num-seqs" in refused("--max-num-seqs", "many", status=2)
    assert "load-format" in refused("--load-format", "gguf", status=2)
    done = subprocess.run([BINARY, "sevre"], capture_output=True, text=True)
    assert done.returncode == 2 and 'did you mean "serve"' in done.stderr


def test_no_model(monkeypatch):
    with monkeypatch.context() as m:
        m.setenv("INFERD_DEMO_MODEL", "/nowhere")  # else the demo model is served
        assert "no model given" in refused(model=None)
    line = refused(model="/nowhere/at/all")
    assert "/nowhere/at/all: no such directory" in line and "download" not in line, line
    line = refused(model="some-org/Some-Model-7B")
    assert "no such directory" in line and "inferd pull some-org/Some-Model-7B" in line, line
    assert "is not a directory" in refused(model=STORIES / "model.safetensors")


def test_what_was_loaded_is_logged():
    with Server("--threads", "1") as s:
        line = next(k for k in s.lines if " model " in k)
        assert "too_many_threads" not in s.log and "vocabulary" not in s.log, s.log
    for word in ("device=cpu", "isa=", "threads=1", "weight_bytes=", f"dtype={CONFIG['torch_dtype']}", "quantization=",
                 f"kv_cache_dtype={CONFIG['torch_dtype']}", "kv_cache_bytes=", "kv_blocks=", "block_size=16", "max_model_len="):
        assert word in line, line


def test_odd_settings_are_warned_of(tmp_path):
    """More threads than CPUs; a tokenizer that is not the model's."""
    model = dummy_model(tmp_path / "shape", vocab_size=8192)
    threads = len(os.sched_getaffinity(0)) + 1
    with Server("--load-format", "dummy", "--tokenizer", STORIES, "--threads", threads, model=model) as s:
        assert "too_many_threads" in s.log and f"threads={threads}" in s.log, s.log
        assert "probably the wrong tokenizer" in s.log, s.log


def test_address_in_use_and_unknown():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        line = refused("--port", port)
        assert f"port {port}" in line and "in use" in line and "--port" in line, line
    assert "no-such-host.invalid" in refused("--host", "no-such-host.invalid")
    assert "192.0.2.1" in refused("--host", "192.0.2.1")


def test_every_interface_and_ipv6():
    with Server("--host", "0.0.0.0") as s:
        assert s.get("/health")[0] == 200
        assert "no_api_key" in s.log  # open to all: said once
    try:
        socket.socket(socket.AF_INET6).bind(("::1", 0))
    except OSError:
        return
    with Server("--host", "::1") as s:
        port = int(re.search(r"http://\[::1\]:(\d+)", s.log)[1])
        with socket.create_connection(("::1", port)) as c:
            c.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            assert b" 200 " in c.recv(1000)


def block_sizes(*args, env=None):
    """What holds in the end, seen from outside: (block size, model name)."""
    with Server(*args, env=env) as s:
        info = next(k for k in s.metrics() if k.startswith("vllm:cache_config_info"))
        return int(re.search(r'block_size="(\d+)"', info)[1]), re.search(r'model_name="([^"]+)"', info)[1]


def test_command_line_over_environment_over_file_over_default(tmp_path):
    config = tmp_path / "inferd.yaml"
    config.write_text("block-size: 32\nserved_model_name: [from-file, second]\nlog-requests: false\n")
    env = {"INFERD_BLOCK_SIZE": "64", "INFERD_SERVED_MODEL_NAME": "from-env"}
    assert block_sizes() == (16, MODEL_NAME)
    assert block_sizes("--config", config) == (32, "from-file")
    assert block_sizes(env={"INFERD_CONFIG": str(config)}) == (32, "from-file")
    assert block_sizes("--config", config, env=env) == (64, "from-env")
    assert block_sizes("--config", config, "--block-size", "128", env=env) == (128, "from-env")
    assert block_sizes("--config", config, "--block-size=128", "--served-model-name", "cli", env=env) == (128, "cli")


@pytest.mark.parametrize("text, word", [("block-sise: 32\n", "block-size"), ("block-size: much\n", "block-size"),
                                        ("block-size: 32\nblock-size: 16\n", "block-size"),
                                        ("a: [1\n", "inferd.yaml"), ("- 1\n- 2\n", "inferd.yaml"),
                                        ("port: {a: 1}\n", "port"), ("\x00\x01", "inferd.yaml")])
def test_broken_config_file(tmp_path, text, word):
    config = tmp_path / "inferd.yaml"
    config.write_text(text)
    assert word in refused("--config", config, status=2)


def test_bad_environment_and_missing_config_file(tmp_path):
    assert "INFERD_BLOCK_SIZE" in refused(env={"INFERD_BLOCK_SIZE": "17x"}, status=2)
    assert "nothing.yaml" in refused("--config", tmp_path / "nothing.yaml", status=2)


def test_keys_are_not_shown():
    """Neither in the log nor in an error."""
    line = refused("--api-key", "sk-very-secret", "--block-size", "5", status=2)
    assert "sk-very-secret" not in line
    with Server("--api-key", "sk-very-secret") as s:
        assert s.get("/v1/models")[0] == 401
        assert s.get("/v1/models", headers={"Authorization": "Bearer sk-very-secret"})[0] == 200
    assert "sk-very-secret" not in s.log


# --- models ----------------------------------------------------------------------------------------------

def test_dummy_weights(tmp_path):
    """config.json alone, with another directory's tokenizer; the seed makes the weights."""
    model = dummy_model(tmp_path / "shape", hidden_size=96, intermediate_size=256, num_attention_heads=6,
                        num_key_value_heads=3, head_dim=16, num_hidden_layers=2)
    texts = []
    for seed in (1, 1, 2):
        with Server("--load-format", "dummy", "--tokenizer", STORIES, "--seed", seed, model=model) as s:
            status, body = s.post("/v1/completions", {**SHORT, "max_tokens": 30, "ignore_eos": True})
            assert status == 200, body
            texts.append(body["choices"][0]["text"])
    assert texts[0] == texts[1] != texts[2]
    assert "tokenizer.json" in refused("--load-format", "dummy", model=model)
    assert "safetensors" in refused("--tokenizer", STORIES, model=model)


@pytest.mark.parametrize("changes, words", [
    ({"architectures": ["MambaForCausalLM"]}, ["MambaForCausalLM"]),
    ({"architectures": []}, ["architectures"]),
    ({"architectures": None, "model_type": "bert"}, ["model_type", "bert"]),
    ({"hidden_act": "gelu"}, ["hidden_act", "gelu"]),
    ({"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, ["longrope"]),
    ({"quantization_config": {"quant_method": "gptq"}}, ["quantization_config"]),
    ({"num_experts_that_matter": 8}, ["num_experts_that_matter"]),
    ({"hidden_size": 65}, ["65"]),
    ({"num_key_value_heads": 3}, ["num_key_value_heads"]),
    ({"vocab_size": 10**9}, ["vocab_size"]),
    ({"num_hidden_layers": -1}, ["num_hidden_layers"]),
    ({"num_hidden_layers": "five"}, ["num_hidden_layers"]),
    ({"vocab_size": VOCAB + 1}, [f"[{VOCAB + 1}, {HIDDEN}]"]),
    ({"num_hidden_layers": N_LAYERS + 1}, [f"layers.{N_LAYERS}"]),
    ({"num_hidden_layers": N_LAYERS - 1}, [f"layers.{N_LAYERS - 1}"]),
])
def test_what_is_not_supported_is_named(tmp_path, changes, words):
    model = dummy_model(tmp_path / "m", **changes)
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(STORIES / name, model / name)
    line = refused(model=model)
    for word in words:
        assert word in line, line


def test_damaged_text_does_not_steer_the_terminal(tmp_path):
    model = dummy_model(tmp_path / "m", **{"\x1b[2J\x9b1m\x7fkey": 1})
    shutil.copy(STORIES / "tokenizer.json", model / "tokenizer.json")
    line = refused(model=model)
    assert "\\x1b[2J\\x9b1m\\x7fkey" in line and line.isprintable(), line


def test_models_that_do_not_fit():
    assert "max-model-len" in refused("--max-model-len", "100000")
    assert "kv-cache-memory-bytes" in refused("--kv-cache-memory-bytes", "1K", status=2)


def test_missing_and_odd_files(tmp_path):
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        model = tmp_path / f"without-{name}"
        shutil.copytree(STORIES, model)
        (model / name).unlink()
        assert name.split(".")[-1] in refused(model=model)
        (model / name).mkdir()
        assert name in refused(model=model)
        (model / name).rmdir()
        os.mkfifo(model / name)  # opening it would wait for ever
        assert name in refused(model=model)
    assert "missing.jinja" in refused("--chat-template", tmp_path / "missing.jinja")
    (tmp_path / "bad.jinja").write_text("{% for x in %}")
    assert "bad.jinja" in refused("--chat-template", tmp_path / "bad.jinja")


# --- damaged files -----------------------------------------------------------------------------------------

def outcome(model):
    """A clear refusal, or a server that works."""
    server = Server(model=model, wait=False)
    assert server.is_ready.wait(60 * SLOW), server.log
    if server.port is None:
        rc = server.process.wait(20)
        server.reader.join(10)
        last = server.log.strip().split("\n")[-1]
        assert rc == 1 and last.startswith("inferd serve: "), (rc, server.log[-3000:])
        assert len(last) < 700 and last.isprintable(), last
        return "refused"
    status, body = server.post("/v1/completions", {**SHORT, "prompt": [5, 6], "max_tokens": 8})
    assert status in (200, 400, 500), body
    assert server.stop() == 0, server.log[-3000:]
    assert "Sanitizer" not in server.log and "runtime error" not in server.log, server.log[-3000:]
    return "served"


def damaged(data, name, rng, n):
    """Copies of a file's bytes, each broken in another way."""
    header = 8 + struct.unpack("<Q", data[:8])[0] if name == "model.safetensors" else len(data)
    for cut in {0, 1, 7, 8, 9, header // 2, header - 1, header, header + 1, len(data) // 2, len(data) - 1}:
        if cut < len(data):
            yield f"cut at {cut}", data[:cut]
    yield "longer", data + b"\0"
    yield "zeros", bytes(len(data))
    yield "noise", rng.randbytes(min(len(data), 5000))
    for region, where in (("start", 8), ("header", header), ("all", len(data))):
        for _ in range(n):
            at, bit = rng.randrange(where), 1 << rng.randrange(8)
            yield f"{region}: bit {bit} at {at}", data[:at] + bytes([data[at] ^ bit]) + data[at + 1:]
    if name == "model.safetensors":
        for n_bytes in (0, 1, 2**31, 2**63, 2**64 - 1, len(data), len(data) - 8):
            yield f"header of {n_bytes}", struct.pack("<Q", n_bytes) + data[8:]
        size = b"[%d" % HIDDEN
        for old, new in ((b"[0,", b"[9,"), (DTYPE, b'"F99"'), (DTYPE, b'"F16"'), (size, b"[-" + size[2:]), (b"[", b"{")):
            yield f"{old} -> {new}", data[:8] + data[8:header].replace(old, new, 1) + data[header:]
    else:
        for new in (b"[" * 100_000, b'{"a":' * 5000, b"{}", b"[]", b"null", b'""', b"1e999", b"\xff\xfe{}", b"\xef\xbb\xbf" + data,
                    data.replace(b":", b":null,", 1), data + data):
            yield f"{new[:20]!r}...", new
        numbers = list(re.finditer(rb"\b\d+\b", data))
        for m in rng.sample(numbers, min(n, len(numbers))):
            for value in (b"-1", b"99999999999999999999", b"1e308", b"0.5", b"null", b"4294967296"):
                yield f"{value} at {m.start()}", data[:m.start()] + value + data[m.end():]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "generation_config.json",
                                  "tokenizer_config.json"])
def test_damaged_files(tmp_path, name):
    rng = random.Random(name)
    model = tmp_path / "m"
    shutil.copytree(STORIES, model)
    data = (STORIES / name).read_bytes()
    counts = {"refused": 0, "served": 0}
    n = 3 if SLOW > 1 else 8
    for what, bad in damaged(data, name, rng, n):
        (model / name).write_bytes(bad)
        try:
            counts[outcome(model)] += 1
        except AssertionError as e:
            raise AssertionError(f"{name}, {what}: {e}") from e
    (model / name).write_bytes(data)
    assert outcome(model) == "served"
    print(name, counts)
    assert counts["refused"] >= 10, counts


# --- what a start says ---------------------------------------------------------------------------------
def test_json_log_is_json_alone():
    """A log shipper reads every line of standard error; so the start says the address in an event."""
    with Server("--log-format", "json") as s:
        s.request("POST", "/v1/completions", SHORT)
    events = [json.loads(line) for line in s.lines]
    ready = [e for e in events if e["event"] == "ready"]
    assert len(ready) == 1 and ready[0]["address"] == s.url and ready[0]["model"] == MODEL_NAME, ready
