#!/usr/bin/env python3
"""Our tokenizer against Hugging Face's `tokenizers`, string by string and id by id.

    tokenizer_diff.py [TOKCAT] [--strings N] [--seed S] [--only NAME] [--quick]

For each family in SHARED/data/tokenizers, for stories260K and for pipelines of other published
families (Llama 3, Qwen 2, DeepSeek, ...) grafted onto those vocabularies, both encode real texts
and random strings made of what breaks tokenizers, and both decode the ids that came out and random
ids, whole and token by token.  Prints one line per tokenizer and exits 1 at the first mismatch.
SHARED is $INFERD_SHARED or ../shared.
"""
import argparse
import copy
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("INFERD_SHARED", ROOT.parent / "shared"))
if not SHARED.is_absolute():
    SHARED = (ROOT / SHARED).resolve()

# --- pipelines of other families ------------------------------------------------------------------

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve"
    r"|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'"
    r"s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$"
    r"|\s*[\r\n]|\s+(?!\S)|\s"
)
DEEPSEEK = [
    r"[\r\n]",
    r"\s?\p{L}+",
    r"\s?\p{P}+",
    r"[一-龥ࠀ-一가-퟿]+",
    r"\p{N}",
]
DEEPSEEK3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split(regex, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def literal(text, behavior, invert=False):
    return {"type": "Split", "pattern": {"String": text}, "behavior": behavior, "invert": invert}


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
PREFIXED = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}


def seq(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def norms(*parts):
    return {"type": "Sequence", "normalizers": list(parts)}


def added(content, next_id, **flags):
    base = dict(special=False, normalized=False, lstrip=False, rstrip=False, single_word=False)
    return {"id": next_id, "content": content, **base, **flags}


FLAGGED = [
    ("<left>", dict(lstrip=True)),
    ("<right>", dict(rstrip=True)),
    ("<both>", dict(lstrip=True, rstrip=True, special=True)),
    ("word", dict(single_word=True)),
    ("Norm", dict(normalized=True)),
    ("é", dict(normalized=True, single_word=True)),
    ("  ", dict()),
    ("<left><", dict(special=True)),
    ("norm ", dict(normalized=True, lstrip=True, rstrip=True)),
]

BYTE_PIPELINES = {
    "llama3": dict(pre_tokenizer=seq(split(LLAMA3), BYTES), ignore_merges=True),
    "qwen2": dict(pre_tokenizer=seq(split(QWEN2), BYTES), normalizer={"type": "NFC"}),
    "o200k": dict(pre_tokenizer=seq(split(O200K), BYTES), normalizer=norms({"type": "NFD"})),
    "cl100k": dict(pre_tokenizer=seq(split(CL100K, "Removed", True), BYTES)),
    "deepseek": dict(pre_tokenizer=seq(*map(split, DEEPSEEK), BYTES)),
    "deepseek3": dict(
        pre_tokenizer=seq(split(r"\p{N}{1,3}"), split(r"[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK3), BYTES)
    ),
    "nfkc+lower": dict(
        normalizer=norms({"type": "NFKC"}, {"type": "Lowercase"}), pre_tokenizer=PREFIXED
    ),
    "nfkd+strip": dict(
        normalizer=norms({"type": "NFKD"}, {"type": "Strip", "strip_left": True, "strip_right": True}),
        pre_tokenizer=seq({"type": "Digits", "individual_digits": True}, BYTES),
    ),
    "whitespace": dict(pre_tokenizer=seq({"type": "Whitespace"}, BYTES)),
    "wsplit": dict(
        pre_tokenizer=seq({"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"}, PREFIXED)
    ),
    "merged-previous": dict(pre_tokenizer=seq(split(r"\s", "MergedWithPrevious"), BYTES)),
    "merged-next": dict(pre_tokenizer=seq(split(r"\s|\p{P}", "MergedWithNext"), BYTES)),
    "contiguous": dict(pre_tokenizer=seq(split(r"\p{Lu}", "Contiguous"), literal("a", "Contiguous", True), BYTES)),
    "literal": dict(pre_tokenizer=seq(literal(" ", "MergedWithNext"), literal("e", "Removed"), BYTES)),
    "empty-match": dict(pre_tokenizer=seq(split(r"x*|(?<=a)b?", "MergedWithNext"), BYTES)),
    "words": dict(pre_tokenizer=seq(split(r"\w+|\b[.]|\h"), split(r"(?m)^.|\S$"), BYTES)),
    "han": dict(pre_tokenizer=seq(split(r"\p{Han}+|[\p{Hiragana}\p{Katakana}]+|\p{Hangul}"), BYTES)),
    "replace": dict(
        normalizer=norms(
            {"type": "Replace", "pattern": {"Regex": r" {2,}|\t"}, "content": " "},
            {"type": "Replace", "pattern": {"String": "e"}, "content": "éé"},
            {"type": "Replace", "pattern": {"Regex": r"^\s+"}, "content": ""},
        ),
        pre_tokenizer=PREFIXED,
    ),
}
METASPACE = {"type": "Metaspace", "replacement": "▁"}
SPM_DECODER = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 2, "stop": 0},
    ],
}
SPM_PIPELINES = {
    "metaspace-always": dict(
        pre_tokenizer={**METASPACE, "prepend_scheme": "always", "split": True},
        decoder={**METASPACE, "prepend_scheme": "always", "split": True},
        normalizer=None,
    ),
    "metaspace-first": dict(
        pre_tokenizer=seq(literal("e", "Isolated"), {**METASPACE, "prepend_scheme": "first", "split": True}),
        decoder=SPM_DECODER,
        normalizer=norms({"type": "Strip", "strip_left": True, "strip_right": False}),
    ),
    "metaspace-never": dict(
        pre_tokenizer={**METASPACE, "prepend_scheme": "never", "split": False},
        decoder={**METASPACE, "prepend_scheme": "never", "split": False},
        normalizer=norms({"type": "NFKC"}),
        fuse_unk=False,
    ),
    "no-fallback": dict(normalizer=None, byte_fallback=False, decoder=None),
    "unk-apart": dict(normalizer=None, byte_fallback=False, fuse_unk=False),
}


