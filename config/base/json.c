#include "config/base/json.h"

#include "config/base/file.h"
#include "config/base/hash.h"
#include "config/base/json_reader.h"
#include "config/limits.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 1000 /* cJSON's own compile-time limit */

/* --- the strict scanner: RFC 8259, nothing more ------------------------------------------- */

struct scanner {
    const char *text;
    size_t len, at;
    const char *wrong; /* NULL while all is well; `at` is where it went wrong */
    int depth, max_depth;
    bool allow_nul;
    size_t n_values, max_values; /* 0 = no bound */
    size_t n_keys;               /* object keys seen */
    size_t key_target;           /* when not SIZE_MAX: where the key of this number starts ... */
    size_t key_at;               /* ... is written here */
    uint8_t is_object[DEPTH_MAX];
};

static bool wrong(struct scanner *s, size_t at, const char *what)
{
    if (!s->wrong) {
        s->wrong = what;
        s->at = at;
    }
    return false;
}

static void skip_space(struct scanner *s)
{
    while (s->at < s->len) {
        char c = s->text[s->at];
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return;
        s->at++;
    }
}

/* Four hexadecimal digits at `at`; -1 when they are not. */
static int32_t hex4(const struct scanner *s, size_t at)
{
    if (s->len - at < 4) return -1;
    int32_t v = 0;
    for (size_t i = at; i < at + 4; i++) {
        char c = s->text[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        v = v * 16 + digit;
    }
    return v;
}

/* An escape whose backslash is at s->at. */
static bool scan_escape(struct scanner *s)
{
    size_t start = s->at;
    if (s->len - start < 2) return wrong(s, start, "unterminated string");
    char c = s->text[start + 1];
    s->at = start + 2;
    if (c != 'u')
        return c && strchr("\"\\/bfnrt", c) ? true : wrong(s, start, "unknown escape in a string");
    int32_t v = hex4(s, s->at);
    if (v < 0) return wrong(s, start, "\\u needs four hexadecimal digits");
    s->at += 4;
    if (v == 0 && !s->allow_nul) return wrong(s, start, "\\u0000 is not accepted");
    if (v < 0xD800 || v > 0xDFFF) return true;
    if (v > 0xDBFF || s->len - s->at < 6 || memcmp(s->text + s->at, "\\u", 2) != 0)
        return wrong(s, start, "lone surrogate in a string");
    int32_t low = hex4(s, s->at + 2);
    if (low < 0xDC00 || low > 0xDFFF) return wrong(s, start, "lone surrogate in a string");
    s->at += 6;
    return true;
}

/* A string whose opening quote is at s->at. */
static bool scan_string(struct scanner *s)
{
    size_t start = s->at++;
    while (s->at < s->len) {
        unsigned char c = (unsigned char)s->text[s->at];
        uint32_t cp;
        if (c == '"') {
            s->at++;
            return true;
        } else if (c == '\\') {
            if (!scan_escape(s)) return false;
        } else if (c < 0x20) {
            return wrong(s, s->at, c ? "unescaped control character in a string" : "NUL byte");
        } else if (c < 0x80) {
            s->at++;
        } else {
            int n = utf8_decode(s->text + s->at, s->len - s->at, &cp);
            if (n == 0) return wrong(s, s->at, "invalid UTF-8");
            s->at += (size_t)n;
        }
    }
    return wrong(s, start, "unterminated string");
}

static size_t skip_digits(struct scanner *s)
{
    size_t start = s->at;
    while (s->at < s->len && s->text[s->at] >= '0' && s->text[s->at] <= '9') s->at++;
    return s->at - start;
}

static bool number_is_finite(const struct scanner *s, size_t start)
{
    /* strtod wants a terminated copy.  A literal longer than this is refused: cJSON copies it
     * too, and no number that means anything is longer. */
    char copy[512];
    size_t n = s->at - start;
    if (n >= sizeof(copy)) return false;
    memcpy(copy, s->text + start, n);
    copy[n] = '\0';
    return isfinite(strtod(copy, NULL));
}

static bool scan_number(struct scanner *s)
{
    size_t start = s->at;
    if (s->text[s->at] == '-') s->at++;
    bool zero = s->at < s->len && s->text[s->at] == '0';
    size_t digits = skip_digits(s);
    if (digits == 0) return wrong(s, start, "a number needs a digit after the minus sign");
    if (zero && digits > 1) return wrong(s, start, "a number must not start with 0");
    if (s->at < s->len && s->text[s->at] == '.') {
        s->at++;
        if (skip_digits(s) == 0) return wrong(s, start, "a number needs a digit after the point");
    }
    bool exponent = s->at < s->len && (s->text[s->at] == 'e' || s->text[s->at] == 'E');
    if (exponent) {
        s->at++;
        if (s->at < s->len && (s->text[s->at] == '+' || s->text[s->at] == '-')) s->at++;
        if (skip_digits(s) == 0) return wrong(s, start, "a number needs a digit in its exponent");
    }
    /* Up to 300 plain digits cannot leave the range of a double. */
    if ((exponent || s->at - start > 300) && !number_is_finite(s, start))
        return wrong(s, start, "number out of range");
    return true;
}

static bool scan_word(struct scanner *s, const char *word)
{
    size_t n = strlen(word);
    if (s->len - s->at < n || memcmp(s->text + s->at, word, n) != 0)
        return wrong(s, s->at, "expected a JSON value");
    s->at += n;
    return true;
}

static bool scan_key(struct scanner *s)
{
    skip_space(s);
    if (s->at >= s->len || s->text[s->at] != '"')
        return wrong(s, s->at, "expected a key in double quotes");
    if (s->n_keys++ == s->key_target) s->key_at = s->at;
    if (!scan_string(s)) return false;
    skip_space(s);
    if (s->at >= s->len || s->text[s->at] != ':')
        return wrong(s, s->at, "expected ':' after a key");
    s->at++;
    return true;
}

/* Opens a container at s->at.  *empty when it closed at once. */
static bool scan_open(struct scanner *s, bool *empty)
{
    bool object = s->text[s->at] == '{';
    if (s->depth >= s->max_depth) return wrong(s, s->at, "nested too deeply");
    s->at++;
    skip_space(s);
    *empty = s->at < s->len && s->text[s->at] == (object ? '}' : ']');
    if (*empty) {
        s->at++;
        return true;
    }
    s->is_object[s->depth++] = object;
    return !object || scan_key(s);
}

/* After a value: closes what ends here and steps over a comma.  *done at the document's end. */
static bool scan_after_value(struct scanner *s, bool *done)
{
    for (;;) {
        skip_space(s);
        *done = s->depth == 0;
        if (*done) return true;
        bool object = s->is_object[s->depth - 1];
        char c = s->at < s->len ? s->text[s->at] : '\0';
        if (c == ',') {
            s->at++;
            return !object || scan_key(s);
        }
        if (c != (object ? '}' : ']'))
            return wrong(s, s->at, object ? "expected ',' or '}'" : "expected ',' or ']'");
        s->at++;
        s->depth--;
    }
}

static bool scan_document(struct scanner *s)
{
    for (;;) {
        skip_space(s);
        if (s->at >= s->len) return wrong(s, s->at, "unexpected end");
        if (s->n_values++ == s->max_values && s->max_values)
            return wrong(s, s->at, "too many values");
        char c = s->text[s->at];
        bool ok, empty = true;
        if (c == '{' || c == '[') {
            ok = scan_open(s, &empty);
        } else if (c == '"') {
            ok = scan_string(s);
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            ok = scan_number(s);
        } else {
            ok = scan_word(s, c == 't' ? "true" : c == 'f' ? "false" : "null");
        }
        if (!ok) return false;
        if (!empty) continue;
        bool done;
        if (!scan_after_value(s, &done)) return false;
        if (done) return s->at == s->len || wrong(s, s->at, "unexpected text after the value");
    }
}

static enum status report(const char *text, size_t at, const char *what, struct error *err)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n') {
            line++;
            column = 1;
        } else if (c < 0x80 || c >= 0xC0) {
            column++; /* characters, not bytes */
        }
    }
    return error_set(err, STATUS_INVALID, "invalid JSON at line %zu column %zu: %s", line, column,
                     what);
}

