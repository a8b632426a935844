"""The dialect of Split patterns: random ones, and published ones with small changes."""
import collections
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import random
import re
import tempfile

from tokenizers import Tokenizer

from . import compare, parts, texts, trained
from .reference import ReferenceFailed, guarded

PROPERTIES = (
    "L Lu Lt Lm Lo Ll M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Co Cn Han Hiragana Katakana Hangul Latin Greek Cyrillic "
    "Arabic Hebrew Devanagari Thai Common Inherited Alpha Alnum Space Upper Lower Punct Digit Word XDigit Blank Cntrl Graph Print Alphabetic Uppercase White_Space Letter"
).split()
POSIX = "alpha alnum digit space upper lower punct blank cntrl graph print word xdigit ascii".split()
CHARS = ["a", "b", "e", "s", "t", "S", "K", "'", "é", "ß", "ſ", "µ", "1", " ", "_", "/", ":", "中", "▁", "😀", "\u0301", "\u00a0", "\n", '"', "-", ",", "!", "~", "="]
ESCAPES = [r"\s", r"\S", r"\d", r"\D", r"\w", r"\W", r"\r", r"\n", r"\t", r"\.", r"\/", r"\-", r"\[", r"\]", r"\h", r"\H", r"\x41", r"\x{4e2d}", r"\u00e9", r"\f", r"\v", r"\e", r"\$", r"\\"]
ANCHORS = ["^", "$", r"\b", r"\B", r"\A", r"\z", r"\Z", r"\G", r"\K"]
QUANTIFIERS = ["?", "*", "+", "{1,3}", "{2}", "{1,}", "{,3}", "{0,2}", "??", "*?", "+?", "?+", "*+", "++", "{1,3}+", "{1,3}?", "{2}+"]

CHUNK = 250  # patterns of one task


class Maker:
    def __init__(self, rng):
        self.rng = rng

    def property(self):
        name, p = self.rng.choice(PROPERTIES), "P" if self.rng.random() < 0.12 else "p"
        return rf"\{p}{{{'^' if self.rng.random() < 0.06 else ''}{name}}}"

    def class_item(self, depth):
        r = self.rng.random()
        if r < 0.3:
            return self.property()
        if r < 0.5:
            return self.rng.choice([e for e in ESCAPES if e not in (r"\v",)])
        if r < 0.6:
            a, b = sorted(self.rng.sample([c for c in CHARS if c.isalnum()], 2))
            return f"{a}-{b}"
        if r < 0.66:
            return f"[:{self.rng.choice(('', '^'))}{self.rng.choice(POSIX)}:]"
        if r < 0.74 and depth < 2:
            return self.char_class(depth + 1)
        return self.rng.choice([c for c in CHARS if c != "-"])

    def char_class(self, depth=0):
        n = self.rng.randrange(1, 5)
        body = "".join(self.class_item(depth) for _ in range(n))
        if self.rng.random() < 0.15:
            body += "&&" + self.rng.choice((self.char_class(depth + 1) if depth < 2 else self.property(), self.property(), r"\w"))
        return f"[{'^' if self.rng.random() < 0.3 else ''}{body}]"

    def atom(self, depth):
        r = self.rng.random()
        if r < 0.22:
            return self.char_class()
        if r < 0.42:
            return self.property()
        if r < 0.58:
            return self.rng.choice(ESCAPES)
        if r < 0.64:
            return "."
        if r < 0.72 and depth < 2:
            opening = self.rng.choice(("(?:", "(?:", "(", "(?i:", "(?>", "(?m:", "(?-i:", "(?<n>"))
            return opening + self.pattern(depth + 1) + ")"
        return re.escape(self.rng.choice(CHARS)) if self.rng.random() < 0.8 else self.rng.choice(("'s", "ll", "ve", "ss", "st", "fi", "'re"))

    def piece(self, depth):
        r = self.rng.random()
        if r < 0.05:
            return self.rng.choice(ANCHORS)
        if r < 0.12:
            look = self.rng.choice(("(?!", "(?=", "(?<!", "(?<="))
            return look + self.rng.choice((r"\S", r"\s", self.char_class(), self.property(), self.rng.choice("abs"))) + ")"
        atom = self.atom(depth)
        # A repeated group that is itself repeated would try the reference's patience, not its dialect.
        if self.rng.random() < 0.5 and not (atom.startswith("(") and re.search(r"[*+}]", atom)):
            atom += self.rng.choice(QUANTIFIERS)
        return atom

    def pattern(self, depth=0):
        n = self.rng.choice((1, 1, 2, 3, 4)) if depth == 0 else self.rng.choice((1, 1, 2))
        return "|".join("".join(self.piece(depth) for _ in range(self.rng.randrange(1, 4))) for _ in range(n))

    def published(self):
        """A published pattern with one or two changes."""
        pattern = self.rng.choice([p for group in parts.PUBLISHED.values() for p in group])
        for _ in range(self.rng.randrange(1, 3)):
            change = self.rng.randrange(5)
            if change == 0:
                found = list(re.finditer(r"\\p\{\w+\}", pattern))
                new = self.property()
            elif change == 1:
                found = list(re.finditer(r"(?<=[\]}\w)])[?*+]+(?!\w*:)|\{1,3\}", pattern))
                new = self.rng.choice(QUANTIFIERS)
            elif change == 2:
                found = list(re.finditer(r"\[[^\[\]]*\](?![\])])", pattern))
                new = self.char_class()
            elif change == 3:
                found = list(re.finditer(r"\\[sSrn]", pattern))
                new = self.rng.choice(ESCAPES)
            else:
                found = list(re.finditer(r"\(\?[!i][^()]*\)", pattern))
                new = self.piece(1)
            if found:
                at = self.rng.choice(found)
                pattern = pattern[: at.start()] + new + pattern[at.end() :]
        if self.rng.random() < 0.2 and "(" not in pattern and "[" not in pattern:
            pieces = pattern.split("|")
            self.rng.shuffle(pieces)
            pattern = "|".join(pieces)
        return pattern


