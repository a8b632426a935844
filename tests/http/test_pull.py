"""`inferd pull` against a local hub: what it loads, where it puts it, what it says, and that huggingface_hub agrees."""

import fcntl
import json
import os
import pathlib
import pty
import re
import select
import stat
import struct
import subprocess
import sys
import termios
import time

import pytest

import hub_server
from harness import BINARY, ROOT
from hub_server import Hub
from pulling import (NAME, NEEDED, USELESS, WAIT_S, WEIGHTS, a_hub, cache, complete, environment, finish, hub, pull, pulled,  # noqa: F401
                     refused, start)

VERSION = (ROOT / "VERSION").read_text().strip()


# --- what and where ----------------------------------------------------------------------------------------

def test_a_model_in_the_cache(hub, cache):
    folder = pulled(hub, cache, NAME)
    repo = hub.repos[NAME]
    assert folder == cache.repo() / "snapshots" / repo.sha
    complete(hub, cache)
    for path in NEEDED:  # as huggingface_hub links them, so that the cache can be moved
        assert os.readlink(folder / path) == "../" * (2 + path.count("/")) + "blobs/" + repo.file(path).etag
    assert sorted(p.name for p in cache.repo().iterdir()) == ["blobs", "refs", "snapshots"]
    assert {p.suffix for p in (cache.root / ".locks" / cache.repo().name).iterdir()} == {".lock"}
    umask = os.umask(0)
    os.umask(umask)
    for blob in (cache.repo() / "blobs").iterdir():
        assert stat.S_IMODE(blob.stat().st_mode) == 0o666 & ~umask, "others could not read the model"


def test_only_what_is_needed_is_asked_for(hub, cache):
    pulled(hub, cache, NAME)
    first = hub.requests()[0]
    assert (first.method, first.path) == ("GET", f"/api/models/{NAME}/revision/main?blobs=true")
    assert len(hub.requests("/api/models/")) == 1
    asked = sorted(re.sub(f"^/{NAME}/resolve/{hub.repos[NAME].sha}/", "", a.path) for a in hub.requests("/resolve/"))
    assert asked == sorted(NEEDED)
    for a in hub.requests():
        assert a.method == "GET" and a.headers["User-Agent"].startswith(f"inferd/{VERSION}")
        assert a.headers.get("Accept-Encoding", "identity") == "identity"


def test_the_second_time_is_one_request(hub, cache):
    folder = pulled(hub, cache, NAME)
    before = cache.everything()
    hub.forget()
    rc, out, err = pull(hub, cache, NAME)
    assert (rc, out, err) == (0, f"{folder}\n", "already complete\n")
    assert [a.path for a in hub.requests()] == [f"/api/models/{NAME}/revision/main?blobs=true"]
    assert cache.everything() == before


def test_what_lacks_is_completed(hub, cache):
    folder = pulled(hub, cache, NAME)
    file = hub.repos[NAME].file("tokenizer.json")
    (cache.repo() / "blobs" / file.etag).unlink()  # its link hangs in the air
    (folder / "config.json").unlink()
    hub.forget()
    pulled(hub, cache, NAME)
    assert len(hub.requests("/resolve/")) == 1 and hub.requests("/resolve/.*tokenizer.json")
    complete(hub, cache)


def test_a_new_commit_loads_what_has_changed(hub, cache):
    old = pulled(hub, cache, NAME)
    hub.repos[NAME].commit({**NEEDED, "config.json": b'{"model_type": "qwen3"}'}, "main")
    hub.forget()
    rc, out, err = pull(hub, cache, NAME)
    assert rc == 0 and re.search(r"^1 file, \d+ B in", err, re.M), err
    new = pathlib.Path(out[:-1])
    assert new != old and len(hub.requests("/resolve/")) == 1
    assert (new / "config.json").read_bytes() == b'{"model_type": "qwen3"}' and cache.ref() == new.name
    assert (old / "config.json").read_bytes() == NEEDED["config.json"]


