"""What is tokenised: real texts, and random strings made of what breaks tokenizers."""
import gzip
import json
import os
import pathlib
import random
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]
SHARED = pathlib.Path(os.environ.get("INFERD_SHARED", "../shared"))
if not SHARED.is_absolute():
    SHARED = (ROOT / SHARED).resolve()
BUILD = (ROOT / os.environ.get("INFERD_BUILD", "build/release")).parent

# --- random strings -----------------------------------------------------------------------------

CONTRACTIONS = ["'s", "'T", "'Re", "'lL", "'ſ", "'ve", "'d", "I'm", "don't", "'\u017f", "’s", "'M", "'LL", "''", "``"]
BLANKS = [
    " ", "  ", "   ", " " * 7, " " * 40, "\t", "\n", "\r\n", "\r", "\n\n", "\x0b", "\x0c", "\x1c", "\x1f", "\u0085", "\u00a0",
    "\u1680", "\u180e", "\u2000", "\u2003", "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000",
    " \n ", "\t\t", " \u00a0", "\n \t", "▁", "▁▁", " ▁", "_", "⁇",
]  # fmt: skip
FORMAT = [
    "\u00ad", "\u034f", "\u061c", "\u115f", "\u1160", "\u17b4", "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u202a",
    "\u202e", "\u2060", "\u2066", "\u2069", "\ufeff", "\ufff9", "\ufffc", "\ufffd", "\ufffd\ufffd", "\U000e0001", "\U000e0067",
    "\u0600", "\u06dd", "\u070f", "\u08e2", "\U000110bd", "\U0001d173", "\u2061", "\x00", "\x01", "\x07", "\x7f", "\x9f",
]  # fmt: skip
MARKS = [
    "\u0300", "\u0301", "\u0308", "\u0323", "\u0327", "\u0328", "\u0345", "\u0360", "\u05b0", "\u05bf", "\u0651", "\u064b",
    "\u0670", "\u093c", "\u094d", "\u09bc", "\u0d4d", "\u0e38", "\u0eb8", "\u0f71", "\u0f72", "\u0f74", "\u1dc0", "\u1dfa",
    "\u20d0", "\u20e3", "\u302a", "\u3099", "\u309a", "\ua806", "\ufb1e", "\ufe0e", "\ufe0f", "\ufe20", "\U0001d165",
    "\U0001e8d0", "\u0897", "\U00010efd", "\u1ac1", "\u0c3c", "\u0cbe", "\u0dcf", "\u102b", "\u0903", "\u0488",
]  # fmt: skip
COMPOSED = [
    "é", "e\u0301", "A\u030a", "Å", "\u212b", "\u212a", "\u2126", "ṩ", "s\u0323\u0307", "s\u0307\u0323", "\u1e9b\u0323", "ﬁ", "ﬃ",
    "ŉ", "ǰ", "ΐ", "½", "²", "₂", "Ⅷ", "ⅷ", "①", "㋀", "㍿", "㎏", "㌔", "ﷺ", "ﷲ", "ﻻ", "Ａｂｃ", "！？", "１２", "ｶﾞ", "ﾊﾟ", "ｱｲｳ", "ﾡ",
    "K", "İ", "ı", "I\u0307", "ǅ", "ß", "ẞ", "Σς", "Σ", "ΑΣ", "Ω", "µ", "μ", "ſ", "Ꭰ", "ꭰ", "Ა", "ა", "Ⴀ", "Ꞌ", "ꟊ", "\U00010400", "𝐀𝟘", "ℌ",
    "豈", "﨑", "\u2f00", "\u2f800", "\U0002f800", "⑴", "…", "‥", "´", "¨", "˜", "‾", "ͅ", "\u037e", "\u0340", "\u0344", "\u2adc",
    "\u0958", "\u09dc", "\u0f43", "\ufb2a", "\ufb4f", "\u1fbe", "\u1fef", "\u3131", "\u31f0", "\U0001d15e", "\u2260", "≯", "\u226f",
]  # fmt: skip
SCRIPTS = [
    "한글", "\u1112\u1161\u11ab", "\u1100", "\u1161", "\u11a8", "\u1100\u1161", "각", "가\u11a8", "\u1112\u1161", "\ua960", "\ud7b0", "힣",
    "ㅎㅏㄴ", "日本語", "中文", "漢字かな", "ひらがな", "カタカナ", "が", "か\u3099", "々", "〆", "ー", "ｰ", "〇", "。", "、", "「」", "・", "〜", "ไทย", "น้ำ", "ກຳ", "العربية", "السَّلام", "لا",
    "ك", "ی", "۱۲", "٣", "עברית", "שָׁ", "ﬢ", "हिन्दी", "क्ष", "ज़", "०", "தமிழ்", "বাংলা", "తెలుగు", "မြန်မာ", "ខ្មែរ", "བོད", "አማርኛ", "Ελληνικά", "ά", "русский", "й", "и\u0306",
    "Ѐ", "Ђ", "Ա", "ქართ", "ᏣᎳᎩ", "ᐃᓄ", "ᚠᚢ", "ⴰⵎ", "ꀀ", "ⲁ", "𐌰", "𓀀", "𐤀", "ߒ", "ℵ", "𞤀", "𝔘", "\U00020000", "\U000323af", "\U0002b740", "龥", "鿿", "㐀", "퟿", "ࠀ", "ゟ", "ヿ",
]  # fmt: skip
EMOJI = [
    "😀", "👩\u200d👩\u200d👧\u200d👦", "🏳️\u200d🌈", "🏴\u200d☠️", "🇩🇪", "🇯🇵🇰🇷", "🇺", "👍🏽", "👩🏿\u200d🚀", "❤️", "❤", "☎︎", "1️⃣", "#️⃣", "*\u20e3", "🫠",
    "\U0001fae8", "\U0001fae9", "\U0001f9d1\u200d\U0001f384", "\U0001f468\u200d", "\u200d👦", "🏻", "🏴\U000e0067\U000e0062\U000e007f", "™", "©️", "㊗️", "〰️", "🀄", "⌚",
]  # fmt: skip
UNASSIGNED = [
    "\u0378", "\u0379", "\u05ff", "\u0897", "\u1c89", "\u1c8a", "\u20c1", "\u2fe0", "\u2ffc", "\u31e4", "\ua7cb", "\ua7da", "\ufdd0", "\ufdef",
    "\ue000", "\uf8ff", "\ufffe", "\uffff", "\U0001fffe", "\U00010d40", "\U00010d50", "\U000105c0", "\U00011380", "\U00011bc0", "\U00011f50",
    "\U00016100", "\U00016d40", "\U0001e030", "\U0001e5d0", "\U0001cc00", "\U0001cd00", "\U0002ebf0", "\U00040000", "\U000e0080", "\U000f0000",
    "\U0010fffd", "\U0010ffff", "\ud7ff", "\U0001ffff", "\U00031350", "\U0001f8b2", "\U0001fabe",
]  # fmt: skip
LOOKALIKES = [
    "<s>", "</s>", "<unk>", "<pad>", "<mask>", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|end|>",
    "<|eot_id|>", "<|begin_of_text|>", "[INST]", "[/INST]", "<<SYS>>", "<0x41>", "<0x0A>", "<0xE2>", "<0xe2>", "<0x4>", "<|", "|>", "<", ">", "[", "]",
    "<|endoftext|", "|endoftext|>", "<|endof", "<s", "s>", "</S>", "<S>", "<UNK>", "<left>", "<right>", "<both>", "<left><", "<left", "word", "words", "sword",
    "Norm", "norm ", "NORM", "norm", "é", "É", "<start_of_turn>", "<extra_id_0>", "<think>", "</think>", "<tool_call>", "##a", "##", "</w>", "a</w>", "@@",
]  # fmt: skip
WORDS = [
    "the", "The", "THE", "hello", "Hello", "World", "camelCase", "XMLHttp", "x", "a", "b", "ab", "xx", "aaaa", "e", "ee", "I", "naïve", "café", "Zürich", "straße",
    "1", "12", "123", "1234567", "3.14", "1,000", "2024-01-01", "0x1F", "1e9", "e", "don", "ing", "ed", "tion", "http://a.b/c?d=e&f", "a@b.c", "foo_bar", "__init__", "C++", "c#",
    "GPT-4o", "A.B.C.", "e.g.", "Ġ", "Ċ", "Ã", "Ġthe", "ą", "Łódź", "ñ", "œ", "æ", "đ", "ð", "þ", "Ω", "π",
]  # fmt: skip
PUNCTUATION = [
    "!", "?!", "...", "/", "//", "\\", '"', "'", "`", "~", "$", "%", "{}", "()", "[]", "-", "--", "—", "–", "…", "_", "=", "==", "+", "<=", "->", "=>", "&&", "||", "^", "*", "**", "#", "@", ",", ".", ";", ":",
    "«", "»", "„", "“", "”", "‘", "’", "¿", "¡", "§", "°", "€", "£", "¥", "₩", "₿", "±", "×", "÷", "¬", "¦", "•", "‰", "′", "※", "‽", "⁂", "←", "∀", "∑", "√", "∞", "─", "█", "■", "★", "☂", "♪", "✓", "⠿", "．", "，", "\n}", "/*", "*/", "\");\n",
]  # fmt: skip
GROUPS = [CONTRACTIONS, BLANKS, BLANKS, FORMAT, MARKS, COMPOSED, SCRIPTS, SCRIPTS, EMOJI, UNASSIGNED, LOOKALIKES, WORDS, WORDS, WORDS, PUNCTUATION]
BLOCKS = [
    (0x20, 0x7F), (0x00, 0x100), (0xA0, 0x250), (0x250, 0x530), (0x530, 0x800), (0x800, 0x1100), (0x1100, 0x1200), (0x1200, 0x2000), (0x2000, 0x2100), (0x2100, 0x2E80),
    (0x2E80, 0x3400), (0x4E00, 0xA000), (0xA000, 0xAC00), (0xAC00, 0xD7A4), (0xD7A4, 0xD800), (0xF900, 0xFB00), (0xFB00, 0x10000), (0x10000, 0x12000), (0x1D000, 0x1F000),
    (0x1F000, 0x20000), (0x20000, 0x32000), (0xE0000, 0xE0200), (0x1, 0x110000),
]  # fmt: skip


