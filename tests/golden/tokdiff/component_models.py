"""A tokenizer for every option of the four models."""
import copy

from . import parts, trained
from .parts import byte_level, decoders, metaspace, norm, pre, replace, tokenizer
from .trained import BYTE_CHARS, bpe

BYTES = byte_level()
SPACES = norm(replace(" ", "▁"))
FALLBACK = decoders(replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"})


def byte_models():
    base = trained.byte_bpe()
    steps = byte_level(use_regex=True)

    def made(changes=None, drop=(), **more):
        model = {**copy.deepcopy(base), **(changes or {})}
        for key in drop:
            del model[key]
        return tokenizer(model, None, steps, None, steps, **more)

    yield "bpe/byte-level", made()
    yield "bpe/merges-as-strings", made({"merges": [" ".join(m) for m in base["merges"]]})
    yield "bpe/no-type", made(drop=["type"])
    yield "bpe/no-type-few-keys", made(drop=["type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges"])
    yield "bpe/few-keys", made(drop=["dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges"])
    yield "bpe/ignore-merges", made({"ignore_merges": True})
    yield "bpe/empty-prefix-and-suffix", made({"continuing_subword_prefix": "", "end_of_word_suffix": ""})
    # Whole words that the merges do not make.
    words = {**base["vocab"], **{w: len(base["vocab"]) + i for i, w in enumerate(["Ġhello", "Ġqzx", "qzxj", "ĠWorld", "ä¸Ńæĸĩ"]) if w not in base["vocab"]}}
    words = {t: i for i, t in enumerate(words)}
    yield "bpe/ignore-merges-unreachable", made({"ignore_merges": True, "vocab": words})
    yield "bpe/unreachable", made({"vocab": words})
    yield "bpe/unk-among-added-tokens", made({"unk_token": "<|endoftext|>"}, tokens=[("<|endoftext|>", dict(special=True))])
    yield "bpe/dropout-zero", made({"dropout": 0.0})
    holes = {t: i * 2 + (i > 100) * 7 for i, t in enumerate(base["vocab"])}
    yield "bpe/holes", made({"vocab": holes}, flagged=False)
    yield "bpe/shuffled-ids", made({"vocab": {t: 4000 - 1 - i for i, t in enumerate(base["vocab"])}})
    some = {t: i for i, t in enumerate(t for t in base["vocab"] if len(t) > 1 or t < "z")}
    some_merges = [m for m in base["merges"] if m[0] in some and m[1] in some and m[0] + m[1] in some]
    yield "bpe/letters-missing", made({"vocab": some, "merges": some_merges})
    yield "bpe/letters-missing-unk", made({"vocab": {**some, "<unk>": len(some)}, "merges": some_merges, "unk_token": "<unk>"})
    yield "bpe/letters-missing-unk-fused", made({"vocab": {**some, "<unk>": len(some)}, "merges": some_merges, "unk_token": "<unk>", "fuse_unk": True})
    again = base["merges"][:50] + base["merges"]
    yield "bpe/merges-twice", made({"merges": again})
    with_padding = made()
    with_padding.update(
        padding={"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "!"},
        truncation={"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0},
    )
    yield "bpe/padding-and-truncation", with_padding
    for key in ("truncation", "padding", "normalizer", "post_processor", "added_tokens", "version", "decoder", "pre_tokenizer"):
        less = made()
        del less[key]
        yield f"file/without-{key}", less


def character_models():
    base = trained.char_bpe()
    for fallback in (True, False):
        for fuse in (True, False):
            model = {**base, "byte_fallback": fallback, "fuse_unk": fuse}
            name = f"bpe/{'fallback' if fallback else 'no-fallback'}{'-fused' if fuse else ''}"
            yield name, tokenizer(model, SPACES, None, None, FALLBACK)
            yield name + "-words", tokenizer(model, SPACES, metaspace("first"), None, metaspace("first"))
            bare = {**model, "unk_token": None}
            yield name + "-no-unk", tokenizer(bare, SPACES, None, None, FALLBACK)
    few = {t: i for i, t in enumerate(t for t in base["vocab"] if not t.startswith("<0x") or t < "<0xC0>")}
    merges = [m for m in base["merges"] if m[0] in few and m[1] in few and m[0] + m[1] in few]
    yield "bpe/some-bytes-missing", tokenizer({**base, "vocab": few, "merges": merges}, SPACES, None, None, FALLBACK)
    yield "bpe/some-bytes-missing-fused-no-unk", tokenizer({**base, "vocab": few, "merges": merges, "unk_token": None}, SPACES, None, None, FALLBACK)
    yield "bpe/fallback-ignore-merges", tokenizer({**base, "ignore_merges": True}, SPACES, metaspace(), None, FALLBACK)
    unknown = {**base, "unk_token": "<nothing>"}
    yield "bpe/unk-not-in-vocabulary", tokenizer({**unknown, "byte_fallback": False}, SPACES, None, None, FALLBACK)
    bert = {"type": "BertPreTokenizer"}
    words = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    prefixed = trained.prefix_bpe()
    yield "bpe/prefix", tokenizer(prefixed, None, bert, None, words)
    yield "bpe/prefix-fused", tokenizer({**prefixed, "fuse_unk": True}, None, bert, None, words)
    yield "bpe/prefix-no-unk", tokenizer({**prefixed, "unk_token": None}, None, bert, None, words)
    yield "bpe/prefix-ignore-merges", tokenizer({**prefixed, "ignore_merges": True}, None, bert, None, words)
    yield "bpe/prefix-over-bytes", tokenizer(trained.reveal(), None, byte_level(use_regex=True), None, byte_level())
    suffixed = trained.suffix_bpe()
    yield "bpe/suffix", tokenizer(suffixed, None, byte_level(use_regex=True), None, {"type": "BPEDecoder", "suffix": "</w>"})
    yield "bpe/suffix-ignore-merges", tokenizer({**suffixed, "ignore_merges": True}, {"type": "Lowercase"}, byte_level(use_regex=True), None, byte_level())
    yield "bpe/suffix-no-pieces", tokenizer(suffixed, {"type": "ByteLevel"}, None, None, byte_level())
    both_tokens = [*BYTE_CHARS, *("##" + c for c in BYTE_CHARS), *(c + "</w>" for c in BYTE_CHARS), *("##" + c + "</w>" for c in BYTE_CHARS)]
    both = {t: i for i, t in enumerate([*both_tokens, "ab", "##ab", "ab</w>", "##ing", "##ing</w>", "##in"])}
    merges = [["a", "##b"], ["a", "##b</w>"], ["##a", "##b"], ["##i", "##n"], ["##in", "##g"], ["##in", "##g</w>"]]
    yield "bpe/prefix-and-suffix", tokenizer(
        bpe(both, merges, continuing_subword_prefix="##", end_of_word_suffix="</w>"), None, byte_level(use_regex=True), None, byte_level()
    )
    empty = bpe({}, [])
    yield "bpe/empty", tokenizer(empty, None, None, None, None)


def ties():
    """Unigram with equal scores and overlapping pieces: which path wins is decided by order."""
    words = "a b c ab bc abc aa aaa ▁ ▁a ▁the the th e he t h ing in g n i 中 文 中文".split()
    scores = {2: -2.0, 3: -3.0}
    return {"type": "Unigram", "unk_id": 0, "byte_fallback": False, "vocab": [["<unk>", 0.0]] + [[w, scores.get(len(w), -1.0)] for w in words]}


def unigram_models():
    base, with_bytes = trained.unigram(), trained.unigram_bytes()
    for name, model in (("unigram/trained", base), ("unigram/bytes", with_bytes), ("unigram/ties", ties())):
        yield name, tokenizer(model, None, metaspace(), None, metaspace())
        yield f"{name}-one-piece", tokenizer(model, SPACES, None, None, FALLBACK)
        yield f"{name}-first", tokenizer(model, None, metaspace("first", False), None, metaspace("first", False))
    yield "unigram/no-unk", tokenizer({**base, "unk_id": None}, None, metaspace(), None, metaspace())
    yield "unigram/no-unk-bytes", tokenizer({**with_bytes, "unk_id": None}, None, metaspace(), None, FALLBACK)
    yield "unigram/no-byte-fallback-key", tokenizer({k: v for k, v in base.items() if k != "byte_fallback"}, None, metaspace(), None, metaspace())
    yield "unigram/no-type", tokenizer({k: v for k, v in base.items() if k != "type"}, None, metaspace(), None, metaspace())
    torn = {**with_bytes, "vocab": [v for v in with_bytes["vocab"] if v[0] < "<0xC3>" or not v[0].startswith("<0x")]}
    yield "unigram/some-bytes-missing", tokenizer(torn, None, metaspace(), None, FALLBACK)
    flat = {**base, "vocab": [[t, -5.0] for t, _ in base["vocab"]]}
    yield "unigram/all-equal", tokenizer(flat, None, metaspace(), None, metaspace())
    odd = {**base, "vocab": [[t, (s * 7919) % 11 - 5] for t, s in base["vocab"]]}
    yield "unigram/positive-scores", tokenizer(odd, None, metaspace(), None, metaspace())
    yield "unigram/as-the-trainer-writes", tokenizer(trained.unigram_as_written(), None, metaspace(), None, metaspace())
    twice = {**base, "vocab": base["vocab"] + base["vocab"][40:60]}
    yield "unigram/piece-twice", tokenizer(twice, None, metaspace(), None, metaspace(), flagged=False)
    yield "unigram/unk-last", tokenizer({**base, "vocab": base["vocab"] + [["<nil>", -90.0]], "unk_id": len(base["vocab"])}, None, metaspace(), None, None)
    yield "unigram/byte-level", tokenizer(
        {"type": "Unigram", "unk_id": None, "byte_fallback": False, "vocab": [[c, -3.0] for c in BYTE_CHARS] + [["Ġt", -4.0], ["he", -4.5], ["Ġthe", -7.0], ["in", -5.0], ["ing", -5.5]]},
        None, pre(BYTES), None, byte_level(),
    )  # fmt: skip


def wordpiece_models():
    base = trained.wordpiece()
    steps = dict(normalizer=parts.bert_normalizer(), pre_tokenizer={"type": "BertPreTokenizer"})
    words = {"type": "WordPiece", "prefix": "##", "cleanup": True}

    def made(model, **changes):
        return tokenizer(model, **{**steps, "decoder": words, **changes})

    yield "wordpiece/trained", made(base)
    for limit in (0, 1, 2, 5, 100000):
        yield f"wordpiece/max-{limit}", made({**base, "max_input_chars_per_word": limit})
    for prefix in ("", "_", "@@", "é"):
        vocab = {prefix + t[2:] if t.startswith("##") else t: None for t in base["vocab"]}
        yield f"wordpiece/prefix-{prefix}", made({**base, "continuing_subword_prefix": prefix, "vocab": {t: i for i, t in enumerate(vocab)}})
    yield "wordpiece/unk-not-in-vocabulary", made({**base, "unk_token": "[NONE]"})
    yield "wordpiece/other-unk", made({**base, "unk_token": "[PAD]"})
    yield "wordpiece/no-type", made({k: v for k, v in base.items() if k != "type"})
    yield "wordpiece/no-pieces", made(base, pre_tokenizer=None)
    yield "wordpiece/whitespace", made(base, pre_tokenizer={"type": "WhitespaceSplit"}, normalizer={"type": "Lowercase"})
    holes = {t: i * 3 + 5 for i, t in enumerate(base["vocab"])}
    yield "wordpiece/holes", made({**base, "vocab": holes}, flagged=False)
    both = [*BYTE_CHARS, *("##" + c for c in BYTE_CHARS)]
    model = {"type": "WordPiece", "unk_token": "a", "continuing_subword_prefix": "##", "max_input_chars_per_word": 60, "vocab": {t: i for i, t in enumerate(both)}}
    yield "wordpiece/bytes", tokenizer(model, None, byte_level(use_regex=True), None, byte_level())


def wordlevel_models():
    base = trained.wordlevel()
    steps = dict(normalizer={"type": "Lowercase"}, pre_tokenizer={"type": "Whitespace"})
    yield "wordlevel/trained", tokenizer(base, **steps)
    yield "wordlevel/no-pieces", tokenizer(base)
    yield "wordlevel/cased", tokenizer(base, None, {"type": "BertPreTokenizer"})
    yield "wordlevel/unk-not-in-vocabulary", tokenizer({**base, "unk_token": "[NONE]"}, **steps)
    yield "wordlevel/no-type", tokenizer({k: v for k, v in base.items() if k != "type"}, **steps)
    yield "wordlevel/no-unk-key", tokenizer({k: v for k, v in base.items() if k != "unk_token"}, **steps)
    holes = {t: i * 5 + 1 for i, t in enumerate(base["vocab"])}
    yield "wordlevel/holes", tokenizer({**base, "vocab": holes}, flagged=False, **steps)
    empty = {**base, "vocab": {**base["vocab"], "": len(base["vocab"])}}
    yield "wordlevel/empty-word", tokenizer(empty, **steps)


def all_cases():
    for make in (byte_models, character_models, unigram_models, wordpiece_models, wordlevel_models):
        yield from make()


def by_model():
    """One model of each kind for random compositions: (name, model)."""
    return [
        ("reveal", trained.reveal()), ("bytes", trained.byte_bpe()), ("chars", trained.char_bpe()), ("suffix", trained.suffix_bpe()),
        ("unigram", trained.unigram()), ("unigram-bytes", trained.unigram_bytes()), ("wordpiece", trained.wordpiece()), ("wordlevel", trained.wordlevel()),
    ]  # fmt: skip
