#!/usr/bin/env python3
"""Our reading of tiktoken rank files against tiktoken itself, id by id.

    tiktoken_diff.py [TOKCAT] [--strings N] [--seed S] [--only NAME]

The ranks are GPT-2's, whose ids are its ranks, filled up with tokens that no text has to the number
of every known family, and written under its names and with its configurations.  OpenAI's patterns and special tokens are those of the installed tiktoken,
the others stand here as they were published.
"""
import argparse
import base64
import json
import os
import pathlib
import random
import sys
import tempfile

import tiktoken
import tiktoken_ext.openai_public as openai_public
from tokenizers import normalizers

from native_files import compare, require_equal, texts

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
KIMI = "|".join(
    [
        r"[\p{Han}]+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
LLAMA3_NAMES = (
    ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>", "<|reserved_special_token_1|>"]
    + ["<|finetune_right_pad_id|>", "<|reserved_special_token_2|>", "<|start_header_id|>", "<|end_header_id|>"]
    + ["<|eom_id|>", "<|eot_id|>", "<|python_tag|>"]
    + [f"<|reserved_special_token_{i}|>" for i in range(3, 248)]
)
QWEN_NAMES = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + [f"<|extra_{i}|>" for i in range(205)]
GLM_NAMES = ["<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>", "<|assistant|>"]


def gpt2_ranks():
    path = texts.SHARED / "data/tokenizers/gpt-2/tokenizer.json"
    if not path.is_file():
        return None
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spelled = {chr(b): b for b in printable}
    spelled.update({chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in printable)})
    vocab = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
    return {bytes(spelled[c] for c in token): i for token, i in vocab.items() if token != "<|endoftext|>"}


def numbered(names, first):
    return {name: first + i for i, name in enumerate(names)}


def decoder(specials, **flags):
    flags = {"special": True, "normalized": False, "lstrip": False, "rstrip": False, "single_word": False, **flags}
    return {str(i): {"content": name, **flags} for name, i in specials.items()}


class Family:
    def __init__(self, name, file, ranks, pattern, specials, config=None, before=(), nfc=False):
        self.name, self.file, self.ranks, self.pattern, self.specials = name, file, ranks, pattern, specials
        self.config, self.before, self.nfc = config, list(before), nfc


def filled(ranks, count, kept_free=()):
    """As many ranks as the family's file has, the free ids first."""
    out, taken, rng = dict(ranks), {*ranks.values(), *kept_free}, random.Random(3)
    free = (i for i in range(count + len(kept_free)) if i not in taken)
    while len(out) < count:
        token = b"\xff" + rng.randbytes(5)
        if token not in out:
            out[token] = next(free)
    return out


COUNTS = {"r50k_base": 50256, "p50k_base": 50280, "cl100k_base": 100256, "o200k_base": 199998, "o200k_harmony": 199998}


def openai_families(ranks):
    spaces = {b" " * (2 + i): 50257 + i for i in range(24)}
    kept = {token: i for token, i in ranks.items() if token not in spaces}
    for name, count in COUNTS.items():
        own = filled({**kept, **spaces}, count, [50256]) if name == "p50k_base" else filled(ranks, count)
        load = openai_public.load_tiktoken_bpe
        openai_public.load_tiktoken_bpe = lambda *args, **kwargs: own
        try:
            made = openai_public.ENCODING_CONSTRUCTORS[name]()
        finally:
            openai_public.load_tiktoken_bpe = load
        specials = dict(made["special_tokens"])
        if "<|endofprompt|>" in specials:  # harmony gives its id a second name
            specials.pop("<|reserved_200018|>", None)
        yield Family(name, f"{name}.tiktoken", own, made["pat_str"], specials)


def families(ranks):
    yield from openai_families(ranks)
    own, first = filled(ranks, 163584), 163584
    kimi = {**numbered(["[BOS]", "[EOS]", "<|im_end|>"], first), "[UNK]": first + 254, "[PAD]": first + 255}
    reserved = {f"<|reserved_token_{i}|>": i for i in range(first, first + 256) if i not in kimi.values()}
    auto_map = {"AutoTokenizer": ["tokenization_kimi.TikTokenTokenizer", None]}
    kimi_config = {"tokenizer_class": "TikTokenTokenizer", "auto_map": auto_map, "added_tokens_decoder": decoder(kimi)}
    yield Family("Kimi", "tiktoken.model", own, KIMI, {**kimi, **reserved}, kimi_config)
    own, first = filled(ranks, 151329), 151329
    glm = numbered(GLM_NAMES, first)
    glm_config = {"tokenizer_class": "ChatGLM4Tokenizer", "added_tokens_decoder": decoder(glm)}
    yield Family("GLM-4", "tokenizer.model", own, LLAMA3, glm, glm_config, before=[first + 2, first + 4])
    own, first = filled(ranks, 151643), 151643
    qwen_config = {"tokenizer_class": "QWenTokenizer"}
    yield Family("Qwen", "qwen.tiktoken", own, QWEN, numbered(QWEN_NAMES, first), qwen_config, nfc=True)
    large = filled(ranks, 128000)  # by which the family is found
    yield Family("Llama 3", "tokenizer.model", large, LLAMA3, numbered(LLAMA3_NAMES, 128000))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True, "bos_token": "<|begin_of_text|>"}
    config["added_tokens_decoder"] = decoder(numbered(LLAMA3_NAMES, 128000))
    yield Family("Llama 3, configured", "tokenizer.model", large, LLAMA3, numbered(LLAMA3_NAMES, 128000), config, [128000])


