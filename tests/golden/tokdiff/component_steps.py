"""A tokenizer for every option of normalizers and pre-tokenizers, on the vocabulary that shows every
byte and every border."""
from . import parts, trained
from .parts import byte_level, literal, metaspace, norm, pre, regex, replace, strip, tokenizer
from .trained import revealed

BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")


def plain(name):
    return {"type": name}


def normalizer_list():
    """(name, component)"""
    for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel"):
        yield name, plain(name)
    for left in (True, False):
        for right in (True, False):
            yield f"Strip-{left:d}{right:d}", strip(left, right)
    for text in ("▁", " ", "", "ab", "é", "<left>", "\n"):
        yield f"Prepend-{ascii(text)}", {"type": "Prepend", "prepend": text}
    replacements = [
        (" ", "▁"), ("  ", " "), ("a", ""), ("aa", "a"), ("e", "éé"), (".", "!"), ("", "x"), ("\u0301", ""), ("word", "Norm"), ("中", "<left>"), ("x", "$0\\1"),
    ]  # fmt: skip
    for old, new in replacements:
        yield f"Replace-{ascii(old)}", replace(old, new)
    patterns = [
        (r" {2,}", " "), (r"\s+", " "), (r"^\s+", ""), (r"\s+$", ""), (r"[\p{M}\p{Cf}]", ""), (r"(?<=a)b|\d", "#"), (r"x*", "-"), (r"$", "!"), (r"^", ">"),
        (r"(?m)^.", "^"), (r"\b", "|"), (r"[^\x00-\x7F]", "?"), (r"(a)(b)", r"\2\1$1"), (r".", "."), (r"(?i)[é-ö]", "E"), (r"[\n\r\t]", " "), (r"\p{Zs}", " "),
    ]  # fmt: skip
    for old, new in patterns:
        yield f"Replace-regex-{old}", replace(old, new, "Regex")
    for rule in ("nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf"):
        yield f"Precompiled-{rule}", trained.precompiled(rule)
    for accents in (None, True, False):
        for bits in range(8):
            flags = dict(clean=bool(bits & 1), chinese=bool(bits & 2), lower=bool(bits & 4), accents=accents)
            yield f"Bert-{bits}-{accents}", parts.bert_normalizer(**flags)
    yield "Sequence-empty", norm()
    yield "Sequence-nested", norm(plain("NFD"), norm(plain("StripAccents"), norm(plain("Lowercase"))), plain("NFC"))
    yield "Sequence-nmt-strip", norm(plain("Nmt"), strip(), replace(r"\s+", " ", "Regex"), plain("NFKC"))
    yield "Sequence-albert", norm(plain("NFKD"), plain("StripAccents"), plain("Lowercase"), trained.precompiled("nmt_nfkc_cf"))
    yield "Sequence-decompose-lower", norm(plain("Lowercase"), plain("NFKD"), plain("Lowercase"), plain("NFKC"))
    yield "Sequence-prepend-replace", norm({"type": "Prepend", "prepend": " "}, replace(" ", "▁"), {"type": "Prepend", "prepend": "▁"})


