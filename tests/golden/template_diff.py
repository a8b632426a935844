#!/usr/bin/env python3
"""template_diff.py [--random N] [--seed S] [TPLCAT]: renders chat templates, snippets and N random
programs with Jinja2, set up as transformers does, and with inferd's interpreter
(tests/golden/tplcat.c), and compares text by text.  Where Jinja2 raises, inferd must report an error;
the message of raise_exception must be the same."""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import time

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import template_cases as cases  # noqa: E402
import template_random  # noqa: E402

NOW = 1753707045  # 2025-07-28 12:50:45 UTC
os.environ["TZ"] = "CET-1"  # strftime_now is local time
time.tzset()
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SHARED = ROOT / os.environ.get("INFERD_SHARED", "../shared")
TPLCAT = ROOT / os.environ.get("INFERD_BUILD", "build/release") / "tests/golden/tplcat"


class Generation(jinja2.ext.Extension):
    """{% generation %}: its body is called and printed."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_run"), [], [], body).set_lineno(line)

    def _run(self, caller):
        return caller()


class Raised(jinja2.exceptions.TemplateError):
    pass


class TemplateDict:
    """What transformers puts in place of `dict`."""

    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)

    def fromkeys(self, *args, **kwargs):
        return dict.fromkeys(*args, **kwargs)


class TemplateNamespace(jinja2.utils.Namespace):
    """... and in place of `namespace`: no name with a leading underscore."""

    def __init__(*args, **kwargs):
        self, attrs = args[0], dict(*args[1:], **kwargs)
        for name in attrs:
            TemplateNamespace.check(name)
        jinja2.utils.Namespace.__init__(self, attrs)

    def __setitem__(self, name, value):
        TemplateNamespace.check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(name)


def environment():
    def raise_exception(message):
        raise Raised(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    def strftime_now(format):
        return datetime.datetime.fromtimestamp(NOW).strftime(format)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    env.globals["dict"] = TemplateDict()
    env.globals["namespace"] = TemplateNamespace
    return env


def expected(env, compiled, template, context):
    """("text", text), ("raised", message) or ("error", words)."""
    try:
        if template not in compiled:
            compiled[template] = env.from_string(template)
        return "text", compiled[template].render(**context)
    except Raised as e:
        return "raised", str(e.message)
    except Exception as e:  # whatever a template can do wrong
        return "error", f"{type(e).__name__}: {e}"


def chat_jobs():
    """Every shared template with every conversation and setting."""
    folder = SHARED / "data" / "chat-templates"
    files = sorted(folder.glob("*/*.jinja"))
    tokens = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    for path in files:
        text = path.read_text(encoding="utf-8")
        for name, messages in cases.CONVERSATIONS.items():
            for i, settings in enumerate(cases.SETTINGS):
                context = {"messages": messages, **tokens, **settings}
                yield f"{path.parent.name}/{path.stem} {name} #{i}", text, context
    if not files:
        print(f"chat templates: skipped, {folder} is absent", file=sys.stderr)


def expressions():
    lines, out = cases.EXPRESSIONS.strip("\n").split("\n"), []
    for line in lines:
        if out and out[-1].endswith("\\"):  # an expression over two lines
            out[-1] += "\n" + line
        else:
            out.append(line)
    return out


def snippet_jobs():
    for e in expressions():
        yield f"expression {e}", "{{ " + e + " }}", cases.CONTEXT
    for s in cases.STATEMENTS + cases.BLOCKS:
        yield f"statement {s!r}", s, cases.CONTEXT


def is_beyond(kind, want, answer):
    """What docs/chat-templates.md lists as different: such a rendering says nothing here."""
    words = answer.get("error", "")
    return (any(w in words for w in ("64-bit", "64 bits", "is not supported"))
            or (kind == "text" and (" at 0x" in want.lower() or "cannot be sliced" in words)))


def run(tplcat, jobs):
    lines = [json.dumps({"template": t, "context": c, "now": NOW}) for _, t, c in jobs]
    done = subprocess.run([tplcat], input="\n".join(lines) + "\n", capture_output=True, text=True,
                          encoding="utf-8", check=True)
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--random", type=int, default=3000, metavar="N")
    args.add_argument("--seed", default="1")
    args.add_argument("tplcat", nargs="?", default=TPLCAT)
    args = args.parse_args()
    env, compiled = environment(), {}
    jobs = list(snippet_jobs()) + list(chat_jobs())
    n_fixed = len(jobs)
    jobs += template_random.programs(args.seed, args.random)
    answers = run(args.tplcat, jobs)
    if len(answers) != len(jobs):
        sys.exit(f"{len(answers)} answers to {len(jobs)} jobs")
    bad = errors = beyond = 0
    for number, ((name, template, context), answer) in enumerate(zip(jobs, answers)):
        kind, want = expected(env, compiled, template, context)
        if number >= n_fixed and is_beyond(kind, want, answer):
            beyond += 1
            continue
        same = answer.get("text") == want if kind == "text" else "error" in answer
        if kind == "raised":
            same = answer.get("error") == want
        errors += kind != "text"
        if same:
            continue
        bad += 1
        if bad <= 40:
            print(f"MISMATCH {name}\n  jinja2: {kind} {want!r}\n  inferd: {answer}")
            if number >= n_fixed:
                print(f"  template: {template!r}\n  context: {context}")
    print(f"{errors} of {len(jobs)} renderings are errors in Jinja2, {beyond} are beyond what is supported")
    print(f"{len(jobs) - bad - beyond} renderings passed, {bad} failed")
    sys.exit(1 if bad or beyond > len(jobs) / 20 else 0)


if __name__ == "__main__":
    main()
