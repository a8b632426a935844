#!/usr/bin/env python3
"""Writes engine/tokenizer/regex_property_table.c: what \\p{..} and [:..:] mean in the reference.

    python tests/golden/make_regex_properties.py engine/tokenizer tests/unit

Oniguruma, inside the reference, has a newer Unicode than PCRE2.  Each property is measured on both,
one code point at a time; the table says which items of a PCRE2 class have the same members.  Needs
PyPI `tokenizers` and libpcre2-8.
"""
import ctypes
import os
import re
import subprocess
import sys

from tokenizers import Regex, pre_tokenizers

from make_unicode_tables import SCALARS, members, ranges

# General categories, binary properties and scripts, with their short names.
NAMES = """
c cc cf cn co cs control format unassigned privateuse surrogate other
l lc ll lm lo lt lu letter casedletter uppercaseletter lowercaseletter titlecaseletter modifierletter otherletter
m mc me mn mark combiningmark spacingmark enclosingmark nonspacingmark
n nd nl no number decimalnumber letternumber othernumber
p pc pd pe pf pi po ps punctuation connectorpunctuation dashpunctuation openpunctuation closepunctuation
initialpunctuation finalpunctuation otherpunctuation
s sc sk sm so symbol mathsymbol currencysymbol modifiersymbol othersymbol
z zl zp zs separator spaceseparator lineseparator paragraphseparator

any assigned ascii alnum alpha blank cntrl digit graph lower print punct posixpunct space upper word xdigit
ahex alphabetic asciihexdigit bidic bidicontrol cased caseignorable changeswhencasefolded changeswhencasemapped
changeswhenlowercased changeswhentitlecased changeswhenuppercased ci cwcf cwcm cwl cwt cwu dash
defaultignorablecodepoint dep deprecated di dia diacritic ebase ecomp emod emoji emojicomponent emojimodifier
emojimodifierbase emojipresentation epres ext extendedpictographic extender extpict graphemeextend
graphemelink grext grlink hex hexdigit idc idcontinue ideo ideographic ids idsb idsbinaryoperator idst idstart
idstrinaryoperator joinc joincontrol loe logicalorderexception lowercase math nchar noncharactercodepoint patsyn
patternsyntax patternwhitespace patws pcm prependedconcatenationmark qmark quotationmark radical regionalindicator ri
sd sentenceterminal softdotted sterm term terminalpunctuation uideo unifiedideograph uppercase variationselector vs
whitespace wspace xidc xidcontinue xids xidstart

adlam adlm aghb ahom anatolianhieroglyphs arab arabic armenian armi armn avestan avst bali balinese bamu bamum bass
bassavah batak batk beng bengali bhaiksuki bhks bopo bopomofo brah brahmi brai braille bugi buginese buhd buhid cakm
canadianaboriginal cans cari carian caucasianalbanian chakma cham cher cherokee chorasmian chrs common copt coptic cpmn
cprt cuneiform cypriot cyprominoan cyrillic cyrl deseret deva devanagari diak divesakuru dogr dogra dsrt dupl duployan
egyp egyptianhieroglyphs elba elbasan elym elymaic ethi ethiopic garay geor georgian glag glagolitic gong gonm goth
gothic gran grantha greek grek gujarati gujr gukh gunjalagondi gurmukhi guru gurungkhema han hang hangul hani
hanifirohingya hano hanunoo hatr hatran hebr hebrew hira hiragana hluw hmng hmnp hung imperialaramaic inherited
inscriptionalpahlavi inscriptionalparthian ital java javanese kaithi kali kana kannada katakana kawi kayahli khar
kharoshthi khitansmallscript khmer khmr khoj khojki khudawadi kiratrai kits knda krai kthi lana lao laoo latin latn
lepc lepcha limb limbu lina linb lineara linearb lisu lyci lycian lydi lydian mahajani mahj maka makasar malayalam mand
mandaic mani manichaean marc marchen masaramgondi medefaidrin medf meeteimayek mend mendekikakui merc mero
meroiticcursive meroitichieroglyphs miao mlym modi mong mongolian mro mroo mtei mult multani myanmar mymr nabataean
nagm nagmundari nand nandinagari narb nbat newa newtailue nko nkoo nshu nushu nyiakengpuachuehmong ogam ogham olchiki
olck oldhungarian olditalic oldnortharabian oldpermic oldpersian oldsogdian oldsoutharabian oldturkic olduyghur olonal
onao oriya orkh orya osage osge osma osmanya ougr pahawhhmong palm palmyrene pauc paucinhau perm phag phagspa phli phlp
phnx phoenician plrd prti psalterpahlavi qaac qaai rejang rjng rohg runic runr samaritan samr sarb saur saurashtra sgnw
sharada shavian shaw shrd sidd siddham signwriting sind sinh sinhala sogd sogdian sogo sora sorasompeng soyo soyombo
sund sundanese sunu sunuwar sylo sylotinagri syrc syriac tagalog tagb tagbanwa taile taitham taiviet takr takri tale
talu tamil taml tang tangsa tangut tavt telu telugu tfng tglg thaa thaana thai tibetan tibt tifinagh tirh tirhuta tnsa
todhri todr toto tulutigalari tutg ugar ugaritic unknown vai vaii vith vithkuqi wancho wara warangciti wcho xpeo xsux
yezi yezidi yi yiii zanabazarsquare zanb zinh zyyy zzzz
""".split()
POSIX = "alnum alpha ascii blank cntrl digit graph lower print punct space upper word xdigit".split()
# What PCRE2 names otherwise.
SPELLINGS = {
    "alnum": [r"\p{Alphabetic}\p{Nd}"], "alpha": [r"\p{Alphabetic}"], "blank": [r"\p{Zs}\x{9}"], "cntrl": [r"\p{Cc}"], "digit": [r"\p{Nd}"],
    "graph": [r"\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Co}"], "lower": [r"\p{Lowercase}"], "upper": [r"\p{Uppercase}"],
    "print": [r"\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Co}\p{Zs}", r"\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Co}\p{Zs}\p{Cc}", r"\p{L}\p{M}\p{N}\p{P}\p{S}\p{Z}\p{C}"], "punct": [r"\p{P}"],
    "posixpunct": [r"\p{P}\p{S}"], "space": [r"\p{White_Space}"], "word": [r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}"],
    "xdigit": ["0-9A-Fa-f"], "ascii": [r"\x{0}-\x{7f}"], "any": [r"\x{0}-\x{10ffff}"], "assigned": [r"\P{Cn}"],
}  # fmt: skip
LONG = {  # general categories that PCRE2 knows by their short names alone
    "control": "Cc", "format": "Cf", "unassigned": "Cn", "privateuse": "Co", "surrogate": "Cs", "other": "C", "letter": "L", "casedletter": "L&", "uppercaseletter": "Lu",
    "lowercaseletter": "Ll", "titlecaseletter": "Lt", "modifierletter": "Lm", "otherletter": "Lo", "mark": "M", "combiningmark": "M", "spacingmark": "Mc", "enclosingmark": "Me",
    "nonspacingmark": "Mn", "number": "N", "decimalnumber": "Nd", "letternumber": "Nl", "othernumber": "No", "punctuation": "P", "connectorpunctuation": "Pc",
    "dashpunctuation": "Pd", "openpunctuation": "Ps", "closepunctuation": "Pe", "initialpunctuation": "Pi", "finalpunctuation": "Pf", "otherpunctuation": "Po", "symbol": "S",
    "mathsymbol": "Sm", "currencysymbol": "Sc", "modifiersymbol": "Sk", "othersymbol": "So", "separator": "Z", "spaceseparator": "Zs", "lineseparator": "Zl", "paragraphseparator": "Zp",
    "lc": "L&",
}  # fmt: skip