/* --- duplicate keys: on the parsed tree, where "a" and "\u0061" are the same --------------- */

enum { PAIRWISE_MAX = 12 }; /* up to here comparing all pairs beats a table */

static const cJSON *find_duplicate_hashed(const cJSON *object, size_t n, bool *no_memory)
{
    size_t cap = 16;
    while (cap < n * 2) cap *= 2;
    const cJSON **slots = calloc(cap, sizeof(const cJSON *));
    if (!slots) {
        *no_memory = true;
        return NULL;
    }
    const cJSON *found = NULL;
    uint64_t seed = hash_process_seed();
    for (const cJSON *c = object->child; c && !found; c = c->next) {
        size_t i = hash_bytes(c->string, strlen(c->string), seed) & (cap - 1);
        for (; slots[i] && !found; i = (i + 1) & (cap - 1))
            if (strcmp(slots[i]->string, c->string) == 0) found = c;
        slots[i] = c;
    }
    free(slots);
    return found;
}

static const cJSON *find_duplicate_in(const cJSON *object, bool *no_memory)
{
    size_t n = 0;
    for (const cJSON *c = object->child; c; c = c->next) n++;
    if (n > PAIRWISE_MAX) return find_duplicate_hashed(object, n, no_memory);
    for (const cJSON *c = object->child; c; c = c->next)
        for (const cJSON *d = object->child; d != c; d = d->next)
            if (strcmp(c->string, d->string) == 0) return c;
    return NULL;
}

