/* methods_str.c - the methods of Python's str. */

#include "config/base/check.h"
#include "config/limits.h"
#include "engine/template/interp.h"

#include <string.h>
#include <utf8proc.h>

#define METHOD(name_)                                                               \
    static bool str_##name_(struct render *r, struct value v, const struct args *a, \
                            struct value *out)

static bool recase(struct render *r, const struct vstr *s, enum text_case how, struct value *out)
{
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
    text_case(&b, (struct str){s->data, s->len}, how);
    bool ok = render_charge(r, CHARGE_SLOW * s->len) && value_take(r, &b, out);
    strbuf_free(&b);
    if (ok) out->str->markup = s->markup;
    return ok;
}
METHOD(upper)
{
    (void)a;
    return recase(r, v.str, CASE_UPPER, out);
}
METHOD(lower)
{
    (void)a;
    return recase(r, v.str, CASE_LOWER, out);
}
METHOD(title)
{
    (void)a;
    return recase(r, v.str, CASE_TITLE, out);
}
METHOD(capitalize)
{
    (void)a;
    return recase(r, v.str, CASE_CAPITALIZE, out);
}
METHOD(swapcase)
{
    (void)a;
    return recase(r, v.str, CASE_SWAP, out);
}
METHOD(casefold)
{
    (void)a;
    return recase(r, v.str, CASE_FOLD, out);
}

/* --- stripping and padding ------------------------------------------------------------------------ */

static bool strip(struct render *r, struct value v, const struct args *a, bool left, bool right,
                  struct value *out)
{
    const struct vstr *chars = NULL;
    bool given = a->pos[0].type != VALUE_MISSING && a->pos[0].type != VALUE_NONE;
    if (given && !arg_str(r, a->pos[0], "the argument of strip", &chars)) return false;
    return text_strip_charged(r, v.str, chars, left, right, out);
}
METHOD(strip)
{
    return strip(r, v, a, true, true, out);
}
METHOD(lstrip)
{
    return strip(r, v, a, true, false, out);
}
METHOD(rstrip)
{
    return strip(r, v, a, false, true, out);
}

static bool pad(struct render *r, struct value v, const struct args *a, char align,
                struct value *out)
{
    int64_t width;
    const struct vstr *fill = NULL;
    if (!arg_int(r, a->pos[0], 0, &width)) return false;
    if (a->pos[1].type != VALUE_MISSING) {
        struct value c = a->pos[1];
        if (v.str->markup && !value_escape(r, c, &c)) return false;
        if (!arg_str(r, c, "the fill character", &fill)) return false;
    }
    return text_pad(r, v.str, width, align, fill, out);
}
METHOD(center)
{
    return pad(r, v, a, '^', out);
}
METHOD(ljust)
{
    return pad(r, v, a, '<', out);
}
METHOD(rjust)
{
    return pad(r, v, a, '>', out);
}
METHOD(zfill)
{
    static const struct vstr zero = {.data = "0", .len = 1, .n_chars = 1};
    int64_t width;
    if (!arg_int(r, a->pos[0], 0, &width)) return false;
    bool sign = v.str->len && (v.str->data[0] == '-' || v.str->data[0] == '+');
    if (!sign) return text_pad(r, v.str, width, '>', &zero, out);
    const struct vstr rest = {
        .data = v.str->data + 1, .len = v.str->len - 1, .n_chars = v.str->n_chars - 1};
    const struct vstr head = {.data = v.str->data, .len = 1, .n_chars = 1};
    struct value digits;
    if (width == INT64_MIN) width = 0;
    return text_pad(r, &rest, width - 1, '>', &zero, &digits) &&
           value_concat(r, &head, digits.str, v.str->markup, out);
}
METHOD(expandtabs)
{
    int64_t size;
    if (!arg_int(r, a->pos[0], 8, &size)) return false;
    if (size > LIMIT_TEMPLATE_OUTPUT) return render_fail(r, "the tab size is too big");
    struct strbuf b;
    strbuf_init(&b, LIMIT_TEMPLATE_OUTPUT);
    int64_t col = 0;
    for (size_t i = 0; i < v.str->len && !b.failed;) {
        uint32_t cp;
        size_t n = text_next(v.str->data + i, v.str->len - i, &cp);
        if (cp == '\t') {
            int64_t fill = size > 0 ? size - col % size : 0;
            text_fill(&b, " ", 1, fill);
            col += fill;
        } else {
            strbuf_add(&b, v.str->data + i, n);
            col = cp == '\n' || cp == '\r' ? 0 : col + 1;
        }
        i += n;
    }
    bool ok = render_charge(r, CHARGE_SLOW * v.str->len) && value_take(r, &b, out);
    strbuf_free(&b);
    if (ok) out->str->markup = v.str->markup;
    return ok;
}

