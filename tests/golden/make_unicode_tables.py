#!/usr/bin/env python3
"""Writes engine/tokenizer/unicode_tables*.c from what the reference library does.

    python tests/golden/make_unicode_tables.py engine/tokenizer

The reference's components each carry their own version of Unicode (Oniguruma, Rust's standard
library, old crates), so the tables are measured on the library itself, one code point at a time,
and written as differences where a Debian library holds the bulk.  Needs PyPI `tokenizers`, a
Python whose unicodedata is 14.0.0 (3.11: what PCRE2 10.42 has) and libutf8proc.
"""
import ctypes
import os
import struct
import subprocess
import sys
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

SCALARS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp".split()
FORMS = ["NFC", "NFD", "NFKC", "NFKD"]


# --- measuring ------------------------------------------------------------------------------


def chunks(items, size):
    for i in range(0, len(items), size):
        yield items[i : i + size]


def members(regex):
    """The code points a one-character regex matches."""
    return pieces_of(pre_tokenizers.Split(Regex(regex), "removed", invert=True))


def pieces_of(pre):
    """The code points that `pre` lets through."""
    found = set()
    for chunk in chunks(SCALARS, 20000):
        for _, (a, b) in pre.pre_tokenize_str("".join(map(chr, chunk))):
            found.update(chunk[a:b])
    return found


def alone(pre, separator, left=""):
    """The code points that stand as a piece of their own (or with `left`) between separators."""
    found = set()
    width = len(left) + 1 + len(separator)
    for chunk in chunks(SCALARS, 4000):
        text = separator.join(left + chr(c) for c in chunk)
        spans = {span for _, span in pre.pre_tokenize_str(text)}
        found.update(
            c for k, c in enumerate(chunk) if (k * width, k * width + len(left) + 1) in spans
        )
    return found


def dropped(normalizer):
    """The code points that a normalizer removes from between two letters."""
    found = set()
    for chunk in chunks(SCALARS, 20000):
        text = "".join("x" + chr(c) for c in chunk)
        if len(normalizer.normalize_str(text)) == len(text):
            continue
        found.update(c for c in chunk if normalizer.normalize_str("x" + chr(c)) == "x")
    return found


class Property(ctypes.Structure):
    _fields_ = [("category", ctypes.c_int16), ("ccc", ctypes.c_int16)]


class Utf8proc:
    def __init__(self):
        lib = ctypes.CDLL("libutf8proc.so.2")
        lib.utf8proc_get_property.restype = ctypes.POINTER(Property)
        for form in FORMS:
            function = getattr(lib, "utf8proc_" + form)
            function.restype = ctypes.c_void_p
            function.argtypes = [ctypes.c_char_p]
        self.lib = lib

    def ccc(self, c):
        return self.lib.utf8proc_get_property(c).contents.ccc

    def normal(self, form, text):
        return ctypes.string_at(getattr(self.lib, "utf8proc_" + form)(text.encode())).decode()


def inert(lib):
    """Characters that the reference's normalisation does not know but utf8proc does."""
    nfd, nfkd = normalizers.NFD(), normalizers.NFKD()
    found = set()
    for c in SCALARS[1:]:
        char = chr(c)
        ccc = lib.ccc(c)
        probe = "a\u0345" + char  # U+0345 has the highest class, 240: others move before it
        if ccc not in (0, 240) and nfd.normalize_str(probe) == probe:
            found.add(c)
        known = lib.normal("NFKD", char)
        if known != char and nfkd.normalize_str(char) == char:
            found.add(c)
        found |= {ord(x) for x in known} if c == 0x11938 else set()
    return found


def unstable(lib, form, unknown):
    """Characters that the form may change, or that may compose with what stands before them."""
    reference = getattr(normalizers, form)()
    found = set()
    for c in SCALARS[1:]:
        char = chr(c)
        if c in unknown:
            continue
        if reference.normalize_str(char) != char or lib.normal(form, char) != char:
            found.add(c)
        parts = lib.normal("NFD", char)
        if form in ("NFC", "NFKC") and len(parts) > 1:
            found |= {ord(x) for x in parts[1:]}
    return found - unknown


def everything_map():
    """A charsmap that replaces every cluster of up to 5 bytes, or else every character, by `|`.

    All bytes but the line feed are keys; the lookup takes a whole cluster for its first byte."""
    units = [0] * 512
    units[0] = 256 << 10
    for byte in set(range(1, 256)) - {10}:
        units[256 ^ byte] = byte | 1 << 8 | ((256 ^ byte ^ 1) << 10)
    units[1] = 1 << 31
    trie = struct.pack("<512I", *units)
    return struct.pack("<I", len(trie)) + trie + b"|\0"


GRAPHEME = normalizers.Precompiled(everything_map())