def derived(base, name, changes):
    """The tokenizer with another pipeline and added tokens of every flag."""
    t = copy.deepcopy(base)
    for key, value in changes.items():
        if key in ("ignore_merges", "byte_fallback", "fuse_unk"):
            t["model"][key] = value
        else:
            t[key] = value
    vocab = t["model"]["vocab"]
    next_id = max([len(vocab)] + [a["id"] + 1 for a in t["added_tokens"]])
    for content, flags in FLAGGED:
        if content in vocab or any(a["content"] == content for a in t["added_tokens"]):
            continue
        t["added_tokens"].append(added(content, next_id, **flags))
        next_id += 1
    return t


# --- texts ------------------------------------------------------------------------------------------

TRAPS = [
    "'s", "'T", "'Re", "'lL", "'ſ", "'ve", "I'm", "don't", " ", "  ", "   ", "\t", "\n", "\r\n", "\n\n",
    "\u00a0", "\u2003", "\u3000", "\u200b", "\u200d", "\u180e", "\u0085", "\u2028", "\ufeff", "\u202e",
    "\u0301", "\u0345", "\u0323", "\u05b0", "\u0651", "\u1dc0", "\u20e3", "\ufe0f", "\u093c", "e\u0301",
    "A\u030a", "\u212b", "\u1e9b\u0323", "ﬁ", "½", "²", "Ⅷ", "٣", "०", "１２", "𝟘", "㋀", "1234567", "3.14",
    "한글", "\u1112\u1161\u11ab", "\u1100", "각", "日本語", "中文", "ひらがな", "カタカナ", "ไทย", "العربية",
    "עברית", "हिन्दी", "Ελληνικά", "русский", "İstanbul", "ǅ", "ß", "ẞ", "Σς", "ꟊ", "\U0001e030",
    "👩\u200d👩\u200d👧\u200d👦", "🏳️\u200d🌈", "🇩🇪", "😀", "🫠", "\U0001fae8", "\U00020000", "\U000323af",
    "\ue000", "\uffff", "\U0010ffff", "\u0378", "\u0897", "\u1c89", "\U00010d40", "\U00011f50",
    "<s>", "</s>", "<unk>", "<|endoftext|>", "<|im_start|>", "<|end|>", "[INST]", "<0x41>", "▁", "▁▁",
    "<|", "|>", "<", ">", "[", "word", "words", "Norm", "norm ", "<left>", "<right>", "<both>", "<left><",
    "é", "Ġ", "Ċ", "Ã", "_", "-", "—", "…", "!", "?!", "...", "/", "\\", '"', "`", "~", "$", "%", "{}",
    "the", "The", "THE", "hello", "World", "camelCase", "x", "a", "b", "ab", "xx", "\x01", "\x7f", "\x1f",
]  # fmt: skip


def random_string(rng):
    parts = []
    for _ in range(rng.randrange(1, 9)):
        kind = rng.random()
        if kind < 0.7:
            parts.append(rng.choice(TRAPS) * rng.choice((1, 1, 1, 1, 2, 3)))
        elif kind < 0.8:
            parts.append(chr(rng.randrange(0x20, 0x7F)))
        elif kind < 0.9:
            parts.append(chr(rng.randrange(0xA0, 0x3000)))
        else:
            code = rng.randrange(1, 0x110000 - 0x800)
            parts.append(chr(code if code < 0xD800 else code + 0x800))
    return "".join(parts)


def pieces(text, size):
    return [text[i : i + size] for i in range(0, len(text), size)]


def real_texts(quick):
    files = sorted((SHARED / "data/text").rglob("*"))
    files += sorted(p for d in ("engine", "config", "scheduler") for p in (ROOT / d).rglob("*.[ch]"))
    files += sorted((SHARED / "data/tokenizer-cases").glob("*.inp"))
    texts = []
    for path in files:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="ignore").replace("\0", "")
        texts += pieces(text[: 150_000 if quick else 600_000], 3000)
    return texts


# --- comparing ---------------------------------------------------------------------------------------


