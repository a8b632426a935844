"""Models by name: ORG/NAME[@REV] of the Hugging Face cache, for every command that takes a model."""

import json
import os
import shutil
import subprocess

import pytest

from harness import BINARY, ROOT, SLOW, Server
from pulling import WAIT_S, Cache, environment
from terminal import Terminal

DEMO = ROOT / "models/demo"
NAME = "example/Demo-5M"
SHA, OTHER = "0123456789abcdef" * 2 + "01234567", "f" * 40
ASK = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0, "max_tokens": 20}


def put(cache, sha=SHA, rev="main", name=NAME, without=()):
    """The demo model as a snapshot; its files are linked, and it has their names alone."""
    folder = cache.repo(name) / "snapshots" / sha
    folder.mkdir(parents=True)
    for path in DEMO.iterdir():
        if path.name not in without:
            (folder / path.name).symlink_to(path)
    if rev:
        ref = cache.repo(name) / "refs" / rev
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(sha)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Read by all, written by none."""
    c = Cache(tmp_path_factory.mktemp("home"))
    put(c)
    put(c, OTHER, rev="v1.0/rc")
    put(c, name="example/no-weights", without=["model.safetensors"])
    return c


def run(cache, *args, data="", env=None, **kw):
    done = subprocess.run([BINARY, *map(str, args)], input=data, capture_output=True, text=True, timeout=WAIT_S,
                          env=environment(None, cache, env), **kw)
    assert "Sanitizer" not in done.stderr, done.stderr
    return done


def refused(cache, *args, **kw):
    """The one line that says why; not for an empty standard error."""
    done = run(cache, *args, "--port", 0, **kw) if args[0] in ("serve", "render-server") else run(cache, *args, **kw)
    assert done.returncode == 1 and done.stdout == "", done
    line, = done.stderr.splitlines()[-1:]
    assert line.isprintable() and len(line) < 900, line
    return line


def serve(cache, *args, **kw):
    return Server(*args, env=environment(None, cache, kw.pop("env", None)), **kw)


# --- serve ---------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def server(cache):
    with serve(cache, model=NAME) as s:
        yield s


def test_what_clients_call_it(server):
    assert [m["id"] for m in json.loads(server.get("/v1/models")[1])["data"]] == [NAME]
    for name in (NAME, None):
        status, answer = server.post("/v1/chat/completions", ASK | ({"model": name} if name else {}))
        assert status == 200 and answer["model"] == NAME, answer
        assert "Paris" in answer["choices"][0]["message"]["content"]
    for name in ("Demo-5M", NAME.lower(), NAME + "@main", SHA):
        status, answer = server.post("/v1/chat/completions", ASK | {"model": name})
        assert status == 404 and answer["error"]["code"] == "model_not_found", (name, answer)


def test_one_model_by_its_name(server):
    """The name has a slash, which a path can have too."""
    for path in (f"/v1/models/{NAME}", "/v1/models/" + NAME.replace("/", "%2F")):
        status, body = server.get(path)
        assert status == 200 and json.loads(body)["id"] == NAME, (path, status, body)
    assert server.get("/v1/models/example/other")[0] == 404


def test_metrics_and_log_have_the_name(server):
    assert any(f'model_name="{NAME}"' in k for k in server.metrics())
    assert NAME in server.log


def test_served_model_name_is_stronger(cache):
    with serve(cache, "--served-model-name", "short", "second", model=NAME) as s:
        assert [m["id"] for m in json.loads(s.get("/v1/models")[1])["data"]][0] == "short"
        for name in ("short", "second", NAME):  # the model as given is always accepted
            assert s.post("/v1/chat/completions", ASK | {"model": name})[0] == 200, name


@pytest.mark.parametrize("rev", ["main", "v1.0/rc", OTHER, SHA])
def test_revisions(cache, rev):
    with serve(cache, model=f"{NAME}@{rev}", command="render-server") as s:
        assert [m["id"] for m in json.loads(s.get("/v1/models")[1])["data"]] == [NAME]
        assert s.post("/tokenize", {"prompt": "Hi", "model": f"{NAME}@{rev}"})[0] == 200  # as given
        assert s.post("/tokenize", {"prompt": "Hi", "model": NAME})[0] == 200


def test_options_that_can_have_the_name(cache, tmp_path):
    config = tmp_path / "inferd.yaml"
    config.write_text(f"model: {NAME}\n")
    for args, env in ((["--model", NAME], {}), ([], {"INFERD_MODEL": NAME}), (["--config", config], {})):
        with serve(cache, *args, model=None, command="render-server", env=env) as s:
            assert json.loads(s.get("/v1/models")[1])["data"][0]["id"] == NAME


@pytest.mark.parametrize("variables", [{"HF_HOME": None, "HF_HUB_CACHE": "{}/hf/hub"},
                                       {"HF_HOME": None, "HUGGINGFACE_HUB_CACHE": "{}/hf/hub"}, {"HF_HOME": None, "XDG_CACHE_HOME": "{}/x"}, {"HF_HOME": None, "HOME": "{}/y"},
                                       {"HF_HOME": "/nowhere", "HF_HUB_CACHE": "{}/hf/hub"}])
def test_where_the_cache_is(cache, variables):
    for link in (cache.home / "x/huggingface", cache.home / "y/.cache/huggingface"):
        if not link.is_symlink():
            link.parent.mkdir(parents=True)
            link.symlink_to(cache.home / "hf")
    done = run(cache, "tokenize", NAME, data="Hello", env={k: v and v.format(cache.home) for k, v in variables.items()})
    assert done.returncode == 0 and json.loads(done.stdout), done


# --- what is not there ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("command", ["serve", "render-server", "render", "tokenize"])
def test_what_is_not_there_is_named_with_the_way_to_it(cache, command):
    line = refused(cache, command, "example/absent")
    assert "inferd pull example/absent" in line and str(cache.root) in line, line
    line = refused(cache, command, f"{NAME}@v9")
    assert f"inferd pull {NAME}@v9" in line and "v9" in line, line
    assert "inferd pull" not in refused(cache, command, "./example/absent"), "a path is no name"


@pytest.mark.parametrize("said, words", [
    ("Demo-5M", f"did you mean {NAME}, which is in the Hugging Face cache?"), ("Qwen3-0.6B", "named ORG/NAME"), ("a/b/c", "named ORG/NAME"),
    ("qwen3:0.6b", "named ORG/NAME"), ("demo", "taken when none is named"), (f"https://huggingface.co/{NAME}/tree/main", f"its name is {NAME}"),
    ("/nowhere", None), ("./nowhere", None)])
@pytest.mark.parametrize("command", ["serve", "tokenize"])
def test_what_may_have_been_meant(cache, command, said, words):
    line = refused(cache, command, said)
    assert f"{said}: no such directory" in line and (words in line if words else line.endswith("no such directory")), line


def test_the_revisions_that_are_there(tmp_path):
    cache = Cache(tmp_path)
    put(cache, rev="v1")
    put(cache, OTHER, rev="refs/pr/3")
    (cache.repo(NAME) / "refs/gone").write_text("e" * 40)  # of a snapshot that was removed
    line = refused(cache, "serve", f"{NAME}@v9")
    assert f"has refs/pr/3, v1 of {NAME} and not v9" in line and f"inferd pull {NAME}@v9" in line, line
    assert "has refs/pr/3, v1" in refused(cache, "serve", NAME)


def test_the_command_that_is_given_can_be_run(cache, tmp_path):
    """By the path that the program was called by, where it is not on the PATH."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/inferd").symlink_to(BINARY)
    for program, path in (("bin/inferd", ""), ("inferd", f"{tmp_path}/bin:")):
        done = subprocess.run([program, "serve", "example/absent"], cwd=tmp_path, capture_output=True, text=True, timeout=WAIT_S,
                              env=environment(None, cache, {"PATH": path + os.environ["PATH"]}))
        assert f"download it: {program} pull example/absent" in done.stderr, done