def test_revisions(hub, cache):
    repo = hub.repos[NAME]
    tag = repo.commit({**NEEDED, "config.json": b"tag"}, "v1.0")
    pr = repo.commit({**NEEDED, "config.json": b"pull request"}, "refs/pr/1")
    folder = pulled(hub, cache, f"{NAME}@v1.0")
    assert folder.name == tag and cache.ref("v1.0") == tag and cache.ref() is None
    folder = pulled(hub, cache, f"{NAME}@refs/pr/1")
    assert folder.name == pr and cache.ref("refs/pr/1") == pr
    assert hub.requests("/revision/refs%2Fpr%2F1[?]")
    folder = pulled(hub, cache, f"{NAME}@{repo.sha}")  # a commit is nobody's reference
    assert folder.name == repo.sha and sorted(os.listdir(cache.repo() / "refs")) == ["refs", "v1.0"]


def sharded(single=False, **more):
    names = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    index = {"metadata": {}, "weight_map": {f"layer.{i}.{k}": n for i, n in enumerate(names) for k in "ab"}}
    files = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors.index.json": json.dumps(index).encode(),
             **{n: n.encode() * 5000 for n in names}, **more}
    return {**files, "model.safetensors": WEIGHTS} if single else files


def test_shards_are_those_of_the_index(hub, cache):
    files = sharded()
    hub.add("org/shards", {**files, "model-00004-of-00003.safetensors": b"stray", "other.safetensors": b"x",
                           "consolidated.safetensors": b"y"})
    folder = pulled(hub, cache, "org/shards")
    assert cache.snapshot(folder.name, "org/shards") == files
    assert not hub.requests("stray|other|consolidated|00004")


def test_one_file_is_preferred_to_shards(hub, cache):
    """As the engine prefers it."""
    hub.add("org/both", sharded(single=True))
    folder = pulled(hub, cache, "org/both")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS and not hub.requests("-of-00003")


def test_an_index_that_names_what_is_not_there(hub, cache):
    files = sharded()
    del files["model-00002-of-00003.safetensors"]
    hub.add("org/hole", files)
    assert "model-00002-of-00003.safetensors" in refused(hub, cache, "org/hole")
    assert cache.ref(name="org/hole") is None


@pytest.mark.parametrize("name", ["tokenizer.model", "special_tokens_map.json", "added_tokens.json", "qwen.tiktoken",
                                  "chat_template.jinja"])
def test_tokenizers_of_other_kinds(hub, cache, name):
    files = {"config.json": b"{}", name: b"tokens", "model.safetensors": b"weights"}
    hub.add("org/other", files)
    assert cache.snapshot(pulled(hub, cache, "org/other").name, "org/other") == files


@pytest.mark.parametrize("weights, words", [("pytorch_model.bin", "pytorch_model.bin"), ("model-q4_k_m.gguf", "gguf"),
                                            ("pytorch_model-00001-of-00002.bin", "pytorch_model"), ("consolidated.00.pth", "pth")])
def test_weights_of_another_kind_are_refused(hub, cache, weights, words):
    hub.add("org/old", {"config.json": b"{}", "tokenizer.json": b"{}", weights: b"PK"})
    err = refused(hub, cache, "org/old")
    assert "safetensors" in err and words in err, err
    assert not hub.requests("/resolve/") and not cache.repo("org/old").exists()


def test_an_empty_file(hub, cache):
    files = {**NEEDED, "added_tokens.json": b"", "tokenizer.model": b""}
    hub.add("org/empty", files)
    assert cache.snapshot(pulled(hub, cache, "org/empty").name, "org/empty") == files


def test_names_with_odd_characters(hub, cache):
    files = {**NEEDED, "additional_chat_templates/tool use+100%#é.jinja": b"x", "additional_chat_templates/a?b&c.jinja": b"y"}
    hub.add("org/odd", files)
    assert cache.snapshot(pulled(hub, cache, "org/odd").name, "org/odd") == files


def test_one_content_under_two_names(hub, cache):
    files = {**NEEDED, "tokenizer.json": b"{}", "tokenizer_config.json": b"{}", "added_tokens.json": b"{}"}
    hub.add("org/twins", files)
    assert cache.snapshot(pulled(hub, cache, "org/twins").name, "org/twins") == files


def test_one_content_of_which_one_name_is_there(hub, cache):
    """As a real file, so that the blob that both would be is not there."""
    files = {**NEEDED, "tokenizer_config.json": b"{}", "added_tokens.json": b"{}", "generation_config.json": b"[]"}
    hub.add("org/twins", files)
    folder = pulled(hub, cache, "org/twins")
    blob = (folder / "added_tokens.json").resolve()
    (folder / "tokenizer_config.json").unlink()
    (folder / "tokenizer_config.json").write_bytes(b"{}")
    (folder / "added_tokens.json").unlink()
    blob.unlink()
    assert cache.snapshot(pulled(hub, cache, "org/twins").name, "org/twins") == files