/* Recursion is bounded by max_depth, which the scanner has checked. */
static const cJSON *find_duplicate(const cJSON *item, bool *no_memory)
{
    const cJSON *found = cJSON_IsObject(item) ? find_duplicate_in(item, no_memory) : NULL;
    for (const cJSON *c = item->child; c && !found && !*no_memory; c = c->next)
        if (c->child) found = find_duplicate(c, no_memory);
    return found;
}

/* The number of keys that stand before `target` in the text. */
static bool count_keys_before(const cJSON *item, const cJSON *target, size_t *n)
{
    for (const cJSON *c = item->child; c; c = c->next) {
        if (c == target) return true;
        if (c->string) ++*n;
        if (c->child && count_keys_before(c, target, n)) return true;
    }
    return false;
}

static enum status check_duplicates(struct scanner *s, const cJSON *root, bool has_raw,
                                    struct error *err)
{
    bool no_memory = false;
    const cJSON *found = find_duplicate(root, &no_memory);
    if (no_memory) return error_set(err, STATUS_NO_MEMORY, "out of memory reading JSON");
    if (!found) return STATUS_OK;
    if (has_raw) /* keys of the text that are not in the tree: the place cannot be counted out */
        return error_set(err, STATUS_INVALID, "invalid JSON: duplicate key \"%.80s\"",
                         found->string);
    s->at = s->n_keys = s->key_target = s->n_values = 0;
    s->depth = 0;
    count_keys_before(root, found, &s->key_target);
    scan_document(s);
    char what[128];
    snprintf(what, sizeof(what), "duplicate key \"%.80s\"", found->string);
    return report(s->text, s->key_at, what, err);
}

/* --- parts that stay text --------------------------------------------------------------------- */

#define RAW_PARTS_MAX 8

struct raw_part {
    char keys[2][64];
    struct str text;
};