/* --- splitting -------------------------------------------------------------------------------------- */

static bool push_piece(struct render *r, struct vlist *l, const struct vstr *like, const char *data,
                       size_t len)
{
    struct value piece;
    return text_same_kind(r, like, data, len, &piece) && vlist_push(r, l, piece);
}

static bool split_spaces(struct render *r, const struct vstr *s, int64_t max, struct vlist *l)
{
    struct str rest = text_strip((struct str){s->data, s->len}, NULL, true, false);
    while (rest.len > 0) {
        size_t n = 0;
        uint32_t cp;
        if (max >= 0 && (int64_t)l->n >= max) return push_piece(r, l, s, rest.data, rest.len);
        while (n < rest.len) {
            size_t used = text_next(rest.data + n, rest.len - n, &cp);
            if (text_is_space(cp)) break;
            n += used;
        }
        if (!push_piece(r, l, s, rest.data, n)) return false;
        rest = text_strip((struct str){rest.data + n, rest.len - n}, NULL, true, false);
    }
    return true;
}

static bool rsplit_spaces(struct render *r, const struct vstr *s, int64_t max, struct vlist *l)
{
    struct str rest = text_strip((struct str){s->data, s->len}, NULL, false, true);
    while (rest.len > 0) {
        if (max >= 0 && (int64_t)l->n >= max) return push_piece(r, l, s, rest.data, rest.len);
        size_t start = rest.len;
        while (start > 0) {
            size_t at = start - 1;
            while (at > 0 && ((unsigned char)rest.data[at] & 0xc0) == 0x80) at--;
            uint32_t cp;
            text_next(rest.data + at, rest.len - at, &cp);
            if (text_is_space(cp)) break;
            start = at;
        }
        if (!push_piece(r, l, s, rest.data + start, rest.len - start)) return false;
        rest = text_strip((struct str){rest.data, start}, NULL, false, true);
    }
    return true;
}

static bool split_at(struct render *r, const struct vstr *s, const struct vstr *sep, int64_t max,
                     struct vlist *l)
{
    size_t at = 0;
    while (max < 0 || (int64_t)l->n < max) {
        size_t found = text_find(s->data + at, s->len - at, sep->data, sep->len);
        if (found == SIZE_MAX) break;
        if (!push_piece(r, l, s, s->data + at, found)) return false;
        at += found + sep->len;
    }
    return push_piece(r, l, s, s->data + at, s->len - at);
}

static bool rsplit_at(struct render *r, const struct vstr *s, const struct vstr *sep, int64_t max,
                      struct vlist *l)
{
    size_t end = s->len;
    while (max < 0 || (int64_t)l->n < max) {
        size_t found = text_find_last(s->data, end, sep->data, sep->len);
        if (found == SIZE_MAX) break;
        if (!push_piece(r, l, s, s->data + found + sep->len, end - found - sep->len)) return false;
        end = found;
    }
    return push_piece(r, l, s, s->data, end);
}

