#!/usr/bin/env python3
"""Our reading of SentencePiece model files against the library itself, id by id.

    sentencepiece_diff.py [TOKCAT] [--strings N] [--seed S] [--only NAME]

Trains small models of every kind (unigram, BPE, word, char) with the options that change how text
is cut, edits some of them (unused pieces, dropped characters), and encodes random strings of what
breaks tokenizers with both.  Decodes what came out and random ids: as the library does, but for
runs of byte tokens that are not UTF-8, where the reference is `tokenizers`' ByteFallback.
"""
import argparse
import io
import os
import pathlib
import random
import sys
import tempfile

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import decoders

from native_files import compare, require_equal, texts

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)
SYMBOLS = ["<user>", "ab", "abc", "don't", "<|x|>", "é", "▁▁", "the"]


def option_sets():
    """name: trainer options."""
    sets = {}
    for rule in ("nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf", "identity"):
        sets[f"unigram {rule}"] = dict(model_type="unigram", normalization_rule_name=rule)
    for kind in ("unigram", "bpe"):
        sets[f"{kind} bytes"] = dict(model_type=kind, byte_fallback=True)
        sets[f"{kind} llama"] = dict(
            model_type=kind, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True, split_digits=True,
        )  # fmt: skip
        sets[f"{kind} blanks kept"] = dict(model_type=kind, remove_extra_whitespaces=False)
        sets[f"{kind} no prefix"] = dict(model_type=kind, add_dummy_prefix=False)
        sets[f"{kind} no prefix, blanks kept"] = dict(
            model_type=kind, add_dummy_prefix=False, remove_extra_whitespaces=False, byte_fallback=True
        )
        sets[f"{kind} suffix"] = dict(model_type=kind, treat_whitespace_as_suffix=True)
        sets[f"{kind} symbols"] = dict(model_type=kind, user_defined_symbols=SYMBOLS, control_symbols=["<ctl>"])
        sets[f"{kind} symbols, bytes"] = dict(
            model_type=kind, user_defined_symbols=SYMBOLS, byte_fallback=True, remove_extra_whitespaces=False,
            normalization_rule_name="nfkc_cf",
        )  # fmt: skip
        sets[f"{kind} across words"] = dict(model_type=kind, split_by_whitespace=False, vocab_size=1200)
        sets[f"{kind} ids"] = dict(model_type=kind, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
        sets[f"{kind} spaces as they are"] = dict(model_type=kind, add_dummy_prefix=False, EDIT="escape off")
        sets[f"{kind} unused"] = dict(model_type=kind, EDIT="unused", byte_fallback=kind == "bpe")
        sets[f"{kind} dropped"] = dict(model_type=kind, EDIT="dropped")
        sets[f"{kind} equal scores"] = dict(model_type=kind, EDIT="equal scores")
    for kind in ("word", "char"):
        sets[kind] = dict(model_type=kind, hard_vocab_limit=False)
        sets[f"{kind} symbols"] = dict(model_type=kind, user_defined_symbols=SYMBOLS, hard_vocab_limit=False)
        sets[f"{kind} bytes"] = dict(model_type=kind, byte_fallback=True, hard_vocab_limit=False)
    return sets


def edited(model, how, rng):
    proto = pb.ModelProto()
    proto.ParseFromString(model)
    if how == "escape off":
        proto.normalizer_spec.escape_whitespaces = False
        for piece in proto.pieces:
            piece.piece = piece.piece.replace("▁", " ")
    if how == "unused":
        for piece in proto.pieces:
            if piece.type == NORMAL and len(piece.piece) > 1 and rng.random() < 0.4:
                piece.type = UNUSED
    if how == "dropped":  # characters that longer pieces have, but that are no pieces
        kept = [p for p in proto.pieces if p.type != NORMAL or len(p.piece) > 1 or rng.random() < 0.6]
        copies = [pb.ModelProto.SentencePiece.FromString(p.SerializeToString()) for p in kept]
        del proto.pieces[:]
        proto.pieces.extend(copies)
    if how == "equal scores":
        for piece in proto.pieces:
            piece.score = float(round(piece.score / 3))
    return proto.SerializeToString()


def train(options, corpus, rng):
    options = dict(options)
    how = options.pop("EDIT", None)
    out = io.BytesIO()
    defaults = dict(vocab_size=700, minloglevel=2, character_coverage=0.98, num_threads=1)
    spm.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=out, **{**defaults, **options})
    return edited(out.getvalue(), how, rng) if how else out.getvalue()


