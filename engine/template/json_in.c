/* json_in.c - the context of a rendering: from cJSON's tree to values. */

#include "config/limits.h"
#include "engine/template/interp.h"
#include "engine/template/template.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- numbers as they were written -------------------------------------------------------------- */

struct literals {
    const char *at, *end;
};

/* The next number's text; empty at the end. */
static struct str next_literal(struct literals *l)
{
    while (l->at < l->end) {
        char c = *l->at++;
        if (c == '"') {
            while (l->at < l->end && *l->at != '"') l->at += 1 + (*l->at == '\\');
            l->at++;
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            const char *start = l->at - 1;
            while (l->at < l->end && strchr("0123456789+-.eE", *l->at) && *l->at) l->at++;
            return (struct str){start, (size_t)(l->at - start)};
        }
    }
    return (struct str){NULL, 0};
}

/* A short integer is the same from its double. */
static bool needs_text(struct str s)
{
    enum { DIGITS_EXACT = 15 };
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] == '.' || s.data[i] == 'e' || s.data[i] == 'E') return true;
    return s.len > DIGITS_EXACT;
}

static bool keep(cJSON *item, struct literals *l)
{
    for (; item; item = item->next) {
        if (item->child && !keep(item->child, l)) return false;
        if (!cJSON_IsNumber(item)) continue;
        struct str s = next_literal(l);
        if (!needs_text(s)) continue;
        item->valuestring = cJSON_malloc(s.len + 1);
        if (!item->valuestring) return false;
        memcpy(item->valuestring, s.data, s.len);
        item->valuestring[s.len] = '\0';
    }
    return true;
}

bool template_keep_numbers(cJSON *tree, const char *text, size_t len)
{
    struct literals l = {text, text + len};
    return keep(tree, &l);
}

/* Python's json: digits alone are an int, anything else is a float. */
static bool number_from_json(struct render *r, const cJSON *item, struct value *out)
{
    double d = item->valuedouble;
    const char *s = item->valuestring;
    if (s && strpbrk(s, ".eE")) {
        *out = value_float(d);
    } else if (s) {
        errno = 0;
        *out = value_int(strtoll(s, NULL, 10));
        if (errno == ERANGE)
            return render_fail(r, "the integer %.40s of the request does not fit in 64 bits", s);
    } else if (d >= -9007199254740992.0 && d <= 9007199254740992.0 && d == (double)(int64_t)d) {
        *out = value_int((int64_t)d);
    } else {
        *out = value_float(d);
    }
    return true;
}

/* --- values ------------------------------------------------------------------------------------ */

static bool from_json(struct render *r, const cJSON *item, int depth, struct value *out);

static size_t count_children(const cJSON *item)
{
    size_t n = 0;
    for (const cJSON *child = item->child; child; child = child->next) n++;
    return n;
}

static bool list_from_json(struct render *r, const cJSON *item, int depth, struct value *out)
{
    struct vlist *l = vlist_new(r, count_children(item));
    if (!l) return false;
    for (const cJSON *child = item->child; child; child = child->next)
        if (!from_json(r, child, depth + 1, &l->items[l->n++])) return false;
    *out = VALUE_OF(VALUE_LIST, list, l);
    return true;
}

static bool dict_from_json(struct render *r, const cJSON *item, int depth, struct value *out)
{
    struct vdict *d = vdict_new(r);
    if (!d) return false;
    for (const cJSON *child = item->child; child; child = child->next) {
        struct value key, v;
        const char *name = child->string ? child->string : "";
        if (!value_str_view(r, name, strlen(name), false, &key) ||
            !from_json(r, child, depth + 1, &v) || !vdict_set(r, d, key, v))
            return false;
    }
    *out = VALUE_OF(VALUE_DICT, dict, d);
    return true;
}

static bool from_json(struct render *r, const cJSON *item, int depth, struct value *out)
{
    if (depth > LIMIT_JSON_DEPTH) return render_fail(r, "the context is nested too deeply");
    if (cJSON_IsString(item) && item->valuestring)
        return value_str_view(r, item->valuestring, strlen(item->valuestring), false, out);
    if (cJSON_IsNumber(item)) return number_from_json(r, item, out);
    if (cJSON_IsArray(item)) return list_from_json(r, item, depth, out);
    if (cJSON_IsObject(item)) return dict_from_json(r, item, depth, out);
    *out = cJSON_IsBool(item) ? value_bool(cJSON_IsTrue(item)) : value_none();
    return true;
}

bool value_from_json(struct render *r, const cJSON *item, struct value *out)
{
    return from_json(r, item, 0, out);
}