static bool split_any(struct render *r, struct value v, const struct args *a, bool from_right,
                      struct value *out)
{
    struct vlist *l = vlist_new(r, 4);
    int64_t max;
    const struct vstr *sep;
    if (!l || !arg_int(r, a->pos[1], -1, &max)) return false;
    bool ok;
    if (a->pos[0].type == VALUE_MISSING || a->pos[0].type == VALUE_NONE) {
        if (!render_charge(r, CHARGE_SLOW * v.str->len)) return false;
        ok = from_right ? rsplit_spaces(r, v.str, max, l) : split_spaces(r, v.str, max, l);
    } else {
        if (!arg_str(r, a->pos[0], "the separator", &sep)) return false;
        if (sep->len == 0) return render_fail(r, "empty separator");
        if (!text_charge_search(r, v.str->len, sep->len, from_right)) return false;
        ok = from_right ? rsplit_at(r, v.str, sep, max, l) : split_at(r, v.str, sep, max, l);
    }
    for (size_t i = 0; from_right && i < l->n / 2; i++) {
        struct value t = l->items[i];
        l->items[i] = l->items[l->n - 1 - i];
        l->items[l->n - 1 - i] = t;
    }
    *out = VALUE_OF(VALUE_LIST, list, l);
    return ok;
}
METHOD(split)
{
    return split_any(r, v, a, false, out);
}
METHOD(rsplit)
{
    return split_any(r, v, a, true, out);
}
METHOD(splitlines)
{
    struct vlist *l = vlist_new(r, 4);
    bool keep = arg_bool(a->pos[0], false);
    if (!render_charge(r, CHARGE_SLOW * v.str->len)) return false;
    for (size_t at = 0; l && at < v.str->len;) {
        size_t end_len;
        size_t len = text_line(v.str->data + at, v.str->len - at, &end_len);
        if (!push_piece(r, l, v.str, v.str->data + at, len + (keep ? end_len : 0))) return false;
        at += len + end_len;
    }
    if (l) *out = VALUE_OF(VALUE_LIST, list, l);
    return l != NULL;
}

static bool partition(struct render *r, struct value v, const struct args *a, bool last,
                      struct value *out)
{
    const struct vstr *sep, *s = v.str;
    if (!arg_str(r, a->pos[0], "the separator", &sep)) return false;
    if (sep->len == 0) return render_fail(r, "empty separator");
    if (!text_charge_search(r, s->len, sep->len, last)) return false;
    size_t at = last ? text_find_last(s->data, s->len, sep->data, sep->len)
                     : text_find(s->data, s->len, sep->data, sep->len);
    struct vlist *l = vlist_new(r, 3);
    if (!l) return false;
    bool found = at != SIZE_MAX;
    const struct str whole = {s->data, s->len}, none = {"", 0};
    struct str parts[3] = {whole, none, none};
    if (!found && last) {
        parts[0] = none;
        parts[2] = whole;
    } else if (found) {
        parts[0].len = at;
        parts[1] = (struct str){sep->data, sep->len};
        parts[2] = (struct str){s->data + at + sep->len, s->len - at - sep->len};
    }
    for (size_t i = 0; i < 3; i++)
        if (!push_piece(r, l, s, parts[i].data, parts[i].len)) return false;
    *out = VALUE_OF(VALUE_TUPLE, list, l);
    return true;
}
METHOD(partition)
{
    return partition(r, v, a, false, out);
}
METHOD(rpartition)
{
    return partition(r, v, a, true, out);
}

/* --- searching --------------------------------------------------------------------------------------- */

/* The part of s between code points start and end (arguments first, first + 1), in bytes. */
static bool window(struct render *r, const struct vstr *s, const struct args *a, size_t first,
                   size_t *from, size_t *to, bool *inside)
{
    int64_t n = (int64_t)s->n_chars, start = 0, end = n;
    if (a->pos[first].type != VALUE_NONE && !arg_int(r, a->pos[first], 0, &start)) return false;
    if (a->pos[first + 1].type != VALUE_NONE && !arg_int(r, a->pos[first + 1], n, &end))
        return false;
    if (end > n) end = n;
    if (end < 0) end = end + n < 0 ? 0 : end + n;
    if (start < 0) start = start + n < 0 ? 0 : start + n;
    *inside = start <= end;
    *from = *inside ? text_offset(s, (size_t)start) : 0;
    *to = *inside ? text_offset(s, (size_t)end) : 0;
    bool whole = start == 0 && end == n;
    return whole || s->n_chars == s->len || render_charge(r, CHARGE_SLOW * s->len);
}

