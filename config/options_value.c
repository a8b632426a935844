#include "config/base/check.h"
#include "config/base/str.h"
#include "config/options_table.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LIST_MAX 1024 /* names, keys, origins */

static bool name_eq(const char *with_dashes, const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = name[i] == '_' ? '-' : name[i];
        if (c != with_dashes[i]) return false;
    }
    return with_dashes[len] == '\0';
}

const struct option_def *option_find(const char *name, size_t len)
{
    for (int i = 0; i < option_table_len; i++)
        if (name_eq(option_table[i].name, name, len)) return &option_table[i];
    return NULL;
}

const struct option_foreign *option_find_foreign(const char *name, size_t len)
{
    for (int i = 0; i < option_foreign_table_len; i++)
        if (name_eq(option_foreign_table[i].name, name, len)) return &option_foreign_table[i];
    return NULL;
}

const char *option_suggest(const char *name, size_t len)
{
    char copy[64];
    if (len < 2 || len >= sizeof(copy)) return NULL;
    for (size_t i = 0; i < len; i++)
        copy[i] = name[i] == '_' ? '-' : (char)tolower((unsigned char)name[i]);
    copy[len] = '\0';
    /* A third of the letters may differ: max-batched-tokens is max-num-batched-tokens. */
    int best = len < 4 ? 1 : (int)(len / 3) > 5 ? 5 : (int)(len / 3);
    if (len >= 4 && best < 2) best = 2;
    const char *found = NULL;
    for (int i = 0; i < option_table_len; i++) {
        int d = str_distance(option_table[i].name, copy, best);
        if (d > best || (found && d == best)) continue;
        best = d;
        found = option_table[i].name;
    }
    for (int i = 0; i < option_table_len && !found && len >= 4; i++)
        if (strstr(option_table[i].name, copy)) found = option_table[i].name;
    return found;
}

void option_env_name(const struct option_def *d, char *out, size_t out_size)
{
    size_t n = 0;
    for (; d->name[n] && n + 1 < out_size; n++)
        out[n] = d->name[n] == '-' ? '_' : (char)toupper((unsigned char)d->name[n]);
    out[n] = '\0';
}

enum status option_unknown(const struct option_parser *p, const char *where, const char *name,
                           size_t len, struct error *err)
{
    if (len > 100) len = 100;
    const char *near = option_suggest(name, len);
    if (near)
        return error_set(err, STATUS_INVALID, "%s: unknown option \"%.*s\"; did you mean \"%s\"?",
                         where, (int)len, name, near);
    return error_set(err, STATUS_INVALID, "%s: unknown option \"%.*s\"; see inferd %s --help",
                     where, (int)len, name, p->out->command);
}

enum status option_foreign_check(const struct option_foreign *f, const char *value,
                                 const char *where, struct error *err)
{
    if (f->harmless && value && strcmp(f->harmless, value) == 0) return STATUS_OK;
    return error_set_param(err, STATUS_UNSUPPORTED, f->name, "%s: %s %s", where, f->name,
                           f->advice);
}

/* --- values ---------------------------------------------------------------------------------- */

bool option_parse_bool(const char *text, bool *out)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true},   {"1", true},  {"yes", true}, {"on", true},
                 {"false", false}, {"0", false}, {"no", false}, {"off", false}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasecmp(text, words[i].word) != 0) continue;
        *out = words[i].value;
        return true;
    }
    return false;
}

bool option_parse_size(const char *text, int64_t *out)
{
    static const struct {
        const char *suffix;
        int64_t scale;
    } scales[] = {
        {"", 1},
        {"K", INT64_C(1) << 10},
        {"M", INT64_C(1) << 20},
        {"G", INT64_C(1) << 30},
        {"T", INT64_C(1) << 40},
        {"KiB", INT64_C(1) << 10},
        {"MiB", INT64_C(1) << 20},
        {"GiB", INT64_C(1) << 30},
        {"TiB", INT64_C(1) << 40},
        {"k", 1000},
        {"m", 1000000},
        {"g", 1000000000},
        {"t", INT64_C(1000000000000)},
        {"kB", 1000},
        {"MB", 1000000},
        {"GB", 1000000000},
        {"TB", INT64_C(1000000000000)},
    };
    char digits[24];
    size_t n = strspn(text, "0123456789");
    int64_t value;
    if (n == 0 || n >= sizeof(digits)) return false;
    memcpy(digits, text, n);
    digits[n] = '\0';
    if (!parse_i64(digits, &value)) return false;
    for (size_t i = 0; i < ARRAY_LEN(scales); i++)
        if (strcmp(text + n, scales[i].suffix) == 0)
            return !__builtin_mul_overflow(value, scales[i].scale, out);
    return false;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);
    for (const char *c = choices; *c;) {
        size_t n = strcspn(c, "|");
        if (n == len && memcmp(c, text, n) == 0) return true;
        c += n + (c[n] == '|');
    }
    return false;
}

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "out of memory reading the options");
}

