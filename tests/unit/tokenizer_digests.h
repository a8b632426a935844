/* Made by tests/golden/make_tokenizer_digests.py; how it is used: tokenizer_digest.h. */
#ifndef TESTS_UNIT_TOKENIZER_DIGESTS_H
#define TESTS_UNIT_TOKENIZER_DIGESTS_H

#include "tests/unit/tokenizer_digest.h"

#define DIGEST_RANDOM_TEXTS 4000
static const uint32_t digest_traps[] = {
    0x9,     0xa,     0xb,     0xc,     0xd,     0x20,    0x20,    0x20,    0x20,    0x20,
    0x61,    0x41,    0x62,    0x42,    0x78,    0x79,    0x7a,    0x5a,    0x30,    0x31,
    0x39,    0x2e,    0x2c,    0x2d,    0x27,    0x5f,    0x23,    0x40,    0x0,     0x1f,
    0x7f,    0x85,    0x8f,    0x9f,    0xa0,    0xa9,    0xad,    0xb2,    0xbd,    0xc5,
    0xe9,    0x130,   0x131,   0x300,   0x301,   0x307,   0x323,   0x327,   0x344,   0x345,
    0x34f,   0x3a3,   0x3c2,   0x439,   0x451,   0x5b0,   0x600,   0x64b,   0x660,   0x915,
    0x921,   0x929,   0x93c,   0x94d,   0x958,   0x995,   0x9bc,   0x9cd,   0xbca,   0xddd,
    0xe33,   0xe38,   0xf43,   0xf71,   0x1100,  0x1161,  0x11a8,  0x1160,  0x135e,  0x1680,
    0x1e9e,  0x1e69,  0x2000,  0x200b,  0x200c,  0x200d,  0x200e,  0x2028,  0x2029,  0x202f,
    0x20e3,  0x2160,  0x2460,  0x2581,  0x3000,  0x302e,  0x3042,  0x304b,  0x3099,  0x30ab,
    0x30fc,  0x3400,  0x4e00,  0x9fff,  0xac00,  0xac01,  0xd7a3,  0xd7b0,  0xf900,  0xfb01,
    0xfb1d,  0xfb43,  0xfdfa,  0xfe0f,  0xfeff,  0xff21,  0xff76,  0xfffd,  0xffff,  0x110bd,
    0x1134d, 0x11938, 0x11935, 0x11930, 0x16d63, 0x16d67, 0x1d15e, 0x1d165, 0x1d16d, 0x1e94b,
    0x1f1e6, 0x1f1e7, 0x1f3fb, 0x1f468, 0x1f469, 0x20000, 0x2b920, 0x2f800, 0xe0020, 0xe01ef,
    0x10ffff};

static const char digest_sample_map[] =
    "AAQAAAAEAAAAAAAAeQUAAAIAAIAAAAAA4wQAAAAAAAAAAAAACQUAAAwAAIAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAOEEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAJkFAA"
    "AQAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAFAACAgQUAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAABsAAIChBQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAACsCAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAvAQAAAAAAAAAAAAAAAAAAAAAAAC3DAAADgAAgKYNAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAACwAAgK0FAABlBAAAAAAAAAAAAACABAAAAAAAAJ9EAACACAAAgRAAAB8AAIAAAAAAoAk"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAhAQAAAAAAACRBAAAAAAAAAAAAAB4CQAAAAAAAAAAAIAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAggQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAACFBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADMBAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAIEFAAAIAACAAAAAAMI0AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACAoAUAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAA4UAAALoRAADjIAAA4hAAAIsIAAAUAACAAAAAAAAAAACABQAADAAAgAAAAAAAAAAACwAAgIsFAAD"
    "vBAAAAAAAAAAAAADwHAAADgAAgKEFAAAAAAAAgAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAIcMAAAxADIyAMOpAGZpAAAgAEEA44GMANi12YTZiQDqsIAAwqAA";