static bool search(struct render *r, struct value v, const struct args *a, bool last,
                   int64_t *index)
{
    const struct vstr *needle;
    size_t from, to, at = SIZE_MAX;
    bool inside;
    if (!arg_str(r, a->pos[0], "the argument", &needle) ||
        !window(r, v.str, a, 1, &from, &to, &inside))
        return false;
    if (!text_charge_search(r, v.str->len, needle->len, last)) return false;
    if (inside && last)
        at = text_find_last(v.str->data + from, to - from, needle->data, needle->len);
    else if (inside)
        at = text_find(v.str->data + from, to - from, needle->data, needle->len);
    *index = at == SIZE_MAX ? -1 : (int64_t)text_count(v.str->data, from + at);
    return true;
}
METHOD(find)
{
    int64_t index;
    if (!search(r, v, a, false, &index)) return false;
    *out = value_int(index);
    return true;
}
METHOD(rfind)
{
    int64_t index;
    if (!search(r, v, a, true, &index)) return false;
    *out = value_int(index);
    return true;
}
METHOD(index)
{
    if (!str_find(r, v, a, out)) return false;
    return out->i >= 0 || render_fail(r, "substring not found");
}
METHOD(rindex)
{
    if (!str_rfind(r, v, a, out)) return false;
    return out->i >= 0 || render_fail(r, "substring not found");
}
METHOD(count)
{
    const struct vstr *needle;
    size_t from, to;
    bool inside;
    int64_t n = 0;
    if (!arg_str(r, a->pos[0], "the argument of count", &needle) ||
        !window(r, v.str, a, 1, &from, &to, &inside) ||
        !text_charge_search(r, v.str->len, needle->len, false))
        return false;
    if (inside && needle->len == 0) n = (int64_t)text_count(v.str->data + from, to - from) + 1;
    while (inside && needle->len > 0) {
        size_t at = text_find(v.str->data + from, to - from, needle->data, needle->len);
        if (at == SIZE_MAX) break;
        n++;
        from += at + needle->len;
    }
    *out = value_int(n);
    return true;
}

static bool affix_one(struct render *r, struct str part, struct value affix, bool end, bool *holds)
{
    if (affix.type != VALUE_STR)
        return render_fail(r, "startswith and endswith need a string or a tuple of strings");
    const struct vstr *s = affix.str;
    *holds = part.len >= s->len &&
             memcmp(end ? part.data + part.len - s->len : part.data, s->data, s->len) == 0;
    return render_charge(r, part.len >= s->len ? s->len : 0);
}

static bool has_affix(struct render *r, struct value v, const struct args *a, bool end,
                      struct value *out)
{
    size_t from, to;
    bool inside, holds = false;
    if (!window(r, v.str, a, 1, &from, &to, &inside)) return false;
    struct str part = {v.str->data + from, to - from};
    struct value affix = a->pos[0];
    if (affix.type != VALUE_TUPLE) {
        if (!affix_one(r, part, affix, end, &holds)) return false;
    } else {
        if (!render_charge(r, affix.list->n * sizeof(struct value))) return false;
        for (size_t i = 0; i < affix.list->n && !holds; i++)
            if (!affix_one(r, part, affix.list->items[i], end, &holds)) return false;
    }
    *out = value_bool(inside && holds);
    return true;
}
METHOD(startswith)
{
    return has_affix(r, v, a, false, out);
}
METHOD(endswith)
{
    return has_affix(r, v, a, true, out);
}

