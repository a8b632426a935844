#!/usr/bin/env python3
"""chat_diff.py [CHATCAT]: whole chats through inferd's chat path (tests/golden/chatcat.c) against
chat_reference.py: every shared template and some written for one purpose each, times conversations,
settings and forms of content.  Where the reference raises, inferd must report an error."""

import copy
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import chat_reference  # noqa: E402
import template_cases as cases  # noqa: E402
import template_diff  # noqa: E402
from template_cases import bot, call, system, user  # noqa: E402

CHATCAT = template_diff.ROOT / os.environ.get("INFERD_BUILD", "build/release") / "tests/golden/chatcat"
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "image_token": "<image>"}

# Each shows one thing that the messages may hold; FORM is what `auto` has to find out about it.
TEMPLATES = {
    "dump": ("string", "{# content #}{{ messages|tojson }}|{{ tools|tojson }}|{{ documents|tojson }}|{{ image_token }}"),
    "plain": ("string", "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"),
    "trims": ("string", "{% for m in messages %}[{{ m.role }}]{{ m['content']|trim }}<e>{% endfor %}"),
    "keeps": ("string", "{% for m in messages %}[{{ m.role }}]{{ m['content'] }}<e>{% endfor %}"),
    "drops": ("string", "{% for m in messages %}{{ m.role }}{% endfor %} content"),
    "twice": ("string", "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}"),
    "prints": ("string", "{# content #}{% for m in messages %}{{ m }}{% endfor %}"),
    "thinks": ("string", "{% for m in messages %}{{ m.reasoning_content }}/{{ m.thinking }}/{{ m.reasoning }}/"
                         "{{ m.content }}{% endfor %}"),
    "asks": ("string", "{% for m in messages %}{{ m.content is defined }}{{ m.content is none }}{{ m.content is string }}"
                       "{{ 'tool_calls' in m }};{% endfor %}"),
    "calls": ("string", "{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.name }}:"
                        "{% for k, v in c.function.arguments.items() %}{{ k }}={{ v }},{% endfor %}{{ c|tojson }}"
                        "{% endfor %}{% endfor %}"),
    "both": ("any", "{% for m in messages %}{% if m.content is string %}S{{ m.content }}{% else %}"
                    "{% for p in m.content %}P{{ p.text }}{% endfor %}{% endif %}{% endfor %}"),
    "only_parts": ("parts", "{% for m in messages %}{% for p in m['content'] %}{% if p['type'] == 'text' %}"
                            "<{{ p['text'] }}>{% endif %}{% endfor %}{% endfor %}"),
    "variable": ("any", "{% for m in messages[1:] %}{% set c = m.content %}{% if c is string %}{{ c }}{% else %}"
                        "{% for p in c %}{{ p.text }};{% endfor %}{% endif %}{% endfor %}"),
    "macro": ("any", "{% macro show(c) %}{% if c is string %}{{ c }}{% else %}{% for p in c %}{{ p.text }}+{% endfor %}"
                     "{% endif %}{% endmacro %}{% for m in messages %}{{ show(m.content) }}{% endfor %}"),
    "macro_keyword": ("any", "{% macro show(a, c=none) %}{{ a }}{% if c is iterable and c is not string %}{% for p in c %}"
                             "{{ p.text }}+{% endfor %}{% else %}{{ c }}{% endif %}{% endmacro %}{% for m in messages %}"
                             "{{ show(m.role, c=m['content']) }}{% endfor %}"),
    "selects": ("any", "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
                       "{{ m.content|selectattr('type', 'equalto', 'text')|map(attribute='text')|join(' & ') }}"
                       "{% endif %}{% endfor %}"),
    "namespace": ("parts", "{% set ns = namespace(m=none) %}{% for m in messages %}{% set ns.m = m %}"
                           "{% for p in ns.m.content %}{{ p.text }}~{% endfor %}{% endfor %}"),
    "get": ("parts", "{% for m in messages %}{% for p in m.get('content') %}{{ p.text }}~{% endfor %}{% endfor %}"),
    "other_loop": ("string", "{% for t in tools or [] %}{% for p in t.content %}{{ p }}{% endfor %}{% endfor %}"
                             "{% for m in messages %}{{ m.content }}{% endfor %}"),
}