static bool is_wanted(const char *const *wanted, struct str outer, struct str inner)
{
    for (; *wanted; wanted++) {
        struct str path = str_from(*wanted);
        if (path.len == outer.len + 1 + inner.len && path.data[outer.len] == '.' &&
            memcmp(path.data, outer.data, outer.len) == 0 &&
            memcmp(path.data + outer.len + 1, inner.data, inner.len) == 0)
            return true;
    }
    return false;
}

static size_t find_raw(struct str text, const char *const *wanted, struct raw_part *parts)
{
    size_t n = 0;
    struct str outer, inner;
    struct json_reader r;
    json_reader_init(&r, text);
    for (bool more = json_enter(&r, '{'); more && json_next_member(&r, &outer);) {
        char name[64]; /* the key's bytes last until the next key only */
        bool fits = outer.len < sizeof(name);
        if (fits) memcpy(name, outer.data, outer.len);
        if (!fits || !json_enter(&r, '{')) {
            json_value(&r);
            continue;
        }
        outer.data = name;
        while (json_next_member(&r, &inner)) {
            bool want = n < RAW_PARTS_MAX && is_wanted(wanted, outer, inner);
            struct raw_part *part = &parts[n];
            if (want) *part = (struct raw_part){0};
            if (want) memcpy(part->keys[0], outer.data, outer.len);
            if (want) memcpy(part->keys[1], inner.data, inner.len);
            struct str value = json_value(&r);
            if (want) parts[n++].text = value;
        }
    }
    json_reader_free(&r);
    return n;
}

/* The tree of the text without the parts, and these as raw items in their places. */
static cJSON *parse_with_raw(const char *text, size_t len, const char *const *wanted)
{
    struct raw_part parts[RAW_PARTS_MAX];
    size_t n = find_raw((struct str){text, len}, wanted, parts);
    struct strbuf rest;
    strbuf_init(&rest, 0);
    const char *from = text;
    for (size_t i = 0; i < n; i++) {
        strbuf_add(&rest, from, (size_t)(parts[i].text.data - from));
        strbuf_add_str(&rest, "null");
        from = parts[i].text.data + parts[i].text.len;
    }
    strbuf_add(&rest, from, (size_t)(text + len - from));
    cJSON *root = rest.failed ? NULL : cJSON_ParseWithLengthOpts(rest.data, rest.len, NULL, 0);
    strbuf_free(&rest);
    for (size_t i = 0; root && i < n; i++) {
        cJSON *item = cJSON_GetObjectItemCaseSensitive(
            cJSON_GetObjectItemCaseSensitive(root, parts[i].keys[0]), parts[i].keys[1]);
        char *copy = malloc(parts[i].text.len + 1);
        if (item && copy && cJSON_IsNull(item)) { /* of duplicates the first: they are refused */
            memcpy(copy, parts[i].text.data, parts[i].text.len);
            copy[parts[i].text.len] = '\0';
            item->type = cJSON_Raw;
            item->valuestring = copy;
            continue;
        }
        free(copy);
        if (copy) continue;
        cJSON_Delete(root);
        root = NULL;
    }
    return root;
}

struct str json_raw_text(const cJSON *item)
{
    return cJSON_IsRaw(item) ? str_from(item->valuestring) : (struct str){"", 0};
}

/* --- the door -------------------------------------------------------------------------------- */

enum status json_parse(const char *text, size_t len, const struct json_limits *limits, cJSON **out,
                       struct error *err)
{
    static const struct json_limits defaults;
    if (!limits) limits = &defaults;
    *out = NULL;
    size_t max_size = limits->max_size ? limits->max_size : LIMIT_JSON_SIZE;
    if (len > max_size)
        return error_set(err, STATUS_TOO_LARGE, "JSON of %zu bytes; at most %zu are accepted", len,
                         max_size);
    struct scanner s = {.text = text, .len = len, .key_target = SIZE_MAX};
    s.max_depth = limits->max_depth > 0 ? limits->max_depth : LIMIT_JSON_DEPTH;
    if (s.max_depth > DEPTH_MAX) s.max_depth = DEPTH_MAX;
    s.allow_nul = limits->allow_nul;
    s.max_values = limits->max_values;
    if (!scan_document(&s)) return report(text, s.at, s.wrong, err);
    cJSON *root = limits->raw_parts ? parse_with_raw(text, len, limits->raw_parts)
                                    : cJSON_ParseWithLengthOpts(text, len, NULL, 0);
    if (!root) return error_set(err, STATUS_NO_MEMORY, "out of memory reading JSON");
    if (!limits->allow_duplicates) {
        enum status st = check_duplicates(&s, root, limits->raw_parts != NULL, err);
        if (st != STATUS_OK) {
            cJSON_Delete(root);
            return st;
        }
    }
    *out = root;
    return STATUS_OK;
}

