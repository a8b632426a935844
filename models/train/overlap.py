"""Which questions of the evaluation the training has seen in any form: models/train/overlap.json, which evaluate.py leaves out.

A question is held out by its kind and contents (corpus/sample.py), but one kind may say what another asks: a word problem ends in an
equation, a question comes back under a system prompt that asks for another style.  So every document of the training is made again
here, and a question counts as seen when its words with its answer, or its equation with the result, stand in one of them.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re

from tokenizers import Tokenizer

import evaluate
import train
from corpus import mix
from corpus.sample import ALWAYS_TRAINED

EQUATION = re.compile(r"(\d+) ([+-]) (\d+) = (-?\d+)")
SUMS = ("addition", "subtraction", "sum or difference")  # of a word problem it is the words that are asked
FILE = pathlib.Path(__file__).parent / "overlap.json"


def equations(text):
    for a, sign, b, _ in EQUATION.findall(text):
        a, b = int(a), int(b)
        yield (sign, min(a, b), max(a, b)) if sign == "+" else (sign, a, b)


def short(*texts):
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=8).digest()


def plain(text):
    """Without what sample.loosely puts around a question, or takes from it."""
    text = re.sub(r" (thanks!|please\.|thank you\.)$", "", text.lower())
    return re.sub(r"[.!?]+$", "", re.sub(r"^(hey, |please: |hi! |a question: |quick one: |can you help\? )", "", text))


def said(messages):
    """(question, answer) pairs, calls as text."""
    question = None
    for m in messages:
        if m["role"] == "user":
            question = m["content"]
        elif m["role"] == "assistant" and question is not None:
            calls = "".join(json.dumps(c["function"]) for c in m.get("tool_calls", []))
            yield plain(question), plain(m["content"] + calls)


class Seen:
    def __init__(self):
        self.pairs, self.equations, self.documents = set(), set(), 0

    def take(self, document):
        messages, _ = document
        self.documents += 1
        if isinstance(messages, str):
            return
        for question, answer in said(messages):
            self.pairs.add(short(question, answer))
            self.equations.update(equations(answer))


def seen_in(steps, a):
    """Draws the batches of these steps as the training does, and keeps what their documents say."""
    seen, draw = Seen(), mix.conversation

    def recorded(rng, phase=mix.EARLY):
        document = draw(rng, phase)
        seen.take(document)
        return document

    mix.conversation = recorded
    batches = train.Batches(Tokenizer.from_file(str(pathlib.Path(a.out) / "tokenizer.json")), a)
    for step in steps:
        batches.at(step)
    mix.conversation = draw
    return seen.pairs, seen.equations, seen.documents


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", default="models/demo")
    p.add_argument("--steps", type=int, default=train.STEPS)
    p.add_argument("--long-steps", type=int, default=train.LONG_STEPS)
    p.add_argument("--stretch", type=int, default=train.STRETCH)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("-n", type=int, default=400, help="questions of each kind, as evaluate.py has it (%(default)s)")
    a = p.parse_args()
    pairs, sums, documents = set(), set(), 0
    total, part = a.steps + a.stretch, 10 * train.CHUNK
    parts = [range(i, min(i + part, total)) for i in range(0, total, part)]
    with concurrent.futures.ProcessPoolExecutor(a.processes) as pool:
        for part, (more, more_sums, n) in zip(parts, pool.map(seen_in, parts, [a] * len(parts))):
            pairs |= more
            sums |= more_sums
            documents += n
            print(f"step {part.stop}/{total}: {documents} documents", flush=True)
    out = {}
    for name, make, _ in evaluate.KINDS:
        asked = evaluate.questions(name, make, a.n)
        seen = []
        for s in () if asked[0].kind in ALWAYS_TRAINED else asked:
            question, answer = next(reversed(list(said(s.messages()[:len(s.messages()) - (2 if s.result is not None else 0)]))))
            equation = list(equations(s.answer))[-1:] if name.startswith(SUMS) else []  # the last one has the result
            if short(question, answer) in pairs or sums.issuperset(equation) and equation:
                seen.append(evaluate.identity(s))
        out[name] = sorted(seen)
        print(f"{name}: {len(seen)} of {len(asked)} questions stand in the training in some form")
    FILE.write_text(json.dumps(out, indent=0) + "\n")


if __name__ == "__main__":
    main()