#ifdef DIGEST_NORMALIZERS
static const struct digest_case digest_normalizers[] = {
    {"{\"type\": \"NFC\"}", 0x234fbef2, 0x6d9ae834},
    {"{\"type\": \"NFD\"}", 0xbbee518e, 0x957628ef},
    {"{\"type\": \"NFKC\"}", 0xd873542d, 0xe778a2a3},
    {"{\"type\": \"NFKD\"}", 0x648f8e35, 0xc875edac},
    {"{\"type\": \"Lowercase\"}", 0xb5ffd2ff, 0x89f0a7f4},
    {"{\"type\": \"StripAccents\"}", 0xf29a675a, 0x6434aa68},
    {"{\"type\": \"Nmt\"}", 0x0db8342f, 0x3f8d20f7},
    {"{\"type\": \"ByteLevel\"}", 0x71b600ed, 0x6b741daa},
    {"{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAgAAAAABAAAAACAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQEEAAINBAADC"
     "QQABBUEAAURBAAGHQQABxkEAAglBAAJIQQAAAAAAAspBAAMNQQADTEEAA49BAAPOQQAEEUEABFBBAASTQQAE0"
     "kEABRVBAAVUQQAFl0EABdZBAAYZQQAGWEEABptBAAbaQQAHHUEAB1xBAAefQQAH3kEACCFBAAhgQQAIo0EACO"
     "JBAAklQQAJZEEACadBAAnmQQAKKUEACmhBAAqrQQAK6kEACy1BAAtsQQALr0EAC+5BAAwxQQAMcEEADLNBAAz"
     "yQQANNUEADXRBAA23QQAN9kEADjlBAA54QQAOu0EADvpBAA89QQAPfEEAD79BAA/+QQAQAUFAEEBBQBCDQUAQ"
     "wkFAEQVBQBFEQUARh0FAEcZBQBIJQUASSEFAEotBQBLKQUATDUFAE0xBQBOPQUATzkFAFBFBQBRQQUAUk0FAF"
     "NJBQBUVQUAVVEFAFZdBQBXWQUAWGUFAFlhBQBabQUAW2kFAFx1BQBdcQUAXn0FAF95BQBghQUAYYEFAGKNBQB"
     "jiQUAZJUFAGWRBQBmnQUAZ5kFAGilBQBpoQUAaq0FAGupBQBstQUAbbEFAG69BQBvuQUAcMUFAHHBBQByzQUA"
     "c8kFAHTVBQB10QUAdt0FAHfZBQB45QUAeeEFAHrtBQB76QUAfPUFAH3xBQB+/QUAf/kFAIAFBgCBAQYAgg0GA"
     "IMJBgCEFQYAhREGAIYdBgCHGQYAiCUGAIkhBgCKLQYAiykGAIw1BgCNMQYAjj0GAI85BgCQRQYAkUEGAJJNBg"
     "CTSQYAlFUGAJVRBgCWXQYAl1kGAJhlBgCZYQYAmm0GAJtpBgCcdQYAnXEGAJ59BgCfeQYAoIUGAKGBBgCijQY"
     "Ao4kGAKSVBgClkQYApp0GAKeZBgCopQYAqaEGAKqtBgCrqQYArLUGAK2xBgCuvQYAr7kGALDFBgCxwQYAss0G"
     "ALPJBgC01QYAtdEGALbdBgC32QYAuOUGALnhBgC67QYAu+kGALz1BgC98QYAvv0GAL/5BgDABQcAwQEHAMINB"
     "wDDCQcAxBUHAMURBwDGHQcAxxkHAMglBwDJIQcAyi0HAMspBwDMNQcAzTEHAM49BwDPOQcA0EUHANFBBwDSTQ"
     "cA00kHANRVBwDVUQcA1l0HANdZBwDYZQcA2WEHANptBwDbaQcA3HUHAN1xBwDefQcA33kHAOCFBwDhgQcA4o0"
     "HAOOJBwDklQcA5ZEHAOadBwDnmQcA6KUHAOmhBwDqrQcA66kHAOy1BwDtsQcA7r0HAO+5BwDwxQcA8cEHAPLN"
     "BwDzyQcA9NUHAPXRBwD23QcA99kHAPjlBwD54QcA+u0HAPvpBwD89QcA/fEHAP79BwD/+QcAfAA=\"}",
     0x69f9cf51, 0xdd96d165},
    {"{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAQAAAAEAAAAAAAAeQUAAAIAAIAAA"
     "AAA4wQAAAAAAAAAAAAACQUAAAwAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAOEEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAJkFAAAQAACAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAFAACAgQUAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABsAAIChBQAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACsCAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAvAQAAA"
     "AAAAAAAAAAAAAAAAAAAAC3DAAADgAAgKYNAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACwAAgK0FAAB"
     "lBAAAAAAAAAAAAACABAAAAAAAAJ9EAACACAAAgRAAAB8AAIAAAAAAoAkAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "hAQAAAAAAACRBAAAAAAAAAAAAAB4CQAAAAAAAAAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAggQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAACFBAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAADMBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIEFAAAIAACAAAAAAMI0A"
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
     "AAAAAAAAAAAAAAAACAoAUAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA4UAAALoRAADjIAAA4hA"
     "AAIsIAAAUAACAAAAAAAAAAACABQAADAAAgAAAAAAAAAAACwAAgIsFAADvBAAAAAAAAAAAAADwHAAADgAAgKEF"
     "AAAAAAAAgAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIcMAAAxADIyAMOpAGZpAAAgA"
     "EEA44GMANi12YTZiQDqsIAAwqAA\"}",
     0x555bab6e, 0x3bda9619},
    {"{\"type\": \"BertNormalizer\", \"clean_text\": true, \"handle_chinese_chars\": true, "
     "\"strip_accents\": null, \"lowercase\": true}",
     0xa604369d, 0x2252aa21},
    {"{\"type\": \"BertNormalizer\", \"clean_text\": true, \"handle_chinese_chars\": false,"
     " \"strip_accents\": false, \"lowercase\": false}",
     0xef815579, 0x59ad407b},
    {"{\"type\": \"BertNormalizer\", \"clean_text\": false, \"handle_chinese_chars\": true,"
     " \"strip_accents\": true, \"lowercase\": false}",
     0x2039f543, 0x5400aa19},
    {"{\"type\": \"BertNormalizer\", \"clean_text\": false, \"handle_chinese_chars\": false"
     ", \"strip_accents\": null, \"lowercase\": false}",
     0xb8c80a2f, 0xef250232},
    {"{\"type\": \"Strip\", \"strip_left\": true, \"strip_right\": true}", 0xf7883991, 0xfd8f4011},
    {"{\"type\": \"Strip\", \"strip_left\": true, \"strip_right\": false}", 0x87b95981, 0x7df95b2c},
    {"{\"type\": \"Strip\", \"strip_left\": false, \"strip_right\": true}", 0x5b1cf2db, 0x8f2e7531},
    {"{\"type\": \"Prepend\", \"prepend\": \"\\u2581\"}", 0x00000000, 0x6705507e},
    {"{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\\u2581\"}",
     0x00000000, 0xcdfac2ac},
    {"{\"type\": \"Replace\", \"pattern\": {\"String\": \"\"}, \"content\": \"-\"}", 0x00000000,
     0xc319c022},
    {"{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"\\\\s+|x*\"}, \"content\": \"\"}",
     0x00000000, 0x7d7d2285},
    {"{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\": \" \""
     "}, {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFKD\"}, {\"type\": \"Stri"
     "pAccents\"}, {\"type\": \"Lowercase\"}]}]}",
     0x00000000, 0x27e3c9c1},
};
#endif

