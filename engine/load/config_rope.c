/* config_rope.c - rotary embedding parameters of config.json.
 *
 * Three spellings: rope_theta beside rope_scaling {"type" or "rope_type", ...} (transformers 4),
 * and rope_parameters {"rope_type", "rope_theta", ...} (transformers 5).
 * Sources: transformers' modeling_rope_utils (parameters and defaults); vLLM's
 * _get_and_verify_max_len (how a scaling stretches the context). */

#include "config/base/check.h"
#include "engine/load/config_read.h"

#include <math.h>
#include <string.h>

#define MAX_THETA  1e15
#define MAX_FACTOR 1e6

enum rope_key_set {
    K_FACTOR = 1,
    K_ORIGINAL = 2,
    K_LLAMA3 = 4,
    K_YARN = 8,
};

static const struct rope_kind {
    const char *name;
    enum rope_type type;
    unsigned keys;
} kind_table[] = {
    {"default", ROPE_DEFAULT, 0},
    {"linear", ROPE_LINEAR, K_FACTOR},
    {"dynamic", ROPE_DYNAMIC, K_FACTOR | K_ORIGINAL},
    {"llama3", ROPE_LLAMA3, K_FACTOR | K_ORIGINAL | K_LLAMA3},
    {"yarn", ROPE_YARN, K_FACTOR | K_ORIGINAL | K_YARN},
};

static const struct rope_key {
    const char *name;
    unsigned set; /* 0: every kind may have it */
} key_table[] = {
    {"rope_type", 0},
    {"type", 0},
    {"rope_theta", 0},
    {"partial_rotary_factor", 0},
    {"finetuned", 0}, /* says how the model was made */
    {"factor", K_FACTOR},
    {"original_max_position_embeddings", K_ORIGINAL},
    {"low_freq_factor", K_LLAMA3},
    {"high_freq_factor", K_LLAMA3},
    {"beta_fast", K_YARN},
    {"beta_slow", K_YARN},
    {"attention_factor", K_YARN},
    {"mscale", K_YARN},
    {"mscale_all_dim", K_YARN},
    {"truncate", K_YARN},
};

static const struct rope_kind *read_kind(struct config_reader *r)
{
    const char *name = config_string(r, "rope_type", NULL);
    const char *legacy = config_string(r, "type", NULL);
    if (name && legacy && strcmp(name, legacy) != 0)
        config_refuse(r, STATUS_CORRUPT, "rope_type", "\"%.40s\" and type \"%.40s\" disagree", name,
                      legacy);
    if (!name) name = legacy ? legacy : "default";
    for (size_t i = 0; i < ARRAY_LEN(kind_table); i++) {
        if (strcmp(kind_table[i].name, name) == 0) return &kind_table[i];
    }
    config_refuse(r, STATUS_UNSUPPORTED, "rope_type",
                  "\"%.40s\" is not supported: known are default, linear, dynamic, llama3 and yarn",
                  name);
    return &kind_table[0];
}

static void check_keys(struct config_reader *r, const struct rope_kind *kind)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, r->object)
    {
        const struct rope_key *key = NULL;
        for (size_t i = 0; i < ARRAY_LEN(key_table); i++) {
            if (strcmp(key_table[i].name, item->string) == 0) key = &key_table[i];
        }
        if (cJSON_IsNull(item) || (key && (key->set == 0 || (key->set & kind->keys)))) continue;
        /* A neutral stretch may stand beside a kind that has none. */
        if (key && key->set == K_FACTOR && cJSON_IsNumber(item) && item->valuedouble == 1.0)
            continue;
        config_refuse(r, STATUS_UNSUPPORTED, item->string,
                      "is not known for rope type %s, so it is refused rather than ignored",
                      kind->name);
    }
}

static double yarn_mscale(double factor, double scale)
{
    return factor <= 1.0 ? 1.0 : 0.1 * scale * log(factor) + 1.0;
}

static void read_yarn(struct config_reader *r, struct rope_params *p)
{
    p->beta_fast = config_number(r, "beta_fast", 0.0, 1e6, 0.0);
    p->beta_slow = config_number(r, "beta_slow", 0.0, 1e6, 0.0);
    /* The paper's values, also for an explicit zero, as the reference reads it. */
    if (p->beta_fast == 0.0) p->beta_fast = 32.0;
    if (p->beta_slow == 0.0) p->beta_slow = 1.0;
    if (p->beta_fast < p->beta_slow)
        config_refuse(r, STATUS_CORRUPT, "beta_fast", "%g is below beta_slow %g", p->beta_fast,
                      p->beta_slow);
    p->truncate = config_bool(r, "truncate", true);
    const double all = config_number(r, "mscale_all_dim", 0.0, 1e3, 0.0);
    const double one = config_number(r, "mscale", 0.0, 1e3, 0.0);
    const double implied = one != 0.0 && all != 0.0
                               ? yarn_mscale(p->factor, one) / yarn_mscale(p->factor, all)
                               : yarn_mscale(p->factor, 1.0);
    p->attention_factor = config_number(r, "attention_factor", 1e-3, 1e3, implied);
}

