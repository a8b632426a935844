"""Whole pipelines as published models have them, on small vocabularies, and the published
pre-tokenizer patterns."""
from . import parts, trained
from .parts import byte_level, decoders, literal, metaspace, norm, pre, regex, replace, strip, template, tokenizer

BYTES = byte_level()
SPECIAL = dict(special=True)


def special(*names):
    return [(n, SPECIAL) for n in names]


def byte_family(pre_tokenizer, normalizer=None, post=None, tokens=(), **model):
    model = {**trained.byte_bpe(), **model}
    return tokenizer(model, normalizer, pre_tokenizer, post, byte_level(use_regex=True), special(*tokens))


def published_patterns():
    """Each published pattern on the trained vocabulary and on the one that shows every border."""
    for name, patterns in parts.PUBLISHED.items():
        steps = pre(*map(regex, patterns), BYTES)
        yield f"pattern/{name}", byte_family(steps)
        yield f"pattern/{name}+borders", tokenizer(trained.reveal(), None, steps, None, BYTES)


def gpt_families():
    eot = "<|endoftext|>"
    yield "family/gpt2", byte_family(byte_level(use_regex=True), tokens=[eot])
    roberta = {"type": "RobertaProcessing", "sep": ["</s>", 4001], "cls": ["<s>", 4000], "trim_offsets": True, "add_prefix_space": False}
    yield "family/roberta", byte_family(byte_level(use_regex=True), post=roberta, tokens=["<s>", "</s>", "<mask>"])
    yield "family/starcoder", byte_family(pre({"type": "Digits", "individual_digits": True}, byte_level(use_regex=True)), tokens=[eot])
    yield "family/command-r", byte_family(
        pre({"type": "Digits", "individual_digits": True}, byte_level(use_regex=True)), {"type": "NFC"}, template("<BOS> $A", **{"<BOS>": [4000]}), ["<BOS>"]
    )
    yield "family/neox-olmo", byte_family(byte_level(use_regex=True), {"type": "NFC"}, template(f"$A {eot}", **{eot: [4000]}), [eot])
    yield "family/falcon", byte_family(
        pre({"type": "Punctuation", "behavior": "Contiguous"}, byte_level(use_regex=True), {"type": "Digits", "individual_digits": False}, regex("[0-9][0-9][0-9]"))
    )
    yield "family/bloom", byte_family(pre(regex(parts.BLOOM), BYTES), post=byte_level(prefix=True, use_regex=True, trim=False), tokens=["<unk>", "<s>"])
    whisper = {t: [4000 + i] for i, t in enumerate((eot, "<|startoftranscript|>", "<|notimestamps|>"))}
    yield "family/whisper", byte_family(
        byte_level(use_regex=True), post=template(f"<|startoftranscript|> <|notimestamps|> $A {eot}", **whisper), tokens=whisper
    )
    yield "family/bart", byte_family(byte_level(prefix=True, use_regex=True), post=template("<s> $A </s>:1", **{"<s>": [4000], "</s>": [4001]}), tokens=["<s>", "</s>"])


def regex_families():
    bos = template("<|begin_of_text|> $A", **{"<|begin_of_text|>": [4000]})
    both = parts.processors(byte_level(prefix=True, use_regex=False), bos)
    yield "family/llama3", byte_family(pre(regex(parts.LLAMA3), BYTES), post=both, tokens=["<|begin_of_text|>", "<|eot_id|>"], ignore_merges=True)
    yield "family/qwen2", byte_family(pre(regex(parts.QWEN2), BYTES), {"type": "NFC"}, byte_level(), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    yield "family/gpt-4o", byte_family(pre(regex(parts.O200K), BYTES), tokens=["<|endoftext|>", "<|endofprompt|>"])
    yield "family/gpt-4", byte_family(pre(regex(parts.CL100K, "Removed", True), BYTES), tokens=["<|endoftext|>"])
    yield "family/deepseek-v2", byte_family(pre(*map(regex, parts.DEEPSEEK_LLM), BYTES), norm(), template("<s> $A", **{"<s>": [4000]}), ["<s>"])
    yield "family/deepseek-v3", byte_family(pre(*map(regex, parts.DEEPSEEK_V3), BYTES), norm(), template("<s> $A", **{"<s>": [4000]}), ["<s>"])
    yield "family/tekken", byte_family(pre(regex(parts.TEKKEN), BYTES), post=template("<s> $A", **{"<s>": [4000]}), tokens=["<s>", "[INST]"], ignore_merges=True)
    yield "family/kimi", byte_family(pre(regex(parts.KIMI), BYTES), tokens=["[BOS]", "[EOS]"], ignore_merges=True)
    yield "family/glm4", byte_family(pre(regex(parts.LLAMA3), BYTES), post=template("[gMASK] <sop> $A", **{"[gMASK]": [4000], "<sop>": [4001]}), tokens=["[gMASK]", "<sop>"])
    yield "family/minimax", byte_family(pre(regex(parts.O200K), BYTES), tokens=["<fim_prefix>"])
    yield "family/phi-2", byte_family(byte_level(use_regex=True), tokens=["<|endoftext|>"], ignore_merges=False)
    yield "family/qwen3.5", byte_family(pre(regex(parts.QWEN35), BYTES), {"type": "NFC"}, tokens=["<|im_end|>"])


SPM_DECODER = decoders(replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0})


