"""A tokenizer for every option of post-processors and decoders, and for added tokens."""
from . import parts, trained
from .component_steps import plain
from .parts import byte_level, decoders, literal, metaspace, norm, pre, processors, regex, replace, strip, template, tokenizer

SPECIALS = [(t, dict(special=True)) for t in ("[CLS]", "[SEP]", "<s>", "</s>", "[X]")]


def post_list(base=4000):
    """`base`: the first of five ids that exist."""
    cls, sep, bos_id, eos_id, other = (base + i for i in range(5))
    first, last = ["[CLS]", cls], ["[SEP]", sep]
    one = {"<s>": [bos_id], "</s>": [eos_id]}
    yield "template", template("<s> $A </s>", **one)
    yield "template-only-text", template("$A", **one)
    yield "template-many", template("<s> <s> $A </s> [X] </s>", **one, **{"[X]": [other]})
    yield "template-multi-id", template("[X] $A [X]", **{"[X]": [other, 17, cls]})
    yield "template-type-ids", template("<s>:3 $A:2 </s>:1", **one)
    yield "template-twice", template("<s> $A </s> $A", **one)
    yield "template-no-text", template("<s> </s>", **one)
    yield "template-odd-ids", template("<s> $A </s>", **{"<s>": [7], "</s>": [999999]})
    yield "template-empty", template("", **one)
    yield "byte-level", byte_level(True, True)
    yield "byte-level-no-trim", byte_level(False, False, False)
    yield "bert", {"type": "BertProcessing", "sep": last, "cls": first}
    for trim in (True, False):
        yield f"roberta-{trim:d}", {"type": "RobertaProcessing", "sep": last, "cls": first, "trim_offsets": trim, "add_prefix_space": not trim}
    bos, eos = template("<s> $A", **one), template("$A </s>", **one)
    yield "sequence-empty", processors()
    yield "sequence-bytes-template", processors(byte_level(), template("<s> $A </s>", **one))
    yield "sequence-two-templates", processors(bos, eos)
    yield "sequence-nested", processors(byte_level(), processors(eos, processors(bos)))
    yield "sequence-bert-template", processors({"type": "BertProcessing", "sep": last, "cls": first}, bos)
    yield "sequence-roberta-twice", processors(*[{"type": "RobertaProcessing", "sep": last, "cls": first, "trim_offsets": True, "add_prefix_space": True}] * 2)
    yield "sequence-three", processors(bos, byte_level(), eos, template("[X] $A [X]", **{"[X]": [other, 5]}))


def posts():
    for name, post in post_list():
        yield f"post/{name}", tokenizer(trained.byte_bpe(), None, byte_level(use_regex=True), post, byte_level(), SPECIALS)


FALLBACK, FUSE = {"type": "ByteFallback"}, {"type": "Fuse"}


def cut(content=" ", start=1, stop=0):
    return {"type": "Strip", "content": content, "start": start, "stop": stop}


