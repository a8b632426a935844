#ifndef ENGINE_TOKENIZER_POSTPROCESSOR_H
#define ENGINE_TOKENIZER_POSTPROCESSOR_H

/* postprocessor.h - the ids put around the model's.  Parsed once, then read by any thread. */

#include "engine/tokenizer/component.h"

#define POST_IDS_MAX 64
struct postprocessor {
    int32_t before[POST_IDS_MAX], after[POST_IDS_MAX]; /* ids around every text */
    int n_before, n_after;
};
enum status postprocessor_parse(const cJSON *json, struct postprocessor *p, struct error *err);

#endif