static void read_llama3(struct config_reader *r, struct rope_params *p)
{
    p->low_freq_factor = config_number(r, "low_freq_factor", 1e-6, 1e6, NAN);
    p->high_freq_factor = config_number(r, "high_freq_factor", 1e-6, 1e6, NAN);
    if (!(p->high_freq_factor > p->low_freq_factor))
        config_refuse(r, STATUS_CORRUPT, "high_freq_factor",
                      "llama3 needs low_freq_factor and a greater high_freq_factor");
}

static void read_scaling(struct config_reader *r, struct rope_params *p, int max_position)
{
    const struct rope_kind *kind = read_kind(r);
    check_keys(r, kind);
    p->type = kind->type;
    if (config_number(r, "partial_rotary_factor", 0.0, 1.0, 1.0) != 1.0)
        config_refuse(r, STATUS_UNSUPPORTED, "partial_rotary_factor",
                      "rotary embedding of a part of each head is not supported");
    if (kind->keys & K_FACTOR) {
        p->factor = config_number(r, "factor", 1.0, MAX_FACTOR, NAN);
        if (isnan(p->factor)) {
            config_refuse(r, STATUS_CORRUPT, "factor", "rope type %s needs it", kind->name);
            p->factor = 1.0;
        }
    }
    p->original_max_position =
        config_int(r, "original_max_position_embeddings", 1, LIMIT_CONTEXT, max_position);
    if (kind->type == ROPE_DYNAMIC && p->original_max_position != max_position)
        config_refuse(r, STATUS_UNSUPPORTED, "original_max_position_embeddings",
                      "dynamic scaling starts at max_position_embeddings %d, not at %d",
                      max_position, p->original_max_position);
    if (kind->type == ROPE_LLAMA3) read_llama3(r, p);
    if (kind->type == ROPE_YARN) read_yarn(r, p);
}

/* Longest context: linear and dynamic stretch max_position_embeddings, yarn its original context;
 * llama3's max_position_embeddings is the stretched one already. */
static void read_max_position(struct config_reader *r, struct model_config *c)
{
    const struct rope_params *p = &c->rope;
    double longest = c->max_position;
    if (p->type == ROPE_YARN) longest = p->original_max_position;
    if (p->type == ROPE_YARN || p->type == ROPE_LINEAR || p->type == ROPE_DYNAMIC)
        longest *= p->factor;
    if (longest > LIMIT_CONTEXT)
        config_refuse(r, STATUS_UNSUPPORTED, "factor", "stretches the context to %.0f, above %d",
                      longest, LIMIT_CONTEXT);
    else
        c->max_position = (int)longest;
}

void config_read_rope(struct config_reader *r, struct model_config *c)
{
    static const char *const spelling[] = {"rope_scaling", "rope_parameters"};
    struct rope_params *p = &c->rope;
    *p = (struct rope_params){
        .type = ROPE_DEFAULT, .dim = c->head_dim, .factor = 1.0, .truncate = true};
    p->original_max_position = c->max_position;
    p->attention_factor = 1.0;
    const double outer = config_number(r, "rope_theta", 1.0 + 1e-6, MAX_THETA, NAN);
    double inner = NAN;

    const cJSON *old = config_get(r, spelling[0]), *new = config_get(r, spelling[1]);
    if (old && new)
        config_refuse(r, STATUS_CORRUPT, spelling[1],
                      "stands beside rope_scaling: remove the one that is not meant");
    const cJSON *object = old ? old : new;
    if (object && !cJSON_IsObject(object)) {
        config_refuse(r, STATUS_CORRUPT, old ? spelling[0] : spelling[1],
                      "an object is wanted, not %s", json_type_name(object));
    } else if (object) {
        struct config_reader in = {.object = object,
                                   .where = old ? "config.json: rope_scaling"
                                                : "config.json: rope_parameters",
                                   .status = r->status,
                                   .err = r->err};
        read_scaling(&in, p, c->max_position);
        inner = config_number(&in, "rope_theta", 1.0 + 1e-6, MAX_THETA, NAN);
        r->status = in.status;
    }
    if (!isnan(inner) && !isnan(outer) && inner != outer)
        config_refuse(r, STATUS_CORRUPT, "rope_theta", "%g and %g disagree", outer, inner);
    p->theta = !isnan(inner) ? inner : !isnan(outer) ? outer : 10000.0;
    if (p->type == ROPE_DYNAMIC && p->dim < 4)
        config_refuse(r, STATUS_UNSUPPORTED, "rope_scaling",
                      "dynamic scaling needs heads of at least 4 dimensions");
    read_max_position(r, c);
}
