/* generation_config.c - defaults that a model's makers want for requests.
 *
 * Only what a request may also say is read; the rest of generation_config.json is about other ways
 * of generating (beams, contrastive search, ...), which nobody asked for here. */

#include "engine/load/config_read.h"

#include <limits.h>

void config_read_eos(struct config_reader *r, struct model_config *c)
{
    const cJSON *item = config_get(r, "eos_token_id");
    if (!item) return;
    const bool many = cJSON_IsArray(item);
    int64_t id;
    int n = 0;
    const int most = many ? cJSON_GetArraySize(item) : 1;
    if (most > LIMIT_EOS_IDS) {
        config_refuse(r, STATUS_UNSUPPORTED, "eos_token_id", "more than %d ids", LIMIT_EOS_IDS);
        return;
    }
    for (const cJSON *i = many ? item->child : item; i && n < most; i = i->next) {
        if (!json_as_i64(i, 0, c->vocab_size - 1, &id)) {
            config_refuse(r, STATUS_CORRUPT, "eos_token_id",
                          "an id between 0 and %d is wanted, or an array of them",
                          c->vocab_size - 1);
            return;
        }
        c->eos_ids[n++] = (int32_t)id;
    }
    c->n_eos_ids = n;
}

static bool read_float(struct config_reader *r, const char *key, double min, double max, float *out)
{
    if (!config_get(r, key)) return false;
    *out = (float)config_number(r, key, min, max, min);
    return true;
}

void config_read_generation(struct config_reader *r, struct model_config *c)
{
    config_read_eos(r, c);
    if (c->bos_id < 0) c->bos_id = config_int(r, "bos_token_id", 0, c->vocab_size - 1, -1);
    c->generation.has_temperature =
        read_float(r, "temperature", 0.0, 1e4, &c->generation.temperature);
    c->generation.has_top_p = read_float(r, "top_p", 0.0, 1.0, &c->generation.top_p);
    c->generation.has_min_p = read_float(r, "min_p", 0.0, 1.0, &c->generation.min_p);
    c->generation.has_repetition_penalty =
        read_float(r, "repetition_penalty", 1e-3, 1e3, &c->generation.repetition_penalty);
    /* A top_p of zero means "the best token only", which is what a tiny one does. */
    if (c->generation.has_top_p && c->generation.top_p == 0.0f) c->generation.top_p = 1e-6f;
    c->generation.has_top_k = config_get(r, "top_k") != NULL;
    c->generation.top_k = config_int(r, "top_k", -1, INT_MAX, 0);
    c->generation.has_max_new_tokens = config_get(r, "max_new_tokens") != NULL;
    c->generation.max_new_tokens = config_int(r, "max_new_tokens", 1, INT_MAX, 1);
}