CONVERSATIONS = {
    **cases.CONVERSATIONS,
    "continue_blank": [user("Say a"), bot("a b c ")],
    "continue_blanks": [user("Say a"), bot("  a b c \n\u00a0 ")],
    "continue_empty": [user("Say a"), bot("")],
    "continue_blank_only": [user("Say a"), bot("  ")],
    "continue_repeated": [user("go on"), bot("go on")],
    "continue_parts": [user("x"), bot([{"type": "text", "text": "one"}, {"type": "text", "text": "two "}])],
    "continue_no_parts": [user("x"), bot([])],
    "continue_think": [user("q"), bot("<think>\nreason\n</think>\n\nansw")],
    "continue_user": [user("half a quest")],
    "continue_calls": cases.CALLS[:3],
    "reasoning": [user("q"), bot("a", reasoning_content="because"), user("r")],
    "reasoning_new": [user("q"), {"role": "assistant", "reasoning": "R", "content": "a"}, user("r")],
    "reasoning_old": [user("q"), {"role": "assistant", "content": "a", "thinking": "T", "reasoning": "R"}, user("r")],
    "reasoning_null": [user("q"), bot("a", reasoning_content=None, reasoning="R"), user("r")],
    "null_members": [user("q"), bot(None, tool_calls=None, name=None, refusal=None), user("r")],
    "no_calls": [user("q"), bot("a", tool_calls=[]), user("r")],
    "call_order": [user("q"), {"role": "assistant", "tool_calls": [
        {"function": {"arguments": "{\"b\": 1, \"a\": [1.0, 1e3, 12345678901234567, -0, 0.10]}", "name": "f"},
         "type": "function", "id": "abcdefgh1"}], "content": ""}, user("r")],
    "call_empty": [user("q"), bot("", tool_calls=[call("abcdefgh1", "f", ""), call("abcdefgh2", "g", None)])],
    "call_no_arguments": [user("q"), bot("", tool_calls=[{"id": "abcdefgh1", "function": {"name": "f"}}])],
    "call_broken": [user("q"), bot("", tool_calls=[call("abcdefgh1", "f", "{\"a\":")])],
    "call_list": [user("q"), bot("", tool_calls=[call("abcdefgh1", "f", "[1]")])],
    "call_text": [user("q"), bot("", tool_calls=[call("abcdefgh1", "f", "Paris")])],
    "parts_more": [system([{"type": "text", "text": "be"}]), user([{"type": "text", "text": "a\n"}, {"type": "text", "text": ""}]),
                   bot([{"type": "refusal", "refusal": "no"}]), user([])],
    "numbers": [user("q"), {"role": "tool", "tool_call_id": "abcdefgh1", "content": "{\"n\": 1.0}"}],
}

SETTINGS = [
    {},
    {"add_generation_prompt": True},
    {"add_generation_prompt": True, "tools": cases.TOOLS, "kwargs": {"enable_thinking": False, "functions": cases.TOOLS}},
    {"continue_final_message": True},
    {"add_generation_prompt": False, "tools": [{"type": "function", "function": {
        "name": "n", "parameters": {"maximum": 1.0, "minimum": -1e-7, "big": 9007199254740993, "x": 1e22}}}],
     "documents": [{"title": "T1", "text": "first"}], "kwargs": {"bos_token": "<BOS>", "datetime": "now"}},
]


def jobs():
    """(name, form that auto has to find, job)"""
    shared = sorted((template_diff.SHARED / "data/chat-templates").glob("*/*.jinja"))
    templates = dict(TEMPLATES)
    templates.update({f"{p.parent.name}/{p.stem}": ("string", p.read_text(encoding="utf-8")) for p in shared})
    for name, (form, text) in templates.items():
        for talk, messages in CONVERSATIONS.items():
            if not messages:
                continue  # refused by the API, whatever the template
            for i, settings in enumerate(SETTINGS):
                for fmt, as_form in (("auto", form), ("string", "string"), ("openai", "parts")):
                    job = {"template": text, "messages": messages, "tokens": TOKENS, "now": template_diff.NOW,
                           "format": fmt, **settings}
                    yield f"{name} {talk} #{i} {fmt}", as_form, job
                    if "/" in name:
                        break  # `auto` says enough


def expected(env, compiled, job, form):
    try:
        if job["template"] not in compiled:
            compiled[job["template"]] = env.from_string(job["template"])
        return chat_reference.render(compiled[job["template"]], copy.deepcopy(job), form)
    except Exception:  # whatever a template or a request can do wrong
        return None


def main():
    chatcat = sys.argv[1] if len(sys.argv) > 1 else CHATCAT
    env, compiled = template_diff.environment(), {}
    work = list(jobs())
    lines = "\n".join(json.dumps(job) for _, _, job in work) + "\n"
    done = subprocess.run([chatcat], input=lines, capture_output=True, text=True, encoding="utf-8", check=True)
    answers = [json.loads(line) for line in done.stdout.split("\n") if line]
    if len(answers) != len(work):
        sys.exit(f"{len(answers)} answers to {len(work)} jobs")
    bad = errors = 0
    for (name, form, job), answer in zip(work, answers):
        want = expected(env, compiled, job, form)
        errors += want is None
        if answer.get("text") == want and ("error" in answer) == (want is None):
            continue
        bad += 1
        if bad <= 20:
            print(f"MISMATCH {name}\n  reference: {want!r}\n  inferd: {answer}")
    print(f"{errors} of {len(work)} chats are errors in the reference")
    print(f"{len(work) - bad} chats passed, {bad} failed")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
