#include "server/terminal/sampling_params.h"

#include "config/base/check.h"
#include "config/base/json.h"
#include "config/limits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_INT, KIND_REAL, KIND_TEXTS };

/* Ranges are those of OpenAI's and vLLM's reference, which docs/api.md has too. */
static const struct row {
    const char *name;
    enum kind kind;
    double min, max;
    const char *value_name, *help;
} table[] = {
    {"temperature", KIND_REAL, 0, 2, "T", "How freely is drawn; 0 takes the likeliest token."},
    {"top_p", KIND_REAL, 0, 1, "P", "Only the likeliest tokens that have P together."},
    {"top_k", KIND_INT, -1, 1 << 30, "K", "Only the K likeliest tokens; -1 and 0: all."},
    {"min_p", KIND_REAL, 0, 1, "P", "Only tokens with P times the likeliest one's probability."},
    {"max_tokens", KIND_INT, 1, 1 << 30, "N", "Longest answer, in tokens."},
    {"seed", KIND_INT, -9007199254740991.0, 9007199254740991.0, "N",
     "The same seed gives the same answer."},
    {"stop", KIND_TEXTS, 0, LIMIT_STOP_STRINGS, "TEXT",
     "Text that ends the answer; several as [\"a\",\"b\"]."},
    {"frequency_penalty", KIND_REAL, -2, 2, "X", "Less of what was said often."},
    {"presence_penalty", KIND_REAL, -2, 2, "X", "Less of what was said at all."},
    {"repetition_penalty", KIND_REAL, 0.001, 1000, "X", "The same, over the prompt too; 1: off."},
    {"max_completion_tokens", KIND_INT, 1, 1 << 30, "N",
     "What some servers want instead of max_tokens; of both, inferd takes this."},
};
_Static_assert(ARRAY_LEN(table) <= SAMPLING_PARAMS_MAX, "raise SAMPLING_PARAMS_MAX");

static bool name_eq(const char *with_underscores, const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (with_underscores[i] != (name[i] == '-' ? '_' : name[i])) return false;
    return with_underscores[len] == '\0';
}

int sampling_params_find(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (name_eq(table[i].name, name, len)) return (int)i;
    return -1;
}

const char *sampling_params_suggest(const char *name)
{
    const char *nearest = NULL;
    int best = 4; /* edits: "temprature", "max_token" */

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        int d = str_distance(name, table[i].name, best);
        if (d >= best || (size_t)d >= strlen(name)) continue;
        best = d;
        nearest = table[i].name;
    }
    return nearest;
}

/* --- values ---------------------------------------------------------------------------------- */

static enum status bad_value(const struct row *r, struct str text, struct error *err)
{
    int shown = (int)(text.len < 60 ? text.len : 60);

    if (r->kind == KIND_TEXTS)
        return error_set_param(err, STATUS_INVALID, r->name,
                               "%s must be a text, or up to %d of them as [\"a\",\"b\"], of 1 to "
                               "%d bytes each, not %.*s",
                               r->name, LIMIT_STOP_STRINGS, LIMIT_STOP_STRING_LEN, shown,
                               text.data);
    return error_set_param(err, STATUS_INVALID, r->name,
                           "%s must be a %snumber from %.16g to %.16g, not \"%.*s\"", r->name,
                           r->kind == KIND_INT ? "whole " : "", r->min, r->max, shown, text.data);
}

static bool is_stop(const cJSON *v)
{
    size_t len = cJSON_IsString(v) ? strlen(v->valuestring) : 0;
    return len > 0 && len <= LIMIT_STOP_STRING_LEN;
}

static bool is_stops(const cJSON *v)
{
    const cJSON *item;
    int n = 0;

    if (!cJSON_IsArray(v)) return is_stop(v);
    cJSON_ArrayForEach(item, v) if (!is_stop(item) || ++n > LIMIT_STOP_STRINGS) return false;
    return n > 0;
}

static bool in_range(const struct row *r, double v)
{
    return v >= r->min && v <= r->max && (r->kind != KIND_INT || v == floor(v));
}

/* Takes the memory of `json`. */
static enum status replace(struct sampling_params *p, int i, struct strbuf *json, struct error *err)
{
    char *text = strbuf_take(json, NULL);
    if (!text) return error_set(err, STATUS_NO_MEMORY, "no memory for %s", table[i].name);
    free(p->json[i]);
    p->json[i] = text;
    return STATUS_OK;
}