def joined(before, after, count):
    """The code points c for which the text before + c + after gives `count` replacements."""
    found = set()
    for chunk in chunks([c for c in SCALARS if c not in (0, 10, 13)], 20000):
        text = "\n".join(before + chr(c) + after for c in chunk)
        lines = GRAPHEME.normalize_str(text).split("\n")
        found.update(c for c, line in zip(chunk, lines) if len(line) == count)
    return found


ANY, CR, LF, CONTROL, EXTEND, ZWJ, SPACING, PREPEND = range(8)
L, V, T, LV, LVT, REGIONAL, PICTOGRAPH, CONSONANT = range(8, 16)
LINKER, CONJOINS = 16, 32


def grapheme_classes():
    """The classes of extended grapheme clusters, told apart by what they join with."""
    mark = "\u0300"
    extends = joined("a", "", 1)
    prepends = joined("", "a", 1)
    controls = joined("", mark + mark, 2)
    before_v = joined("", "\u1160" + mark, 3) - prepends
    before_t = joined("", "\u11a8" + mark, 3) - prepends
    # With a mark behind it a character of four bytes counts as two whatever stands before it.
    three_bytes = {c for c in SCALARS if c < 0x10000} - controls - extends
    after_l = joined("\u1100", mark, 3) & three_bytes
    after_v = joined("\u1160", mark, 3) & three_bytes
    left_pictograph = joined("", "\u200d\u00a9" + mark, 4)
    pictographs = left_pictograph - extends - prepends - controls
    plain_extend = joined("\u00a9", "\u200d\u00a9" + mark, 5) & extends
    consonants = joined("", "\u094d\u0915" + mark, 4) - extends - prepends
    linkers = joined("\u0915", "\u0915" + mark, 4) & extends
    conjoins = joined("\u0915\u094d", "\u0915" + mark, 5) & extends
    classes = {c: CONTROL for c in controls}
    classes.update({c: EXTEND if c in plain_extend else SPACING for c in extends})
    classes.update({c: PREPEND for c in prepends})
    for c in before_v | before_t | after_l | after_v:
        at = (c in before_v, c in before_t, c in after_l, c in after_v)
        classes[c] = {
            (True, False, True, False): L,
            (True, True, True, True): V,
            (False, True, False, True): T,
            (True, True, True, False): LV,
            (False, True, True, False): LVT,
        }.get(at) or (V if c > 0xFFFF else None)
        if classes[c] is None:
            sys.exit(f"U+{c:04X} joins like no Hangul: {at}")
    classes.update({c: PICTOGRAPH for c in pictographs})
    classes.update({c: CONSONANT for c in consonants})
    classes.update({c: REGIONAL for c in range(0x1F1E6, 0x1F200)})
    classes.update({0x00: CONTROL, 0x0D: CR, 0x0A: LF, 0x200D: ZWJ})
    for c in range(0xAC00, 0xD7A4):  # a formula in unicode.c
        assert classes.pop(c) == (LVT if (c - 0xAC00) % 28 else LV)
    for c in linkers:
        classes[c] |= LINKER
    for c in conjoins - linkers:
        classes[c] |= CONJOINS
    return classes


def scripts():
    """A number for each script that UnicodeScripts tells apart, 0 for those it never cuts at."""
    pre = pre_tokenizers.UnicodeScripts()

    def cuts(text):
        return {a for _, (a, _) in pre.pre_tokenize_str(text)}

    def cut_before(chars, left):
        """The characters before which `left` is cut."""
        text = "".join(left + chr(c) for c in chars)
        found = cuts(text)
        return {c for k, c in enumerate(chars) if 2 * k + 1 in found}

    known = [c for part in chunks(SCALARS, 20000) for c in part]
    cut = set()
    for part in chunks(known, 4000):
        cut |= cut_before(part, "a") | cut_before(part, "\u0430")
    known = [c for c in known if c in cut]
    text = "".join(map(chr, known))
    starts = sorted(cuts(text))
    runs = [known[a:b] for a, b in zip(starts, starts[1:] + [len(known)])]
    number, out = [], {}
    for run in runs:
        # Before the run's first character each representative in turn: no cut means the same.
        found = cuts("".join(chr(r) + chr(run[0]) for r in number))
        same = [k for k in range(len(number)) if 2 * k + 1 not in found]
        if not same:
            same = [len(number)]
            number.append(run[0])
        assert len(same) == 1
        out.update({c: same[0] + 1 for c in run})
    assert len(number) < 255
    return out


# --- writing --------------------------------------------------------------------------------


