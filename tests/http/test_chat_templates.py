"""Real chat templates behind the server: the prompt is the tokens of what Jinja2 renders."""

import pathlib
import sys

import pytest

from harness import BOS, ROOT, SHARED, SLOW, STORIES, Server

sys.path.insert(0, str(ROOT / "tests/golden"))
import template_cases as cases  # noqa: E402
import template_diff  # noqa: E402

TEMPLATES = sorted((SHARED / "data/chat-templates/chujiezheng").glob("*.jinja"))
TALKS = ["one", "system", "turns", "unicode", "two_users"]


def jinja(text, messages, **more):
    """What Jinja2 says: ("text", ...), or ("raised", message)."""
    context = {"messages": messages, "bos_token": "<s>", "eos_token": "</s>", **more}
    return template_diff.expected(template_diff.environment(), {}, text, context)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda p: getattr(p, "stem", "none"))
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

        assert words() == tokens(f"{BOS}calm:a;")
        assert words(chat_template_kwargs={"mood": "wild"}) == tokens(f"{BOS}wild:a;")


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


def model_with(folder, **files):
    """The stories model with other files beside it; "/" in a name is written "__"."""
    for path in STORIES.iterdir():
        (folder / path.name).symlink_to(path)
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_jinja", ".jinja")
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)  # a link: what it leads to stays as it is
        path.write_text(text)
    return folder


def prompt_of(server, messages, **more):
    status, answer = server.post("/tokenize", {"messages": messages, "add_generation_prompt": False, **more})
    assert status == 200, answer
    return server.post("/detokenize", {"tokens": answer["tokens"]})[1]["prompt"]


def test_templates_beside_the_model(tmp_path):
    model = model_with(tmp_path, chat_template_jinja="{% for m in messages %}D {{ m.content }}{% endfor %}",
                       additional_chat_templates__tool_use_jinja="{{ messages|length }}")
    with Server(model=model) as s:
        assert prompt_of(s, [{"role": "user", "content": "one"}]).strip() == "D one"


def test_broken_named_template_is_refused_at_start(tmp_path):
    model = model_with(tmp_path, chat_template_jinja="D", additional_chat_templates__rag_jinja="\n{{ 1 + }}")
    s = Server(model=model, wait=False)
    assert s.process.wait(20 * SLOW) != 0
    s.stop()
    assert "additional_chat_templates/rag.jinja" in s.log and "line 2, column 8" in s.log, s.log


PARTS = [{"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
         {"role": "assistant", "content": "three"}]


@pytest.mark.parametrize("option, text, want", [
    ("auto", "{% for m in messages %}{{ m.content }};{% endfor %}", "one\ntwo;three;"),
    ("auto", "{% for m in messages %}{% for p in m.content %}{{ p.text }},{% endfor %}{% endfor %}", "one,two,three,"),
    ("auto", "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
             "{{ p.text }},{% endfor %}{% endif %}{% endfor %}", "one,two,three"),
    ("string", "{% for m in messages %}{% for p in m.content %}{{ p }}{% endfor %}.{% endfor %}", "one\ntwo.three."),
    ("openai", "{% for m in messages %}{{ m.content|length }}{{ m.content[0].text }}{% endfor %}", "2one1three"),
])
def test_content_reaches_the_template_in_its_form(tmp_path, option, text, want):
    template = tmp_path / "t.jinja"
    template.write_text(text)
    with Server("--chat-template", template, "--chat-template-content-format", option) as s:
        assert prompt_of(s, PARTS).strip() == want


def test_tool_calls_reach_the_template_as_objects(tmp_path):
    template = tmp_path / "t.jinja"
    template.write_text("{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.name }}"
                        "{{ c.function.arguments|tojson }}{% endfor %}{% endfor %}")
    with Server("--chat-template", template) as s:
        def talk(arguments):
            return [{"role": "user", "content": "q"}, {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}]}]

        assert prompt_of(s, talk('{"b": 1.0, "a": [12345678901234567]}')).strip() == 'f{"b": 1.0, "a": [12345678901234567]}'
        assert prompt_of(s, talk("")).strip() == "f{}"
        for bad in ("{", "[1]", "text", "1"):
            status, answer = s.post("/tokenize", {"messages": talk(bad)})
            assert status == 400 and answer["error"]["param"] == "messages[1].tool_calls", answer
            assert "arguments" in answer["error"]["message"]
