#!/usr/bin/env python3
"""Tokenizer speed, one thread: inferd beside PyPI tokenizers and tiktoken, in one run.

    tokenizer_speed.py [--rounds N] [--piece BYTES] [--only NAME] [--check] [--skip-speed]
                       [--skip-scaling] [--skip-load]

Encoding: medians of alternating rounds, MiB/s of UTF-8, for English (wikitext-2, Shakespeare), CJK
(Chinese, Japanese and Korean from Debian packages) and source code, in pieces of 64 KiB as a long
prompt has; "first" is inferd's first round after loading.  Then what a text costs per byte as it
grows from 10 kB to 1 MB, and how long a tokenizer.json with 128,000 tokens takes to load.  The
128,000 tokens are trained once and kept in the build folder.  With --check the exit status is 1 when
ids differ or a text's cost per byte grows by more than 1.6 a decade.
inferd's times are taken inside C, the others' around their own call; all are the process's own (CPU time
of its one thread), so that whatever else runs on the machine matters little.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/golden"))

import tiktoken
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from tokdiff import parts, scaling, texts, trained

MIB = 1024 * 1024
FNV_START, FNV_PRIME, MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1
CACHE = texts.BUILD / "tokenizer-speed"


def fnv(ids):
    value = FNV_START
    for i in ids:
        value = ((value ^ i) * FNV_PRIME) & MASK
    return value


# --- texts and vocabularies -------------------------------------------------------------------------


def bench_texts():
    foreign = texts.foreign_texts()
    cjk = "".join(foreign.get(k, "") for k in ("zh", "ja", "ko"))
    found = {"English": texts.english(), "CJK": cjk, "code": texts.source_code()}
    return {k: v for k, v in found.items() if v}


def byte_pieces(text, size):
    """As bench_tok_speed cuts: about `size` bytes each, between characters."""
    data, out, at = text.encode(), [], 0
    while at < len(data):
        end = min(len(data), at + size) if size else len(data)
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end += 1
        out.append(data[at:end].decode())
        at = end
    return out


def cached(name, make):
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / name
    if not path.exists():
        start = time.monotonic()
        path.write_text(json.dumps(make(), ensure_ascii=False), encoding="utf-8")
        print(f"made {path} in {time.monotonic() - start:.0f} s", flush=True)
    return json.loads(path.read_text(encoding="utf-8"))


def trained_128k():
    """A byte-level BPE of 128,000 tokens; short of that, pairs of tokens fill it up."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(parts.LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    corpus = [p for text in (*bench_texts().values(), *texts.foreign_texts().values()) for p in texts.pieces(text, 3000)]
    trainer = trainers.BpeTrainer(vocab_size=128_000, min_frequency=1, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    t.train_from_iterator(corpus, trainer)
    model = json.loads(t.to_str())["model"]
    vocab, merges = model["vocab"], model["merges"]
    base = list(vocab)[256:3000]
    pairs = ((a, b) for a in base for b in base if b.isalpha())
    while len(vocab) < 128_000:
        a, b = next(pairs)
        if a + b not in vocab:
            vocab[a + b] = len(vocab)
            merges.append([a, b])
    return model


def all_splits(model):
    """The merges as converters from rank files write them: every split of every token."""
    vocab, merges = model["vocab"], []
    for token in sorted(vocab, key=vocab.get):
        splits = [(token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in vocab and token[i:] in vocab]
        merges += sorted(splits, key=lambda s: (vocab[s[0]], vocab[s[1]]))
    return {**model, "merges": [list(m) for m in merges], "ignore_merges": True}


def byte_tokenizer(model, patterns):
    steps = [*map(parts.regex, patterns), parts.byte_level()] if patterns else [parts.byte_level(use_regex=True)]
    return parts.tokenizer(model, None, parts.pre(*steps), None, parts.byte_level(), flagged=False)


def gpt2_model():
    return json.loads((texts.SHARED / "data/tokenizers/gpt-2/tokenizer.json").read_text(encoding="utf-8"))["model"]


def written(name, tree):
    path = CACHE / f"{name}.json"
    path.write_text(json.dumps(tree, ensure_ascii=False), encoding="utf-8")
    return path


def bert_model():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=30000, show_progress=False, special_tokens=special)
    lines = [p for text in bench_texts().values() for p in texts.pieces(text, 3000)]
    return trained.train(models.WordPiece(unk_token="[UNK]"), trainer, pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer(), lines)


def t5_model():
    trainer = trainers.UnigramTrainer(vocab_size=8000, show_progress=False, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>")
    found = bench_texts()
    # Longer runs without a blank overflow the trainer.
    lines = texts.pieces(found["English"][:800_000], 1000) + texts.pieces(found.get("CJK", "")[:200_000], 16)
    return trained.train(models.Unigram(), trainer, pre_tokenizers.Metaspace(), None, lines)


def subjects():
    """(name, path of a tokenizer.json, tiktoken's pattern or None)"""
    gpt2, large = gpt2_model(), cached("bpe-128k.json", trained_128k)
    patterns = {
        "GPT-2": [parts.GPT2], "Llama-3": [parts.LLAMA3], "Qwen2": [parts.QWEN2], "o200k": [parts.O200K], "DeepSeek-V3": parts.DEEPSEEK_V3,
    }  # fmt: skip
    for vocab_name, model in (("50k", gpt2), ("128k", large)):
        for name, steps in patterns.items():
            tree = byte_tokenizer(model, None if name == "GPT-2" else steps)
            yield f"{name} {vocab_name}", written(f"{name}-{vocab_name}", tree), steps[0] if len(steps) == 1 else None
    yield "Llama-1 (SPM)", texts.SHARED / "data/tokenizers/llama-1-vicuna/tokenizer.json", None
    words = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    bert = parts.tokenizer(cached("wordpiece.json", bert_model), parts.bert_normalizer(), {"type": "BertPreTokenizer"}, None, words, flagged=False)
    yield "BERT", written("bert", bert), None
    t5 = parts.tokenizer(cached("unigram.json", t5_model), trained.precompiled("nmt_nfkc"), parts.metaspace(), None, parts.metaspace(), flagged=False)
    yield "T5", written("t5", t5), None


def tiktoken_encoding(path, pattern):
    chars = {v: k for k, v in byte_chars().items()}
    vocab = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
    ranks = {bytes(chars[c] for c in token): i for token, i in vocab.items() if all(c in chars for c in token)}
    return tiktoken.Encoding("bench", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def byte_chars():
    """byte -> the character that stands for it in byte-level vocabularies."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(others)}}


# --- speed ---------------------------------------------------------------------------------------------


def timed(function):
    start = time.process_time_ns()
    result = function()
    return time.process_time_ns() - start, result


def measure(bench, path, encoding, text, args):
    """Median ns of each engine, inferd's first round, and whether the ids are the same."""
    file = CACHE / "text.txt"
    file.write_text(text, encoding="utf-8", newline="")
    pieces = byte_pieces(text, args.piece)
    reference = Tokenizer.from_file(str(path))
    bench.ask("load", path)
    bench.ask("text", file, args.piece)
    first = bench.ask("encode", 1)[0]
    ours, theirs, tik, same = [], [], [], True
    for i in range(args.rounds):
        ns, n_ids, digest = bench.ask("encode", 1)
        ours.append(ns)
        ns, encodings = timed(lambda: reference.encode_batch_fast(pieces, add_special_tokens=False))
        theirs.append(ns)
        if i == 0:
            same = digest == fnv(x for e in encodings for x in e.ids)
        del encodings
        if encoding:
            ns, lists = timed(lambda: [encoding.encode_ordinary(p) for p in pieces])
            tik.append(ns)
            same = same and sum(map(len, lists)) == n_ids
    decode = bench.ask("decode", 3)[0]
    return [statistics.median(x) if x else 0 for x in (ours, theirs, tik, [first], [decode])], same


def speed_table(bench, args):
    print(f"\n{'tokenizer':16} {'text':8} {'inferd':>8} {'first':>7} {'tokenizers':>10} {'ratio':>6} {'tiktoken':>9} {'ratio':>6} {'decode':>8}  MiB/s, medians of {args.rounds}")
    failed = 0
    samples = bench_texts()
    for name, path, pattern in subjects():
        if args.only and args.only not in name:
            continue
        encoding = tiktoken_encoding(path, pattern) if pattern else None
        for kind, text in samples.items():
            size = len(text.encode()) / MIB
            try:
                (ours, theirs, tik, first, decode), same = measure(bench, path, encoding, text, args)
            except RuntimeError as problem:
                print(f"{name:16} {kind:8} {problem}", flush=True)
                failed += 1
                continue
            speed = lambda ns: size / (ns * 1e-9) if ns else 0
            versus = f"{speed(tik):9.1f} {tik / ours:5.1f}x" if tik else f"{'-':>9} {'-':>6}"
            print(f"{name:16} {kind:8} {speed(ours):8.1f} {speed(first):7.1f} {speed(theirs):10.2f} {theirs / ours:5.1f}x {versus} {speed(decode):8.0f}{'' if same else '  IDS DIFFER'}", flush=True)
            failed += not same
    return failed


# --- growth ----------------------------------------------------------------------------------------------

GROWTH_MAX = 1.6  # of the cost per byte from one size to the one ten times as large


def scaling_table(bench, args):
    print(f"\nns per byte for 10 kB, 100 kB, 1 MB{'':22}(* grows more than {GROWTH_MAX} a decade)")
    failed, path = 0, CACHE / "shape.txt"
    for name, json_path, _ in subjects():
        if (args.only and args.only not in name) or "50k" in name:
            continue
        try:
            bench.ask("load", json_path)
        except RuntimeError as problem:
            print(f"{name:16} {problem}")
            continue
        for shape in scaling.SHAPES:
            costs = [scaling.ns_per_byte(bench, path, shape, size, rounds) for size, rounds in ((10_000, 20), (100_000, 6), (1_000_000, 3))]
            grows = any(b > GROWTH_MAX * a for a, b in zip(costs, costs[1:]))
            failed += grows
            print(f"{name:16} {shape:24} {costs[0]:9.2f} {costs[1]:9.2f} {costs[2]:9.2f}{' *' if grows else ''}", flush=True)
    return failed


# --- loading ---------------------------------------------------------------------------------------------


def load_table(bench, args):
    model = cached("bpe-128k.json", trained_128k)
    split = all_splits(model)
    plain = written("load-128k", byte_tokenizer(model, [parts.LLAMA3]))
    full = written("load-128k-all-splits", byte_tokenizer(split, [parts.LLAMA3]))
    print(f"\nloading a tokenizer.json of {len(model['vocab'])} tokens, medians of {args.rounds}")
    for name, path, merges in (("a merge a token", plain, len(model["merges"])), ("all splits", full, len(split["merges"]))):
        ours, theirs = [], []
        for _ in range(args.rounds):
            ours.append(bench.ask("load", path)[0])
            theirs.append(timed(lambda: Tokenizer.from_file(str(path)))[0])
        a, b = statistics.median(ours) * 1e-6, statistics.median(theirs) * 1e-6
        print(f"{name:16} {merges:7} merges {path.stat().st_size / MIB:6.1f} MiB: inferd {a:7.1f} ms, tokenizers {b:7.1f} ms, {b / a:.1f}x", flush=True)


def main():
    parser = argparse.ArgumentParser()
    build = os.environ.get("INFERD_BUILD", "build/release")
    parser.add_argument("program", nargs="?", default=str(ROOT / build / "tests/bench/bench_tok_speed"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--piece", type=int, default=65536, help="bytes a call; 0 = the whole text in one")
    parser.add_argument("--only", help="tokenizers whose name contains this")
    parser.add_argument("--check", action="store_true")
    for part in ("speed", "scaling", "load"):
        parser.add_argument(f"--skip-{part}", action="store_true")
    args = parser.parse_args()
    if not (texts.SHARED / "data/tokenizers").is_dir():
        print(f"skipped: {texts.SHARED / 'data/tokenizers'} is absent")
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    bench, failed = scaling.Bench(args.program), 0
    if not args.skip_speed:
        failed += speed_table(bench, args)
    if not args.skip_scaling:
        failed += scaling_table(bench, args)
    if not args.skip_load:
        load_table(bench, args)
    bench.close()
    if args.check and failed:
        print(f"{failed} failed")
        sys.exit(1)


if __name__ == "__main__":
    main()