def test_a_cache_below_the_working_directory(hub, cache):
    rc, out, err = finish(start(hub, cache, NAME, env={"HF_HUB_CACHE": "here"}, cwd=cache.home))
    assert rc == 0 and (cache.home / out.strip() / "config.json").read_bytes() == NEEDED["config.json"], err


# --- environment ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("env, root", [({"HF_HUB_CACHE": "{}/c"}, "c"), ({"HUGGINGFACE_HUB_CACHE": "{}/d"}, "d"),
                                       ({"HF_HOME": "{}/e"}, "e/hub"),
                                       ({"HF_HOME": "~/f"}, "f/hub"), ({"HF_HUB_CACHE": "~"}, "."), ({"HF_HUB_CACHE": "{}/~g"}, "~g"),
                                       ({"HF_HOME": None, "XDG_CACHE_HOME": "{}/x"}, "x/huggingface/hub"),
                                       ({"HF_HOME": None}, ".cache/huggingface/hub")])
def test_where_the_cache_is(hub, cache, env, root):
    env = {k: v and v.format(cache.home) for k, v in env.items()}
    assert cache.home / root in pulled(hub, cache, NAME, env=env).parents


def test_the_endpoint(hub, cache):
    pulled(hub, cache, NAME, env={"HF_ENDPOINT": hub.url + "/"})
    assert not hub.requests("GET //")
    for bad in ("ftp://127.0.0.1", "file:///etc", "127.0.0.1:80", "javascript:0"):
        assert "HF_ENDPOINT" in refused(hub, cache, NAME, env={"HF_ENDPOINT": bad})


def test_offline(hub, cache):
    offline = {"HF_HUB_OFFLINE": "1"}
    err = refused(hub, cache, NAME, env=offline)
    assert f"{NAME}: no model of that name" in err and "; unset HF_HUB_OFFLINE and download it: " in err and not hub.requests()
    assert "directory" not in err
    folder = pulled(hub, cache, NAME)
    hub.forget()
    assert pulled(hub, cache, NAME, env=offline) == folder and not hub.requests()
    assert pulled(None, cache, f"{NAME}@{folder.name}", env=offline) == folder
    (folder / "model.safetensors").unlink()
    err = refused(hub, cache, NAME, env=offline)
    assert "lacks model.safetensors; unset HF_HUB_OFFLINE and complete it: " in err and not hub.requests()


def test_a_cache_that_was_moved(hub, cache):
    """As to a machine without a network."""
    folder = pulled(hub, cache, NAME)
    cache.repo().parent.rename(cache.home / "elsewhere")
    env = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": cache.home / "elsewhere"}
    moved = pulled(None, cache, NAME, env=env)
    assert moved == cache.home / "elsewhere" / folder.relative_to(cache.root)
    assert (moved / "model.safetensors").read_bytes() == WEIGHTS


def test_a_proxy(hub, cache):
    env = {"HF_ENDPOINT": "http://hub.invalid", "http_proxy": hub.url, "HF_TOKEN": hub.token, "no_proxy": hub.cdn_url[7:].split(":")[0]}
    pulled(hub, cache, NAME, env=env)
    assert hub.requests()[0].headers["Host"] == "hub.invalid"


TOKENS = [({"HF_TOKEN": "{}"}, None), ({"HUGGING_FACE_HUB_TOKEN": "{}"}, None), ({"HF_TOKEN_PATH": "{home}/my-token"}, "my-token"),
          ({}, "hf/token"), ({"HF_HOME": None}, ".cache/huggingface/token"), ({"HF_TOKEN": "{}", "HUGGING_FACE_HUB_TOKEN": "other"}, None),
          ({"HF_TOKEN": ""}, "hf/token"), ({"HF_TOKEN": " {}\n"}, None)]


@pytest.mark.parametrize("env, file", TOKENS)
def test_where_the_token_comes_from(cache, env, file):
    with a_hub(private=True) as hub:
        if file:
            (cache.home / file).parent.mkdir(parents=True, exist_ok=True)
            (cache.home / file).write_text(hub.token + "\n")
        pulled(hub, cache, NAME, env={k: v and v.format(hub.token, home=cache.home) for k, v in env.items()})
        # Leaving the `with` asserts that the CDN, another host, has not seen it.
        assert all(a.headers.get("Authorization") == f"Bearer {hub.token}" for a in hub.requests("^hub"))


