"""--packed-cache-dir: a second start from the packed file answers as the first, and as none."""

import os
import pathlib
import re
import shutil
import time

import pytest
from harness import BINARY, ROOT, SLOW, Server

DEMO = ROOT / "models/demo"
REQUEST = {"model": "demo", "prompt": "Once upon a time", "max_tokens": 24, "temperature": 0, "ignore_eos": True,
           "logprobs": 5}
KINDS = {"float32": ["--dtype", "float32"], "bfloat16": [], "int8": ["--quantization", "int8"],
         "int8-w8a16": ["--quantization", "int8-w8a16"], "int4": ["--quantization", "int4"]}


def wait_for(path, pattern, server=None):
    """Until a file of that name is there: its writer works beside the server."""
    end = time.monotonic() + 30 * SLOW
    while not list(pathlib.Path(path).glob(pattern)):
        assert time.monotonic() < end, server.log if server else "no file"
        time.sleep(0.02)


def answer(server):
    status, data = server.post("/v1/completions", REQUEST)
    assert status == 200, data
    return data["choices"], data["usage"]


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_the_same_to_the_bit(tmp_path, kind):
    cache = tmp_path / "cache"
    with Server(*KINDS[kind], model=DEMO) as s:
        expected = answer(s)
    with Server(*KINDS[kind], "--packed-cache-dir", cache, model=DEMO) as s:
        assert answer(s) == expected
        wait_for(cache, "*.packed", s)
    assert "packed_cache_written" in s.log
    with Server(*KINDS[kind], model=DEMO, env={"INFERD_PACKED_CACHE_DIR": str(cache)}) as s:
        assert answer(s) == expected
    assert re.search(r"info \S+ packed_cache file=", s.log), s.log
    assert "written" not in s.log
    assert [p.suffix for p in cache.iterdir()] == [".packed"]


def test_a_damaged_file_is_named_and_replaced(tmp_path):
    with Server("--quantization", "int8", "--packed-cache-dir", tmp_path / "c", model=DEMO) as s:
        expected = answer(s)
        wait_for(tmp_path / "c", "*.packed", s)
    file = next((tmp_path / "c").iterdir())
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with Server("--quantization", "int8", "--packed-cache-dir", tmp_path / "c", model=DEMO) as s:
        assert answer(s) == expected
        end = time.monotonic() + 30 * SLOW
        while "packed_cache_written" not in s.log:
            assert time.monotonic() < end, s.log
            time.sleep(0.02)
    warnings = [line for line in s.lines if line.startswith("warning")]
    assert len(warnings) == 1 and file.name in warnings[0] and "the sum of array" in warnings[0], warnings


def test_a_folder_that_cannot_be_written_is_one_warning(tmp_path):
    with Server("--packed-cache-dir", "/proc/no/such", model=DEMO) as s:
        answer(s)
    warnings = [line for line in s.lines if line.startswith("warning")]
    assert len(warnings) == 1 and "packed_cache_off" in warnings[0] and "/proc/no" in warnings[0], warnings


def test_no_room_is_one_warning(tmp_path):
    """A limit of the file size stands for a full disk, and must not kill the server by a signal."""
    cache = tmp_path / "c"
    cache.mkdir(mode=0o700)
    script = tmp_path / "limited"
    script.write_text(f'#!/bin/sh\nulimit -f 64\nexec "{BINARY}" "$@"\n')
    script.chmod(0o755)
    with Server("--packed-cache-dir", cache, model=DEMO, binary=str(script)) as s:
        answer(s)
        end = time.monotonic() + 30 * SLOW
        while "packed_cache_not_written" not in s.log:
            assert time.monotonic() < end, s.log
            time.sleep(0.02)
        answer(s)
    warnings = [line for line in s.lines if line.startswith("warning")]
    assert len(warnings) == 1 and "File too large" in warnings[0], warnings
    assert not list(cache.iterdir())


def test_another_model_in_the_same_folder_is_not_mistaken(tmp_path):
    """Replaced files of the same size, with the times of the old ones, as some tools of deployment leave them."""
    model, cache = tmp_path / "model", tmp_path / "c"
    shutil.copytree(DEMO, model)
    weights = model / "model.safetensors"
    os.utime(weights, (1, 1))
    with Server("--packed-cache-dir", cache, model=model) as s:
        first = s.post("/v1/completions", {**REQUEST, "model": "model"})
        wait_for(cache, "*.packed", s)
    old = next(cache.iterdir())
    data = bytearray(weights.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    for at in range(start + 1, len(data), 2):  # the sign of every weight
        data[at] ^= 0x80
    weights.write_bytes(data)
    os.utime(weights, (1, 1))
    with Server(model=model) as s:
        expected = s.post("/v1/completions", {**REQUEST, "model": "model"})[1]["choices"]
    assert expected != first[1]["choices"]
    with Server("--packed-cache-dir", cache, model=model) as s:
        assert s.post("/v1/completions", {**REQUEST, "model": "model"})[1]["choices"] == expected
        end = time.monotonic() + 30 * SLOW
        while old.exists():
            assert time.monotonic() < end, s.log
            time.sleep(0.02)


def test_servers_that_start_at_once(tmp_path):
    cache = tmp_path / "c"
    with Server("--quantization", "int4", model=DEMO) as s:
        expected = answer(s)
    servers = [Server("--quantization", "int4", "--packed-cache-dir", cache, model=DEMO, wait=False) for _ in range(4)]
    try:
        for s in servers:
            assert s.is_ready.wait(60 * SLOW) and s.port, s.log
            assert answer(s) == expected
        wait_for(cache, "*.packed", servers[0])
    finally:
        for s in servers:
            s.__exit__(None, None, None)
    assert [p.suffix for p in cache.iterdir()] == [".packed"]


def test_a_server_that_is_killed_while_it_writes(tmp_path):
    """Whatever it left: the next one serves, and leaves one whole file."""
    cache = tmp_path / "c"
    s = Server("--packed-cache-dir", cache, model=DEMO, wait=False)
    wait_for(tmp_path, "c/*", s)
    s.process.kill()
    s.process.wait()
    for _ in range(2):
        with Server("--packed-cache-dir", cache, model=DEMO) as s:
            answer(s)
            wait_for(cache, "*.packed", s)
    assert [p.suffix for p in cache.iterdir()] == [".packed"]
    assert "packed_cache file=" in s.log