def random_char(rng):
    first, end = rng.choice(BLOCKS)
    code = rng.randrange(first, end)
    return chr(code if not 0xD800 <= code < 0xE000 else code - 0x800)


def cluster(rng):
    """A base with marks, jamo, joiners: what normal forms and categories disagree about."""
    kind = rng.randrange(4)
    if kind == 0:
        base = rng.choice(rng.choice((WORDS, SCRIPTS, COMPOSED, EMOJI)))[-1:]
        return base + "".join(rng.choice(MARKS) for _ in range(rng.randrange(1, 4)))
    if kind == 1:
        ranges = ((0x1100, 0x1113), (0x1161, 0x1176), (0x11A8, 0x11C3), (0xAC00, 0xD7A4))
        return "".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(rng.randrange(1, 5)))
    if kind == 2:
        return "\u200d".join(rng.choice(EMOJI) for _ in range(rng.randrange(1, 4)))
    return rng.choice(FORMAT) + rng.choice(SCRIPTS) + rng.choice(MARKS)


def random_string(rng):
    """About 14 characters; a few are one part, a few are long."""
    parts = []
    roll = rng.random()
    n = 1 if roll < 0.02 else rng.randrange(20, 60) if roll < 0.035 else rng.randrange(2, 9)
    for _ in range(n):
        kind = rng.random()
        if kind < 0.72:
            part = rng.choice(rng.choice(GROUPS))
            parts.append(part if rng.random() < 0.85 else part * rng.choice((2, 2, 3, 4)))
        elif kind < 0.84:
            parts.append(cluster(rng))
        else:
            parts.append(random_char(rng))
    return "".join(parts)