class Pcre2:
    UTF, UCP = 0x00080000, 0x00020000

    def __init__(self):
        lib = self.lib = ctypes.CDLL("libpcre2-8.so.0")
        lib.pcre2_compile_8.restype = lib.pcre2_match_data_create_8.restype = ctypes.c_void_p
        lib.pcre2_compile_8.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        lib.pcre2_match_8.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p]
        lib.pcre2_match_data_create_8.argtypes = [ctypes.c_uint32, ctypes.c_void_p]
        lib.pcre2_get_ovector_pointer_8.restype = ctypes.POINTER(ctypes.c_size_t)
        lib.pcre2_get_ovector_pointer_8.argtypes = [ctypes.c_void_p]
        lib.pcre2_jit_compile_8.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        lib.pcre2_code_free_8.argtypes = [ctypes.c_void_p]
        self.data = lib.pcre2_match_data_create_8(1, None)
        self.text = "".join(map(chr, SCALARS)).encode()
        self.at, offset = {}, 0
        for c in SCALARS:
            self.at[offset] = c
            offset += 1 if c < 0x80 else 2 if c < 0x800 else 3 if c < 0x10000 else 4
        self.at[offset] = 0x110000

    def members(self, items):
        """The code points in a class with these items; None when it does not compile."""
        pattern = b"[" + items.encode() + b"]+"
        why = (ctypes.c_size_t * 2)()
        code = self.lib.pcre2_compile_8(pattern, len(pattern), self.UTF | self.UCP, ctypes.byref(why), ctypes.byref(why, 8), None)
        if not code:
            return None
        self.lib.pcre2_jit_compile_8(code, 1)
        vector, found, at = self.lib.pcre2_get_ovector_pointer_8(self.data), set(), 0
        while self.lib.pcre2_match_8(code, self.text, len(self.text), at, 0x40000000, self.data, None) > 0:
            found.update(range(self.at[vector[0]], self.at[vector[1]]))
            at = vector[1]
        self.lib.pcre2_code_free_8(code)
        return found - set(range(0xD800, 0xE000))


