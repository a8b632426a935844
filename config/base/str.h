#ifndef CONFIG_BASE_STR_H
#define CONFIG_BASE_STR_H

/* str.h - byte strings.  `struct str` is a view that owns nothing; `struct strbuf` grows and is
 * always NUL-terminated.  A strbuf that fails to grow (out of memory, or beyond its limit) sets
 * `failed`, drops further writes, and stays safe to read: check once at the end. */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *data;
    size_t len;
};
#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
struct str str_from(const char *cstr); /* NULL gives an empty view */
bool str_eq(struct str a, struct str b);
bool str_starts_with(struct str s, struct str prefix);

struct strbuf {
    char *data; /* NULL until the first write */
    size_t len, cap;
    size_t limit_size; /* 0 = none */
    bool failed;
};
void strbuf_init(struct strbuf *b, size_t limit_size);
void strbuf_free(struct strbuf *b);
void strbuf_clear(struct strbuf *b); /* len = 0, failed = false, keeps the memory */
void strbuf_add(struct strbuf *b, const void *data, size_t len);
void strbuf_add_str(struct strbuf *b, const char *cstr);
void strbuf_add_char(struct strbuf *b, char c);
void strbuf_add_u64(struct strbuf *b, uint64_t v);
void strbuf_add_i64(struct strbuf *b, int64_t v);
void strbuf_addf(struct strbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strbuf_add_utf8(struct strbuf *b, uint32_t codepoint);
/* Appends the JSON string literal of `s` with its quotes; invalid UTF-8 becomes U+FFFD. */
void strbuf_add_json(struct strbuf *b, const char *s, size_t len);
/* Gives the memory to the caller (free()); NULL if the buffer failed. */
char *strbuf_take(struct strbuf *b, size_t *len);

/* UTF-8.  utf8_decode: bytes used (1..4) and *cp, or 0 at a bad or truncated sequence. */
int utf8_decode(const char *s, size_t len, uint32_t *cp);
int utf8_encode(uint32_t cp, char out[4]);
bool utf8_valid(const char *s, size_t len);
/* Length of the longest prefix that does not end inside a character that more bytes could
 * complete (what may be sent now). */
size_t utf8_complete_len(const char *s, size_t len);

/* Numbers from text: the whole string must be one number in range. */
bool parse_i64(const char *s, int64_t *out);
bool parse_u64(const char *s, uint64_t *out);
bool parse_f64(const char *s, double *out);

/* Edit distance (for "did you mean"), capped at `max`+1. */
int str_distance(const char *a, const char *b, int max);

#endif