def ranges(code_points):
    out = []
    for c in sorted(code_points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


class Writer:
    def __init__(self, folder, name):
        self.path = os.path.join(folder, name)
        self.lines = [
            "/* Made by tests/golden/make_unicode_tables.py; what each table is for: unicode.h. */",
            '#include "engine/tokenizer/unicode.h"\n\n#include "config/base/check.h"',
        ]

    def emit(self, name, items, comment, kind):
        self.lines.append(f"\n/* {comment} */\nconst {kind} {name}[] = {{")
        line = "   "
        for item in items:
            if len(line) + len(item) + 2 > 100:
                self.lines.append(line)
                line = "   "
            line += " " + item + ","
        self.lines.append(line + "\n};")
        self.lines.append(f"const size_t n_{name} = ARRAY_LEN({name});")

    def emit_changes(self, name, value_of, shift, comment):
        """One number where the value changes: first << shift | value."""
        items, last = [], 0
        for c in range(0x110000):
            value = value_of.get(c, 0)
            if value != last:
                items.append(f"0x{c << shift | value:x}")
                last = value
        self.emit(name, items, comment, "uint32_t")

    def close(self):
        with open(self.path, "w") as f:
            f.write("\n".join(self.lines) + "\n")
        subprocess.run(["clang-format", "-i", self.path], check=True)


def write_categories(folder):
    w = Writer(folder, "unicode_tables.c")
    delta = []
    for category in CATEGORIES:
        new = {c for c in members(rf"\p{{{category}}}") if unicodedata.category(chr(c)) == "Cn"}
        delta += [(a, b, category) for a, b in ranges(new)]
    w.emit(
        "unicode_new_categories",
        [f'{{0x{a:04x}, 0x{b:04x}, "{k}"}}' for a, b, k in sorted(delta)],
        "assigned after Unicode 14, by general category",
        "struct unicode_category_range",
    )
    lower = normalizers.Lowercase()
    offsets = []  # [first, last, offset, step]
    for c in SCALARS:
        low = lower.normalize_str(chr(c))
        if low == chr(c) or len(low) > 1:
            continue
        d = ord(low) - c
        if offsets and offsets[-1][2] == d:
            first, last, _, step = offsets[-1]
            if (first == last and c - last <= 2) or (first != last and c - last == step):
                offsets[-1] = [first, c, d, c - last]
                continue
        offsets.append([c, c, d, 1])
    w.emit(
        "unicode_lower",
        [f"{{0x{a:04x}, 0x{b:04x}, {d}, {s}}}" for a, b, d, s in offsets],
        "one-to-one lower case: every step-th of first..last moves by offset",
        "struct unicode_case_range",
    )
    w.close()


def write_flags(folder):
    lib = Utf8proc()
    unknown = inert(lib)
    bert = {"clean_text": False, "handle_chinese_chars": False, "lowercase": False}
    sets = [  # in the order of enum unicode_flag
        alone(pre_tokenizers.Whitespace(), " ", "a"),
        set(SCALARS) - pieces_of(pre_tokenizers.WhitespaceSplit()),
        set(SCALARS) - pieces_of(pre_tokenizers.Punctuation("removed")),
        alone(pre_tokenizers.Digits(False), "a"),
        dropped(normalizers.StripAccents()),
        dropped(normalizers.BertNormalizer(strip_accents=True, **bert)),
        dropped(normalizers.BertNormalizer(True, False, False, False)),
    ] + [unstable(lib, form, unknown) for form in FORMS]
    flags = {}
    for k, code_points in enumerate(sets):
        for c in code_points:
            flags[c] = flags.get(c, 0) | 1 << k
    w = Writer(folder, "unicode_tables_flags.c")
    w.emit_changes("unicode_flag_changes", flags, 11, "first << 11 | flags from there on")
    ccc = {c: lib.ccc(c) for c in SCALARS[1:] if c not in unknown}
    w.emit_changes("unicode_ccc_changes", ccc, 8, "first << 8 | combining class from there on")
    w.emit(
        "unicode_inert",
        [f"{{0x{a:04x}, 0x{b:04x}}}" for a, b in ranges(unknown)],
        "unknown to the reference's normalisation",
        "struct unicode_range",
    )
    w.close()


def main():
    if unicodedata.unidata_version != "14.0.0":
        sys.exit("needs a Python with Unicode 14.0.0 tables (3.11)")
    folder = sys.argv[1]
    write_categories(folder)
    write_flags(folder)
    w = Writer(folder, "unicode_tables_grapheme.c")
    comment = "first << 8 | grapheme class and its bits from there on, but for Hangul syllables"
    w.emit_changes("unicode_grapheme_changes", grapheme_classes(), 8, comment)
    w.close()
    w = Writer(folder, "unicode_tables_script.c")
    w.emit_changes("unicode_script_changes", scripts(), 8, "first << 8 | script from there on")
    w.close()


if __name__ == "__main__":
    main()
