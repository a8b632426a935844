#ifndef ENGINE_TOKENIZER_NORMALIZER_KINDS_H
#define ENGINE_TOKENIZER_NORMALIZER_KINDS_H

/* normalizer_kinds.h - what normalizer.c's table takes from the files beside it. */

#include "engine/tokenizer/normalizer.h"

/* normalizer_unicode.c: every change that looks at one character after the other. */
enum status normalizer_run_form(struct stage_io *io);
enum status normalizer_run_lowercase(struct stage_io *io);
enum status normalizer_run_strip_accents(struct stage_io *io);
enum status normalizer_run_nmt(struct stage_io *io);
enum status normalizer_run_byte_level(struct stage_io *io);

/* normalizer_bert.c */
enum status normalizer_parse_bert(const cJSON *json, struct normalizer_stage *s, struct error *err);
enum status normalizer_run_bert(struct stage_io *io);

/* normalizer_precompiled.c */
enum status normalizer_parse_precompiled(const cJSON *json, struct normalizer_stage *s,
                                         struct error *err);
enum status normalizer_run_precompiled(struct stage_io *io);

#endif