def members_among(regex, characters):
    pre, found = pre_tokenizers.Split(Regex(regex), "removed", invert=True), set()
    for _, (a, b) in pre.pre_tokenize_str("".join(map(chr, characters))):
        found.update(characters[a:b])
    return found


def cased_sets(known):
    """{members: whether ignoring case adds to them}"""
    cased = sorted(known["cased"] | known["cwcm"] | known["cwcf"])
    probe = dict.fromkeys(cased)
    # Beside its own case a character may have others: what no property above has is found here.
    probe.update(dict.fromkeys(members(r"(?i)[\p{Cased}\p{CWCM}\p{CWCF}]")))
    probe, out = sorted(probe), {}
    for name, wanted in known.items():
        key = frozenset(wanted)
        if key not in out:
            spelling = f"[{name}:]" if name[0] == ":" else f"\\p{{{name}}}"
            out[key] = members_among(f"(?i)[{spelling}]", probe) != wanted & set(probe)
    return out


def listed(code_points):
    return " ".join(f"{a:x}" + (f"-{b:x}" if b > a else "") for a, b in bridged(code_points))


def bridged(code_points):
    """Ranges; the surrogates, which no text has, may be inside."""
    return ranges(set(code_points) | set(range(0xD800, 0xE000)) if {0xD7FF, 0xE000} <= set(code_points) else code_points)


def class_items(base, more):
    return base + "".join("-".join(f"\\x{{{end}}}" for end in part.split("-")) for part in more.split())


def spelling(pcre2, name, wanted):
    """(base, code points beside it, whether the set is what they leave out), as short as can be."""
    bare = name.lstrip(":")
    bases = SPELLINGS.get(bare, []) + [f"\\p{{{LONG[bare]}}}" if bare in LONG else f"\\p{{sc:{bare}}}", f"\\p{{{bare}}}"]
    found = [("", listed(wanted), False)] if wanted else []
    for base in bases:
        got = pcre2.members(base)
        if got is None:
            continue
        if not got - wanted:
            found.append((base, listed(wanted - got), False))
        elif not wanted - got and re.fullmatch(r"\\p\{[^}]*\}", base):
            outside = base.replace("p", "P", 1)
            found.append((outside, listed(set(SCALARS) - wanted - pcre2.members(outside)), True))
    return min(found, key=lambda x: len(x[0]) + len(x[1]))


def measured():
    """{name: its members}; [:name:] stands under ":name"."""
    out = {}
    for name in NAMES:
        try:
            Regex(f"\\p{{{name}}}")
        except Exception:
            sys.exit(f"the reference does not know the property {name}")
        out[name] = members(f"\\p{{{name}}}")
    for name in POSIX:
        out[":" + name] = members(f"[[:{name}:]]")
        assert members(f"[[:^{name}:]]") == set(SCALARS) - out[":" + name]
    return out


def write_digests(folder, known):
    """For test_regex_properties.c: a hash of each name's members, of all code points but for planes
    4 to 13, where nothing is assigned."""
    lines = ["/* Made by tests/golden/make_regex_properties.py from the reference alone. */"]
    for name, wanted in known.items():
        digest = 0xCBF29CE484222325
        for c in (c for ends in ranges(c for c in wanted if not 0x40100 <= c < 0xE0000) for c in ends):
            digest = (digest ^ c) * 0x100000001B3 & (1 << 64) - 1
        lines.append(f'{{"{name}", 0x{digest:016x}}},')
    with open(os.path.join(folder, "regex_property_digests.inc"), "w") as file:
        file.write("\n".join(lines) + "\n")


def main():
    pcre2 = Pcre2()
    sets, names, known = {}, {}, measured()
    cased = cased_sets(known)
    for name, wanted in known.items():
        key = frozenset(wanted)
        if key not in sets:
            base, more, outside = sets[key] = spelling(pcre2, name, wanted)
            assert pcre2.members(class_items(base, more)) == (set(SCALARS) - wanted if outside else wanted), name
        names.setdefault(key, []).append(name)
    lines = [
        "/* Made by tests/golden/make_regex_properties.py; what the table is for: regex_properties.h. */",
        '#include "engine/tokenizer/regex_properties.h"\n\n#include "config/base/check.h"\n',
        "const struct regex_set regex_sets[] = {",
    ]
    for key, (base, more, outside) in sets.items():
        base = base.replace("\\", "\\\\")
        lines.append(f'{{" {" ".join(names[key])} ", "{base}", "{more}", {str(outside).lower()}, {str(cased[key]).lower()}}},')
    lines += ["};", "const size_t n_regex_sets = ARRAY_LEN(regex_sets);"]
    write_digests(sys.argv[2], known)
    path = os.path.join(sys.argv[1], "regex_property_table.c")
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")
    subprocess.run(["clang-format", "-i", path], check=True)


if __name__ == "__main__":
    main()
