#!/usr/bin/env python3
"""Writes tests/unit/tokenizer_digests.h: what the reference makes of every code point and of random
texts, as one CRC-32 for each normalizer and pre-tokenizer.

    python tests/golden/make_tokenizer_digests.py tests/unit/tokenizer_digests.h

tests/unit/tokenizer_digest.h feeds the same texts to ours.  Needs PyPI `tokenizers`.
"""
import base64
import json
import struct
import subprocess
import sys
import zlib

from tokenizers import Tokenizer

from make_unicode_tables import SCALARS, everything_map

RANDOM_TEXTS = 4000
TRAPS = (
    list(range(0x09, 0x0E))
    + [ord(c) for c in "     aAbBxyzZ019.,-'_#@"]
    + [0x00, 0x1F, 0x7F, 0x85, 0x8F, 0x9F, 0xA0, 0xA9, 0xAD, 0xB2, 0xBD, 0xC5, 0xE9, 0x130, 0x131]
    + [0x300, 0x301, 0x307, 0x323, 0x327, 0x344, 0x345, 0x34F, 0x3A3, 0x3C2, 0x439, 0x451, 0x5B0]
    + [0x600, 0x64B, 0x660, 0x915, 0x921, 0x929, 0x93C, 0x94D, 0x958, 0x995, 0x9BC, 0x9CD, 0xBCA]
    + [0xDDD, 0xE33, 0xE38, 0xF43, 0xF71, 0x1100, 0x1161, 0x11A8, 0x1160, 0x135E, 0x1680, 0x1E9E]
    + [0x1E69, 0x2000, 0x200B, 0x200C, 0x200D, 0x200E, 0x2028, 0x2029, 0x202F, 0x20E3, 0x2160]
    + [0x2460, 0x2581, 0x3000, 0x302E, 0x3042, 0x304B, 0x3099, 0x30AB, 0x30FC, 0x3400, 0x4E00]
    + [0x9FFF, 0xAC00, 0xAC01, 0xD7A3, 0xD7B0, 0xF900, 0xFB01, 0xFB1D, 0xFB43, 0xFDFA, 0xFE0F]
    + [0xFEFF, 0xFF21, 0xFF76, 0xFFFD, 0xFFFF, 0x110BD, 0x1134D, 0x11938, 0x11935, 0x11930]
    + [0x16D63, 0x16D67, 0x1D15E, 0x1D165, 0x1D16D, 0x1E94B, 0x1F1E6, 0x1F1E7, 0x1F3FB, 0x1F468]
    + [0x1F469, 0x20000, 0x2B920, 0x2F800, 0xE0020, 0xE01EF, 0x10FFFF]
)
SAMPLE = {  # keys in each other's way, clusters, removal, growth
    "x": "1", "xy": "22", "e\u0301": "\u00e9", "\ufb01": "fi", "\u2460": "1", "\u200b": "",
    "\t": " ", "\u3000": " ", "\uff21": "A", "\u00ad": "", "\u304b\u3099": "\u304c",
    "\ufdfa": "\u0635\u0644\u0649", "\u1100\u1161": "\uac00", "\U0001f1e6": "A", "\u00a0": "\u00a0",
}  # fmt: skip


def build_map(pairs):
    """A double array by first fit; sorted keys, replacements with their NULs."""
    text, at = b"", {}
    for value in pairs.values():
        at.setdefault(value, len(text))
        if at[value] == len(text):
            text += value.encode() + b"\0"
    tree = {}
    for key, value in pairs.items():
        node = tree
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[None] = at[value]
    units, used = {0: 0}, {0}

    def place(node, index, label):
        children = sorted(k or 0 for k in node)
        base = 1
        while any((index ^ base ^ k) in used for k in children) or (index ^ base) in used:
            base += 1
        units[index] = label | base << 10 | ((None in node) << 8)
        used.update(index ^ base ^ k for k in children)
        used.add(index ^ base)
        for key, child in node.items():
            if key is None:
                units[index ^ base] = 1 << 31 | child
            else:
                place(child, index ^ base ^ key, key)

    place(tree, 0, 0)
    size = (max(units) | 0xFF) + 1
    trie = b"".join(struct.pack("<I", units.get(i, 0)) for i in range(size))
    return struct.pack("<I", len(trie)) + trie + text


def component(kind, **keys):
    return dict(type=kind, **keys)


def bert(clean, chinese, accents, lower):
    return component(
        "BertNormalizer",
        clean_text=clean,
        handle_chinese_chars=chinese,
        strip_accents=accents,
        lowercase=lower,
    )


def replace(pattern, content):
    return component("Replace", pattern=pattern, content=content)


def normalizers():
    names = "NFC NFD NFKC NFKD Lowercase StripAccents Nmt ByteLevel".split()
    yield from map(component, names)
    for data in (everything_map(), build_map(SAMPLE)):
        text = base64.b64encode(data).decode()
        yield component("Precompiled", precompiled_charsmap=text)
    yield bert(True, True, None, True)
    yield bert(True, False, False, False)
    yield bert(False, True, True, False)
    yield bert(False, False, None, False)
    for left, right in ((True, True), (True, False), (False, True)):
        yield component("Strip", strip_left=left, strip_right=right)
    yield component("Prepend", prepend="\u2581")
    yield replace({"String": " "}, "\u2581")
    yield replace({"String": ""}, "-")
    yield replace({"Regex": r"\s+|x*"}, "")
    parts = [component("NFKD"), component("StripAccents"), component("Lowercase")]
    inner = component("Sequence", normalizers=parts)
    yield component("Sequence", normalizers=[component("Prepend", prepend=" "), inner])