static void unset(struct sampling_params *p, int i)
{
    free(p->json[i]);
    p->json[i] = NULL;
}

enum status sampling_params_set_json(struct sampling_params *p, int i, const cJSON *value,
                                     struct error *err)
{
    const struct row *r = &table[i];
    struct strbuf text;
    enum status st;

    if (!value || cJSON_IsNull(value)) {
        unset(p, i);
        return STATUS_OK;
    }
    strbuf_init(&text, 0);
    json_print(&text, value);
    bool ok = r->kind == KIND_TEXTS ? is_stops(value)
                                    : cJSON_IsNumber(value) && in_range(r, value->valuedouble);
    st = ok ? replace(p, i, &text, err)
            : bad_value(r, (struct str){text.data ? text.data : "", text.len}, err);
    strbuf_free(&text);
    return st;
}

static enum status set_number(struct sampling_params *p, int i, struct str value, struct error *err)
{
    const struct row *r = &table[i];
    struct strbuf text;
    double real = 0;
    int64_t whole = 0;

    strbuf_init(&text, 0);
    strbuf_add(&text, value.data, value.len);
    bool ok = !text.failed && !memchr(value.data, '\0', value.len) &&
              (r->kind == KIND_INT ? parse_i64(text.data, &whole) : parse_f64(text.data, &real));
    if (ok && r->kind == KIND_INT) real = (double)whole;
    ok = ok && in_range(r, real);
    enum status st = ok ? STATUS_OK : bad_value(r, value, err);
    if (ok) {
        strbuf_clear(&text);
        strbuf_addf(&text, "%.16g", real);
        st = replace(p, i, &text, err);
    }
    strbuf_free(&text);
    return st;
}

/* A JSON string or array, or the text itself. */
static enum status set_texts(struct sampling_params *p, int i, struct str value, struct error *err)
{
    static const struct json_limits limits = {.max_size = 64 << 10, .max_depth = 2};
    cJSON *v = NULL;
    enum status st = STATUS_OK;

    if (value.data[0] == '"' || value.data[0] == '[') {
        if (json_parse(value.data, value.len, &limits, &v, err) != STATUS_OK)
            return error_prepend(err, "%s", table[i].name);
    } else if (!utf8_valid(value.data, value.len) || memchr(value.data, '\0', value.len)) {
        return bad_value(&table[i], STR("what is no UTF-8"), err);
    } else {
        struct strbuf copy;
        strbuf_init(&copy, 0);
        strbuf_add(&copy, value.data, value.len);
        v = copy.failed ? NULL : cJSON_CreateString(copy.data);
        strbuf_free(&copy);
        if (!v) st = error_set(err, STATUS_NO_MEMORY, "no memory for %s", table[i].name);
    }
    if (st == STATUS_OK) st = sampling_params_set_json(p, i, v, err);
    cJSON_Delete(v);
    return st;
}

enum status sampling_params_set(struct sampling_params *p, int i, struct str value,
                                struct error *err)
{
    if (value.len == 0) {
        unset(p, i);
        return STATUS_OK;
    }
    return table[i].kind == KIND_TEXTS ? set_texts(p, i, value, err) : set_number(p, i, value, err);
}

/* --- a line of them -------------------------------------------------------------------------- */

/* The value at *at, up to the blank behind it; blanks inside quotes and brackets are its own. */
static struct str scan_value(const char *at)
{
    bool quoted = false;
    int depth = 0;
    size_t n = 0;

    for (; at[n]; n++) {
        if (quoted && at[n] == '\\' && at[n + 1]) {
            n++;
        } else if (at[n] == '"' && (quoted || n == 0 || depth > 0)) {
            quoted = !quoted;
        } else if (!quoted && at[n] == '[') {
            depth += n == 0 || depth > 0;
        } else if (!quoted && at[n] == ']') {
            depth -= depth > 0;
        } else if (!quoted && depth == 0 && strchr(" \t\n", at[n])) {
            break;
        }
    }
    return (struct str){at, n};
}

