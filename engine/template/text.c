/* text.c - Python's string work on UTF-8: classes of characters, case, stripping, searching. */

#include "config/base/check.h"
#include "config/limits.h"
#include "engine/template/case_table.h"
#include "engine/template/interp.h"

#include <string.h>
#include <utf8proc.h>

/* --- characters -------------------------------------------------------------------------------- */

size_t text_next(const char *s, size_t len, uint32_t *cp)
{
    unsigned char c = (unsigned char)s[0];
    if (c < 0x80) {
        *cp = c;
        return 1;
    }
    int n = utf8_decode(s, len, cp);
    if (n > 0) return (size_t)n;
    *cp = c;
    return 1;
}

enum { BLOCK = 32 };

static bool is_ascii_block(const char *s)
{
    uint64_t words[BLOCK / sizeof(uint64_t)], any = 0;
    memcpy(words, s, BLOCK);
    for (size_t i = 0; i < BLOCK / sizeof(uint64_t); i++) any |= words[i];
    return (any & 0x8080808080808080u) == 0;
}

size_t text_count(const char *s, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        for (; len - i >= BLOCK && is_ascii_block(s + i); i += BLOCK) n += BLOCK;
        for (size_t stop = len - i < BLOCK ? len : i + BLOCK; i < stop; n++) {
            uint32_t cp;
            i += (unsigned char)s[i] < 0x80 ? 1 : text_next(s + i, len - i, &cp);
        }
    }
    return n;
}

size_t text_offset(const struct vstr *s, size_t index)
{
    if (index == 0 || s->n_chars == s->len) return index;
    if (index >= s->n_chars) return s->len;
    size_t at = 0;
    uint32_t cp;
    while (index > 0 && at < s->len) {
        if (index >= BLOCK && s->len - at >= BLOCK && is_ascii_block(s->data + at)) {
            at += BLOCK;
            index -= BLOCK;
            continue;
        }
        at += text_next(s->data + at, s->len - at, &cp);
        index--;
    }
    return at;
}

bool text_is_space(uint32_t cp)
{
    if (cp < 128) return cp == ' ' || (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x1f);
    return cp == 0x85 || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

bool text_is_printable(uint32_t cp)
{
    if (cp < 128) return cp >= 32 && cp < 127;
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
        return false;
    default:
        return true;
    }
}

bool text_is_alnum(uint32_t cp)
{
    if (cp < 128) return (cp >= '0' && cp <= '9') || ((cp | 32) >= 'a' && (cp | 32) <= 'z');
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return true;
    default:
        return false;
    }
}

bool text_is_ident(uint32_t cp)
{
    if (cp < 128) return cp == '_' || text_is_alnum(cp);
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)cp);
    return text_is_alnum(cp) || k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC ||
           k == UTF8PROC_CATEGORY_PC;
}

/* --- case -------------------------------------------------------------------------------------- */

static const struct special_case *special_case(uint32_t cp)
{
    size_t low = 0, high = ARRAY_LEN(special_cases);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (special_cases[mid].cp == cp) return &special_cases[mid];
        if (special_cases[mid].cp < cp)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

static void add_cps(struct strbuf *b, const uint32_t cps[3])
{
    for (size_t i = 0; i < 3 && cps[i]; i++) strbuf_add_utf8(b, cps[i]);
}

static void add_upper(struct strbuf *b, uint32_t cp, bool title)
{
    const struct special_case *s = cp < 128 ? NULL : special_case(cp);
    if (s)
        add_cps(b, title ? s->title : s->upper);
    else if (cp < 128)
        strbuf_add_char(b, (char)(cp >= 'a' && cp <= 'z' ? cp - 32 : cp));
    else
        strbuf_add_utf8(b, (uint32_t)(title ? utf8proc_totitle((utf8proc_int32_t)cp)
                                            : utf8proc_toupper((utf8proc_int32_t)cp)));
}

static bool is_cased(uint32_t cp)
{
    utf8proc_int32_t c = (utf8proc_int32_t)cp;
    return utf8proc_tolower(c) != c || utf8proc_toupper(c) != c || utf8proc_totitle(c) != c;
}

static bool is_case_ignorable(uint32_t cp)
{
    if (cp == '\'' || cp == '.' || cp == ':' || cp == '^' || cp == '`' || cp == 0xa8 ||
        cp == 0xad || cp == 0xaf || cp == 0xb4 || cp == 0xb7 || cp == 0xb8 || cp == 0x2019)
        return true;
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)cp);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
           k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK;
}

/* A capital sigma at the end of a word has a form of its own (SpecialCasing, Final_Sigma). */
static bool is_final_sigma(struct str s, size_t at, size_t used)
{
    bool before = false;
    size_t i = at;
    while (i > 0) {
        do i--;
        while (i > 0 && ((unsigned char)s.data[i] & 0xc0) == 0x80);
        uint32_t cp;
        text_next(s.data + i, s.len - i, &cp);
        if (is_case_ignorable(cp)) continue;
        before = is_cased(cp);
        break;
    }
    for (i = at + used; before && i < s.len;) {
        uint32_t cp;
        i += text_next(s.data + i, s.len - i, &cp);
        if (!is_case_ignorable(cp)) return !is_cased(cp);
    }
    return before;
}

