"""Small models: trained by the reference's own trainers on the real texts, or assembled."""
import base64
import collections
import functools
import io
import json
import random

import sentencepiece
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from . import parts, texts

BYTE_CHARS = sorted(pre_tokenizers.ByteLevel.alphabet())


@functools.cache
def corpus():
    """About half a megabyte of all kinds of text."""
    sample = list(texts.real_texts(lambda _: None))
    random.Random(3).shuffle(sample)
    total, taken = 0, []
    for text in sample:
        taken.append(text)
        total += len(text)
        if total > 400_000:
            break
    return taken


@functools.cache
def common_corpus():
    """The corpus without its rare characters: Unigram's trainer must take every one."""
    counts = collections.Counter(c for text in corpus() for c in text)
    rare = {ord(c): None for c, n in counts.items() if n < 12}
    return [text.translate(rare) for text in corpus()]


def train(model, trainer, pre_tokenizer=None, normalizer=None, lines=None):
    t = Tokenizer(model)
    if pre_tokenizer:
        t.pre_tokenizer = pre_tokenizer
    if normalizer:
        t.normalizer = normalizer
    t.train_from_iterator(lines or corpus(), trainer)
    return json.loads(t.to_str())["model"]


@functools.cache
def byte_bpe():
    trainer = trainers.BpeTrainer(
        vocab_size=4000, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    return train(models.BPE(), trainer, pre_tokenizers.ByteLevel(add_prefix_space=False))


@functools.cache
def char_bpe():
    """Characters with ▁ for blanks, <unk> first, then <0xNN> for every byte."""
    trainer = trainers.BpeTrainer(vocab_size=1500, show_progress=False, special_tokens=["<unk>"], limit_alphabet=600)
    steps = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    model = train(models.BPE(unk_token="<unk>", fuse_unk=True), trainer, pre_tokenizers.Metaspace(), steps)
    tokens = [t for t, _ in sorted(model["vocab"].items(), key=lambda x: x[1])]
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)] + tokens[1:]
    model["vocab"] = {t: i for i, t in enumerate(tokens)}
    model.update(byte_fallback=True, fuse_unk=True, unk_token="<unk>", ignore_merges=False)
    return model


@functools.cache
def suffix_bpe():
    """Words that end in </w>, as GPT-1 and CLIP have them; over bytes, so that nothing is unknown."""
    trainer = trainers.BpeTrainer(
        vocab_size=2500, show_progress=False, end_of_word_suffix="</w>", special_tokens=["<|startoftext|>", "<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    steps = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    return train(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"), trainer, pre_tokenizers.ByteLevel(add_prefix_space=False), steps)


@functools.cache
def prefix_bpe():
    """Parts of words that begin with ##, over characters."""
    trainer = trainers.BpeTrainer(
        vocab_size=2000, show_progress=False, continuing_subword_prefix="##", special_tokens=["[UNK]"], limit_alphabet=500
    )
    return train(models.BPE(continuing_subword_prefix="##", unk_token="[UNK]"), trainer, pre_tokenizers.BertPreTokenizer())


@functools.cache
def wordpiece():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=3000, show_progress=False, special_tokens=special, limit_alphabet=900)
    return train(models.WordPiece(unk_token="[UNK]"), trainer, pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer())


@functools.cache
def wordlevel():
    trainer = trainers.WordLevelTrainer(vocab_size=3000, show_progress=False, special_tokens=["[UNK]", "[PAD]"])
    return train(models.WordLevel(unk_token="[UNK]"), trainer, pre_tokenizers.Whitespace(), normalizers.Lowercase())


@functools.cache
def unigram():
    """Without the second <unk> that the trainer writes."""
    model = unigram_as_written()
    seen = {}
    for text, score in model["vocab"]:
        seen.setdefault(text, score)
    return {**model, "vocab": [[t, s] for t, s in seen.items()]}