enum status json_parse_file(const char *path, const struct json_limits *limits, cJSON **out,
                            struct error *err)
{
    *out = NULL;
    char *text;
    size_t len;
    size_t max_size = limits && limits->max_size ? limits->max_size : LIMIT_JSON_SIZE;
    enum status st = file_read(path, max_size, &text, &len, err);
    if (st != STATUS_OK) return st;
    st = json_parse(text, len, limits, out, err);
    free(text);
    if (st != STATUS_OK) error_prepend(err, "%s", path);
    return st;
}

const cJSON *json_get(const cJSON *object, const char *key)
{
    if (!cJSON_IsObject(object)) return NULL;
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

bool json_as_i64(const cJSON *item, int64_t min, int64_t max, int64_t *out)
{
    if (!cJSON_IsNumber(item)) return false;
    double v = item->valuedouble;
    if (!(fabs(v) <= 0x1p53) || v != floor(v)) return false;
    int64_t n = (int64_t)v;
    if (n < min || n > max) return false;
    *out = n;
    return true;
}

static void print_number(struct strbuf *out, double v)
{
    if (!isfinite(v)) {
        strbuf_add_str(out, "null"); /* JSON has no other word for it */
    } else if (v == floor(v) && fabs(v) <= 0x1p53 && !(v == 0 && signbit(v))) {
        strbuf_add_i64(out, (int64_t)v);
    } else if (v == floor(v) && fabs(v) < 1e21) {
        strbuf_addf(out, "%.0f", v);
    } else {
        char text[32];
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(text, sizeof(text), "%.*g", digits, v);
            if (strtod(text, NULL) == v) break;
        }
        strbuf_add_str(out, text);
    }
}

void json_print(struct strbuf *out, const cJSON *item)
{
    if (cJSON_IsObject(item) || cJSON_IsArray(item)) {
        bool object = cJSON_IsObject(item);
        strbuf_add_char(out, object ? '{' : '[');
        for (const cJSON *c = item->child; c; c = c->next) {
            if (object) {
                strbuf_add_json(out, c->string, strlen(c->string));
                strbuf_add_char(out, ':');
            }
            json_print(out, c);
            if (c->next) strbuf_add_char(out, ',');
        }
        strbuf_add_char(out, object ? '}' : ']');
    } else if (cJSON_IsString(item)) {
        const char *s = item->valuestring ? item->valuestring : "";
        strbuf_add_json(out, s, strlen(s));
    } else if (cJSON_IsRaw(item)) {
        strbuf_add_str(out, item->valuestring ? item->valuestring : "null");
    } else if (cJSON_IsNumber(item)) {
        print_number(out, item->valuedouble);
    } else {
        strbuf_add_str(out, cJSON_IsTrue(item) ? "true" : cJSON_IsFalse(item) ? "false" : "null");
    }
}

const char *json_type_name(const cJSON *item)
{
    if (!item) return "nothing";
    if (cJSON_IsNull(item)) return "null";
    if (cJSON_IsBool(item)) return "a boolean";
    if (cJSON_IsNumber(item)) return "a number";
    if (cJSON_IsString(item)) return "a string";
    if (cJSON_IsArray(item)) return "an array";
    return cJSON_IsObject(item) ? "an object" : "an unknown value";
}