static bool remove_affix(struct render *r, struct value v, const struct args *a, bool end,
                         struct value *out)
{
    const struct vstr *affix, *s = v.str;
    bool holds = false;
    if (!arg_str(r, a->pos[0], "the argument", &affix) ||
        !affix_one(r, (struct str){s->data, s->len}, a->pos[0], end, &holds))
        return false;
    size_t cut = holds ? affix->len : 0;
    return text_same_kind(r, s, s->data + (end ? 0 : cut), s->len - cut, out);
}
METHOD(removeprefix)
{
    return remove_affix(r, v, a, false, out);
}
METHOD(removesuffix)
{
    return remove_affix(r, v, a, true, out);
}

/* --- building ----------------------------------------------------------------------------------------- */

METHOD(replace)
{
    const struct vstr *from, *to;
    int64_t count;
    struct value with = a->pos[1];
    if (!arg_str(r, a->pos[0], "the first argument of replace", &from) ||
        !arg_str(r, with, "the second argument of replace", &to) ||
        !arg_int(r, a->pos[2], -1, &count))
        return false;
    if (v.str->markup && !value_escape(r, with, &with)) return false;
    return text_replace(r, v.str, from, with.str, count, v.str->markup, out);
}
METHOD(join)
{
    struct vlist *l;
    return iter_collect(r, a->pos[0], &l) && text_join(r, v.str, l, out);
}
METHOD(format)
{
    return format_braces(r, v.str, a, out);
}
METHOD(format_map)
{
    if (a->pos[0].type != VALUE_DICT) return render_fail(r, "format_map() needs a mapping");
    const struct vdict *d = a->pos[0].dict;
    struct args args = {.kw = render_alloc(r, d->n + 1, sizeof(struct keyword))};
    if (!args.kw) return false;
    for (size_t i = 0; i < d->n; i++)
        if (d->entries[i].key.type == VALUE_STR)
            args.kw[args.n_kw++] = (struct keyword){d->entries[i].key.str, d->entries[i].val};
    return format_braces(r, v.str, &args, out);
}

/* --- questions ------------------------------------------------------------------------------------------ */

static bool is_alpha(uint32_t cp)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)cp);
    return k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LL || k == UTF8PROC_CATEGORY_LT ||
           k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_LO;
}
static bool is_decimal(uint32_t cp)
{
    return utf8proc_category((utf8proc_int32_t)cp) == UTF8PROC_CATEGORY_ND;
}
/* Decimals, and the super- and subscript and circled digits of the common blocks. */
static bool is_digit(uint32_t cp)
{
    return is_decimal(cp) || cp == 0xb2 || cp == 0xb3 || cp == 0xb9 || cp == 0x2070 ||
           (cp >= 0x2074 && cp <= 0x2079) || (cp >= 0x2080 && cp <= 0x2089) ||
           (cp >= 0x2460 && cp <= 0x2468) || (cp >= 0x2776 && cp <= 0x277e);
}
static bool is_numeric(uint32_t cp)
{
    utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)cp);
    return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}
static bool is_ascii(uint32_t cp)
{
    return cp < 128;
}

static bool all_chars(struct render *r, const struct vstr *s, bool (*pred)(uint32_t),
                      bool when_empty, struct value *out)
{
    bool all = s->len > 0 || when_empty;
    size_t i = 0;
    for (; i < s->len && all;) {
        uint32_t cp;
        i += text_next(s->data + i, s->len - i, &cp);
        all = pred(cp);
    }
    *out = value_bool(all);
    return render_charge(r, CHARGE_SLOW * i);
}
#define QUESTION(name_, pred_, when_empty_)                  \
    METHOD(name_)                                            \
    {                                                        \
        (void)a;                                             \
        return all_chars(r, v.str, pred_, when_empty_, out); \
    }
QUESTION(isalnum, text_is_alnum, false)
QUESTION(isalpha, is_alpha, false)
QUESTION(isascii, is_ascii, true)
QUESTION(isdecimal, is_decimal, false)
QUESTION(isdigit, is_digit, false)
QUESTION(isnumeric, is_numeric, false)
QUESTION(isspace, text_is_space, false)
QUESTION(isprintable, text_is_printable, true)

