#ifndef ENGINE_TOKENIZER_NORMALIZER_H
#define ENGINE_TOKENIZER_NORMALIZER_H

/* normalizer.h - changes of the text before it is cut.  Parsed once, then read by any thread. */

#include "engine/tokenizer/component.h"

struct normalizer_stage {
    const struct normalizer_kind *kind;
    char *text; /* Prepend's, Replace's content */
    struct regex *pattern;
    bool strip_left, strip_right;
};
struct normalizer {
    struct normalizer_stage stages[STAGES_MAX];
    int n_stages;
};
enum status normalizer_parse(const cJSON *json, struct normalizer *n, struct error *err);
void normalizer_free(struct normalizer *n);
/* The normalised text, in one of the two buffers or the input itself.  *moved: the text's first
 * character is no longer the original's first. */
enum status normalizer_run(const struct normalizer *n, struct regex_scratch *scratch,
                           struct strbuf buffers[2], struct str in, struct str *out, bool *moved);

#endif
