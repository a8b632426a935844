#!/usr/bin/env python3
"""Documents for `quality` with the demo model: the questions of `make demo-eval`, with the answers that are right.

    build/venv/bin/python tests/golden/quality_documents.py build/heldout.jsonl [-n 40]

At most -n questions of each kind, all held out of the training (small talk is not, and left out), in an order that has the
kinds in turn.  On each line an array of strings, in turn given and answered, as models/train trains on them.
"""
import argparse
import itertools
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "models/train"))
import evaluate  # noqa: E402
from documents import segments  # noqa: E402


def parts(sample):
    """The document's text, in turn given and answered."""
    runs = itertools.groupby(segments(sample.messages(), sample.tools), key=lambda s: s[1])
    return ["".join(text for text, _ in run) for _, run in runs]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out", type=pathlib.Path)
    p.add_argument("-n", type=int, default=40, help="questions of each kind (%(default)s)")
    a = p.parse_args()
    seen, kinds, done = json.loads(evaluate.OVERLAP.read_text()), [], set()
    for name, make, _ in evaluate.KINDS:
        given_away = set(seen[name])
        samples = [s for s in evaluate.questions(name, make, a.n) if s.held_out and evaluate.identity(s) not in given_away | done]
        done |= {evaluate.identity(s) for s in samples}
        kinds.append([json.dumps(parts(s)) for s in samples])
    lines = [line for row in itertools.zip_longest(*kinds) for line in row if line]
    a.out.write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} documents of {sum(bool(k) for k in kinds)} kinds")


if __name__ == "__main__":
    main()
