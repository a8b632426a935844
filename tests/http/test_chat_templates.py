"""Real chat templates behind the server: the prompt is the tokens of what Jinja2 renders."""

import pathlib
import sys

import pytest

from harness import ROOT, SHARED, SLOW, Server

sys.path.insert(0, str(ROOT / "tests/golden"))
import template_cases as cases  # noqa: E402
import template_diff  # noqa: E402

TEMPLATES = sorted((SHARED / "data/chat-templates/chujiezheng").glob("*.jinja"))
TALKS = ["one", "system", "turns", "unicode", "two_users"]


def jinja(text, messages, **more):
    """What Jinja2 says: ("text", ...), or ("raised", message)."""
    context = {"messages": messages, "bos_token": "<s>", "eos_token": "</s>", **more}
    return template_diff.expected(template_diff.environment(), {}, text, context)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: pathlib.Path(p).stem)
def test_prompt_is_jinjas(path):
    text = path.read_text(encoding="utf-8")
    with Server("--chat-template", path) as s:
        for name in TALKS:
            messages = cases.CONVERSATIONS[name]
            for generate in (True, False):
                kind, want = jinja(text, messages, add_generation_prompt=generate)
                status, got = s.post("/tokenize", {"messages": messages, "add_generation_prompt": generate})
                if kind != "text":
                    assert status == 400 and (kind == "error" or want in got["error"]["message"]), got
                    continue
                assert status == 200, got
                assert got["tokens"] == s.post("/tokenize", {"prompt": want, "add_special_tokens": False})[1]["tokens"]


def test_variables_from_the_request(stories, tmp_path):
    template = tmp_path / "t.jinja"
    template.write_text("{{ bos_token }}{{ mood|default('calm') }}:{% for m in messages %}{{ m.content }};{% endfor %}")
    talk = [{"role": "user", "content": "a"}]
    with Server("--chat-template", template) as s:
        def words(**more):
            return s.post("/tokenize", {"messages": talk, **more})[1]["tokens"]

        def tokens(text):
            return s.post("/tokenize", {"prompt": text, "add_special_tokens": False})[1]["tokens"]

        assert words() == tokens("<s>calm:a;")
        assert words(chat_template_kwargs={"mood": "wild"}) == tokens("<s>wild:a;")


def test_continue_final_message(stories):
    talk = [{"role": "user", "content": "Tell me"}, {"role": "assistant", "content": "Once upon a time"}]
    _, whole = stories.post("/tokenize", {"messages": talk, "continue_final_message": True})
    _, text = stories.post("/detokenize", {"tokens": whole["tokens"]})
    assert text["prompt"].endswith("Once upon a time")
    body = {"messages": talk, "continue_final_message": True, "max_tokens": 8, "temperature": 0}
    status, done = stories.post("/v1/chat/completions", body)
    assert status == 200 and done["usage"]["prompt_tokens"] == whole["count"]


def test_broken_template_is_refused_at_start(tmp_path):
    template = tmp_path / "t.jinja"
    template.write_text("ok\n{% for m in messages %}")
    s = Server("--chat-template", template, wait=False)
    assert s.process.wait(20 * SLOW) != 0
    s.stop()  # the log is whole
    assert "line 2, column" in s.log and "endfor" in s.log, s.log
