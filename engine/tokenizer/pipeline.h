#ifndef ENGINE_TOKENIZER_PIPELINE_H
#define ENGINE_TOKENIZER_PIPELINE_H

/* pipeline.h - what a text goes through on its way to the model: normalizer, pre-tokenizer, and the
 * ids that the post-processor puts around the result; and how components are read from JSON.
 * Parsed once, then read by any thread. */

#include "config/base/json.h"
#include "config/base/status.h"
#include "config/base/str.h"
#include "engine/tokenizer/regex.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAGES_MAX 16 /* of one pipeline; published files have at most 5 */

struct encoder;

/* --- component.c: reading one component's JSON ---------------------------------------------- */

/* The component's "type", CORRUPT when it has none. */
enum status component_type(const cJSON *json, const char *part, const char **type,
                           struct error *err);
enum status component_unsupported(const char *part, const char *type, const char *known,
                                  struct error *err);
enum status component_bool(const cJSON *json, const char *key, bool missing, bool *out,
                           struct error *err);
/* A string that must be there; the text belongs to the JSON. */
enum status component_string(const cJSON *json, const char *key, const char **out,
                             struct error *err);
/* {"String": ..} or {"Regex": ..} under "pattern". */
enum status component_pattern(const cJSON *json, struct regex **out, struct error *err);
/* Calls `each` for the component or, if it is a Sequence, for its members (under `key`). */
typedef enum status (*component_fn)(const cJSON *json, void *user, struct error *err);
enum status component_each(const cJSON *json, const char *part, const char *key, component_fn each,
                           void *user, struct error *err);

/* --- normalizer.c ----------------------------------------------------------------------------- */

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

/* --- pretokenizer.c --------------------------------------------------------------------------- */

enum split_behavior {
    SPLIT_REMOVED,
    SPLIT_ISOLATED,
    SPLIT_MERGED_WITH_PREVIOUS,
    SPLIT_MERGED_WITH_NEXT,
    SPLIT_CONTIGUOUS
};
enum prepend_scheme { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER };
struct pretokenizer_stage {
    const struct pretokenizer_kind *kind;
    struct regex *pattern;             /* Split, ByteLevel */
    bool (*is_delimiter)(uint32_t cp); /* Digits, Punctuation, WhitespaceSplit */
    enum split_behavior behavior;
    bool invert, use_regex, add_prefix_space, split;
    char replacement[5]; /* Metaspace */
    enum prepend_scheme prepend;
};
struct pretokenizer {
    struct pretokenizer_stage stages[STAGES_MAX];
    int n_stages;
};
/* A part of the text; `first`: it starts where the original text starts. */
struct piece {
    struct str text;
    bool first;
};
enum status pretokenizer_parse(const cJSON *json, struct pretokenizer *p, struct error *err);
void pretokenizer_free(struct pretokenizer *p);
/* Sends the piece through the stages from `stage` on and what comes out to the model; false:
 * stop, e->status says why. */
bool pretokenizer_run(struct encoder *e, int stage, struct piece piece);
/* Metaspace's keys, which its decoder shares. */
enum status metaspace_parse(const cJSON *json, char replacement[5], enum prepend_scheme *prepend,
                            bool *split, struct error *err);

/* --- byte_level.c: the 256 characters that stand for bytes (GPT-2) ---------------------------- */

void byte_level_add(struct strbuf *out, const char *bytes, size_t len); /* bytes -> characters */
int byte_level_byte(uint32_t cp);                                       /* -1 = none */

/* --- postprocessor.c -------------------------------------------------------------------------- */

#define POST_IDS_MAX 64
struct postprocessor {
    int32_t before[POST_IDS_MAX], after[POST_IDS_MAX]; /* ids around every text */
    int n_before, n_after;
    bool adds; /* a component that may add ids was seen */
};
enum status postprocessor_parse(const cJSON *json, struct postprocessor *p, struct error *err);

#endif
