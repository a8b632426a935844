#!/usr/bin/env python3
"""Our tokenizer against Hugging Face's `tokenizers`, string by string and id by id.

    tokenizer_diff.py [TOKCAT] [--strings N] [--seed S] [--only NAME] [--regex-patterns N]
                      [--compositions N] [--jobs N] [--allow-unsupported] [--list]

For each tokenizer in SHARED/data/tokenizers, for stories260K, and for small tokenizers that the test
trains or assembles (every component that a tokenizer.json can name, whole pipelines of published
families, published patterns, random compositions), both encode real texts and random strings made
of what breaks tokenizers, and both decode the ids that came out and random ids, whole and token by
token; then random Split patterns.  A tokenizer that inferd refuses is a failure, unless
--allow-unsupported.  Prints one line per tokenizer; exits 1 if any failed; the failed ones stay in
build/tokdiff-failed.  SHARED is $INFERD_SHARED or ../shared.
"""
import argparse
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import random
import sys
import tempfile
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAYON_NUM_THREADS", "1")

import numpy as np

from tokdiff import compare, components, families, reference, regexfuzz, scaling, texts

# What inferd refuses on purpose, by words of its message, and the tokenizers of this suite that show
# it: each must be refused.  A random pipeline that meets one of these is no failure.
REFUSED_BY_DESIGN = {
    # An id goes out as text at once; these would have to wait for all ids.
    "text is sent as it arrives": ("decoder/Sequence-fuse-regex", "decoder/Sequence-fuse-then-bytes"),
    # A prompt that lacks the text, or has it twice.
    "only once is supported": ("post/template-twice", "post/template-no-text", "post/template-empty"),
    # The reference takes the pieces that a template gets for a pair of texts.
    "a template takes one or two": ("post/sequence-three",),
    # No embedding exists for it.
    "which is no token's": ("post/template-odd-ids",),
    # Matches between any two characters: of a decoder it would cut characters of several tokens.
    "a string pattern must have": ("decoder/Replace-''",),
    "an empty pattern after CTC": ("decoder/CTC-odd-1",),
    "Split: an empty pattern": ("pre/Split-empty-regex",),
    # The reference gives some texts their first character twice.
    "nothing to prepend": ("normalizer/Prepend-''",),
}
# Half of the random strings go to the tokenizers of real models, the rest to all others.
SHARE_OF_REAL = 0.52
real_texts = []  # in the workers: filled before they fork


class Job:
    def __init__(self, name, path, real):
        self.name, self.path, self.real = name, path, real
        self.n_strings = 0


def written(scratch, index, name, tree):
    path = scratch / f"{index}.json"
    path.write_text(json.dumps(tree), encoding="utf-8")
    return Job(name, path, False)


def all_jobs(scratch, args):
    folder = texts.SHARED / "data/tokenizers"
    jobs = [Job(p.name, p / "tokenizer.json", True) for p in sorted(folder.iterdir()) if (p / "tokenizer.json").is_file()]
    stories = texts.SHARED / "models/stories260K/tokenizer.json"
    if stories.is_file():
        jobs.append(Job("stories260K", stories, True))
    made = [*families.all_cases(), *components.all_cases(), *components.compositions(args.seed, args.compositions)]
    jobs += [written(scratch, i, name, tree) for i, (name, tree) in enumerate(made)]
    n_real = sum(j.real for j in jobs)
    for job in jobs:
        share = SHARE_OF_REAL / n_real if job.real else (1 - SHARE_OF_REAL) / (len(jobs) - n_real)
        job.n_strings = int(args.strings * share) + 1
    return [j for j in jobs if not args.only or args.only in j.name]


