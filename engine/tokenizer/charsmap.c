#include "engine/tokenizer/charsmap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A unit: bits 0..7 the label of the edge that leads here, bit 8 "a key ends here", bit 9 "the
 * offset is in blocks of 256", bits 10..30 the offset of the children.  The unit of a value has bit
 * 31 and the value below it; no edge leads to it, for a label has no bit 31. */
#define UNIT_LEAF  (UINT32_C(1) << 8)
#define UNIT_FAR   (UINT32_C(1) << 9)
#define UNIT_VALUE (UINT32_C(1) << 31)

struct charsmap {
    size_t n_units, text_size;
    char *text;         /* the replacements, with a NUL behind the last */
    uint64_t begins[4]; /* bytes that keys begin with */
    bool plain[256];    /* printable ASCII that is not a key */
    uint32_t units[];
};

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t children_of(uint32_t unit)
{
    return unit >> 10 << (unit & UNIT_FAR ? 8 : 0);
}

/* Where the children of the unit at `at` start, SIZE_MAX: outside the trie.  `^` never carries, so
 * that two 32-bit numbers stay one. */
static size_t step(const struct charsmap *m, size_t at, uint32_t unit)
{
    size_t next = at ^ children_of(unit);
    return next < m->n_units ? next : SIZE_MAX;
}

static uint32_t unit_label(uint32_t unit)
{
    return unit & (UNIT_VALUE | 0xFF);
}

/* The key that ends at a unit whose children start at `node`. */
static struct str value_at(const struct charsmap *m, size_t node)
{
    const char *text = m->text + (m->units[node] & ~UNIT_VALUE);
    return (struct str){text, strlen(text)};
}

static size_t find(const struct charsmap *m, const char *s, size_t len, bool longest,
                   struct str *replacement)
{
    size_t node = step(m, 0, m->units[0]), found = 0, value = 0;
    for (size_t i = 0; i < len && s[i] != '\0'; i++) {
        uint8_t byte = (uint8_t)s[i];
        size_t at = node ^ byte;
        if (at >= m->n_units || unit_label(m->units[at]) != byte) break;
        node = step(m, at, m->units[at]);
        if (node == SIZE_MAX) break;
        if (!(m->units[at] & UNIT_LEAF)) continue;
        found = i + 1;
        value = node;
        if (!longest) break;
    }
    if (found > 0) *replacement = value_at(m, value);
    return found;
}

size_t charsmap_longest(const struct charsmap *m, const char *s, size_t len,
                        struct str *replacement)
{
    return find(m, s, len, true, replacement);
}

size_t charsmap_shortest(const struct charsmap *m, const char *s, size_t len,
                         struct str *replacement)
{
    return find(m, s, len, false, replacement);
}

bool charsmap_begins(const struct charsmap *m, unsigned char byte)
{
    return m->begins[byte >> 6] >> (byte & 63) & 1;
}

size_t charsmap_ascii_prefix(const struct charsmap *m, const char *s, size_t len)
{
    size_t n = 0;
    while (n < len && m->plain[(uint8_t)s[n]]) n++;
    return n;
}

void charsmap_free(struct charsmap *m)
{
    if (!m) return;
    free(m->text);
    free(m);
}

/* Every unit that ends a key must have a value, which must be the start of a replacement. */
static enum status check_leaves(const struct charsmap *m, struct error *err)
{
    for (size_t i = 0; i < m->n_units; i++) {
        uint32_t unit = m->units[i];
        if (unit & UNIT_VALUE || !(unit & UNIT_LEAF)) continue;
        size_t node = step(m, i, unit);
        if (node == SIZE_MAX || !(m->units[node] & UNIT_VALUE))
            return error_set(err, STATUS_CORRUPT, "charsmap: unit %zu has no value", i);
        size_t start = m->units[node] & ~UNIT_VALUE;
        if (start >= m->text_size || ((uint8_t)m->text[start] & 0xC0) == 0x80)
            return error_set(err, STATUS_CORRUPT,
                             "charsmap: a replacement starts at %zu, which is none of the %zu "
                             "bytes that start one",
                             start, m->text_size);
        if (strnlen(m->text + start, CHARSMAP_REPLACEMENT_MAX + 1) > CHARSMAP_REPLACEMENT_MAX)
            return error_set(err, STATUS_UNSUPPORTED,
                             "charsmap: the replacement at %zu has more than %d bytes", start,
                             CHARSMAP_REPLACEMENT_MAX);
    }
    return STATUS_OK;
}