class Mismatch(Exception):
    pass


def run(tokcat, path, flags, lines):
    data = "".join(json.dumps(x) + "\n" for x in lines)
    done = subprocess.run([tokcat, *flags, path], input=data, capture_output=True, text=True)
    if done.returncode:
        raise Mismatch(f"tokcat {flags} {path}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def require_equal(name, what, inputs, ours, theirs):
    if len(ours) != len(theirs):
        raise Mismatch(f"{name}: {what}: {len(ours)} answers for {len(theirs)} inputs")
    wrong = [i for i in range(len(theirs)) if ours[i] != theirs[i]]
    if not wrong:
        return
    i = min(wrong, key=lambda k: len(str(inputs[k])))
    raise Mismatch(
        f"{name}: {what}: {len(wrong)} of {len(theirs)} differ, the shortest:\n"
        f"  input  {inputs[i]!r}\n  ours   {ours[i]!r}\n  theirs {theirs[i]!r}"
    )


def long_mixed_run(reference, ids):
    """A run of over 64 byte tokens: the only place where decoding is allowed to differ."""
    length = 0
    for i in ids:
        token = reference.id_to_token(i) or ""
        length = length + 1 if len(token) == 6 and token.startswith("<0x") else 0
        if length >= 64:
            return True
    return False


def compare(tokcat, name, path, texts, seed):
    reference = Tokenizer.from_file(path)
    reference.no_truncation()
    reference.no_padding()
    theirs = [e.ids for e in reference.encode_batch_fast(texts, add_special_tokens=False)]
    require_equal(name, "encode", texts, run(tokcat, path, [], texts), theirs)
    few = texts[:: max(1, len(texts) // 300)]
    with_special = [e.ids for e in reference.encode_batch_fast(few)]
    require_equal(name, "encode --special", few, run(tokcat, path, ["--special"], few), with_special)

    rng = random.Random(seed)
    size = max(reference.get_vocab(with_added_tokens=True).values()) + 1
    bytes_ids = [i for i in range(size) if (reference.id_to_token(i) or "").startswith("<0x")]
    ids = theirs[:: max(1, len(theirs) // 8000)]
    for _ in range(4000):
        ids.append([rng.randrange(size + 2) for _ in range(rng.randrange(12))])
        if bytes_ids:
            ids.append([rng.choice(bytes_ids) if rng.random() < 0.8 else rng.randrange(size) for _ in range(9)])
    ids = [x for x in ids if not long_mixed_run(reference, x)]
    for skip in (False, True):
        flags = ["--skip-special"] if skip else []
        want = reference.decode_batch(ids, skip_special_tokens=skip)
        require_equal(name, f"decode {flags}", ids, run(tokcat, path, ["--decode", *flags], ids), want)
        require_equal(name, f"stream {flags}", ids, run(tokcat, path, ["--stream", *flags], ids), want)
    n_tokens = sum(map(len, theirs))
    print(f"ok {name}: {len(texts)} texts, {n_tokens} tokens, {len(ids)} decodes", flush=True)


def main():
    parser = argparse.ArgumentParser()
    build = os.environ.get("INFERD_BUILD", "build/release")
    parser.add_argument("tokcat", nargs="?", default=str(ROOT / build / "tests/golden/tokcat"))
    parser.add_argument("--strings", type=int, default=100_000, help="random strings in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="tokenizers whose name contains this")
    parser.add_argument("--quick", action="store_true", help="a part of the texts")
    args = parser.parse_args()
    folder = SHARED / "data/tokenizers"
    if not folder.is_dir():
        print(f"1 skipped: {folder} is absent")
        return
    families = sorted(p for p in folder.iterdir() if (p / "tokenizer.json").is_file())
    jobs = {p.name: p / "tokenizer.json" for p in families}
    jobs["stories260K"] = SHARED / "models/stories260K/tokenizer.json"
    with tempfile.TemporaryDirectory() as scratch:
        for base, pipelines in (("gpt-2", BYTE_PIPELINES), ("mistral-7b-v0.3", SPM_PIPELINES)):
            tree = json.loads(jobs[base].read_text(encoding="utf-8"))
            for name, changes in pipelines.items():
                path = pathlib.Path(scratch) / f"{base}+{name}.json"
                path.write_text(json.dumps(derived(tree, name, changes)), encoding="utf-8")
                jobs[f"{base}+{name}"] = path
        wanted = {n: p for n, p in jobs.items() if not args.only or args.only in n}
        real = real_texts(args.quick)
        failed = 0
        for index, (name, path) in enumerate(wanted.items()):
            rng = random.Random(args.seed * 1000 + index)
            texts = [random_string(rng) for _ in range(-(-args.strings // len(wanted)))]
            texts += real if "+" not in name else real[::20]
            try:
                compare(args.tokcat, name, str(path), texts, args.seed)
            except Mismatch as mismatch:
                failed += 1
                print(f"MISMATCH {mismatch}", flush=True)
        print(f"{len(wanted) - failed} passed, {failed} failed")
        sys.exit(failed > 0)


if __name__ == "__main__":
    main()