def decoder_list():
    yield "none", None
    yield "ByteLevel", byte_level(True, True)
    for scheme in ("always", "first", "never"):
        yield f"Metaspace-{scheme}", metaspace(scheme)
    yield "Metaspace-other", metaspace("always", True, "_")
    yield "Metaspace-legacy", {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
    yield "ByteFallback", FALLBACK
    yield "Fuse", FUSE
    for content in (" ", "a", "▁", "é"):
        for start, stop in ((0, 0), (1, 0), (0, 1), (1, 1), (2, 3), (100, 100)):
            yield f"Strip-{ascii(content)}-{start}-{stop}", cut(content, start, stop)
    for old, new in (("▁", " "), ("a", ""), ("", "x"), ("##", ""), ("l", "ll"), (" ", "  ")):
        yield f"Replace-{ascii(old)}", replace(old, new)
    for old, new in ((r"▁+", " "), (r"^.", ""), (r"x*", "-"), (r".$", ""), (r"\p{L}", "L"), (r"^<0x.*>$", "!")):
        yield f"Replace-regex-{old}", replace(old, new, "Regex")
    for cleanup in (True, False):
        for prefix in ("##", "", "#", "▁", "a"):
            yield f"WordPiece-{prefix}-{cleanup:d}", {"type": "WordPiece", "prefix": prefix, "cleanup": cleanup}
        yield f"CTC-{cleanup:d}", {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": cleanup}
        yield f"CTC-odd-{cleanup:d}", {"type": "CTC", "pad_token": "a", "word_delimiter_token": "", "cleanup": cleanup}
        yield f"CTC-same-{cleanup:d}", {"type": "CTC", "pad_token": "l", "word_delimiter_token": "l", "cleanup": cleanup}
    for suffix in ("</w>", "", "a", "▁"):
        yield f"BPEDecoder-{suffix}", {"type": "BPEDecoder", "suffix": suffix}


def decoder_sequences():
    to_blank = replace("▁", " ")
    wordpiece = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    ctc = {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True}
    suffix = {"type": "BPEDecoder", "suffix": "</w>"}
    yield "empty", decoders()
    yield "llama", decoders(to_blank, FALLBACK, FUSE, cut())
    yield "gemma", decoders(to_blank, FALLBACK, FUSE)
    yield "no-fuse", decoders(to_blank, FALLBACK, cut())
    yield "fuse-first", decoders(FUSE, to_blank, FALLBACK, cut())
    yield "fallback-last", decoders(to_blank, cut(), FALLBACK)
    yield "fallback-replace", decoders(FALLBACK, replace("é", "E"), FUSE, replace("he", "HE"))
    yield "strip-both-ends", decoders(to_blank, FALLBACK, FUSE, cut(" ", 2, 2))
    yield "strip-end", decoders(to_blank, FUSE, cut(" ", 0, 3))
    yield "strip-twice", decoders(to_blank, FUSE, cut(" ", 1, 1), cut("a", 1, 1))
    yield "fuse-then-bytes", decoders(FUSE, byte_level())
    yield "bytes-then-fuse", decoders(byte_level(), FUSE)
    yield "bytes-then-strip", decoders(byte_level(), cut())
    yield "replace-bytes", decoders(replace("Ġ", "▁"), byte_level())
    yield "metaspace-fallback", decoders(metaspace("first"), FALLBACK, FUSE)
    yield "fallback-metaspace", decoders(FALLBACK, metaspace())
    yield "metaspace-bytes", decoders(metaspace(), byte_level())
    yield "metaspace-twice", decoders(metaspace(), metaspace("always", True, "_"))
    yield "replace-wordpiece", decoders(replace("▁", "##"), wordpiece)
    yield "wordpiece-replace", decoders(wordpiece, replace(" ", "_"))
    yield "wordpiece-strip", decoders(wordpiece, FUSE, cut(" ", 1, 1))
    yield "wordpiece-twice", decoders(wordpiece, {"type": "WordPiece", "prefix": "", "cleanup": True})
    yield "ctc-replace", decoders(ctc, replace("e", "3"))
    yield "replace-ctc", decoders(replace("e", "l"), ctc)
    yield "ctc-fallback", decoders(ctc, FALLBACK, FUSE)
    yield "ctc-strip", decoders(ctc, FUSE, cut("h", 1, 1))
    yield "suffix-fuse", decoders(suffix, FUSE, cut(" ", 1, 1))
    yield "fuse-suffix", decoders(FUSE, suffix)
    yield "suffix-wordpiece", decoders(suffix, wordpiece)
    yield "nested", decoders(to_blank, decoders(FALLBACK, decoders(FUSE)), cut())
    yield "fuse-regex", decoders(to_blank, FUSE, replace(r"\s+", " ", "Regex"), cut())
    yield "fuse-fuse", decoders(FUSE, FUSE, wordpiece)


def decoder_cases():
    zoo = trained.decoder_zoo()
    names = [("<pad>", dict(special=True)), ("</s>", dict(special=True)), ("<new>", dict(special=True)), ("▁new", {}), ("##new", {}), ("<0x42>", dict(special=True)), (" n't", {})]
    for name, decoder in decoder_list():
        yield f"decoder/{name}", tokenizer(zoo, None, None, None, decoder, names)
    for name, decoder in decoder_sequences():
        yield f"decoder/Sequence-{name}", tokenizer(zoo, None, None, None, decoder, names)


def every_flag():
    """Tokens of all 32 combinations of flags that overlap with each other and with words."""
    out = []
    for bits in range(32):
        flags = dict(zip(("special", "normalized", "lstrip", "rstrip", "single_word"), (bool(bits >> i & 1) for i in range(5))))
        out.append((("<|t{}|>", "tok{}", "É{}", "T {}")[bits % 4].format(bits), flags))
    return out


def overlapping():
    names = ["a", "ab", "abc", "bc", "the", "he", "the t", " the", "the ", "  ", "\n", "\n\n", "'s", "<s>", "<s", "s>", "<<s>>", "é", "e\u0301", "中", "中文", "▁", "▁▁", "😀", "\u200d", "1", "12"]
    return [(n, dict(special=i % 3 == 0, normalized=i % 2 == 0, lstrip=i % 5 == 0, rstrip=i % 7 == 0, single_word=i % 4 == 1)) for i, n in enumerate(names)]


def added_tokens():
    normalizers = {
        "none": None, "lower": plain("Lowercase"), "nfkc": plain("NFKC"), "nfd": plain("NFD"), "accents": norm(plain("NFD"), plain("StripAccents")), "prepend": {"type": "Prepend", "prepend": "▁"},
        "spaces": norm({"type": "Prepend", "prepend": "▁"}, replace(" ", "▁")), "strip": strip(), "grow": replace("t", "tt"), "cut": replace(r"[<>|]", "", "Regex"),
        "bert": parts.bert_normalizer(), "bytes": plain("ByteLevel"), "charsmap": trained.precompiled("nmt_nfkc_cf"),
    }  # fmt: skip
    for name, normalizer in normalizers.items():
        for tokens_name, tokens in (("flags", every_flag()), ("overlap", overlapping())):
            yield f"added/{tokens_name}-{name}", tokenizer(trained.byte_bpe(), normalizer, byte_level(use_regex=True), None, byte_level(), tokens)
    yield "added/metaspace-first", tokenizer(trained.char_bpe(), None, metaspace("first", False), None, metaspace("first"), every_flag() + overlapping())
    yield "added/split", tokenizer(trained.byte_bpe(), None, pre(regex(r"\s"), literal("t"), byte_level()), None, byte_level(), overlapping())
    yield "added/none", tokenizer(trained.byte_bpe(), None, byte_level(use_regex=True), None, byte_level(), flagged=False)
    in_model = [t for t in list(trained.byte_bpe()["vocab"])[300:2000:37]]
    yield "added/in-model", tokenizer(trained.byte_bpe(), None, byte_level(use_regex=True), None, byte_level(), [(t, dict(special=i % 2 == 0, normalized=i % 3 == 0)) for i, t in enumerate(in_model)])
    many = [(f"<extra_id_{i}>", dict(special=i % 2 == 0)) for i in range(1500)]
    yield "added/many", tokenizer(trained.byte_bpe(), None, byte_level(use_regex=True), None, byte_level(), many)


def all_cases():
    for make in (posts, decoder_cases, added_tokens):
        yield from make()