def test_the_token_stays_at_its_port(cache):
    with Hub(cdn_host="127.0.0.1") as hub:  # the same name, another port: another server
        hub.add(NAME, NEEDED, private=True)
        pulled(hub, cache, NAME, env={"HF_TOKEN": hub.token})
        assert hub.requests("^cdn")


def test_the_token_goes_nowhere_by_an_api_redirect(hub, cache):
    hub.on("/api/models/", hub_server.redirect(lambda path: hub.cdn_url + path), times=None)
    pull(hub, cache, NAME, env={"HF_TOKEN": hub.token})
    assert not cache.repo().exists()


def test_a_token_that_nobody_asked_for(hub, cache):
    (cache.home / "hf").mkdir()
    (cache.home / "hf/token").write_text(hub.token)
    pulled(hub, cache, NAME, env={"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"})
    assert not any("Authorization" in a.headers for a in hub.requests())


def test_a_token_is_no_way_into_the_headers(hub, cache):
    refused(hub, cache, NAME, env={"HF_TOKEN": "hf_OpenSesame\r\nX-Evil: 1"})
    assert not any("X-Evil" in a.headers for a in hub.requests())


# --- what it says --------------------------------------------------------------------------------------------

def test_lines_without_a_terminal(hub, cache):
    rc, _, err = pull(hub, cache, NAME)
    assert rc == 0 and "\r" not in err and "\x1b" not in err
    lines = err.splitlines()
    for path in NEEDED:
        assert sum(path in re.split(r"[\s:,]+", line) for line in lines) == 1, (path, err)
    assert re.search(r"\d.*[kKM]i?B.*\d s", lines[-1]) and "/s" in lines[-1], lines[-1]  # bytes, seconds, rate


def test_quiet(hub, cache):
    rc, out, err = pull(hub, cache, NAME, "--quiet")
    assert rc == 0 and err == "" and out.count("\n") == 1
    assert refused(hub, cache, "org/absent", "--quiet")


def test_dry_run(hub, cache):
    rc, out, err = pull(hub, cache, NAME, "--dry-run")
    assert rc == 0 and cache.everything() == {}
    assert [a.path for a in hub.requests()] == [f"/api/models/{NAME}/revision/main?blobs=true"]
    for path, data in NEEDED.items():
        line, = (k for k in (out + err).splitlines() if path in k.split())
        assert re.search(r"\d", line.replace(path, "")), line
    assert not any(path in (out + err).split() for path in USELESS)


def test_dry_run_of_shards(hub, cache):
    hub.add("org/shards", sharded(**{"model-00004-of-00003.safetensors": b"stray"}))
    rc, out, err = pull(hub, cache, "org/shards", "--dry-run")
    assert rc == 0 and cache.everything() == {}
    assert "model-00003-of-00003.safetensors" in out + err and "00004" not in out + err
    assert not hub.requests("^cdn")


class Screen:
    """Standard error on a terminal."""

    def __init__(self, hub, cache, *args, columns):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = start(hub, cache, *args, stderr=slave, env={"TERM": "xterm"})
        os.close(slave)
        self.seen = b""

    def read(self, pattern=None):
        """Until the pattern was seen, or the end."""
        end = time.monotonic() + WAIT_S
        while not (pattern and re.search(pattern, self.seen)):
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            assert ready, self.seen
            try:
                data = os.read(self.master, 65536)
            except OSError:
                data = b""
            if not data:
                assert not pattern, self.seen
                break
            self.seen += data

    def close(self):
        os.close(self.master)
        return self.process.communicate(timeout=WAIT_S)[0]


@pytest.mark.parametrize("columns", [40, 120])
def test_progress_on_a_terminal(hub, cache, columns):
    hold = hub_server.Hold(150_000)
    hub.on("cdn GET", hold)
    screen = Screen(hub, cache, NAME, columns=columns)
    assert hold.reached.wait(WAIT_S)
    screen.read(rb"(?<!\d)(49|50)\s?%")
    hold.release.set()
    screen.read()
    assert screen.process.wait(WAIT_S) == 0
    assert screen.close().count("\n") == 1
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", screen.seen.decode())
    drawn = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    assert any("%" in line for line in drawn)
    assert max(len(line) for line in drawn if "%" in line) < columns + (columns == 40), drawn
    if columns == 120:
        line = next(k for k in drawn if re.search(r"(49|50)\s?%", k))
        assert "/s" in line and re.search(r"\d+\s?/\s?7", line), line