def test_weights_that_are_not_there(cache):
    line = refused(cache, "serve", "example/no-weights")
    assert "model.safetensors" in line and "inferd pull example/no-weights" in line, line
    done = run(cache, "tokenize", "example/no-weights", data="Hi")  # needs none
    assert done.returncode == 0, done


def test_a_shard_that_is_not_there(tmp_path):
    cache = Cache(tmp_path)
    folder = put(cache, without=["model.safetensors"])
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model-00001-of-00002.safetensors").symlink_to(DEMO / "model.safetensors")
    line = refused(cache, "serve", NAME)
    assert "model-00002-of-00002.safetensors" in line and f"inferd pull {NAME}" in line, line


def test_a_link_into_nothing(tmp_path):
    """What is left when its blob was removed."""
    cache = Cache(tmp_path)
    folder = put(cache, without=["model.safetensors"])
    (folder / "model.safetensors").symlink_to("../../blobs/gone")
    line = refused(cache, "serve", NAME)
    assert "model.safetensors" in line and f"inferd pull {NAME}" in line, line


@pytest.mark.parametrize("text", ["", "abc", "../" * 13 + "x", SHA.upper(), SHA + "0", "f" * 5000, "/etc\n"])
def test_a_reference_that_is_none(tmp_path, text):
    cache = Cache(tmp_path)
    put(cache)
    (cache.repo() / "refs").mkdir(parents=True)
    (cache.repo(NAME) / "refs/main").write_text(text)
    assert f"inferd pull {NAME}" in refused(cache, "tokenize", NAME)


