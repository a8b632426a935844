#include "server/stop.h"

#include "config/base/check.h"

#include <string.h>

/* fail[i]: length of the longest proper prefix of s that is also a suffix of s[0..i]. */
static void fill_fail(struct str s, uint16_t *fail)
{
    size_t k = 0;

    fail[0] = 0;
    for (size_t i = 1; i < s.len; i++) {
        while (k > 0 && s.data[k] != s.data[i]) k = fail[k - 1];
        if (s.data[k] == s.data[i]) k++;
        fail[i] = (uint16_t)k;
    }
}

bool stop_set_init(struct stop_set *set, struct arena *arena, const struct str *strings, int n)
{
    CHECK(n >= 0 && n <= LIMIT_STOP_STRINGS);
    set->n = 0;
    for (int i = 0; i < n; i++) {
        CHECK(strings[i].len >= 1 && strings[i].len <= LIMIT_STOP_STRING_LEN);
        uint16_t *fail = arena_alloc_array(arena, strings[i].len, sizeof(*fail));
        if (!fail) return false;
        fill_fail(strings[i], fail);
        set->text[i] = strings[i];
        set->fail[i] = fail;
    }
    set->n = n;
    return true;
}

/* Advances every string by one byte; the index of the longest one that ends here, or -1.  A
 * string that ended goes on with its longest border, so that depth stays below its length. */
static int step_byte(const struct stop_set *set, struct stop_state *st, char c)
{
    int found = -1;

    for (int i = 0; i < set->n; i++) {
        const char *s = set->text[i].data;
        size_t d = st->depth[i];
        while (d > 0 && s[d] != c) d = set->fail[i][d - 1];
        if (s[d] == c) d++;
        if (d == set->text[i].len) {
            if (found < 0 || set->text[i].len > set->text[found].len) found = i;
            d = set->fail[i][d - 1];
        }
        st->depth[i] = (uint16_t)d;
    }
    return found;
}

/* Appends the first n bytes of (held, piece). */
static void emit(const struct stop_set *set, const struct stop_state *st, struct str piece,
                 size_t n, struct strbuf *out)
{
    size_t from_held = n < st->n_held ? n : st->n_held;

    if (from_held > 0) strbuf_add(out, set->text[st->holder].data, from_held);
    if (n > from_held) strbuf_add(out, piece.data, n - from_held);
}

int stop_push(const struct stop_set *set, struct stop_state *st, struct str piece, bool armed,
              bool include, struct strbuf *out)
{
    if (set->n == 0) {
        strbuf_add(out, piece.data, piece.len);
        return -1;
    }
    for (size_t i = 0; i < piece.len; i++) {
        int found = step_byte(set, st, piece.data[i]);
        if (found < 0 || !armed) continue;
        size_t end = st->n_held + i + 1;
        emit(set, st, piece, include ? end : end - set->text[found].len, out);
        memset(st, 0, sizeof(*st));
        return found;
    }
    size_t total = st->n_held + piece.len, hold = 0;
    uint16_t holder = 0;
    for (int i = 0; i < set->n; i++) {
        if (st->depth[i] <= hold) continue;
        hold = st->depth[i];
        holder = (uint16_t)i;
    }
    emit(set, st, piece, total - hold, out);
    st->n_held = (uint16_t)hold;
    st->holder = holder;
    return -1;
}

void stop_flush(const struct stop_set *set, struct stop_state *st, struct strbuf *out)
{
    emit(set, st, (struct str){NULL, 0}, st->n_held, out);
    memset(st, 0, sizeof(*st));
}
