#!/usr/bin/env python3
"""Writes engine/tokenizer/unicode_tables.c from what the reference library does.

    python tests/golden/make_unicode_tables.py > engine/tokenizer/unicode_tables.c

The reference's components each carry their own version of Unicode (Oniguruma, Rust's standard
library, old crates), so the tables are measured on the library itself, one code point at a time,
and written as differences where a Debian library holds the bulk.  Needs PyPI `tokenizers`, a
Python whose unicodedata is 14.0.0 (3.11: what PCRE2 10.42 has) and libutf8proc.
"""
import ctypes
import sys
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

SCALARS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp".split()


def members(regex):
    """The code points a one-character regex matches."""
    split = pre_tokenizers.Split(Regex(regex), "removed", invert=True)
    found = set()
    for i in range(0, len(SCALARS), 20000):
        chunk = SCALARS[i : i + 20000]
        for _, (a, b) in split.pre_tokenize_str("".join(map(chr, chunk))):
            found.update(chunk[a:b])
    return found


def alone(pre, separator, left=""):
    """The code points that stand as a piece of their own (or with `left`) between separators."""
    found = set()
    width = len(left) + 1 + len(separator)
    for i in range(0, len(SCALARS), 4000):
        chunk = SCALARS[i : i + 4000]
        text = separator.join(left + chr(c) for c in chunk)
        spans = {span for _, span in pre.pre_tokenize_str(text)}
        found.update(
            c for k, c in enumerate(chunk) if (k * width, k * width + len(left) + 1) in spans
        )
    return found


def ranges(code_points):
    out = []
    for c in sorted(code_points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def emit(name, items, comment, kind="struct unicode_range"):
    print(f"\n/* {comment} */\nconst {kind} {name}[] = {{")
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > 100:
            print(line)
            line = "   "
        line += " " + item + ","
    print(line + "\n};")
    print(f"const size_t n_{name} = ARRAY_LEN({name});")


def plain(code_points):
    return [f"{{0x{a:04x}, 0x{b:04x}}}" for a, b in ranges(code_points)]


class Property(ctypes.Structure):
    _fields_ = [("category", ctypes.c_int16), ("ccc", ctypes.c_int16)]


def inert():
    """Characters that the reference's normalisation does not know but utf8proc does."""
    lib = ctypes.CDLL("libutf8proc.so.2")
    lib.utf8proc_get_property.restype = ctypes.POINTER(Property)
    lib.utf8proc_NFKD.restype = ctypes.c_void_p
    lib.utf8proc_NFKD.argtypes = [ctypes.c_char_p]
    nfd, nfkd = normalizers.NFD(), normalizers.NFKD()
    found = set()
    for c in SCALARS[1:]:
        char = chr(c)
        ccc = lib.utf8proc_get_property(c).contents.ccc
        probe = "a\u0345" + char  # U+0345 has the highest class, 240: others move before it
        if ccc not in (0, 240) and nfd.normalize_str(probe) == probe:
            found.add(c)
        known = ctypes.string_at(lib.utf8proc_NFKD(char.encode())).decode()
        if known != char and nfkd.normalize_str(char) == char:
            found.add(c)
        found |= {ord(x) for x in known} if c == 0x11938 else set()
    return found


def main():
    if unicodedata.unidata_version != "14.0.0":
        sys.exit("needs a Python with Unicode 14.0.0 tables (3.11)")
    print("/* Made by tests/golden/make_unicode_tables.py; what each table is for: unicode.h. */")
    print('#include "engine/tokenizer/unicode.h"\n\n#include "config/base/check.h"')
    delta = []
    for category in CATEGORIES:
        new = {c for c in members(rf"\p{{{category}}}") if unicodedata.category(chr(c)) == "Cn"}
        delta += [(a, b, category) for a, b in ranges(new)]
    emit(
        "unicode_new_categories",
        [f'{{0x{a:04x}, 0x{b:04x}, "{k}"}}' for a, b, k in sorted(delta)],
        "assigned after Unicode 14, by general category",
        "struct unicode_category_range",
    )
    punctuation = set(SCALARS) - members_of_rest(pre_tokenizers.Punctuation("removed"))
    emit("unicode_punctuation", plain(punctuation), "the Punctuation pre-tokenizer's")
    numeric = alone(pre_tokenizers.Digits(False), "a")
    emit("unicode_numeric", plain(numeric), "the Digits pre-tokenizer's")
    word = alone(pre_tokenizers.Whitespace(), " ", "a")
    emit("unicode_word", plain(word), "\\w of the Whitespace pre-tokenizer and of single_word")
    emit("unicode_inert", plain(inert()), "unknown to the reference's normalisation")
    lower = normalizers.Lowercase()
    changed = [(c, lower.normalize_str(chr(c))) for c in SCALARS]
    offsets = []  # [first, last, offset, step]
    for c, low in changed:
        if low == chr(c) or len(low) > 1:
            continue
        d = ord(low) - c
        if offsets and offsets[-1][2] == d:
            first, last, _, step = offsets[-1]
            if (first == last and c - last <= 2) or (first != last and c - last == step):
                offsets[-1] = [first, c, d, c - last]
                continue
        offsets.append([c, c, d, 1])
    emit(
        "unicode_lower",
        [f"{{0x{a:04x}, 0x{b:04x}, {d}, {s}}}" for a, b, d, s in offsets],
        "one-to-one lower case: every step-th of first..last moves by offset",
        "struct unicode_case_range",
    )


def members_of_rest(removing):
    found = set()
    for i in range(0, len(SCALARS), 20000):
        chunk = SCALARS[i : i + 20000]
        for _, (a, b) in removing.pre_tokenize_str("".join(map(chr, chunk))):
            found.update(chunk[a:b])
    return found


if __name__ == "__main__":
    main()