def test_a_reference_with_a_newline(tmp_path):
    cache = Cache(tmp_path)
    put(cache)
    (cache.repo(NAME) / "refs/main").write_text(SHA + "\n")
    assert run(cache, "tokenize", NAME, data="Hi").returncode == 0


@pytest.mark.parametrize("name", ["../x", "a/../b", "example/Demo-5M@../../x", "example/Demo-5M@a//b", "example/Demo-5M@", "a--b/c", ".a/b",
                                  "example/" + "x" * 200, "exa mple/x", "example/x\x1b[2J", "example/Demo-5M@v1.0/.."])
def test_names_that_are_none(cache, name):
    assert "inferd pull" not in refused(cache, "tokenize", name)


def test_no_home_at_all(cache):
    line = refused(cache, "tokenize", NAME, env={"HF_HOME": None, "HOME": None})
    assert "HF_HUB_CACHE" in line, line


# --- the other commands -------------------------------------------------------------------------------------------

def test_text_commands(cache):
    assert run(cache, "tokenize", NAME, data="Hello").stdout == run(cache, "tokenize", DEMO, data="Hello").stdout != ""
    request = json.dumps(ASK)
    assert run(cache, "render", NAME, data=request).stdout == run(cache, "render", DEMO, data=request).stdout != ""
    assert run(cache, "render", f"{NAME}@v1.0/rc", data=request).returncode == 0


def test_tokenizer_by_name(cache, tmp_path):
    shutil.copytree(DEMO, tmp_path / "m", ignore=lambda *_: ["tokenizer.json", "tokenizer_config.json"])
    with serve(cache, "--tokenizer", NAME, model=tmp_path / "m") as s:
        status, answer = s.post("/v1/chat/completions", ASK)
        assert status == 200 and "Paris" in answer["choices"][0]["message"]["content"]
        assert json.loads(s.get("/v1/models")[1])["data"][0]["id"] == "m"  # the tokenizer gives no name
    line = refused(cache, "serve", tmp_path / "m", "--tokenizer", "example/absent")
    assert "--tokenizer" in line and "inferd pull example/absent" in line, line


def test_a_directory_wins(cache, tmp_path):
    shutil.copytree(DEMO, tmp_path / NAME)
    assert run(cache, "tokenize", NAME, data="Hi", cwd=tmp_path).returncode == 0
    (tmp_path / NAME / "tokenizer.json").write_text("{")
    for command in ("tokenize", "serve"):
        line = refused(cache, command, NAME, cwd=tmp_path)
        assert f"{NAME}/tokenizer.json" in line and str(cache.root) not in line, line
    assert run(cache, "tokenize", f"{NAME}@main", data="Hi", cwd=tmp_path).returncode == 0  # no directory is called so


def test_chat(cache, tmp_path):
    env = environment(None, cache)
    with Terminal(NAME, "--temperature", 0, "--max-tokens", 20, home=tmp_path, env=env) as t:
        t.prompt()
        assert "Paris" in t.say("What is the capital of France?")
        t.type("/quit\r")
        assert t.wait() == 0
    done = run(cache, "chat", NAME, "--temperature", "0", "-p", "What is the capital of France?")
    assert done.returncode == 0 and "Paris" in done.stdout, done
    done = run(cache, "chat", "example/absent", "-p", "Hi")
    assert done.returncode == 1 and "inferd pull example/absent" in done.stderr, done


def test_dummy_weights_need_only_the_shape(cache):
    with serve(cache, "--load-format", "dummy", model="example/no-weights") as s:
        assert s.post("/v1/completions", {"prompt": "Hi", "max_tokens": 2})[0] == 200


def test_a_cache_that_may_only_be_read(cache):
    """A volume of a container: nothing is written on the way to an answer."""
    script = f'mount --bind "{cache.home}" "{cache.home}" && mount -o remount,bind,ro "{cache.home}" && exec "$@"'
    prefix = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    if subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("this machine has no user namespaces")
    done = subprocess.run([*prefix, BINARY, "chat", NAME, "--temperature", "0", "--no-history", "-p", "What is the capital of France?"],
                          env=environment(None, cache), capture_output=True, text=True, timeout=WAIT_S, cwd=os.sep)
    assert done.returncode == 0 and "Paris" in done.stdout, done