METHOD(isidentifier)
{
    (void)a;
    bool digit = v.str->len && v.str->data[0] >= '0' && v.str->data[0] <= '9';
    if (!digit) return all_chars(r, v.str, text_is_ident, false, out);
    *out = value_bool(false);
    return true;
}
METHOD(islower)
{
    (void)a;
    const struct args none = {0};
    return call_method_def(r, test_find(STR("lower")), v, &none, out);
}
METHOD(isupper)
{
    (void)a;
    const struct args none = {0};
    return call_method_def(r, test_find(STR("upper")), v, &none, out);
}
METHOD(istitle)
{
    (void)a;
    bool ok = true, any = false, cased_before = false;
    for (size_t i = 0; i < v.str->len && ok;) {
        uint32_t cp;
        i += text_next(v.str->data + i, v.str->len - i, &cp);
        utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)cp);
        bool upper = k == UTF8PROC_CATEGORY_LU || k == UTF8PROC_CATEGORY_LT;
        bool lower = k == UTF8PROC_CATEGORY_LL;
        ok = !(upper && cased_before) && !(lower && !cased_before);
        any = any || upper || lower;
        cased_before = upper || lower;
    }
    *out = value_bool(ok && any);
    return render_charge(r, CHARGE_SLOW * v.str->len);
}

const struct method_def str_methods[] = {
    {"strip", "/chars", 0, str_strip},
    {"lstrip", "/chars", 0, str_lstrip},
    {"rstrip", "/chars", 0, str_rstrip},
    {"split", "sep maxsplit", 0, str_split},
    {"rsplit", "sep maxsplit", 0, str_rsplit},
    {"splitlines", "keepends", 0, str_splitlines},
    {"startswith", "/prefix start end", 1, str_startswith},
    {"endswith", "/suffix start end", 1, str_endswith},
    {"replace", "/old new count", 2, str_replace},
    {"join", "/iterable", 1, str_join},
    {"format", NULL, 0, str_format},
    {"format_map", "/mapping", 1, str_format_map},
    {"find", "/sub start end", 1, str_find},
    {"rfind", "/sub start end", 1, str_rfind},
    {"index", "/sub start end", 1, str_index},
    {"rindex", "/sub start end", 1, str_rindex},
    {"count", "/sub start end", 1, str_count},
    {"upper", "/", 0, str_upper},
    {"lower", "/", 0, str_lower},
    {"title", "/", 0, str_title},
    {"capitalize", "/", 0, str_capitalize},
    {"swapcase", "/", 0, str_swapcase},
    {"casefold", "/", 0, str_casefold},
    {"center", "/width fillchar", 1, str_center},
    {"ljust", "/width fillchar", 1, str_ljust},
    {"rjust", "/width fillchar", 1, str_rjust},
    {"zfill", "/width", 1, str_zfill},
    {"expandtabs", "tabsize", 0, str_expandtabs},
    {"partition", "/sep", 1, str_partition},
    {"rpartition", "/sep", 1, str_rpartition},
    {"removeprefix", "/prefix", 1, str_removeprefix},
    {"removesuffix", "/suffix", 1, str_removesuffix},
    {"isalnum", "/", 0, str_isalnum},
    {"isalpha", "/", 0, str_isalpha},
    {"isascii", "/", 0, str_isascii},
    {"isdecimal", "/", 0, str_isdecimal},
    {"isdigit", "/", 0, str_isdigit},
    {"isnumeric", "/", 0, str_isnumeric},
    {"isspace", "/", 0, str_isspace},
    {"isprintable", "/", 0, str_isprintable},
    {"isidentifier", "/", 0, str_isidentifier},
    {"islower", "/", 0, str_islower},
    {"isupper", "/", 0, str_isupper},
    {"istitle", "/", 0, str_istitle},
    {"encode", NULL, 0, method_unsupported},
    {"translate", NULL, 0, method_unsupported},
    {"maketrans", NULL, 0, method_unsupported},
};
const size_t n_str_methods = ARRAY_LEN(str_methods);