def sentencepiece_families():
    bpe = trained.char_bpe()
    steps = norm({"type": "Prepend", "prepend": "▁"}, replace(" ", "▁"))
    bos = template("<s> $A", **{"<s>": [1]})
    yield "family/llama-1", tokenizer(bpe, steps, None, bos, SPM_DECODER, special("<unk>", "<s>", "</s>"))
    yield "family/llama-2-no-legacy", tokenizer(bpe, None, metaspace("first", False), bos, SPM_DECODER, special("<unk>", "<s>", "</s>"))
    yield "family/gemma", tokenizer(
        bpe, replace(" ", "▁"), literal(" ", "MergedWithPrevious"), bos, decoders(replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}), special("<unk>", "<s>", "</s>")
    )
    yield "family/yi", tokenizer(bpe, norm(replace(" ", "▁")), None, None, decoders(replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}), special("<unk>", "<s>"))
    unigram = trained.unigram()
    size = len(unigram["vocab"])
    eos = template("$A </s>", **{"</s>": [2]})
    names = special("<s>", "<pad>", "</s>", "<unk>")
    yield "family/t5", tokenizer(unigram, trained.precompiled("nmt_nfkc"), metaspace(), eos, metaspace(), names)
    yield "family/t5-legacy", tokenizer(
        unigram,
        trained.precompiled("nmt_nfkc"),
        pre({"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}),
        eos,
        {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True},
        names,
    )
    yield "family/xlm-r", tokenizer(
        unigram, norm(trained.precompiled("nmt_nfkc"), replace(" {2,}", " ", "Regex")), pre({"type": "WhitespaceSplit"}, metaspace()),
        template("<s> $A </s>", **{"<s>": [0], "</s>": [2]}), metaspace(), names + [("<mask>", dict(special=True, lstrip=True))],
    )  # fmt: skip
    yield "family/albert", tokenizer(
        unigram,
        norm(replace("``", '"'), replace("''", '"'), {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, trained.precompiled("nmt_nfkc_cf"), replace(" {2,}", " ", "Regex")),
        metaspace(), template("[CLS] $A [SEP]", **{"[CLS]": [size], "[SEP]": [size + 1]}), metaspace(), special("[CLS]", "[SEP]") + names,
    )  # fmt: skip
    yield "family/deberta-v2", tokenizer(
        trained.unigram_bytes(), norm(strip(), trained.precompiled("nfkc"), replace(" {2,}", " ", "Regex")), metaspace(),
        template("<s> $A </s>", **{"<s>": [0], "</s>": [2]}), metaspace(), names,
    )  # fmt: skip


def bert_families():
    wordpiece = trained.wordpiece()
    cls = template("[CLS] $A [SEP]", **{"[CLS]": [2], "[SEP]": [3]})
    names = special("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    words = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    bert = {"type": "BertPreTokenizer"}
    yield "family/bert-uncased", tokenizer(wordpiece, parts.bert_normalizer(), bert, cls, words, names)
    yield "family/bert-cased", tokenizer(wordpiece, parts.bert_normalizer(lower=False), bert, cls, words, names)
    old = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    yield "family/bert-old", tokenizer(wordpiece, parts.bert_normalizer(accents=True), bert, old, {**words, "cleanup": False}, names)
    yield "family/electra-no-chinese", tokenizer(wordpiece, parts.bert_normalizer(chinese=False, accents=False), bert, cls, words, names, flagged=False)


def suffix_families():
    bpe = trained.suffix_bpe()
    clean = norm({"type": "NFC"}, replace(r"\s+", " ", "Regex"), {"type": "Lowercase"})
    clip = {"type": "RobertaProcessing", "sep": ["<|endoftext|>", 1], "cls": ["<|startoftext|>", 0], "trim_offsets": False, "add_prefix_space": False}
    names = [("<|startoftext|>", dict(special=True, normalized=True)), ("<|endoftext|>", dict(special=True))]
    yield "family/clip", tokenizer(
        {**bpe, "continuing_subword_prefix": ""}, clean, pre(regex(parts.CLIP, "Removed", True), byte_level(use_regex=True)), clip, byte_level(use_regex=True), names
    )
    decoder = {"type": "BPEDecoder", "suffix": "</w>"}
    yield "family/gpt-1", tokenizer(bpe, parts.bert_normalizer(), {"type": "BertPreTokenizer"}, None, decoder, names)
    vocab = {c: i for i, c in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"])}
    ctc = {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True}
    level = {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"}
    yield "family/wav2vec2", tokenizer(level, norm(replace(" ", "|")), regex(r".", "Isolated"), None, ctc, special("<pad>", "<s>", "</s>", "<unk>"))
    words = tokenizer(trained.wordlevel(), {"type": "Lowercase"}, {"type": "Whitespace"}, None, None, special("[UNK]", "[PAD]"))
    yield "family/wordlevel", words


def all_cases():
    for make in (published_patterns, gpt_families, regex_families, sentencepiece_families, bert_families, suffix_families):
        yield from make()