def test_how_often_it_is_drawn(hub, cache):
    """A hundred pieces in a second or more."""
    def trickle(r):
        r.send_response(200)
        r.send_header("Content-Length", str(len(WEIGHTS)))
        r.end_headers()
        for i in range(0, len(WEIGHTS), 3000):
            r.wfile.write(WEIGHTS[i:i + 3000])
            time.sleep(0.01)

    hub.on("cdn GET", trickle)
    began = time.monotonic()
    screen = Screen(hub, cache, NAME, columns=80)
    screen.read()
    took = time.monotonic() - began
    assert screen.process.wait(WAIT_S) == 0
    screen.close()
    drawn = [line for line in re.split(rb"[\r\n]+", screen.seen) if b"%" in line]
    assert 4 <= len(drawn) <= 3 + 10 * took, (took, drawn)


# --- the command line ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("args", [[], ["gpt2"], ["a/b/c"], ["../b"], ["org/"], ["org/a--b"], ["org/name@"], ["org/name@a/../b"],
                                  ["org/name@a b"], ["org/na\nme"], ["org/one", "org/two"], ["org/name", "--jobs", "0"],
                                  ["org/name", "--jobs", "17"], ["org/name", "--jobs", "x"], ["org/name", "--jobs"],
                                  ["org/name", "--frobnicate"], ["org/name", "--quite"], ["org/name", "--quiet=1"]])
def test_wrong_usage(hub, cache, args):
    refused(hub, cache, *args, status=2)
    assert not hub.requests() and cache.everything() == {}


@pytest.mark.parametrize("said, hint", [("qwen3:0.6b", "Ollama's names are others"), ("gpt2", "such as Qwen/Qwen3-0.6B"),
                                        ("https://example.org/org/name", "HF_ENDPOINT names another hub"),
                                        ("https://huggingface.co/datasets/org/name", "ORG/NAME")])
def test_what_is_no_name(hub, cache, said, hint):
    assert hint in refused(hub, cache, said, status=2) and not hub.requests()


def test_the_address_of_a_page(hub, cache):
    folder = pulled(hub, cache, f"https://huggingface.co/{NAME}/tree/main?not-for-all-audiences=true")
    assert pulled(hub, cache, f"{hub.url}/{NAME}") == folder and folder.is_relative_to(cache.repo())


def test_help(hub, cache):
    rc, out, err = pull(hub, cache, "--help")
    assert rc == 0 and err == "" and not hub.requests()
    for word in ("--jobs", "--quiet", "--dry-run", "ORG/NAME", "HF_TOKEN", "HF_ENDPOINT"):
        assert word in out, word
    assert subprocess.run([BINARY, "help", "pull"], capture_output=True, text=True).stdout == out
    assert "pull" in subprocess.run([BINARY, "help"], capture_output=True, text=True).stdout


@pytest.mark.parametrize("jobs, most", [(["--jobs", 1], 1), ([], 4), (["--jobs=6"], 6)])
def test_files_at_one_time(hub, cache, jobs, most):
    names = [f"model-0000{i}-of-00008.safetensors" for i in range(1, 9)]
    index = {"weight_map": {n: n for n in names}}
    hub.add("org/many", {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors.index.json": json.dumps(index).encode(),
                         **{n: n.encode() * 1000 for n in names}})
    holds = [hub_server.Hold(100) for _ in names]
    for hold in holds:
        hub.on("cdn GET", hold)
    process = start(hub, cache, "org/many", *jobs)
    for hold in holds[:most]:
        assert hold.reached.wait(WAIT_S)
    for hold in holds:
        hold.release.set()
    assert finish(process)[0] == 0
    assert hub.most_at_once == most


# --- what others wrote -----------------------------------------------------------------------------------------

def hugging_face(hub, cache, code, **env):
    """What the real library prints."""
    done = subprocess.run([sys.executable, "-c", "import huggingface_hub as hf\n" + code], capture_output=True, text=True, timeout=WAIT_S,
                          env=environment(hub, cache, {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **env}))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_huggingface_hub_has_loaded_is_complete(hub, cache):
    folder = hugging_face(hub, cache, f"print(hf.snapshot_download({NAME!r}))", HF_TOKEN=hub.token)
    before = cache.everything()
    hub.forget()
    assert str(pulled(hub, cache, NAME)) == folder
    assert len(hub.requests()) == 1 and cache.everything() == before