#ifdef DIGEST_PRE_TOKENIZERS
static const struct digest_case digest_pre_tokenizers[] = {
    {"{\"type\": \"BertPreTokenizer\"}", 0x4d992350, 0x88eef916},
    {"{\"type\": \"UnicodeScripts\"}", 0xcc671e2d, 0x4510fafd},
    {"{\"type\": \"Whitespace\"}", 0x96c22e64, 0x102b3ef8},
    {"{\"type\": \"WhitespaceSplit\"}", 0x77a9c568, 0x6976bc78},
    {"{\"type\": \"FixedLength\"}", 0x00000000, 0x164efcb9},
    {"{\"type\": \"Digits\", \"individual_digits\": true}", 0x16bae89e, 0x14995502},
    {"{\"type\": \"Digits\", \"individual_digits\": false}", 0x16bae89e, 0x594d6d83},
    {"{\"type\": \"Punctuation\", \"behavior\": \"Removed\"}", 0x720778b3, 0x144f0c61},
    {"{\"type\": \"Split\", \"pattern\": {\"String\": \"\"}, \"behavior\": \"Removed\", \"i"
     "nvert\": true}",
     0x00000000, 0xcc3a6f3d},
    {"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\w+|\\\\s\"}, \"behavior\": \"Rem"
     "oved\", \"invert\": true}",
     0x00000000, 0x999c822e},
    {"{\"type\": \"Split\", \"pattern\": {\"String\": \"\"}, \"behavior\": \"Removed\", \"i"
     "nvert\": false}",
     0x00000000, 0x50167902},
    {"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\w+|\\\\s\"}, \"behavior\": \"Rem"
     "oved\", \"invert\": false}",
     0x00000000, 0x982282f2},
    {"{\"type\": \"Punctuation\", \"behavior\": \"Isolated\"}", 0x00000000, 0x911de8f2},
    {"{\"type\": \"Split\", \"pattern\": {\"String\": \"\"}, \"behavior\": \"Isolated\", \""
     "invert\": true}",
     0x00000000, 0x50167902},
    {"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\w+|\\\\s\"}, \"behavior\": \"Iso"
     "lated\", \"invert\": true}",
     0x00000000, 0x0ae4b4f7},
    {"{\"type\": \"Split\", \"pattern\": {\"String\": \"\"}, \"behavior\": \"Isolated\", \""
     "invert\": false}",
     0x00000000, 0x50167902},
    {"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\w+|\\\\s\"}, \"behavior\": \"Iso"
     "lated\", \"invert\": false}",
     0x00000000, 0x0ae4b4f7},
    {"{\"type\": \"Punctuation\", \"behavior\": \"MergedWithPrevious\"}", 0x00000000, 0xa0dfa270},
    {"{\"type\": \"Split\", \"pattern\": {\"String\": \"\"}, \"behavior\": \"MergedWithPrev"
     "ious\", \"invert\": true}",
     0x00000000, 0x50167902},
    {"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\w+|\\\\s\"}, \"behavior\": \"Mer"
     "gedWithPrevious\", \"invert\": true}",
     0x00000000, 0x0a0dd8bd},
    {"{\"type\": \"Split\", \"pattern\": {\"String\": \"\"}, \"behavior\": \"MergedWithPrev"
     "ious\", \"invert\": false}",
     0x00000000, 0x50167902},
    {"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\w+|\\\\s\"}, \"behavior\": \"Mer"
     "gedWithPrevious\", \"invert\": false}",
     0x00000000, 0x371952f9},
    {"{\"type\": \"Punctuation\", \"behavior\": \"MergedWithNext\"}", 0x00000000, 0x1d9455cf},
    {"{\"type\": \"Split\", \"pattern\": {\"String\": \"\"}, \"behavior\": \"MergedWithNext"
     "\", \"invert\": true}",
     0x00000000, 0x50167902},
    {"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\w+|\\\\s\"}, \"behavior\": \"Mer"
     "gedWithNext\", \"invert\": true}",
     0x00000000, 0x371952f9},
    {"{\"type\": \"Split\", \"pattern\": {\"String\": \"\"}, \"behavior\": \"MergedWithNext"
     "\", \"invert\": false}",
     0x00000000, 0x50167902},
    {"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\w+|\\\\s\"}, \"behavior\": \"Mer"
     "gedWithNext\", \"invert\": false}",
     0x00000000, 0x0a0dd8bd},
    {"{\"type\": \"Punctuation\", \"behavior\": \"Contiguous\"}", 0x00000000, 0xed61af89},
    {"{\"type\": \"Split\", \"pattern\": {\"String\": \"\"}, \"behavior\": \"Contiguous\", "
     "\"invert\": true}",
     0x00000000, 0x50167902},
    {"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\w+|\\\\s\"}, \"behavior\": \"Con"
     "tiguous\", \"invert\": true}",
     0x00000000, 0x093fed6d},
    {"{\"type\": \"Split\", \"pattern\": {\"String\": \"\"}, \"behavior\": \"Contiguous\", "
     "\"invert\": false}",
     0x00000000, 0x50167902},
    {"{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\w+|\\\\s\"}, \"behavior\": \"Con"
     "tiguous\", \"invert\": false}",
     0x00000000, 0x093fed6d},
    {"{\"type\": \"CharDelimiterSplit\", \"delimiter\": \"x\"}", 0x00000000, 0x1ba9c2bf},
    {"{\"type\": \"CharDelimiterSplit\", \"delimiter\": \"\\u0323\"}", 0x00000000, 0x6f0635f5},
    {"{\"type\": \"FixedLength\", \"length\": 1}", 0x00000000, 0x50167902},
    {"{\"type\": \"Metaspace\", \"replacement\": \"\\u2581\", \"prepend_scheme\": \"always\""
     ", \"split\": true}",
     0x00000000, 0x43782be1},
    {"{\"type\": \"Metaspace\", \"replacement\": \"\\u2581\", \"prepend_scheme\": \"always\""
     ", \"split\": false}",
     0x00000000, 0x9bdb7e1a},
    {"{\"type\": \"Metaspace\", \"replacement\": \"\\u2581\", \"prepend_scheme\": \"first\""
     ", \"split\": true}",
     0x00000000, 0x43782be1},
    {"{\"type\": \"Metaspace\", \"replacement\": \"\\u2581\", \"prepend_scheme\": \"first\""
     ", \"split\": false}",
     0x00000000, 0x9bdb7e1a},
    {"{\"type\": \"Metaspace\", \"replacement\": \"\\u2581\", \"prepend_scheme\": \"never\""
     ", \"split\": true}",
     0x00000000, 0x2c8eb814},
    {"{\"type\": \"Metaspace\", \"replacement\": \"\\u2581\", \"prepend_scheme\": \"never\""
     ", \"split\": false}",
     0x00000000, 0xbfad7526},
    {"{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, \"use_r"
     "egex\": true}",
     0x5d905b35, 0x0d8e40df},
    {"{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, \"use_r"
     "egex\": false}",
     0xe050b583, 0xc8dc1577},
    {"{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_"
     "regex\": true}",
     0x26f49fc8, 0x32b83e56},
    {"{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_"
     "regex\": false}",
     0x9213b550, 0x6b4e9532},
    {"{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Punctuation\"}, {\"type\": "
     "\"Sequence\", \"pretokenizers\": [{\"type\": \"Metaspace\", \"replacement\": \"\\u258"
     "1\", \"prepend_scheme\": \"first\", \"split\": true}]}]}",
     0x00000000, 0x974c47c8},
};
#endif

#endif
