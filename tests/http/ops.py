"""What the tests of operations share: a model whose answers last, and clients on raw sockets."""

import json
import os
import pathlib
import re
import socket
import struct
import time

from harness import BINARY, SHARED, SLOW, STORIES, VOCAB, Server

LONG_CONTEXT = 1 << 17
# The tokenizer for long texts: GPT-2's, or that of the demo model, which cuts a text as finely.
WORDS = SHARED / "data/tokenizers/gpt-2" if SHARED.is_dir() else STORIES
N_WORDS = 50257 if SHARED.is_dir() else VOCAB
# Small, whichever model is there: steps are fast, and 400 MB of cache are many blocks.
SMALL = {"hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 5, "num_attention_heads": 8,
         "num_key_value_heads": 4, "head_dim": 8, "torch_dtype": "float32"}


def dummy_model(folder, **changes):
    """A directory with nothing but a config.json: the stories model's, with changes."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = {**json.loads((STORIES / "config.json").read_text()), **changes}
    config = {k: v for k, v in config.items() if v is not None}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def bare_model(folder, *without):
    """The stories model by links, without a chat template of its own and without the files named."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for file in STORIES.iterdir():
        if file.name not in ("chat_template.jinja", *without):
            (folder / file.name).symlink_to(file)
    return folder


def long_server(folder, *args, **kw):
    """Random weights and a context so long that an answer lasts as long as a test needs."""
    model = dummy_model(folder / "long", max_position_embeddings=LONG_CONTEXT, **SMALL)
    return Server("--load-format", "dummy", "--tokenizer", STORIES, "--seed", "1", "--kv-cache-memory-bytes",
                  "400M", *args, model=model, **kw)


def fault_binary():
    """A binary that knows INFERD_FAULT (debug and sanitizer builds), or None."""
    for path in (BINARY, os.environ.get("INFERD_DEBUG_BIN")):
        if path and pathlib.Path(path).is_file() and b"step_hang:" in pathlib.Path(path).read_bytes():
            return path
    return None


class Client:
    """One request on a socket of its own; the answer is read as far as a test wants."""

    def __init__(self, server, body, path="/v1/completions", headers="", timeout=60):
        data = json.dumps(body).encode()
        self.buffer = b""
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=timeout * SLOW)
        self.socket.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}"
                            f"Content-Length: {len(data)}\r\n\r\n".encode() + data)

    def read_until(self, text, count=1):
        while self.buffer.count(text) < count:
            part = self.socket.recv(65536)
            assert part, f"closed before {text}: {self.buffer[-500:]}"
            self.buffer += part
        return self

    def read_all(self):
        while part := self.socket.recv(1 << 20):
            self.buffer += part
        self.socket.close()
        return self

    @property
    def status(self):
        return int(self.buffer.split(b" ", 2)[1])

    @property
    def head(self):
        """Header names in lower case."""
        lines = self.buffer.split(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}

    @property
    def body(self):
        data = self.buffer.split(b"\r\n\r\n", 1)[1]
        if self.head.get("transfer-encoding") != "chunked":
            return data
        out = b""
        while data:
            size, data = data.split(b"\r\n", 1)
            n = int(size, 16)
            if n == 0:
                break
            out, data = out + data[:n], data[n + 2:]
        return out

    @property
    def events(self):
        return [e[6:] for e in self.body.decode().split("\n\n") if e.startswith("data: ")]

    def close(self):
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def wait_for(what, condition, timeout=20):
    end = time.monotonic() + timeout * SLOW
    while not (result := condition()):
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.005)
    return result


def by_reason(server, reason):
    values = [v for k, v in server.metrics().items()
              if re.match(r'vllm:request_success_total\{.*finished_reason="%s"' % reason, k)]
    assert len(values) == 1
    return values[0]
