#!/usr/bin/env python3
"""Writes engine/tokenizer/char_class_table.c: the class of every character as the reference's regular
expressions see it.

    python tests/golden/make_char_classes.py > engine/tokenizer/char_class_table.c

Each class is asked of PyPI `tokenizers`, code point by code point.  Needs nothing else.
"""
from tokenizers import Regex, pre_tokenizers

SCALARS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
# In the order of enum char_class (char_class.h); 0 is what none of these has.  \s comes last: it
# takes what it has from the others.
CLASSES = [r"\p{Lu}", r"\p{Lt}", r"\p{Ll}", r"\p{Lm}", r"\p{Lo}", r"\p{M}", r"\p{N}", r"\p{P}", r"\p{S}", r"\s"]


def members(regex):
    """The code points a one-character regex matches."""
    split = pre_tokenizers.Split(Regex(regex), "removed", invert=True)
    found = set()
    for i in range(0, len(SCALARS), 20000):
        chunk = SCALARS[i : i + 20000]
        for _, (a, b) in split.pre_tokenize_str("".join(map(chr, chunk))):
            found.update(chunk[a:b])
    return found


def main():
    klass = bytearray(0x110000)
    for number, regex in enumerate(CLASSES, 1):
        for c in members(regex):
            klass[c] = number
    starts = [c for c in range(0x110000) if c == 0 or klass[c] != klass[c - 1]]
    print("/* Made by tests/golden/make_char_classes.py; what it means: char_class.h. */")
    print('#include "engine/tokenizer/char_class.h"\n\n#include "config/base/check.h"\n')
    print("/* First character of a range and its class, as first << 4 | class. */\n/* clang-format off */")
    print("const uint32_t char_class_ranges[] = {")
    items = [f"0x{c << 4 | klass[c]:x}" for c in starts]
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > 100:
            print(line)
            line = "   "
        line += " " + item + ","
    print(line + "\n};\nconst size_t n_char_class_ranges = ARRAY_LEN(char_class_ranges);")


if __name__ == "__main__":
    main()