def short_texts(rng, n):
    out = []
    for _ in range(n):
        text = texts.random_string(rng)[:60]
        out.append(text + rng.choice(("", " ", "\n", "'s", "ab'LL", "  a", "\r\n", "S'ſ", "1234")))
    return out


def one_pattern(tokcat, scratch, base, pattern, rng):
    """(outcome, detail)"""
    split = parts.regex(pattern, rng.choice(("Isolated", "Isolated", "Removed", "MergedWithNext", "MergedWithPrevious", "Contiguous")), rng.random() < 0.3)
    tree = {**base, "pre_tokenizer": parts.pre(split, parts.byte_level())}
    text = json.dumps(tree)
    inputs = short_texts(rng, 14)
    path = scratch / f"{os.getpid()}.json"
    path.write_text(text)
    cat = compare.Tokcat(tokcat, path)
    for x in inputs:
        cat.ask(b"e", x.encode())
    try:
        reference = guarded(Tokenizer.from_str, text)
        theirs = compare.reference_ids(reference, inputs)
    except ReferenceFailed:
        reference = None
    cat.start()
    try:
        answers = cat.finish()
    except compare.Refused as refused:
        return ("both refuse" if reference is None else "refused by inferd", re.sub(r'"[^"]*"', '"..."', str(refused)))
    except compare.Mismatch as crash:
        return "mismatch", f"{pattern!r}: {crash}"
    if reference is None:
        return "the reference alone refuses", pattern
    for x, answer, want in zip(inputs, answers, theirs):
        if not answer[0]:
            return "refused by inferd", "while matching: " + bytes(answer[1]).decode()
        ours = compare.answer_ids(answer)
        if want is not None and ours != want:
            return "mismatch", f"{json.dumps(split)} on {ascii(x)}\n  ours   {ours}\n  theirs {want}"
    return "equal", ""


def worker(tokcat, seed, n):
    """The patterns depend on the seed alone: what is found is found on every machine."""
    rng = random.Random(f"regex {seed}")
    maker = Maker(rng)
    counts, details = collections.Counter(), collections.defaultdict(list)
    base = parts.tokenizer(trained.reveal(), flagged=False)
    with tempfile.TemporaryDirectory() as scratch:
        for _ in range(n):
            pattern = maker.published() if rng.random() < 0.5 else maker.pattern()
            outcome, detail = one_pattern(tokcat, pathlib.Path(scratch), base, pattern, rng)
            counts[outcome] += 1
            details[outcome].append(detail)
    return counts, details


def run(args, initializer):
    """Prints what came out; returns 1 if a pattern meant different things."""
    counts, refusals, lenient, mismatches = collections.Counter(), collections.Counter(), [], []
    with concurrent.futures.ProcessPoolExecutor(args.jobs, multiprocessing.get_context("fork"), initializer=initializer) as pool:
        runs = [pool.submit(worker, args.tokcat, f"{args.seed} {at}", min(CHUNK, args.regex_patterns - at)) for at in range(0, args.regex_patterns, CHUNK)]
        for done in runs:
            part, details = done.result()
            counts += part
            refusals.update(details["refused by inferd"])
            mismatches += details["mismatch"]
            lenient += details["the reference alone refuses"]
    for detail in sorted(mismatches, key=len)[:25]:
        print(f"MISMATCH regex: {detail}")
    for message, n in refusals.most_common(25):
        print(f"  refused {n} times: {message}")
    for pattern in sorted(lenient, key=len)[:5]:
        print(f"  only the reference refuses: {pattern!r}")
    print(f"{'MISMATCH' if mismatches else 'ok'} regex dialect: " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())), flush=True)
    return int(bool(mismatches))