def test_what_it_has_loaded_in_part_is_completed(hub, cache):
    repo = hub.repos[NAME]
    hugging_face(hub, cache, f"hf.hf_hub_download({NAME!r}, 'tokenizer.json')")
    hub.forget()
    folder = pulled(hub, cache, NAME)
    assert folder.name == repo.sha and not hub.requests("/resolve/.*/tokenizer.json")
    complete(hub, cache)


def test_huggingface_hub_finds_what_was_pulled(hub, cache):
    repo = hub.repos[NAME]
    sha = repo.commit({**NEEDED, "config.json": b"another"}, "refs/pr/1")
    folders = [str(pulled(hub, cache, n)) for n in (NAME, f"{NAME}@refs/pr/1")]
    hub.forget()
    code = f"""
print(hf.snapshot_download({NAME!r}, local_files_only=True))
print(hf.snapshot_download({NAME!r}, revision="refs/pr/1", local_files_only=True))
print(hf.hf_hub_download({NAME!r}, "additional_chat_templates/rag.jinja", local_files_only=True))
print(hf.try_to_load_from_cache({NAME!r}, "model.safetensors"))
info, = hf.scan_cache_dir().repos
print(info.repo_id, info.nb_files, len(info.revisions), sorted(info.refs), len(hf.scan_cache_dir().warnings))"""
    lines = hugging_face(hub, cache, code).split("\n")
    assert lines[:2] == folders and folders[1].endswith(sha)
    assert lines[2:4] == [f"{folders[0]}/additional_chat_templates/rag.jinja", f"{folders[0]}/model.safetensors"]
    assert lines[4] == f"{NAME} {len(NEEDED) + 1} 2 ['main', 'refs/pr/1'] 0"
    assert not hub.requests()
    hugging_face(hub, cache, f"hf.snapshot_download({NAME!r}, ignore_patterns={sorted(USELESS)!r})")
    assert not hub.requests("GET .*/resolve/") and not hub.requests("^cdn")


def test_a_blob_that_is_a_link(hub, cache):
    """Into a store that several caches share."""
    pulled(hub, cache, NAME)
    blob = cache.repo() / "blobs" / hub.repos[NAME].file("model.safetensors").etag
    shared = cache.home / "weights"
    blob.rename(shared)
    blob.symlink_to(shared)
    hub.forget()
    pulled(hub, cache, NAME)
    assert len(hub.requests()) == 1 and blob.is_symlink()


def test_a_cache_of_files_instead_of_links(hub, cache):
    """As copied by a tool that follows links."""
    folder = pulled(hub, cache, NAME)
    for path in NEEDED:
        data = (folder / path).read_bytes()
        (folder / path).unlink()
        (folder / path).write_bytes(data)
    for blob in (cache.repo() / "blobs").iterdir():
        blob.unlink()
    hub.forget()
    assert pulled(hub, cache, NAME) == folder
    assert cache.snapshot(folder.name) == NEEDED


def test_unfinished_files_of_others_stay(hub, cache):
    etag = hub.repos[NAME].file("model.safetensors").etag
    other = cache.repo() / "blobs" / f"{etag}.0123abcd.incomplete"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"half")
    pulled(hub, cache, NAME)
    assert other.read_bytes() == b"half"


def test_a_cache_that_cannot_be_written(hub, cache):
    (cache.home / "file").write_text("x")
    err = refused(hub, cache, NAME, env={"HF_HUB_CACHE": cache.home / "file"})
    assert str(cache.home / "file") in err, err


def test_a_cache_that_may_only_be_read(hub, cache):
    """Mounted so, complete: nothing has to be written."""
    folder = pulled(hub, cache, NAME)
    script = f'mount --bind -o ro "{cache.home}" "{cache.home}" 2>/dev/null && mount -o remount,bind,ro "{cache.home}" && exec "$@"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", BINARY, "pull", NAME]
    if subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("this machine has no user namespaces")
    done = subprocess.run(command, env=environment(hub, cache), capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 0 and pathlib.Path(done.stdout.strip()) == folder, done