static void add_lower(struct strbuf *b, struct str s, size_t at, size_t used, uint32_t cp)
{
    if (cp < 128)
        strbuf_add_char(b, (char)(cp >= 'A' && cp <= 'Z' ? cp + 32 : cp));
    else if (cp == 0x130)
        strbuf_add(b, "i\xcc\x87", 3);
    else if (cp == 0x3a3)
        strbuf_add_utf8(b, is_final_sigma(s, at, used) ? 0x3c2 : 0x3c3);
    else
        strbuf_add_utf8(b, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp));
}

/* casefold: lower case, and the multi-character foldings as lowered upper case. */
static void add_folded(struct strbuf *b, uint32_t cp)
{
    utf8proc_int32_t folded[4];
    int boundclass = 0;
    utf8proc_ssize_t n =
        utf8proc_decompose_char((utf8proc_int32_t)cp, folded, 4, UTF8PROC_CASEFOLD, &boundclass);
    if (n < 1 || n > 4) {
        strbuf_add_utf8(b, cp);
        return;
    }
    for (utf8proc_ssize_t i = 0; i < n; i++) strbuf_add_utf8(b, (uint32_t)folded[i]);
}

/* The ASCII characters at the beginning, in pieces. */
static size_t lower_ascii(struct strbuf *b, const char *s, size_t len)
{
    char piece[256];
    size_t n = 0;
    for (; n < len && n < sizeof(piece) && (unsigned char)s[n] < 0x80; n++)
        piece[n] = (char)(s[n] >= 'A' && s[n] <= 'Z' ? s[n] + 32 : s[n]);
    strbuf_add(b, piece, n);
    return n;
}

void text_case(struct strbuf *b, struct str s, enum text_case how)
{
    bool in_word = false; /* behind a cased character */
    for (size_t at = 0; at < s.len;) {
        uint32_t cp;
        if (how == CASE_LOWER && (unsigned char)s.data[at] < 0x80) {
            at += lower_ascii(b, s.data + at, s.len - at);
            continue;
        }
        size_t used = text_next(s.data + at, s.len - at, &cp);
        if (used == 1 && cp >= 128) { /* not UTF-8: pass it through */
            strbuf_add(b, s.data + at, 1);
            at++;
            continue;
        }
        bool upper = how == CASE_UPPER;
        if (how == CASE_SWAP) upper = utf8proc_tolower((utf8proc_int32_t)cp) == (int32_t)cp;
        if (how == CASE_FOLD)
            add_folded(b, cp);
        else if ((how == CASE_TITLE && !in_word) || (how == CASE_CAPITALIZE && at == 0))
            add_upper(b, cp, true);
        else if (upper)
            add_upper(b, cp, false);
        else
            add_lower(b, s, at, used, cp);
        in_word = is_cased(cp);
        at += used;
    }
}

/* --- searching and cutting ---------------------------------------------------------------------- */

size_t text_find(const char *hay, size_t n, const char *needle, size_t m)
{
    if (m == 0) return 0;
    if (n < m) return SIZE_MAX;
    const char *p = memmem(hay, n, needle, m);
    return p ? (size_t)(p - hay) : SIZE_MAX;
}

size_t text_find_last(const char *hay, size_t n, const char *needle, size_t m)
{
    if (m > n) return SIZE_MAX;
    if (m == 0) return n;
    for (size_t left = n - m + 1; left > 0;) {
        const char *p = memrchr(hay, needle[0], left);
        if (!p) break;
        left = (size_t)(p - hay);
        if (memcmp(p, needle, m) == 0) return left;
    }
    return SIZE_MAX;
}

bool text_charge_search(struct render *r, size_t n, size_t m, bool last)
{
    return render_charge(r, n * (last && m > CHARGE_SLOW ? m : CHARGE_SLOW));
}

static bool in_set(const struct vstr *chars, uint32_t cp)
{
    if (!chars) return text_is_space(cp);
    for (size_t i = 0; i < chars->len;) {
        uint32_t c;
        i += text_next(chars->data + i, chars->len - i, &c);
        if (c == cp) return true;
    }
    return false;
}

struct str text_strip(struct str s, const struct vstr *chars, bool left, bool right)
{
    uint32_t cp;
    while (left && s.len > 0) {
        size_t n = text_next(s.data, s.len, &cp);
        if (!in_set(chars, cp)) break;
        s.data += n;
        s.len -= n;
    }
    while (right && s.len > 0) {
        size_t at = s.len - 1;
        while (at > 0 && s.len - at < 4 && ((unsigned char)s.data[at] & 0xc0) == 0x80) at--;
        if (at + text_next(s.data + at, s.len - at, &cp) != s.len) {
            at = s.len - 1; /* not UTF-8: one byte */
            cp = (unsigned char)s.data[at];
        }
        if (!in_set(chars, cp)) break;
        s.len = at;
    }
    return s;
}