@functools.cache
def unigram_as_written():
    trainer = trainers.UnigramTrainer(
        vocab_size=2500, show_progress=False, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], unk_token="<unk>", max_piece_length=12
    )
    return train(models.Unigram(), trainer, pre_tokenizers.Metaspace(), normalizers.NFKC(), common_corpus())


@functools.cache
def unigram_bytes():
    """A Unigram model with byte fallback: the byte tokens' scores are below all others."""
    model = json.loads(json.dumps(unigram()))
    low = min(score for _, score in model["vocab"]) - 5.0
    model["vocab"] += [[f"<0x{i:02X}>", low] for i in range(256)]
    model["byte_fallback"] = True
    return model


# --- SentencePiece: models and the normalisation tables inside them -----------------------------------


def wire(data):
    """(field, value) of a protocol buffer message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            size = varint() if key & 7 == 2 else {1: 8, 5: 4}[key & 7]
            yield key >> 3, data[at : at + size]
            at += size


@functools.cache
def sentencepiece_model(rule, kind="unigram", vocab_size=2000, **options):
    """The bytes of a .model trained with a normalisation rule."""
    out = io.BytesIO()
    lines = [line for text in common_corpus() for line in text.split("\n") if line.strip()][:6000]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=out, vocab_size=vocab_size, model_type=kind, normalization_rule_name=rule,
        hard_vocab_limit=False, character_coverage=0.999, minloglevel=2, num_threads=1, **options,
    )  # fmt: skip
    return out.getvalue()


@functools.cache
def charsmap(rule):
    for field, value in wire(sentencepiece_model(rule, "char")):
        if field == 3:
            return base64.b64encode(dict(wire(value)).get(2, b"")).decode()
    return ""


def precompiled(rule):
    return {"type": "Precompiled", "precompiled_charsmap": charsmap(rule)}


# --- assembled ------------------------------------------------------------------------------------------


def reveal():
    """No merges and 512 tokens, a byte at a word's start and the same inside: the ids show every
    byte of the text and every border that a pre-tokenizer has set."""
    tokens = [*BYTE_CHARS, *("##" + c for c in BYTE_CHARS)]
    return bpe({t: i for i, t in enumerate(tokens)}, [], continuing_subword_prefix="##")


def bpe(vocab, merges, **changes):
    return {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
        "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": merges, **changes,
    }  # fmt: skip


def revealed(normalizer=None, pre_tokenizer=None, flagged=True, **more):
    """The pipeline on the model that shows what it does."""
    steps = [pre_tokenizer, parts.byte_level()] if pre_tokenizer else [parts.byte_level()]
    return parts.tokenizer(reveal(), normalizer, parts.pre(*steps), flagged=flagged, **more)


def decoder_zoo():
    """A vocabulary of what decoders look at."""
    words = (
        "hello world ing ed a b c A é 中 🦙 . , ! ? ' - ' 's 're 've 'm n't do not 'll 'd \" ( ) [PAD] [UNK] <pad> <unk> <s> </s> | || ▁ ▁▁ ▁a ▁hello a▁ a▁b "
        "##ing ##ed ## ##. # #a ##▁ </w> a</w> hello</w> .</w> </w></w> a</w>b Ġ Ġa Ġhello Ċ Ã Ã© Â ð ŁĲ Ģ ĠĠ <0x <0x4 <0x41 <0xE9 <0xZZ> <0xe2> <0x041> "
        "e l h he llo y x xx xxx xyx _ __ _a ⁇ ﷺ \u0301 e\u0301 \u200d 1 12 0 do n ca"
    ).split()
    tokens = list(dict.fromkeys([*words, " ", "  ", " a", "a ", " .", " ,", " ?", " !", " '", " ' ", " n't", " 'm", " do not", " 's", " 've", " 're", "\n", "\t", "\u3000", "\u00a0"]))
    tokens += [f"<0x{i:02X}>" for i in range(256)]
    return {"type": "WordLevel", "vocab": {t: i for i, t in enumerate(tokens)}, "unk_token": "<unk>"}
