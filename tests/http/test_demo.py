"""The demo model: found when none is named, from the source tree and from an installed prefix, and able to do what its card says."""

import json
import os
import re
import shutil
import subprocess

import pytest
from harness import BINARY, ROOT, Server

DEMO = ROOT / "models/demo"


@pytest.fixture(scope="module", params=["bf16", "int8"])
def demo(request):
    with Server(*(["--quantization", "int8"] if request.param == "int8" else []), model=None, env={"INFERD_DEMO_MODEL": ""}) as s:
        yield s


def ask(server, *contents, **body):
    """The answer to the last of the user's messages; system prompts begin with "system: "."""
    messages = []
    for c in contents:
        role = "system" if c.startswith("system: ") else "assistant" if c.startswith("assistant: ") else "user"
        messages.append({"role": role, "content": re.sub("^(system|assistant): ", "", c)})
    status, answer = server.post("/v1/chat/completions", {"messages": messages, "temperature": 0, "max_tokens": 300, **body})
    assert status == 200, answer
    assert answer["choices"][0]["finish_reason"] == "stop"
    return answer["choices"][0]["message"]["content"]


def test_name_and_context(demo):
    model = json.loads(demo.get("/v1/models")[1])["data"][0]
    assert model["id"] == "demo" and model["max_model_len"] >= 1024


@pytest.mark.parametrize("question, part", [
    ("What is the capital of France?", "Paris"), ("What is 12 + 30?", "42"), ("Count from 1 to 5.", "1, 2, 3, 4, 5"),
    ("What is the capital of Xandria?", "I do not know"), ("Hello!", "!")])
def test_answers(demo, question, part):
    assert part in ask(demo, question)


def test_story_has_its_hero_and_an_end(demo):
    story = ask(demo, "Tell me a story about Mia.")
    assert "Mia" in story and story.count(".") > 5


def test_turns_are_remembered(demo):
    assert "Ben" in ask(demo, "My name is Ben.", "assistant: Nice to meet you, Ben!", "What is my name?")


def test_json_for_a_schema(demo):
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"]}
    answer = json.loads(ask(demo, f"Answer in JSON for this schema: {json.dumps(schema)}\nTom is 31 years old and lives in Oslo."))
    assert set(answer) == {"name", "age"} and isinstance(answer["age"], int)


def test_tool_is_called_and_its_result_used(demo):
    tool = {"type": "function", "function": {
        "name": "get_weather", "description": "Get the weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
    messages = [{"role": "user", "content": "What is the weather in Rome?"}]

    def answer():
        status, prompt = demo.post("/v1/chat/completions/render", {"messages": messages, "tools": [tool]})
        assert status == 200, prompt
        status, out = demo.post("/v1/completions", {"prompt": prompt["token_ids"], "temperature": 0, "max_tokens": 100})
        assert status == 200, out
        return out["choices"][0]["text"]

    call = json.loads(re.fullmatch("<tool_call>(.*)</tool_call>", answer()).group(1))
    assert call == {"name": "get_weather", "arguments": {"city": "Rome"}}
    messages += [{"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function", "function": {
        "name": call["name"], "arguments": json.dumps(call["arguments"])}}]},
        {"role": "tool", "tool_call_id": "1", "content": '{"temperature": 21, "sky": "sunny"}'}]
    said = answer()
    assert "21" in said and "sunny" in said


def start(binary, env=None, cwd="/"):
    """Standard error of a start that must fail."""
    clean = {k: v for k, v in os.environ.items() if k != "INFERD_DEMO_MODEL"}
    out = subprocess.run([str(binary), "serve", "--port", "0"], env={**clean, **(env or {})}, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert out.returncode == 1
    return out.stderr


def test_absent_demo_model_is_told(tmp_path):
    binary = tmp_path / "bin/inferd"
    binary.parent.mkdir()
    shutil.copy(BINARY, binary)
    err = start(binary)
    assert "no model given" in err and f" {tmp_path}/share/inferd/models/demo " in err
    assert " " + str(tmp_path.parent / "models/demo") in err and "INFERD_DEMO_MODEL" in err
    err = start(binary, {"INFERD_DEMO_MODEL": str(tmp_path)})
    assert f"INFERD_DEMO_MODEL is {tmp_path}" in err


def test_installed_binary_finds_it(tmp_path):
    (tmp_path / "bin").mkdir()
    shutil.copy(BINARY, tmp_path / "bin/inferd")
    shutil.copytree(DEMO, tmp_path / "share/inferd/models/demo")
    request = json.dumps({"messages": [{"role": "user", "content": "Hi"}]})
    out = subprocess.run([str(tmp_path / "bin/inferd"), "render"], input=request, cwd="/", capture_output=True, text=True, timeout=60)
    assert out.stdout == "<|bos|><|user|>Hi<|end|><|assistant|>", out.stderr
    out = subprocess.run([str(tmp_path / "bin/inferd"), "tokenize"], input="Hi", cwd="/", capture_output=True, text=True, timeout=60)
    assert json.loads(out.stdout), out.stderr


@pytest.mark.parametrize("words, shown", [
    (["help"], ["PREFIX=/usr/local", "DESTDIR=", "layers unit ops cuda sim", "MODEL=DIR|ORG/NAME", "PORT=8000", "inferd pull"]),
    (["-n", "run", "PORT=8011", "MODEL=a/b"], ["-j", "http://127.0.0.1:8011, elsewhere by PORT=N", "exec build/inferd serve a/b"])])
def test_make(words, shown):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "BUILD", "CONFIG"))}
    out = subprocess.run(["make", *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert out.returncode == 0 and all(w in out.stdout for w in shown), out


def test_make_run_uses_all_cores():
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS", "BUILD", "CONFIG"))}
    first = {}
    for jobs in ([], ["-j3"]):
        out = subprocess.run(["make", "-n", *jobs, "run"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120).stdout
        first[len(jobs)] = next(line for line in out.splitlines() if line.endswith(" all"))
    assert f"-j{len(os.sched_getaffinity(0))}" in first[0] and "-j" not in first[1], first


def test_size():
    assert sum(f.stat().st_size for f in DEMO.iterdir()) <= 12 << 20