bool text_strip_charged(struct render *r, const struct vstr *s, const struct vstr *chars, bool left,
                        bool right, struct value *out)
{
    if (chars && !render_charge(r, s->len * chars->len)) return false;
    struct str t = text_strip((struct str){s->data, s->len}, chars, left, right);
    return render_charge(r, CHARGE_SLOW * (s->len - t.len)) &&
           text_same_kind(r, s, t.data, t.len, out);
}

struct str template_strip(struct str s, bool left, bool right)
{
    return text_strip(s, NULL, left, right);
}

static bool is_line_end(uint32_t cp)
{
    return (cp >= 10 && cp <= 13) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 ||
           cp == 0x2029;
}

size_t text_line(const char *s, size_t len, size_t *end_len)
{
    *end_len = 0;
    size_t at = 0;
    while (at < len) {
        uint32_t cp;
        size_t n = text_next(s + at, len - at, &cp);
        if (is_line_end(cp)) {
            *end_len = cp == '\r' && at + 1 < len && s[at + 1] == '\n' ? 2 : n;
            return at;
        }
        at += n;
    }
    return at;
}

/* --- building ------------------------------------------------------------------------------------ */

bool text_same_kind(struct render *r, const struct vstr *like, const char *data, size_t len,
                    struct value *out)
{
    return value_str_view(r, data, len, like->markup, out);
}

bool text_replace(struct render *r, const struct vstr *s, const struct vstr *from,
                  const struct vstr *to, int64_t count, bool markup, struct value *out)
{
    if (!text_charge_search(r, s->len, from->len, false)) return false;
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
    size_t at = 0;
    while (count != 0 && at <= s->len && !b.failed) {
        size_t found = text_find(s->data + at, s->len - at, from->data, from->len);
        if (found == SIZE_MAX) break;
        strbuf_add(&b, s->data + at, found);
        strbuf_add(&b, to->data, to->len);
        at += found + from->len;
        if (count > 0) count--;
        if (from->len > 0) continue;
        if (at == s->len) { /* an empty pattern matches between all characters */
            at++;
            break;
        }
        uint32_t cp;
        size_t n = text_next(s->data + at, s->len - at, &cp);
        strbuf_add(&b, s->data + at, n);
        at += n;
    }
    if (at < s->len) strbuf_add(&b, s->data + at, s->len - at);
    bool ok = value_take(r, &b, out);
    strbuf_free(&b);
    if (ok) out->str->markup = markup;
    return ok;
}

void text_fill(struct strbuf *b, const char *fill, size_t len, int64_t n)
{
    char piece[256];
    int64_t each = (int64_t)(sizeof(piece) / len), have = n < each ? n : each;
    for (int64_t i = 0; i < have; i++) memcpy(piece + (size_t)i * len, fill, len);
    for (; n > 0 && !b->failed; n -= have) {
        if (n < have) have = n;
        strbuf_add(b, piece, (size_t)have * len);
    }
}

bool text_pad(struct render *r, const struct vstr *s, int64_t width, char align,
              const struct vstr *fill, struct value *out)
{
    if (fill && fill->n_chars != 1)
        return render_fail(r, "the fill character must be exactly one character long");
    int64_t n = width > (int64_t)s->n_chars ? width - (int64_t)s->n_chars : 0;
    if (n > LIMIT_TEMPLATE_OUTPUT)
        return render_fail_status(r, STATUS_TOO_LARGE, "a string grew too long");
    /* str.center puts the odd space on the left when the width is odd */
    int64_t left = align == '<' ? 0 : align == '>' ? n : n / 2 + (n & width & 1);
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
    text_fill(&b, fill ? fill->data : " ", fill ? fill->len : 1, left);
    strbuf_add(&b, s->data, s->len);
    text_fill(&b, fill ? fill->data : " ", fill ? fill->len : 1, n - left);
    bool ok = render_charge(r, (size_t)n) && value_take(r, &b, out);
    strbuf_free(&b);
    if (ok) out->str->markup = s->markup;
    return ok;
}

bool text_join(struct render *r, const struct vstr *sep, const struct vlist *items,
               struct value *out)
{
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
    bool ok = true, markup = sep->markup;
    for (size_t i = 0; i < items->n && ok && !b.failed; i++) {
        struct value v = items->items[i];
        if (i > 0) strbuf_add(&b, sep->data, sep->len);
        if (markup)
            ok = value_escape(r, v, &v);
        else if (v.type != VALUE_STR)
            ok = render_fail(r, "sequence item %zu: expected str, %s found", i, value_type_name(v));
        if (ok) strbuf_add(&b, v.str->data, v.str->len);
        ok = ok && render_charge(r, sep->len + v.str->len);
    }
    ok = ok && value_take(r, &b, out);
    strbuf_free(&b);
    if (ok) out->str->markup = markup;
    return ok;
}
