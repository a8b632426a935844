#ifndef ENGINE_LOAD_CONFIG_READ_H
#define ENGINE_LOAD_CONFIG_READ_H

/* config_read.h - private to engine/load: typed members of a JSON object, with one sticky error.
 *
 * After the first failure every read returns its default and changes nothing, so that a parser
 * reads all it wants in a row and looks at `status` once.  A null counts as absent, as in
 * transformers. */

#include "config/base/json.h"
#include "config/base/status.h"
#include "engine/load/model_config.h"

#include <stdbool.h>
#include <stdint.h>

struct config_reader {
    const cJSON *object;
    const char *where; /* "config.json" or "config.json: rope_scaling": for messages */
    enum status status;
    struct error *err;
};

/* The member, or NULL when absent or null. */
const cJSON *config_get(const struct config_reader *r, const char *key);
/* Refuses with "WHERE: KEY: ..." unless an error is set already. */
void config_refuse(struct config_reader *r, enum status code, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* `absent` is the value of a missing key; REQUIRED makes a missing key an error. */
#define CONFIG_REQUIRED INT64_MIN
int config_int(struct config_reader *r, const char *key, int64_t min, int64_t max, int64_t absent);
/* min and max are inclusive. */
double config_number(struct config_reader *r, const char *key, double min, double max,
                     double absent);
bool config_bool(struct config_reader *r, const char *key, bool absent);
const char *config_string(struct config_reader *r, const char *key, const char *absent);

/* config_keys.c: every key of config.json against the table of known ones; refuses by name. */
enum status config_keys_check(const cJSON *root, enum model_family family, struct error *err);

/* config_rope.c: rope_theta, rope_scaling, rope_parameters; also sets max_position. */
void config_read_rope(struct config_reader *r, struct model_config *c);

/* generation_config.c: overrides eos_ids and fills `generation`. */
void config_read_generation(struct config_reader *r, struct model_config *c);
/* An id or an array of ids into eos_ids; leaves them alone when the key is absent. */
void config_read_eos(struct config_reader *r, struct model_config *c);

#endif
