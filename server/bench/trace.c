#include "server/bench/trace.h"

#include "config/base/file.h"
#include "config/base/json.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TRACE_SIZE_MAX  (UINT64_C(4) << 30)
#define TRACE_LINE_MAX  (1 << 20)
#define TRACE_TOKEN_MAX 10000000

struct rows {
    struct trace_row *items;
    size_t n, cap;
};

static enum status rows_add(struct rows *r, const struct trace_row *row, struct error *err)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 1024;
        struct trace_row *items = realloc(r->items, cap * sizeof(*items));
        if (!items) return error_set(err, STATUS_NO_MEMORY, "out of memory reading the trace");
        r->items = items;
        r->cap = cap;
    }
    r->items[r->n++] = *row;
    return STATUS_OK;
}

/* `n` digits at *at. */
static bool take_digits(const char **at, int n, int *out)
{
    int v = 0;
    for (int i = 0; i < n; i++) {
        char c = *(*at)++;
        if (c < '0' || c > '9') return false;
        v = v * 10 + (c - '0');
    }
    *out = v;
    return true;
}

static bool take_char(const char **at, char c)
{
    return *(*at)++ == c;
}

/* "2023-11-16 18:17:03.9799600", perhaps with "+00:00"; moves *at behind it. */
static bool take_timestamp(const char **at, double *seconds)
{
    struct tm tm = {0};
    int year, month;
    bool ok = take_digits(at, 4, &year) && take_char(at, '-') && take_digits(at, 2, &month) &&
              take_char(at, '-') && take_digits(at, 2, &tm.tm_mday) && take_char(at, ' ') &&
              take_digits(at, 2, &tm.tm_hour) && take_char(at, ':') &&
              take_digits(at, 2, &tm.tm_min) && take_char(at, ':') &&
              take_digits(at, 2, &tm.tm_sec);
    if (!ok || year < 1970 || month < 1 || month > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
        tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    double fraction = 0, scale = 0.1;
    if (**at == '.')
        for (++*at; **at >= '0' && **at <= '9'; ++*at, scale /= 10)
            fraction += (**at - '0') * scale;
    if (strncmp(*at, "+00:00", 6) == 0) *at += 6;
    *seconds = (double)timegm(&tm) + fraction;
    return true;
}

static bool take_count(const char **at, int64_t *out)
{
    int64_t v = 0;
    const char *start = *at;
    for (; **at >= '0' && **at <= '9' && *at - start < 9; ++*at) v = v * 10 + (**at - '0');
    *out = v;
    return *at > start;
}

static bool parse_csv_line(const char *line, struct trace_row *row)
{
    return take_timestamp(&line, &row->at_s) && take_char(&line, ',') &&
           take_count(&line, &row->input_len) && take_char(&line, ',') &&
           take_count(&line, &row->output_len) && *line == '\0';
}

static bool parse_json_line(const char *line, size_t len, struct trace_row *row, struct error *err)
{
    cJSON *item;
    struct json_limits limits = {.max_size = TRACE_LINE_MAX};
    if (json_parse(line, len, &limits, &item, err) != STATUS_OK) return false;
    const cJSON *at = json_get(item, "timestamp");
    bool ok = cJSON_IsNumber(at) &&
              json_as_i64(json_get(item, "input_length"), 0, TRACE_TOKEN_MAX, &row->input_len) &&
              json_as_i64(json_get(item, "output_length"), 0, TRACE_TOKEN_MAX, &row->output_len);
    if (ok) row->at_s = at->valuedouble / 1000;
    cJSON_Delete(item);
    if (!ok)
        error_set(err, STATUS_INVALID, "needs numbers timestamp, input_length and output_length");
    return ok;
}

static int compare_rows(const void *a, const void *b)
{
    const struct trace_row *x = a, *y = b;
    if (x->at_s != y->at_s) return x->at_s < y->at_s ? -1 : 1;
    return x->line < y->line ? -1 : 1;
}

static enum status parse_line(const char *text, size_t len, bool json, size_t number,
                              struct rows *rows, struct error *err)
{
    struct trace_row row = {.line = number};
    char line[256];
    if (len > 0 && text[len - 1] == '\r') len--;
    if (len == 0) return STATUS_OK;
    bool ok = false;
    struct error why = {.message = "expected TIMESTAMP,ContextTokens,GeneratedTokens"};
    if (json) {
        ok = parse_json_line(text, len, &row, &why);
    } else if (len < sizeof(line)) {
        memcpy(line, text, len);
        line[len] = '\0';
        if (number == 1 && strncmp(line, "TIMESTAMP,", 10) == 0) return STATUS_OK;
        ok = parse_csv_line(line, &row);
    }
    if (!ok) return error_set(err, STATUS_INVALID, "line %zu: %s", number, why.message);
    if (row.input_len < 1) row.input_len = 1; /* no server takes an empty prompt */
    if (row.output_len < 1) row.output_len = 1;
    return rows_add(rows, &row, err);
}

enum status trace_parse(const char *text, size_t len, struct trace_row **out, size_t *n,
                        struct error *err)
{
    struct rows rows = {0};
    enum status st = STATUS_OK;
    bool json = len > 0 && text[0] == '{';
    size_t number = 1;
    *out = NULL;
    *n = 0;
    for (size_t at = 0; at < len && st == STATUS_OK; number++) {
        const char *lf = memchr(text + at, '\n', len - at);
        size_t line_len = lf ? (size_t)(lf - text) - at : len - at;
        st = parse_line(text + at, line_len, json, number, &rows, err);
        at += line_len + 1;
    }
    if (st == STATUS_OK && rows.n == 0)
        st = error_set(err, STATUS_INVALID, "the trace has no requests");
    if (st != STATUS_OK) {
        free(rows.items);
        return st;
    }
    qsort(rows.items, rows.n, sizeof(rows.items[0]), compare_rows);
    double first = rows.items[0].at_s;
    for (size_t i = 0; i < rows.n; i++) rows.items[i].at_s -= first;
    *out = rows.items;
    *n = rows.n;
    return STATUS_OK;
}

enum status trace_read(const char *path, struct trace_row **rows, size_t *n, struct error *err)
{
    char *text;
    size_t len;
    *rows = NULL;
    enum status st = file_read(path, TRACE_SIZE_MAX, &text, &len, err);
    if (st != STATUS_OK) return st;
    st = trace_parse(text, len, rows, n, err);
    free(text);
    if (st != STATUS_OK) error_prepend(err, "%s", path);
    return st;
}