BAD_UTF8 = [
    b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc3", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xe2\x82", b"\xed\xa0\x80", b"\xed\xbf\xbf",
    b"\xed\xa0\xbd\xed\xb8\x80", b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xfe", b"\xff",
]  # fmt: skip


def bad_bytes(rng):
    """Not UTF-8: surrogates as bytes, overlong forms, torn characters."""
    bad = rng.choice(BAD_UTF8)
    return random_string(rng).encode() + bad + rng.choice((b"", b" ", b"a", b"<s>", "é".encode()))


# --- real texts -----------------------------------------------------------------------------------

# Debian packages with running text in scripts that the shared texts lack.
PACKAGES = {
    "zh": ("fortunes-zh", "usr/share/games/fortunes/*"),
    "ja": ("debian-faq-ja", "usr/share/doc/debian/FAQ/debian-faq.ja.txt.gz"),
    "ko": ("debian-faq-ko", "usr/share/doc/debian/FAQ/debian-faq.ko.txt.gz"),
    "ar": ("hunspell-ar", "usr/share/hunspell/ar.dic"),
    "hi": ("hunspell-hi", "usr/share/hunspell/hi_IN.dic"),
}


def package_text(package, pattern, scratch):
    """The text of one package; "" when it cannot be had."""
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        quiet = dict(cwd=scratch, check=True, capture_output=True, timeout=60)
        subprocess.run(["apt-get", "download", "-q", package], **quiet)
        archive = next(scratch.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg", "-x", archive.name, package], **quiet)
    except (OSError, subprocess.SubprocessError, StopIteration):
        return ""
    text = ""
    for path in sorted((scratch / package).glob(pattern)):
        data = path.read_bytes()
        if path.suffix == ".dat" or path.is_symlink():
            continue
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        text += data.decode("utf-8", "ignore")
    if pattern.endswith(".dic"):  # one word a line with its affix class: words in a row
        words = [re.sub(r"/.*", "", w) for w in text.split("\n")[1:30000]]
        text = "\n".join(" ".join(words[i : i + 12]) for i in range(0, len(words), 12))
    return re.sub(r"\x1b\[[0-9;]*m|\0", "", text)


def foreign_texts(say=print):
    """{language: text}; fetched once into the build folder, missing ones are said."""
    folder = BUILD / "texts"
    texts = {}
    for language, (package, pattern) in PACKAGES.items():
        path = folder / f"{language}.txt"
        if not path.exists():
            text = package_text(package, pattern, folder / "packages")
            if text:
                path.write_text(text, encoding="utf-8")
        if path.exists():
            texts[language] = path.read_text(encoding="utf-8")
        else:
            say(f"skipped: text from Debian package {package} cannot be had")
    return texts


def file_text(path):
    with open(path, encoding="utf-8", errors="ignore", newline="") as file:
        return file.read()


def english():
    folder = SHARED / "data/text"
    paths = [folder / "wikitext-2/test.txt", folder / "wikitext-2/valid.txt", folder / "tinyshakespeare/input.txt"]
    return "".join(file_text(p) for p in paths if p.exists())


def source_code():
    paths = [p for d in ("config", "engine", "scheduler", "server") for p in sorted((ROOT / d).rglob("*.[ch]"))]
    paths += sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "tests").rglob("*.c"))
    return "".join(file_text(p) for p in paths)


def tokenizer_cases():
    cases = []
    for path in sorted((SHARED / "data/tokenizer-cases").glob("*.inp")):
        cases += file_text(path).split("\n__ggml_vocab_test__\n")
    return sorted(set(cases))


def pieces(text, size):
    return [text[i : i + size] for i in range(0, len(text), size)]


def questions():
    lines = []
    for name in ("gsm8k/test.jsonl", "mt-bench/question.jsonl"):
        path = SHARED / "data/text" / name
        for line in file_text(path).splitlines() if path.exists() else []:
            lines += [str(v) for v in json.loads(line).values()]
    return lines


def real_texts(say=print):
    """All real texts as strings of at most 3,000 characters, the kinds mixed."""
    texts = [t for source in (english(), source_code(), *foreign_texts(say).values()) for t in pieces(source, 3000)]
    texts += questions() + tokenizer_cases()
    random.Random(7).shuffle(texts)
    return texts
