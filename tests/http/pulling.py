"""What the tests of `inferd pull` share: a run of it with a cache of its own, and what the cache holds then."""

import os
import pathlib
import random
import re
import signal
import subprocess
import tempfile

import pytest

import hub_server
from harness import BINARY, SLOW

WAIT_S = 30 * SLOW
NAME = "org/Model-1.5B"
WEIGHTS = random.Random(1).randbytes(300_000)
NEEDED = {"config.json": b'{"model_type": "llama"}', "generation_config.json": b"{}", "tokenizer.json": b'{"model": {}}',
          "tokenizer_config.json": b"{ }", "chat_template.jinja": b"{{ messages }}",
          "additional_chat_templates/rag.jinja": b"{{ documents }}", "model.safetensors": WEIGHTS}
USELESS = {".gitattributes": b"* text", "README.md": b"# A model", "LICENSE": b"free", "pytorch_model.bin": b"PK" * 50,
           "onnx/model.onnx": b"onnx", "original/consolidated.00.pth": b"PK" * 60, "model-q4.gguf": b"GGUF" * 10}


class Cache:
    """A Hugging Face home of its own."""

    def __init__(self, folder):
        self.home = pathlib.Path(folder)
        self.root = self.home / "hf/hub"

    def repo(self, name=NAME):
        return self.root / ("models--" + name.replace("/", "--"))

    def blobs(self, name=NAME):
        """{file's name: content}, with what is incomplete."""
        folder = self.repo(name) / "blobs"
        return {p.name: p.read_bytes() for p in folder.iterdir()} if folder.is_dir() else {}

    def snapshot(self, sha, name=NAME):
        """{path: content} as a reader sees it."""
        folder = self.repo(name) / "snapshots" / sha
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    def ref(self, rev="main", name=NAME):
        path = self.repo(name) / "refs" / rev
        return path.read_text() if path.exists() else None

    def plant(self, file, data, name=NAME):
        """What an earlier run left of a file."""
        folder = self.repo(name) / "blobs"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{file.etag}.incomplete").write_bytes(data)

    def everything(self):
        """Each path below, links as their target and files as their content."""
        return {str(p.relative_to(self.home)): os.readlink(p) if p.is_symlink() else p.read_bytes() if p.is_file() else None
                for p in sorted(self.home.rglob("*"))}


def fast_folder():
    """Where fsync costs nothing: hundreds of models are loaded.  None: wherever temporary files are."""
    shm = pathlib.Path("/dev/shm")
    if not os.access(shm, os.W_OK):
        return None
    fs = os.statvfs(shm)
    return shm if fs.f_bavail * fs.f_frsize > 256 << 20 else None


@pytest.fixture
def cache():
    with tempfile.TemporaryDirectory(prefix="inferd-pull-", dir=fast_folder()) as folder:
        yield Cache(folder)


@pytest.fixture
def hub():
    with a_hub() as h:
        yield h


def environment(hub, cache, env=None):
    clean = {k: v for k, v in os.environ.items()
             if not k.startswith(("HF_", "HUGGING", "INFERD_")) and not k.lower().endswith("_proxy") and k != "XDG_CACHE_HOME"}
    clean |= {"HOME": str(cache.home), "HF_HOME": str(cache.home / "hf")} | ({"HF_ENDPOINT": hub.url} if hub else {})
    return {k: str(v) for k, v in (clean | (env or {})).items() if v is not None}


def start(hub, cache, *args, env=None, **kw):
    kw = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True} | kw
    return subprocess.Popen([BINARY, "pull", *map(str, args)], env=environment(hub, cache, env), **kw)


def finish(process):
    """(exit status, stdout, stderr)"""
    try:
        out, err = process.communicate(timeout=WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert "Sanitizer" not in err and "runtime error" not in err, err
    assert "OpenSesame" not in out + err, "the token is shown"
    return process.returncode, out, err


def pull(hub, cache, *args, **kw):
    return finish(start(hub, cache, *args, **kw))


def pulled(hub, cache, *args, **kw):
    """The directory; asserts that all went well."""
    rc, out, err = pull(hub, cache, *args, **kw)
    assert rc == 0, err
    assert re.fullmatch(r"/[^\n]+\n", out), out
    folder = pathlib.Path(out[:-1])
    assert folder.is_dir()
    return folder


def refused(hub, cache, *args, status=1, **kw):
    """What it says on standard error; asserts that it is words for a person and nothing on standard output."""
    rc, out, err = pull(hub, cache, *args, **kw)
    assert rc == status, (rc, out, err)
    assert out == "" and err.strip(), (out, err)
    assert all(c.isprintable() or c == "\n" for c in err), repr(err)
    assert all(len(line) < 1200 for line in err.split("\n")), err
    return err


def complete(hub, cache, rev="main", name=NAME, files=None):
    """Asserts that the cache has every needed file of a revision, whole, and nothing unfinished."""
    repo = hub.repos[name]
    sha = repo.find(rev)
    want = {p: d for p, d in repo.commits[sha].items() if p in (files or NEEDED)}
    assert cache.snapshot(sha, name) == {p: f.data for p, f in want.items()}
    blobs = cache.blobs(name)
    assert set(blobs) == {f.etag for f in want.values()}
    if rev != sha:
        assert cache.ref(rev, name) == sha


def interrupt(process, sig=signal.SIGINT):
    process.send_signal(sig)
    return finish(process)


def a_hub(**kw):
    hub = hub_server.Hub()
    hub.add(NAME, {**USELESS, **NEEDED}, **kw)
    return hub