static enum status unknown(const char *name, size_t len, struct error *err)
{
    char copy[64];
    snprintf(copy, sizeof(copy), "%.*s", (int)(len < 60 ? len : 60), name);
    const char *near = sampling_params_suggest(copy);
    if (near)
        return error_set(err, STATUS_INVALID, "no parameter \"%s\"; did you mean \"%s\"?", copy,
                         near);
    return error_set(err, STATUS_INVALID, "no parameter \"%s\"; /params lists them", copy);
}

/* One NAME=VALUE; *at moves behind it. */
static enum status set_one(struct sampling_params *p, const char **at, struct error *err)
{
    size_t len = strcspn(*at, "= \t\n");
    const char *name = *at;
    int i = sampling_params_find(name, len);

    if (i < 0) return unknown(name, len, err);
    if (name[len] != '=')
        return error_set(err, STATUS_INVALID, "write it as %s=VALUE; %s= unsets it", table[i].name,
                         table[i].name);
    struct str value = scan_value(name + len + 1);
    *at = value.data + value.len;
    return sampling_params_set(p, i, value, err);
}

/* False: no memory, and *out is empty. */
static bool copy_params(const struct sampling_params *p, struct sampling_params *out)
{
    *out = (struct sampling_params){0};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (!p->json[i]) continue;
        out->json[i] = strdup(p->json[i]);
        if (out->json[i]) continue;
        sampling_params_free(out);
        return false;
    }
    return true;
}

enum status sampling_params_set_line(struct sampling_params *p, const char *line, struct error *err)
{
    struct sampling_params changed;
    enum status st = STATUS_OK;

    if (!copy_params(p, &changed))
        return error_set(err, STATUS_NO_MEMORY, "no memory for the parameters");
    for (line += strspn(line, " \t\n"); *line && st == STATUS_OK; line += strspn(line, " \t\n"))
        st = set_one(&changed, &line, err);
    if (st == STATUS_OK) {
        sampling_params_free(p);
        *p = changed;
    } else {
        sampling_params_free(&changed);
    }
    return st;
}

void sampling_params_move(struct sampling_params *p, struct sampling_params *from)
{
    for (int i = 0; i < SAMPLING_PARAMS_MAX; i++) {
        if (!from->json[i]) continue;
        free(p->json[i]);
        p->json[i] = from->json[i];
        from->json[i] = NULL;
    }
}

void sampling_params_free(struct sampling_params *p)
{
    for (int i = 0; i < SAMPLING_PARAMS_MAX; i++) free(p->json[i]);
    *p = (struct sampling_params){0};
}

int64_t sampling_params_max_tokens(const struct sampling_params *p)
{
    static const char *const names[] = {"max_completion_tokens", "max_tokens"};
    int64_t n = 0;

    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        const char *json = p->json[sampling_params_find(names[k], strlen(names[k]))];
        if (json && parse_i64(json, &n)) return n;
    }
    return 0;
}

void sampling_params_names(void (*each)(void *arg, const char *name), void *arg)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) each(arg, table[i].name);
}

/* --- out ------------------------------------------------------------------------------------- */

void sampling_params_add_json(const struct sampling_params *p, struct strbuf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (p->json[i]) strbuf_addf(out, ",\"%s\":%s", table[i].name, p->json[i]);
}

void sampling_params_read_defaults(struct sampling_params *p, const cJSON *v)
{
    struct error ignored;

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        sampling_params_set_json(p, (int)i, json_get(v, table[i].name), &ignored);
}

void sampling_params_describe(const struct sampling_params *p,
                              const struct sampling_params *defaults, struct strbuf *out)
{
    bool some = false;

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const char *said = defaults->json[i];
        char value[64] = "-";
        if (said) snprintf(value, sizeof(value), "(%.60s)", said);
        some |= said && !p->json[i];
        strbuf_addf(out, "  %-21s %-10s %s\n", table[i].name, p->json[i] ? p->json[i] : value,
                    table[i].help);
    }
    strbuf_addf(out, "  %s-: the server's choice%s\n", some ? "(...): the server's choice; " : "",
                some ? ", which it does not tell" : "");
}

void sampling_params_print_options(FILE *f)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        fputs("  --", f);
        for (const char *c = table[i].name; *c; c++) fputc(*c == '_' ? '-' : *c, f);
        fprintf(f, " %s\n        %s\n", table[i].value_name, table[i].help);
    }
}