def pretokenizer_list():
    for prefix in (True, False):
        for use_regex in (True, False):
            yield f"ByteLevel-{prefix:d}{use_regex:d}", byte_level(prefix, use_regex)
    patterns = [r"\s+", r"\w+|[^\w\s]+", r"x*|(?<=a)b?", r"\p{Lu}", r"(?m)^|$", r"[aeiou\s]"]
    for behavior in BEHAVIORS:
        for invert in (False, True):
            for i, pattern in enumerate(patterns):
                yield f"Split-{behavior}-{invert:d}-regex{i}", regex(pattern, behavior, invert)
            for text in (" ", "aa", "▁", "."):
                yield f"Split-{behavior}-{invert:d}-{ascii(text)}", literal(text, behavior, invert)
    yield "Split-empty-string", literal("", "Isolated")
    yield "Split-empty-regex", regex("", "Isolated")
    for scheme in ("always", "first", "never"):
        for split in (True, False):
            yield f"Metaspace-{scheme}-{split:d}", metaspace(scheme, split)
    yield "Metaspace-underscore", metaspace("always", True, "_")
    yield "Metaspace-space", metaspace("first", True, " ")
    yield "Metaspace-emoji", metaspace("never", True, "😀")
    yield "Metaspace-legacy-prefix", {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
    yield "Metaspace-legacy-none", {"type": "Metaspace", "replacement": "▁", "add_prefix_space": False, "prepend_scheme": "never"}
    yield "Metaspace-legacy-str-rep", {"type": "Metaspace", "replacement": "▁", "str_rep": "▁", "add_prefix_space": True}
    for name in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer", "UnicodeScripts"):
        yield name, plain(name)
    for individual in (True, False):
        yield f"Digits-{individual:d}", {"type": "Digits", "individual_digits": individual}
    for behavior in BEHAVIORS:
        yield f"Punctuation-{behavior}", {"type": "Punctuation", "behavior": behavior}
    yield "Punctuation-default", plain("Punctuation")
    for delimiter in (" ", "a", "▁", "\n", "\u0301"):
        yield f"CharDelimiterSplit-{ascii(delimiter)}", {"type": "CharDelimiterSplit", "delimiter": delimiter}
    for length in (1, 2, 3, 7, 1000):
        yield f"FixedLength-{length}", {"type": "FixedLength", "length": length}
    yield "FixedLength-default", plain("FixedLength")


def pretokenizer_sequences():
    digits = {"type": "Digits", "individual_digits": True}
    punctuation = {"type": "Punctuation", "behavior": "Isolated"}
    yield "empty", pre()
    yield "nested", pre(plain("WhitespaceSplit"), pre(punctuation, pre(digits)))
    yield "scripts-digits", pre(plain("UnicodeScripts"), digits)
    yield "scripts-metaspace", pre(plain("UnicodeScripts"), metaspace("first"))
    yield "split-metaspace-first", pre(literal("e"), metaspace("first"))
    yield "metaspace-twice", pre(metaspace(), metaspace("first", True, "_"))
    yield "byte-level-twice", pre(byte_level(True, True), byte_level(True, False))
    yield "fixed-then-space", pre({"type": "FixedLength", "length": 5}, plain("Whitespace"))
    yield "delimiter-first", pre({"type": "CharDelimiterSplit", "delimiter": "a"}, metaspace("first"))
    yield "removed-first", pre(literal("a", "Removed"), metaspace("first", False))
    yield "many", pre(plain("WhitespaceSplit"), punctuation, digits, plain("UnicodeScripts"), {"type": "FixedLength", "length": 3}, regex(r"\p{L}", "MergedWithNext"))
    yield "bert-after-bytes", pre(byte_level(False, True), plain("BertPreTokenizer"))


def pairs():
    """What a normalizer does to the text's start matters to Metaspace's "first"."""
    first = metaspace("first")
    for name, step in (
        ("strip", strip()), ("prepend", {"type": "Prepend", "prepend": "x"}), ("cut", replace(r"^.", "", "Regex")), ("nfkc", plain("NFKC")), ("nmt", plain("Nmt")),
        ("grow", replace("a", "ab")), ("bert", parts.bert_normalizer()), ("accents", plain("StripAccents")), ("bytes", plain("ByteLevel")), ("charsmap", trained.precompiled("nmt_nfkc")),
        ("all", replace(r".", "", "Regex")), ("nfd", plain("NFD")), ("lower", plain("Lowercase")),
    ):  # fmt: skip
        yield f"{name}+metaspace-first", tokenizer(trained.char_bpe(), step, first, None, first)
        yield f"{name}+byte-prefix", tokenizer(trained.byte_bpe(), step, byte_level(True, True), None, byte_level())


def all_cases():
    for name, step in normalizer_list():
        yield f"normalizer/{name}", revealed(step)
    for name, step in pretokenizer_list():
        yield f"pre/{name}", revealed(None, step)
    for name, step in pretokenizer_sequences():
        yield f"pre/Sequence-{name}", revealed(None, step)
    for name, tree in pairs():
        yield f"pair/{name}", tree
    for name in ("Whitespace", "UnicodeScripts", "BertPreTokenizer", "WhitespaceSplit"):
        yield f"pre/{name}-no-sequence", tokenizer(trained.char_bpe(), None, plain(name), None, None)
