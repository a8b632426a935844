#include "engine/tokenizer/regex_folds.h"

#include <stddef.h>
#include <utf8proc.h>

#define FOLD_MAX 3 /* characters of the longest full folding */

/* Where the characters of status F are; a new Unicode may add some: the unit test looks. */
static const struct {
    uint32_t first, last;
} places[] = {{0xDF, 0x587}, {0x1E96, 0x1FFC}, {0xFB00, 0xFB17}};

static int fold(uint32_t c, utf8proc_int32_t out[FOLD_MAX])
{
    int boundary = 0;
    utf8proc_ssize_t n =
        utf8proc_decompose_char((utf8proc_int32_t)c, out, FOLD_MAX, UTF8PROC_CASEFOLD, &boundary);
    return n < 0 || n > FOLD_MAX ? 0 : (int)n;
}

bool regex_fold_is_long(uint32_t c)
{
    utf8proc_int32_t out[FOLD_MAX];
    return fold(c, out) > 1;
}

bool regex_fold_in_range(uint32_t first, uint32_t last)
{
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        for (uint32_t c = places[i].first; c <= places[i].last; c++)
            if (c >= first && c <= last && regex_fold_is_long(c)) return true;
    return false;
}

bool regex_fold_begins(uint32_t a, uint32_t b)
{
    utf8proc_int32_t first[FOLD_MAX], second[FOLD_MAX], out[FOLD_MAX];
    if (fold(a, first) != 1 || fold(b, second) != 1) return false;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        for (uint32_t c = places[i].first; c <= places[i].last; c++)
            if (fold(c, out) > 1 && out[0] == first[0] && out[1] == second[0]) return true;
    return false;
}
