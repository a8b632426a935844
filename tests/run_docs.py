"""Runs every ```console block of the README and of docs/ against a real server, the demo model's.

A line that begins with "$ " is a command (a trailing backslash continues it); the lines below it
are what it must print, where "..." stands for anything.  White space counts as one blank.  Port
8000 of the documents is replaced by the port of the server under test.  Blocks of other languages
are not run.  `inferd pull` gets a hub of this machine, where each model is the demo model, and a home that is empty.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/http"))
from hub_server import Hub  # noqa: E402

BINARY = os.environ.get("INFERD_BIN", str(ROOT / "build/release/inferd"))
HUB_MODELS = ["Qwen/Qwen3-0.6B"]


def blocks(text):
    for match in re.finditer(r"^```console\n(.*?)^```", text, re.M | re.S):
        line = text.count("\n", 0, match.start()) + 2
        yield line, match.group(1)


def commands(block):
    """(command, expected output) pairs."""
    out, continued = [], False
    for line in block.splitlines():
        if continued:
            out[-1][0] += "\n" + line
        elif line.startswith("$ "):
            out.append([line[2:], ""])
        elif out:
            out[-1][1] += line + "\n"
            continue
        continued = line.endswith("\\")
    return out


def matches(expected, got):
    def squeeze(s):
        return re.sub(r"\s+", " ", s).strip()

    parts = [re.escape(squeeze(p)) for p in re.split(r"\.\.\.|…", expected)]
    return re.fullmatch(r"\s*.*?\s*".join(parts), squeeze(got), re.S) is not None


def start_server(*words):
    process = subprocess.Popen([BINARY, "serve", *words, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        ready = re.search(r"inferd ready: http://\S*?:(\d+)", line)
        if ready:
            # Whatever the server goes on to say must not fill the pipe.
            subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
            return process, int(ready.group(1))
    sys.exit("the server did not get ready")


def run_page(path, port, home):
    """(passed, failed)"""
    passed = failed = 0
    env = dict(os.environ, PATH=f"{pathlib.Path(BINARY).resolve().parent}:{os.environ['PATH']}", **home)
    for line, block in blocks(path.read_text()):
        for command, expected in commands(block):
            command = command.replace(":8000", f":{port}")
            with tempfile.TemporaryFile() as out:
                rc = subprocess.run(["bash", "-c", command], cwd=ROOT, env=env, stdout=out,
                                    stderr=subprocess.STDOUT, timeout=120).returncode
                out.seek(0)
                got = out.read().decode(errors="replace")
            if rc == 0 and (not expected.strip() or matches(expected, got)):
                passed += 1
                continue
            failed += 1
            print(f"FAILED {path.relative_to(ROOT)}:{line}: {json.dumps(command)}\n"
                  f"  exit status {rc}\n  expected: {expected!r}\n  got:      {got!r}")
    return passed, failed


def run_all(home):
    passed = failed = 0
    process, port = start_server()
    try:
        for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
            ok, bad = run_page(page, port, home)
            passed, failed = passed + ok, failed + bad
    finally:
        process.terminate()
        process.wait(20)
    print(f"docs: {passed} passed, {failed} failed")
    return 1 if failed else 0


def main():
    demo = {p.name: p.read_bytes() for p in (ROOT / "models/demo").iterdir()}
    with tempfile.TemporaryDirectory() as folder, Hub() as hub:
        for name in HUB_MODELS:
            hub.add(name, demo)
        return run_all({"HF_HOME": folder, "HF_ENDPOINT": hub.url})


if __name__ == "__main__":
    sys.exit(main())
