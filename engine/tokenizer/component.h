#ifndef ENGINE_TOKENIZER_COMPONENT_H
#define ENGINE_TOKENIZER_COMPONENT_H

/* component.h - reading one component's JSON: what the parts of a tokenizer have in common. */

#include "config/base/json.h"
#include "config/base/status.h"
#include "config/base/str.h"
#include "engine/tokenizer/regex.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAGES_MAX 16 /* of one pipeline; published files have at most 5 */

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

#endif
