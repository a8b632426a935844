#ifndef ENGINE_TOKENIZER_NORMALIZER_H
#define ENGINE_TOKENIZER_NORMALIZER_H

/* normalizer.h - changes of the text before it is cut.  Parsed once, then read by any thread.
 *
 * A stage of any kind can be appended by other parts too: give it a kind with `run`, its data and
 * how to free them. */

#include "engine/tokenizer/component.h"
#include "engine/tokenizer/unicode.h"

struct normalizer_stage {
    const struct normalizer_kind *kind;
    char *text; /* Prepend's, Replace's content */
    size_t text_len;
    struct regex *pattern;
    bool strip_left, strip_right;
    void *data; /* the kind's own */
    void (*free_data)(void *data);
};

/* One run of a stage: it reads `in`, which is never empty, and appends to `out`, which is empty,
 * or sets `same`: the result is `in` itself, what `out` has is dropped.
 * head_len: how many bytes at the start of the text come from the original's first character;
 * given for `in`, to be changed to that of the result where it differs. */
struct stage_io {
    const struct normalizer_stage *stage;
    struct regex_scratch *scratch;
    struct str in;
    struct strbuf *out;
    size_t head_len;
    bool same;
};
struct normalizer_kind {
    const char *type; /* as in tokenizer.json */
    enum status (*parse)(const cJSON *json, struct normalizer_stage *s, struct error *err);
    enum status (*run)(struct stage_io *io); /* NO_MEMORY, INVALID: a pattern took too long */
    enum unicode_form form;
};
struct normalizer {
    struct normalizer_stage stages[STAGES_MAX];
    int n_stages;
};
enum status normalizer_parse(const cJSON *json, struct normalizer *n, struct error *err);
/* Adds a stage behind the others and owns what it points to, also when it fails. */
enum status normalizer_append(struct normalizer *n, const struct normalizer_stage *stage,
                              struct error *err);
void normalizer_free(struct normalizer *n);
/* The normalised text, in one of the two buffers or the input itself.  *head_len: as in struct
 * piece (pretokenizer.h), for a text that is the original's start. */
enum status normalizer_apply(const struct normalizer *n, struct regex_scratch *scratch,
                             struct strbuf buffers[2], struct str in, struct str *out,
                             size_t *head_len);
/* The same for callers that only ask whether the first character is still the original's. */
static inline enum status normalizer_run(const struct normalizer *n, struct regex_scratch *scratch,
                                         struct strbuf buffers[2], struct str in, struct str *out,
                                         bool *moved)
{
    size_t head_len = 0;
    enum status st = normalizer_apply(n, scratch, buffers, in, out, &head_len);
    *moved = head_len == 0;
    return st;
}

#endif
