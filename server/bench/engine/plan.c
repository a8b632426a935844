#include "server/bench/engine/plan.h"

#include "server/bench/engine/steps.h"

#define GIB(size) ((size) / (double)(1u << 30))

enum quant_scheme precision_quant(enum precision p)
{
    static const enum quant_scheme schemes[PRECISION_COUNT] = {
        [PRECISION_INT8] = QUANT_INT8,
        [PRECISION_INT8_W8A16] = QUANT_INT8_W8A16,
        [PRECISION_INT4] = QUANT_INT4,
    };
    return schemes[p];
}

enum probe_kind precision_rate(enum precision p)
{
    static const enum probe_kind rates[PRECISION_COUNT] = {
        [PRECISION_STORED] = PROBE_F32,
        [PRECISION_F32] = PROBE_F32,
        [PRECISION_BF16] = PROBE_BF16,
        [PRECISION_INT8] = PROBE_INT8,
        [PRECISION_INT4] = PROBE_INT8,
        /* bf16 inputs where the CPU has such sums, else f32: the rate is the same there. */
        [PRECISION_INT8_W8A16] = PROBE_BF16,
    };
    return rates[p];
}

int precision_dtype(enum precision p)
{
    return p == PRECISION_F32 ? DT_F32 : p == PRECISION_BF16 ? DT_BF16 : -1;
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static int largest(const struct int_list *l)
{
    int n = 1;
    for (int i = 0; i < l->n; i++) n = max_int(n, l->items[i]);
    return n;
}

static enum status too_large(const struct plan_wish *w, const struct step_shape *s,
                             const struct engine_need *need, double bytes, struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY,
                     "%s weights take %.1f GiB, and %d x %d tokens %.1f GiB of KV-cache; with "
                     "buffers that is %.1f GiB, but only %.1f GiB can be used here: give a smaller "
                     "--batch, --context or --prompt-len, a smaller model, or --quantization int4",
                     precision_name(w->precision), GIB(need->weights), s->n_seqs, s->kv_len,
                     GIB(bytes - need->weights - need->buffers), GIB(bytes), GIB(w->memory));
}

static enum status add_shape(const struct plan_wish *w, const struct engine_need *need,
                             struct step_shape s, bool required, struct plan *plan,
                             struct error *err)
{
    const int64_t n_blocks = 1 + bench_steps_blocks(&s, w->block_size);
    const double bytes =
        need->weights + need->buffers + need->kv_token * (double)n_blocks * (double)w->block_size;
    /* A slot's number is an int32. */
    const bool fits = bytes <= w->memory && n_blocks <= INT32_MAX / w->block_size;
    if (!fits && required) return too_large(w, &s, need, bytes, err);
    if (!fits) {
        plan->left_out[plan->n_left_out].shape = s;
        plan->left_out[plan->n_left_out++].bytes = bytes;
        return STATUS_OK;
    }
    plan->shapes[plan->n_shapes++] = s;
    plan->n_blocks = max_int(plan->n_blocks, (int)n_blocks);
    plan->max_tokens = max_int(plan->max_tokens, s.n_seqs * s.n_new);
    plan->max_seqs = max_int(plan->max_seqs, s.n_seqs);
    plan->max_len = max_int(plan->max_len, s.kv_len);
    return STATUS_OK;
}

enum status plan_make(const struct plan_wish *w, struct plan *out, struct error *err)
{
    struct model_config config = *w->config;
    const int dtype = precision_dtype(w->precision);
    if (dtype >= 0) config.stored_dtype = (enum dtype)dtype;
    const int widest = largest(w->batches), longest = largest(w->prompts);
    const struct engine_need need =
        engine_need(&config, precision_quant(w->precision), w->kv_dtype,
                    max_int(longest, max_int(widest, w->block_size)), widest);
    /* A block is computed at once to fill the cache with. */
    *out = (struct plan){.max_tokens = w->block_size};
    struct step_shape shape;
    enum status s = STATUS_OK;
    for (int i = 0; i < w->prompts->n && s == STATUS_OK; i++) {
        shape = (struct step_shape){1, w->prompts->items[i], w->prompts->items[i]};
        s = add_shape(w, &need, shape, true, out, err);
    }
    out->n_prefills = out->n_shapes;
    for (int c = 0; c < w->contexts->n; c++) {
        for (int b = 0; b < w->batches->n && s == STATUS_OK; b++) {
            shape = (struct step_shape){w->batches->items[b], 1, w->contexts->items[c]};
            s = add_shape(w, &need, shape, w->all, out, err);
        }
    }
    return s;
}
