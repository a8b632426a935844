#!/usr/bin/env python3
"""template_times.py [BENCH]: chat templates, 20 messages: inferd's times (tests/bench/bench_template)
beside Jinja2's for the same conversation, in microseconds, medians on one thread."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/golden"))
import template_diff  # noqa: E402

BENCH = ROOT / os.environ.get("INFERD_BUILD", "build/release") / "tests/bench/bench_template"
TEXTS = (
    "Could you explain how a rope bridge carries its load, what each cable does, and why the deck "
    "sways more in the middle than near its ends? I would like to build a small one.",
    "The two main cables take nearly all of the weight and pull on the anchors at both banks. The "
    "deck hangs between them; in the middle the cables are flattest, so a side push meets the "
    "least resistance there: that is why it sways.\n\nHandrails \u2013 stiffen it a little.",
)


TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "description": "Name"}}, "required": ["city"]}}}]


def jinja_us(env, path, with_tools, rounds=101):
    template = env.from_string(pathlib.Path(path).read_text(encoding="utf-8"))
    messages = [{"role": ("user", "assistant")[i % 2], "content": TEXTS[i % 2]} for i in range(20)]
    context = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": True,
               "bos_token": "<s>", "eos_token": "</s>"}
    if with_tools:
        context.update(tools=TOOLS, functions=json.dumps(TOOLS), datetime="now")
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        text = template.render(**context)
        times.append((time.perf_counter() - start) * 1e6)
    return statistics.median(times), len(text.encode())


def main():
    bench = sys.argv[1] if len(sys.argv) > 1 else BENCH
    lines = subprocess.run([bench, "--json"], stdout=subprocess.PIPE, text=True, check=False).stdout
    env = template_diff.environment()
    print(f"{'us for 20 messages':52} {'render':>8} {'chat':>8} {'jinja2':>8} {'times':>6}")
    for line in lines.splitlines():
        ours = json.loads(line)
        theirs, size = jinja_us(env, ours["file"], ours["with_tools"])
        if size != ours["bytes"]:
            sys.exit(f"{ours['file']}: {ours['bytes']} bytes, Jinja2 has {size}")
        print(f"{pathlib.Path(ours['file']).name:52} {ours['render_us']:8.1f} {ours['chat_us']:8.1f} "
              f"{theirs:8.1f} {theirs / ours['chat_us']:6.1f}")


if __name__ == "__main__":
    main()
