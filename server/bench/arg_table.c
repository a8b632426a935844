#include "server/bench/arg_table.h"

#include "config/base/str.h"

#include <string.h>

static bool name_eq(const char *table_name, const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (table_name[i] != (name[i] == '_' ? '-' : name[i])) return false;
    return table_name[len] == '\0';
}

static const struct arg_def *find_arg(const struct arg_table *t, const char *name, size_t len)
{
    for (size_t i = 0; i < t->n_defs; i++)
        if (name_eq(t->defs[i].name, name, len)) return &t->defs[i];
    return NULL;
}

static enum status unknown_arg(const struct arg_table *t, const char *name, size_t len,
                               struct error *err)
{
    char copy[64];
    snprintf(copy, sizeof(copy), "%.*s", (int)(len < 60 ? len : 60), name);
    const char *near = NULL;
    int best = 4;
    for (size_t i = 0; i < t->n_defs; i++) {
        int d = str_distance(copy, t->defs[i].name, best);
        bool part = strlen(copy) >= 4 && strstr(t->defs[i].name, copy);
        if (d >= best && !(part && !near)) continue;
        if (d < best) best = d;
        near = t->defs[i].name;
    }
    if (near)
        return error_set(err, STATUS_INVALID, "unknown option --%s; did you mean --%s?", copy,
                         near);
    return error_set(err, STATUS_INVALID, "unknown option --%s; see inferd %s --help", copy,
                     t->command);
}

static enum status set_arg(void *a, const struct arg_def *d, const char *text, struct error *err)
{
    char *at = (char *)a + d->offset;
    double real = 0;
    int64_t whole = 0;
    bool ok = true;
    switch (d->kind) {
    case ARG_TEXT:
        memcpy(at, &text, sizeof(text));
        ok = *text != '\0';
        break;
    case ARG_INT:
        ok = parse_i64(text, &whole) && (double)whole >= d->min && (double)whole <= d->max;
        if (ok) memcpy(at, &whole, sizeof(whole));
        break;
    case ARG_REAL:
        ok = parse_f64(text, &real) && real >= d->min && real <= d->max;
        if (ok) memcpy(at, &real, sizeof(real));
        break;
    case ARG_FLAG: {
        bool on = strcmp(text, "true") == 0;
        ok = on || strcmp(text, "false") == 0;
        memcpy(at, &on, sizeof(on));
        break;
    }
    }
    if (ok) return STATUS_OK;
    if (d->kind == ARG_INT || d->kind == ARG_REAL)
        return error_set_param(err, STATUS_INVALID, d->name,
                               "--%s must be a%s number from %.15g to %.15g, not \"%.80s\"",
                               d->name, d->kind == ARG_INT ? " whole" : "", d->min, d->max, text);
    return error_set_param(err, STATUS_INVALID, d->name, "--%s: \"%.80s\" is not accepted", d->name,
                           text);
}

enum status arg_table_take(const struct arg_table *t, void *a, int argc, char **argv, int *at,
                           struct error *err)
{
    const char *arg = argv[(*at)++];
    if (strncmp(arg, "--", 2) != 0)
        return error_set(err, STATUS_INVALID, "\"%.80s\" is no option; see inferd %s --help", arg,
                         t->command);
    const char *name = arg + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    const struct arg_def *d = find_arg(t, name, len);
    if (d && d->kind == ARG_FLAG) return set_arg(a, d, value ? value : "true", err);
    if (!d && len > 3 && !value && (strncmp(name, "no-", 3) == 0 || strncmp(name, "no_", 3) == 0)) {
        d = find_arg(t, name + 3, len - 3);
        if (d && d->kind == ARG_FLAG) return set_arg(a, d, "false", err);
        d = NULL;
    }
    if (!d) return unknown_arg(t, name, len, err);
    if (!value && *at < argc) value = argv[(*at)++];
    if (!value)
        return error_set_param(err, STATUS_INVALID, d->name, "--%s needs a value: %s", d->name,
                               d->value_name);
    return set_arg(a, d, value, err);
}

enum status arg_table_presets(const struct arg_table *t, void *a, struct error *err)
{
    for (size_t i = 0; i < t->n_defs; i++) {
        if (!t->defs[i].preset) continue;
        enum status st = set_arg(a, &t->defs[i], t->defs[i].preset, err);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

static void print_arg(FILE *f, const struct arg_def *d)
{
    if (d->kind == ARG_FLAG) {
        fprintf(f, "  --%s, --no-%s\n        ", d->name, d->name);
    } else {
        fprintf(f, "  --%s %s\n        ", d->name, d->value_name);
    }
    size_t column = 8;
    for (const char *word = d->help; *word;) {
        size_t n = strcspn(word, " ");
        bool first = column == 8;
        if (!first && column + 1 + n > 96) {
            fputs("\n        ", f);
            column = 8;
        } else if (!first) {
            fputc(' ', f);
            column++;
        }
        fprintf(f, "%.*s", (int)n, word);
        column += n;
        word += n + (word[n] == ' ');
    }
    if (d->preset) fprintf(f, " [default: %s]", d->preset);
    fputc('\n', f);
}

void arg_table_print(const struct arg_table *t, FILE *f)
{
    const char *section = "";
    for (size_t i = 0; i < t->n_defs; i++) {
        if (strcmp(section, t->defs[i].section) != 0) fprintf(f, "\n%s:\n", t->defs[i].section);
        section = t->defs[i].section;
        print_arg(f, &t->defs[i]);
    }
}