static void note_bytes(struct charsmap *m)
{
    size_t root = step(m, 0, m->units[0]);
    for (size_t byte = 1; byte < 256; byte++) {
        size_t at = root ^ byte;
        bool begins = at < m->n_units && unit_label(m->units[at]) == byte;
        if (begins) m->begins[byte >> 6] |= UINT64_C(1) << (byte & 63);
        m->plain[byte] = byte >= 0x20 && byte < 0x7F && !(begins && m->units[at] & UNIT_LEAF);
    }
}

enum status charsmap_parse(const void *bytes, size_t size, struct charsmap **out, struct error *err)
{
    const uint8_t *p = bytes;
    *out = NULL;
    size_t trie_size = size >= 4 ? read_u32(p) : 0;
    if (trie_size < 4 || trie_size % 4 != 0 || trie_size > size - 4)
        return error_set(err, STATUS_CORRUPT,
                         "charsmap: %zu bytes cannot hold a trie of %zu and its size", size,
                         trie_size);
    size_t text_size = size - 4 - trie_size;
    const char *text = (const char *)p + 4 + trie_size;
    if (text_size > 0 && !utf8_valid(text, text_size))
        return error_set(err, STATUS_CORRUPT, "charsmap: the replacements are not UTF-8");
    struct charsmap *m = calloc(1, sizeof(*m) + trie_size);
    if (m) m->text = malloc(text_size + 1);
    if (!m || !m->text) {
        charsmap_free(m);
        return error_set(err, STATUS_NO_MEMORY, "out of memory for a charsmap");
    }
    if (text_size > 0) memcpy(m->text, text, text_size);
    m->text[text_size] = '\0';
    m->text_size = text_size;
    m->n_units = trie_size / 4;
    for (size_t i = 0; i < m->n_units; i++) m->units[i] = read_u32(p + 4 + 4 * i);
    enum status st = STATUS_OK;
    if (step(m, 0, m->units[0]) == SIZE_MAX)
        st = error_set(err, STATUS_CORRUPT, "charsmap: the root's children are outside the trie");
    if (st == STATUS_OK) st = check_leaves(m, err);
    if (st != STATUS_OK) {
        charsmap_free(m);
        return st;
    }
    note_bytes(m);
    *out = m;
    return STATUS_OK;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The canonical form alone: groups of four, padding only at the end, no left-over bits. */
static bool base64_decode(const char *text, size_t len, uint8_t *out, size_t *size)
{
    size_t n = 0, padding = 0;
    if (len % 4 != 0) return false;
    while (padding < 2 && padding < len && text[len - 1 - padding] == '=') padding++;
    uint32_t bits = 0;
    for (size_t i = 0; i < len - padding; i++) {
        int value = base64_value(text[i]);
        if (value < 0) return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 != 0) out[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    *size = n;
    return padding == 0 || (bits & (padding == 1 ? 3 : 15)) == 0;
}

enum status charsmap_parse_base64(const char *text, size_t len, struct charsmap **out,
                                  struct error *err)
{
    size_t size = 0;
    *out = NULL;
    uint8_t *bytes = malloc(len / 4 * 3 + 3);
    if (!bytes) return error_set(err, STATUS_NO_MEMORY, "out of memory for a charsmap");
    enum status st = base64_decode(text, len, bytes, &size)
                         ? charsmap_parse(bytes, size, out, err)
                         : error_set(err, STATUS_CORRUPT, "charsmap: not base64 with padding");
    free(bytes);
    return st;
}