def corpus_lines(rng):
    lines = []
    for path in sorted((texts.ROOT / "docs").glob("*.md")):
        lines += [x for x in path.read_text(encoding="utf-8").split("\n") if x.strip()]
    lines = rng.sample(lines, min(len(lines), 500))
    lines += [texts.random_string(rng).replace("\n", " ").replace("\0", "") for _ in range(250)]
    return lines


def strings(rng, count, words):
    """Random strings; half of them with text that the models know."""
    out = ["", " ", "  ", "\x01", "▁", " ▁ ", "a", "\u3000", "the", " the", "the ", "  the  cat "]
    while len(out) < count:
        text = texts.random_string(rng)
        if rng.random() < 0.5:
            parts = [rng.choice(words) for _ in range(rng.randrange(1, 6))]
            text = rng.choice((" ", "  ", "", text[:3])).join(parts) + text[: rng.randrange(6)]
        out.append(text)
    return out


# --- what the library says --------------------------------------------------------------------------


def library_decode(model, pieces, ids):
    """Byte runs by ByteFallback, the rest by the library."""
    text, run = "", []

    def flush():
        nonlocal run
        out = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()]).decode(run) if run else ""
        run = []
        return out

    if not any(pieces[i].type == BYTE for i in ids):
        return model.decode(ids)
    for i in ids:
        piece = pieces[i]
        if piece.type == BYTE:
            run.append(piece.piece)
            continue
        if piece.type == CONTROL:  # skipped before anything is joined
            continue
        text += flush() + piece.piece.replace("▁", " ")
    text += flush()
    if model.strips == "all":
        return text.lstrip(" ")
    return text[1:] if model.strips == "one" and text.startswith(" ") else text


class Model:
    def __init__(self, data):
        self.processor = spm.SentencePieceProcessor(model_proto=data)
        self.proto = pb.ModelProto()
        self.proto.ParseFromString(data)
        self.pieces = self.proto.pieces
        spec = self.proto.normalizer_spec
        self.strips = "all" if spec.remove_extra_whitespaces else "one" if spec.add_dummy_prefix else ""

    def decode(self, ids):
        return self.processor.decode(ids)


def comparable(model):
    """Ids whose texts are the library's: not unknown ones, which transformers shows by their own
    text, and no symbols that begin with two blanks, of which the library drops one at a time."""
    return [
        i for i, p in enumerate(model.pieces) if p.type != UNKNOWN and not (p.type == USER and p.piece.startswith("▁▁"))
    ]


def random_ids(model, rng, count):
    plain = comparable(model)
    byte_ids = [i for i, p in enumerate(model.pieces) if p.type == BYTE]
    out = [[rng.choice(plain) for _ in range(rng.randrange(10))] for _ in range(count)]
    if byte_ids:
        out += [[rng.choice(byte_ids if rng.random() < 0.7 else plain) for _ in range(8)] for _ in range(count)]
    return out


def compare_model(tokcat, name, data, inputs, rng, folder):
    model = Model(data)
    path = pathlib.Path(folder) / name.replace(" ", "_")
    path.mkdir()
    (path / "tokenizer.model").write_bytes(data)
    want = model.processor.encode(inputs)
    plain = set(comparable(model))
    ids = [x for x in want[:: max(1, len(want) // 600)] if plain.issuperset(x)] + random_ids(model, rng, 250)
    texts_want = [library_decode(model, model.pieces, x) for x in ids]
    questions = [("encode", "p", inputs, want)]
    questions += [("decode", "D", ids, texts_want), ("incremental decode", "S", ids, texts_want)]
    require_equal(tokcat, path, questions)
    return f"{len(inputs)} texts, {sum(map(len, want))} ids, {len(ids)} decodes"


def main():
    parser = argparse.ArgumentParser()
    build = os.environ.get("INFERD_BUILD", "build/release")
    parser.add_argument("tokcat", nargs="?", default=str(texts.ROOT / build / "tests/golden/tokcat"))
    parser.add_argument("--strings", type=int, default=60_000, help="random strings in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="models whose name contains this")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    corpus = corpus_lines(rng)
    words = [w for line in corpus for w in line.split()][:2000]
    sets = {n: o for n, o in option_sets().items() if not args.only or args.only in n}
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, options in sets.items():
            inputs = strings(rng, max(200, args.strings // len(sets)), words)
            data = train(options, corpus, rng)
            try:
                print(f"ok {name}: {compare_model(args.tokcat, name, data, inputs, rng, folder)}", flush=True)
            except (compare.Mismatch, compare.Refused) as problem:
                failed += 1
                print(f"MISMATCH {name}: {problem}", flush=True)
    print(f"{len(sets) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