/* Lists double their array in the arena: the old one stays there until the end. */
static enum status list_append(struct arena *a, struct option_list *list, char *item,
                               const char *where, struct error *err)
{
    if (list->n >= LIST_MAX)
        return error_set(err, STATUS_INVALID, "%s: more than %d values", where, LIST_MAX);
    bool full = (list->n & (list->n - 1)) == 0; /* 0, 1, 2, 4, 8, ... */
    if (full) {
        char **items =
            arena_alloc_array(a, list->n ? (size_t)list->n * 2 : 1, sizeof(list->items[0]));
        if (!items) return no_memory(err);
        if (list->n) memcpy(items, list->items, (size_t)list->n * sizeof(items[0]));
        list->items = items;
    }
    list->items[list->n++] = item;
    return STATUS_OK;
}

bool option_is_open(const struct option_parser *p, const struct option_def *d,
                    enum option_source source)
{
    return p->source[d - option_table] <= source;
}

static enum status bad_value(const struct option_def *d, const char *text, const char *where,
                             const char *want, struct error *err)
{
    if (d->secret)
        return error_set_param(err, STATUS_INVALID, d->name, "%s: must be %s", where, want);
    return error_set_param(err, STATUS_INVALID, d->name, "%s: must be %s, not \"%.100s\"", where,
                           want, text);
}

static enum status set_int(const struct option_def *d, const char *text, const char *where,
                           int64_t *out, struct error *err)
{
    char want[128];
    bool size = d->kind == OPTION_SIZE;
    snprintf(want, sizeof(want), "a whole number from %lld to %lld%s", (long long)d->min,
             (long long)d->max, size ? " (K, M, G and T may follow it)" : "");
    int64_t v;
    bool ok = size ? option_parse_size(text, &v) : parse_i64(text, &v);
    if (!ok || v < d->min || v > d->max) return bad_value(d, text, where, want, err);
    *out = v;
    return STATUS_OK;
}

static enum status set_seconds(const struct option_def *d, const char *text, const char *where,
                               double *out, struct error *err)
{
    char want[96];
    snprintf(want, sizeof(want), "a number of seconds from %lld to %lld", (long long)d->min,
             (long long)d->max);
    double v;
    if (!parse_f64(text, &v) || v < (double)d->min || v > (double)d->max)
        return bad_value(d, text, where, want, err);
    *out = v;
    return STATUS_OK;
}

static enum status set_share(const struct option_def *d, const char *text, const char *where,
                             double *out, struct error *err)
{
    char want[96];
    snprintf(want, sizeof(want), "a number from %.2f to %.2f", (double)d->min / 100,
             (double)d->max / 100);
    double v;
    if (!parse_f64(text, &v) || v < (double)d->min / 100 || v > (double)d->max / 100)
        return bad_value(d, text, where, want, err);
    *out = v;
    return STATUS_OK;
}

static enum status set_text(struct option_parser *p, const struct option_def *d, const char *text,
                            const char *where, struct error *err)
{
    char *copy = arena_strndup(p->arena, text, strlen(text));
    if (!copy) return no_memory(err);
    if (!utf8_valid(text, strlen(text))) return bad_value(d, "...", where, "valid UTF-8", err);
    if (d->kind == OPTION_CHOICE && !is_choice(d->choices, text))
        return error_set_param(err, STATUS_INVALID, d->name,
                               "%s: must be one of %s, not \"%.100s\"%s%s", where, d->choices, text,
                               d->advice ? "; " : "", d->advice ? d->advice : "");
    if (*text == '\0' && !(d->preset && *d->preset == '\0'))
        return bad_value(d, text, where, "a value that is not empty", err);
    if (d->kind == OPTION_CONFIG) {
        p->config_path = copy;
        return STATUS_OK;
    }
    char *at = (char *)p->out + d->offset;
    if (d->kind != OPTION_LIST) {
        memcpy(at, &copy, sizeof(copy)); /* a const char * */
        return STATUS_OK;
    }
    return list_append(p->arena, (struct option_list *)(void *)at, copy, where, err);
}

enum status option_set(struct option_parser *p, const struct option_def *d, const char *text,
                       enum option_source source, const char *where, struct error *err)
{
    void *at = (char *)p->out + d->offset;
    enum status st = STATUS_OK;
    switch (d->kind) {
    case OPTION_STRING:
    case OPTION_CHOICE:
    case OPTION_LIST:
    case OPTION_CONFIG:
        st = set_text(p, d, text, where, err);
        break;
    case OPTION_INT:
    case OPTION_SIZE:
        st = set_int(d, text, where, at, err);
        break;
    case OPTION_SECONDS:
        st = set_seconds(d, text, where, at, err);
        break;
    case OPTION_SHARE:
        st = set_share(d, text, where, at, err);
        break;
    case OPTION_BOOL:
        if (!option_parse_bool(text, at)) st = bad_value(d, text, where, "true or false", err);
        break;
    }
    if (st == STATUS_OK) p->source[d - option_table] = (unsigned char)source;
    return st;
}
