"""Pieces of tokenizer.json, and the pre-tokenizer patterns that models were published with."""
import functools
import json

from tokenizers import Tokenizer

from .reference import ReferenceFailed, guarded

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$"
    r"|\s*[\r\n]|\s+(?!\S)|\s"
)
UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
BEFORE = r"[^\r\n\p{L}\p{N}]?"
CASED = rf"{BEFORE}[{UPPER}]*[{LOWER}]+{SUFFIX}|{BEFORE}[{UPPER}]+[{LOWER}]*{SUFFIX}"
O200K = CASED + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = CASED.replace(SUFFIX, "") + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
NOT_HAN = r"&&[^\p{Han}]"
KIMI = (
    rf"[\p{{Han}}]+|{BEFORE}[{UPPER}{NOT_HAN}]*[{LOWER}{NOT_HAN}]+{SUFFIX}|{BEFORE}[{UPPER}{NOT_HAN}]+[{LOWER}{NOT_HAN}]*{SUFFIX}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK_CODER = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"]
DEEPSEEK_LLM = [
    r"[\r\n]",
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿ\u01c4-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-\u1f15\u1f18-\u1f1d\u1f20-\u1f45"
    "\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3"
    "\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffcℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿ\ufb00-\ufb06"
    "\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+",
    "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+",
    r"\s+$",
    "[一-龥ࠀ-一가-퟿]+",
    r"\p{N}+",
]
DEEPSEEK_V3 = [
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
]
BLOOM = " ?[^(\\s|[.,!?…。，、।۔،])]+"
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
PHI4 = O200K.replace("[\\r\\n/]*", "[\\r\\n]*")
CHAMELEON = r"([\t\n]|    |  )"

# name -> the patterns of one pre-tokenizer, one Split each; the vocabulary is byte-level
PUBLISHED = {
    "gpt2": [GPT2],
    "llama3": [LLAMA3],
    "qwen2": [QWEN2],
    "qwen3.5": [QWEN35],
    "cl100k": [CL100K],
    "o200k": [O200K],
    "phi4": [PHI4],
    "tekken": [TEKKEN],
    "kimi-k2": [KIMI],
    "deepseek-coder": DEEPSEEK_CODER,
    "deepseek-llm": DEEPSEEK_LLM,
    "deepseek-v3": DEEPSEEK_V3,
    "bloom": [BLOOM],
    "viking": [BLOOM, r"\p{N}"],
    "chameleon": [CHAMELEON, r"\p{N}", r"[\p{P}!-/:-@\[-`{-~]"],
    "gpt4-blank": [CL100K.replace(r"\s++$", r"\s++(?!\S)")],
}


def regex(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def literal(text, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"String": text}, "behavior": behavior, "invert": invert}


def byte_level(prefix=False, use_regex=False, trim=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim, "use_regex": use_regex}


def metaspace(scheme="always", split=True, replacement="▁"):
    return {"type": "Metaspace", "replacement": replacement, "prepend_scheme": scheme, "split": split}


def pre(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def norm(*parts):
    return {"type": "Sequence", "normalizers": list(parts)}


def decoders(*parts):
    return {"type": "Sequence", "decoders": list(parts)}


def processors(*parts):
    return {"type": "Sequence", "processors": list(parts)}


def replace(pattern, content, kind="String"):
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def strip(left=True, right=True):
    return {"type": "Strip", "strip_left": left, "strip_right": right}


def bert_normalizer(clean=True, chinese=True, accents=None, lower=True):
    return {"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese, "strip_accents": accents, "lowercase": lower}


def template(single, **specials):
    """template("[CLS] $A [SEP]", CLS=[101]): an item is $A, $B or a special token's name."""

    def item(word, type_id):
        name, _, number = word.partition(":")
        type_id = int(number) if number else type_id
        if name in ("$A", "$B"):
            return {"Sequence": {"id": name[1], "type_id": type_id}}
        return {"SpecialToken": {"id": name, "type_id": type_id}}

    one = [item(w, 0) for w in single.split()]
    two = one + [item(w.replace("$A", "$B"), 1) for w in single.split()]
    table = {k: {"id": k, "ids": ids, "tokens": [k] * len(ids)} for k, ids in specials.items()}
    return {"type": "TemplateProcessing", "single": one, "pair": two, "special_tokens": table}


def added(content, token_id, **flags):
    base = dict(special=False, normalized=False, lstrip=False, rstrip=False, single_word=False)
    return {"id": token_id, "content": content, **base, **flags}


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
    ("ＡＢ", dict(normalized=True, special=True)),
    ("ﬁ", dict(normalized=True, lstrip=True)),
    ("a b", dict(normalized=True, single_word=True, rstrip=True)),
    ("中", dict(special=True, single_word=True)),
]


@functools.cache
def normalizer_of(text):
    """The reference's normalizer from its JSON."""
    model = {"type": "WordLevel", "vocab": {}, "unk_token": ""}
    return Tokenizer.from_str(json.dumps({"version": "1.0", "added_tokens": [], "normalizer": json.loads(text), "model": model})).normalizer


def vanishes(content, flags, normalizer):
    """A token that normalises to nothing: the reference panics on most texts then."""
    if not flags.get("normalized") or normalizer is None:
        return False
    try:
        return guarded(normalizer_of(json.dumps(normalizer)).normalize_str, content) == ""
    except ReferenceFailed:
        return True


def tokenizer(model, normalizer=None, pre_tokenizer=None, post=None, decoder=None, tokens=(), flagged=True):
    """A whole tokenizer.json; `tokens`: (content, flags) that take the ids after the model's."""
    vocab = model["vocab"]
    texts = [v[0] for v in vocab] if isinstance(vocab, list) else list(vocab)
    known, next_id, added_tokens = set(texts), len(texts), []
    ids = {t: i for i, t in enumerate(texts)} if isinstance(vocab, list) else vocab
    for content, flags in [*tokens, *(FLAGGED if flagged else ())]:
        if any(a["content"] == content for a in added_tokens) or vanishes(content, flags, normalizer):
            continue
        token_id = ids[content] if content in known else next_id
        next_id += content not in known
        added_tokens.append(added(content, token_id, **flags))
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(added_tokens, key=lambda a: a["id"]),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post,
        "decoder": decoder,
        "model": model,
    }