def inputs_of(job, seed):
    rng = random.Random(f"{seed} {job.name}")
    strings = list({texts.random_string(rng): None for _ in range(job.n_strings + job.n_strings // 50)})
    if job.real:
        return strings, strings + real_texts
    # A part of the real texts, another one for each tokenizer; short, so that many fit.
    chosen = [t[at : at + 400] for t in rng.sample(real_texts, 90) for at in (0, 1500)]
    return strings, strings + chosen + texts.tokenizer_cases()


def be_quiet():
    """The reference prints a backtrace for each text that it gives up on."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)


def run_job(job, tokcat, seed):
    """(outcome, line, hashes of the random strings)"""
    strings, inputs = inputs_of(job, seed)
    hashes = np.fromiter((hash(s) for s in strings), np.int64, len(strings))
    try:
        sizes = dict(n_decodes=12000, n_random_ids=4000) if job.real else {}
        line = compare.Comparison(tokcat, job.path, inputs, seed, **sizes).run()
        if any(job.name in shown for shown in REFUSED_BY_DESIGN.values()):
            return "mismatch", "is accepted, though it is listed as refused by design", hashes
        return "ok", line, hashes
    except compare.Refused as refused:
        designed = any(words in str(refused) for words in REFUSED_BY_DESIGN)
        return "by design" if designed else "refused", str(refused), hashes[:0]
    except reference.ReferenceFailed as problem:
        return "no reference", str(problem), hashes[:0]
    except compare.Mismatch as mismatch:
        kept = compare.keep_failed(job.path, job.name)
        return "mismatch", f"({kept})\n  {mismatch}", hashes


def run_all(jobs, args):
    """Prints a line per tokenizer; returns how often each outcome came and the strings' hashes."""
    counts = dict.fromkeys(("ok", "mismatch", "refused", "by design", "no reference"), 0)
    words = {"ok": "ok", "mismatch": "MISMATCH", "refused": "NOT YET" if args.allow_unsupported else "REFUSED", "by design": "refused by design", "no reference": "no reference"}
    hashes = []
    jobs = sorted(jobs, key=lambda j: -j.n_strings)
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(args.jobs, context, initializer=be_quiet) as pool:
        waiting = {pool.submit(run_job, j, args.tokcat, args.seed): j for j in jobs}
        for done in concurrent.futures.as_completed(waiting):
            outcome, line, strings = done.result()
            counts[outcome] += 1
            hashes.append(strings)
            print(f"{words[outcome]} {waiting[done].name}: {line}", flush=True)
    return counts, hashes


def scaling_check(args):
    """Prints the texts whose cost per byte grows with their length; returns 1 if there are any."""
    program = pathlib.Path(args.tokcat).parents[1] / "bench/bench_tok_speed"
    wanted = ("family/llama3", "family/gpt2", "family/llama-1", "family/gemma", "family/t5", "family/xlm-r", "family/bert-uncased", "family/clip", "family/deepseek-v3", "family/kimi")
    bench, slow = scaling.Bench(str(program)), []
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        made = [(n, tree) for n, tree in families.all_cases() if n in wanted]
        for i, (name, tree) in enumerate(made):
            job = written(scratch, i, name, tree)
            try:
                slow += scaling.quick(bench, [(name, job.path)], scratch)
            except RuntimeError as problem:
                if not args.allow_unsupported:
                    slow.append((name, str(problem), 0))
    bench.close()
    for name, shape, growth in slow:
        print(f"MISMATCH scaling: {name}, {shape}" + (f": 1 MB costs {growth:.1f} times as much per byte as 30 kB" if growth else ""))
    print(f"{'MISMATCH' if slow else 'ok'} scaling: {len(made)} tokenizers, {len(scaling.SHAPES)} texts")
    return int(bool(slow))


def main():
    parser = argparse.ArgumentParser()
    build = os.environ.get("INFERD_BUILD", "build/release")
    parser.add_argument("tokcat", nargs="?", default=str(texts.ROOT / build / "tests/golden/tokcat"))
    parser.add_argument("--strings", type=int, default=1_060_000, help="random strings in all")
    parser.add_argument("--compositions", type=int, default=60, help="random pipelines")
    parser.add_argument("--regex-patterns", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", help="tokenizers whose name contains this")
    parser.add_argument("--allow-unsupported", action="store_true", help="what inferd refuses is no failure")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    args = parser.parse_args()
    if not (texts.SHARED / "data/tokenizers").is_dir():
        print(f"1 skipped: {texts.SHARED / 'data/tokenizers'} is absent")
        return
    os.environ["RUST_BACKTRACE"] = "0"
    start = time.monotonic()
    real_texts.extend(texts.real_texts())
    with tempfile.TemporaryDirectory() as scratch:
        jobs = all_jobs(pathlib.Path(scratch), args)
        if args.list:
            print("\n".join(j.name for j in jobs))
            return
        counts, hashes = run_all(jobs, args)
    distinct = len(np.unique(np.concatenate(hashes))) if hashes else 0
    print(f"{distinct} distinct random strings, {len(real_texts)} real texts, {time.monotonic() - start:.0f} s")
    failed, passed = counts["mismatch"] + (0 if args.allow_unsupported else counts["refused"]), counts["ok"]
    for name, check in (("regex", lambda: regexfuzz.run(args, be_quiet)), ("scaling", lambda: scaling_check(args))):
        if not args.only or args.only == name:
            bad = check()
            failed, passed = failed + bad, passed + (not bad)
    print(f"not supported by inferd: {counts['refused']}, refused by design: {counts['by design']}; not loaded by the reference: {counts['no reference']}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