def pre_tokenizers():
    names = "BertPreTokenizer UnicodeScripts Whitespace WhitespaceSplit FixedLength".split()
    yield from map(component, names)
    yield component("Digits", individual_digits=True)
    yield component("Digits", individual_digits=False)
    behaviors = "Removed Isolated MergedWithPrevious MergedWithNext Contiguous".split()
    for behavior in behaviors:
        yield component("Punctuation", behavior=behavior)
        for invert in (True, False):
            for pattern in ({"String": ""}, {"Regex": r"\w+|\s"}):
                yield component("Split", pattern=pattern, behavior=behavior, invert=invert)
    yield component("CharDelimiterSplit", delimiter="x")
    yield component("CharDelimiterSplit", delimiter="\u0323")
    yield component("FixedLength", length=1)
    for scheme in ("always", "first", "never"):
        for split in (True, False):
            yield component("Metaspace", replacement="\u2581", prepend_scheme=scheme, split=split)
    for space in (True, False):
        for regex in (True, False):
            yield component(
                "ByteLevel", add_prefix_space=space, trim_offsets=True, use_regex=regex
            )
    first = component("Metaspace", replacement="\u2581", prepend_scheme="first", split=True)
    parts = [component("Punctuation"), component("Sequence", pretokenizers=[first])]
    yield component("Sequence", pretokenizers=parts)


# Those whose answer hangs on each code point; the others are told by the random texts.
BY_CODE_POINT = set(
    "NFC NFD NFKC NFKD Lowercase StripAccents Nmt ByteLevel Precompiled BertNormalizer Strip "
    "BertPreTokenizer UnicodeScripts Whitespace WhitespaceSplit Digits".split()
)

REMOVED = {"type": "Punctuation", "behavior": "Removed"}


def load(part, spec):
    model = {"type": "WordLevel", "vocab": {"u": 0}, "unk_token": "u"}
    both = {"normalizer": None, "pre_tokenizer": None, part: spec}
    text = json.dumps(
        {"version": "1.0", "added_tokens": [], "post_processor": None, "decoder": None}
        | {"truncation": None, "padding": None, "model": model}
        | both
    )
    return getattr(Tokenizer.from_str(text), part)


def every_code_point():
    for c in SCALARS:
        char = chr(c)
        yield char + "x" + char + "\u0323" + char


def random_texts():
    state = 1
    for _ in range(RANDOM_TEXTS):
        text = ""
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        for _ in range(1 + (state >> 33) % 24):
            state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            text += chr(TRAPS[(state >> 33) % len(TRAPS)])
        yield text


def digest(part, spec, texts):
    run = load(part, spec)
    crc = 0
    for text in texts:
        if part == "normalizer":
            out = run.normalize_str(text).encode() + b"\xff"
        else:
            pieces = (piece for piece, _ in run.pre_tokenize_str(text))
            out = b"".join(p.encode() + b"\xfe" for p in pieces if p) + b"\xff"
        crc = zlib.crc32(out, crc)
    return crc


def quoted(text):
    """A C string literal, in pieces of a line each."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    lines, line = [], ""
    for c in text:
        line += c
        if len(line) > 84 and c != "\\":
            lines.append(line)
            line = ""
    return "\n     ".join(f'"{part}"' for part in [*lines, line])


def main():
    out = ["/* Made by tests/golden/make_tokenizer_digests.py; how it is used: tokenizer_digest.h. */"]
    out.append("#ifndef TESTS_UNIT_TOKENIZER_DIGESTS_H\n#define TESTS_UNIT_TOKENIZER_DIGESTS_H\n")
    out.append('#include "tests/unit/tokenizer_digest.h"\n')
    out.append(f"#define DIGEST_RANDOM_TEXTS {RANDOM_TEXTS}")
    traps = ", ".join(f"0x{c:x}" for c in TRAPS)
    out.append(f"static const uint32_t digest_traps[] = {{{traps}}};\n")
    sample = base64.b64encode(build_map(SAMPLE)).decode()
    out.append(f"static const char digest_sample_map[] =\n     {quoted(sample)};\n")
    for part, specs in (("normalizer", normalizers()), ("pre_tokenizer", pre_tokenizers())):
        out.append(f"#ifdef DIGEST_{part.upper()}S")
        out.append(f"static const struct digest_case digest_{part}s[] = {{")
        for spec in specs:
            whole = spec["type"] in BY_CODE_POINT or spec == REMOVED
            every = digest(part, spec, every_code_point()) if whole else 0
            some = digest(part, spec, random_texts())
            out.append(f"    {{{quoted(json.dumps(spec))}, 0x{every:08x}, 0x{some:08x}}},")
        out.append("};\n#endif\n")
    out.append("#endif")
    with open(sys.argv[1], "w") as f:
        f.write("\n".join(out) + "\n")
    subprocess.run(["clang-format", "-i", sys.argv[1]], check=True)


if __name__ == "__main__":
    main()
