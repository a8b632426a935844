#include "engine/tokenizer/internal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A piece is a token or unknown: nothing is cut. */

struct wordlevel {
    int32_t unk_id; /* -1 = none */
};

static bool encode(struct encoder *e, struct str text)
{
    const struct wordlevel *w = e->t->model_data;
    int32_t id = vocab_find(&e->t->vocab, text.data, text.len);
    if (id < 0) id = w->unk_id;
    return id >= 0 ? encoder_push(e, id) : encoder_fail(e, STATUS_UNSUPPORTED);
}

static enum status parse(const cJSON *json, struct tokenizer *t, struct error *err)
{
    const char *unk = NULL;
    struct wordlevel *w = calloc(1, sizeof(*w));
    if (!w) return error_set(err, STATUS_NO_MEMORY, "out of memory for the model");
    t->model_data = w;
    enum status st = component_string(json, "unk_token", &unk, err);
    if (st == STATUS_OK) st = model_parse_vocab(json_get(json, "vocab"), &t->vocab, err);
    if (st == STATUS_OK) w->unk_id = vocab_find(&t->vocab, unk, strlen(unk));
    return st;
}

static void free_model(void *model_data)
{
    free(model_data);
}

const struct model_kind model_wordlevel = {
    .type = "WordLevel",
    .parse = parse,
    .free = free_model,
    .encode = encode,
};