def write(family, folder):
    path = pathlib.Path(folder) / family.name.replace(" ", "_")
    path.mkdir()
    lines = [base64.b64encode(token) + b" %d\n" % i for token, i in family.ranks.items()]
    (path / family.file).write_bytes(b"".join(lines))
    if family.config is not None:
        (path / "tokenizer_config.json").write_text(json.dumps(family.config), encoding="utf-8")
    return path


def strings(rng, count, specials):
    names = list(specials)
    out = ["", " ", "\n  ", "\n\n  \n", "a" * 300, " " * 200, "中文ab漢字", "don'T I'LL"]
    while len(out) < count:
        text = texts.random_string(rng)
        if rng.random() < 0.3:
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(names) + text[at:]
        out.append(text)
    return out


def compare_family(tokcat, family, rng, count, folder):
    path = write(family, folder)
    library = tiktoken.Encoding("x", pat_str=family.pattern, mergeable_ranks=family.ranks, special_tokens=family.specials)
    inputs = strings(rng, count, family.specials)
    seen = inputs
    if family.nfc:  # the model's own code normalises before it looks for special tokens
        nfc = normalizers.NFC()
        seen = [nfc.normalize_str(x) for x in inputs]
        inputs, seen = zip(*[(a, b) for a, b in zip(inputs, seen) if all(a.count(s) == b.count(s) for s in family.specials)])
        inputs, seen = list(inputs), list(seen)
    found = [library.encode(x, allowed_special="all") for x in seen]
    plain = [library.encode_ordinary(x) for x in seen[:2000]]
    known = [*family.ranks.values(), *family.specials.values()]
    ids = found[:600] + [[rng.choice(known) for _ in range(rng.randrange(9))] for _ in range(400)]
    special = set(family.specials.values())
    text_of = lambda x: library.decode_bytes(x).decode("utf-8", "replace")
    shown, hidden = [text_of(x) for x in ids], [text_of([i for i in x if i not in special]) for x in ids]
    require_equal(
        tokcat,
        path,
        [
            ("encode", "e", inputs, found),
            ("encode with special tokens", "E", inputs[:300], [family.before + x for x in found[:300]]),
            ("encode, special tokens as text", "p", inputs[:2000], plain),
            ("decode", "d", ids, shown),
            ("incremental decode", "s", ids, shown),
            ("decode, special tokens skipped", "D", ids, hidden),
        ],
    )
    return f"{len(inputs)} texts, {sum(map(len, found))} ids, {len(ids)} decodes"


def main():
    parser = argparse.ArgumentParser()
    build = os.environ.get("INFERD_BUILD", "build/release")
    parser.add_argument("tokcat", nargs="?", default=str(texts.ROOT / build / "tests/golden/tokcat"))
    parser.add_argument("--strings", type=int, default=40_000, help="random strings in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="families whose name contains this")
    args = parser.parse_args()
    ranks = gpt2_ranks()
    if not ranks:
        print("1 skipped: the shared tokenizers are absent")
        return
    rng = random.Random(args.seed)
    jobs = [f for f in families(ranks) if not args.only or args.only in f.name]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for family in jobs:
            try:
                count = max(200, args.strings // len(jobs))
                print(f"ok {family.name}: {compare_family(args.tokcat, family, rng, count, folder)}", flush=True)
            except (compare.Mismatch, compare.Refused) as problem:
                failed += 1
                print(f"MISMATCH {family.name}: {problem}", flush=True)
    print(f"{len(jobs) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
