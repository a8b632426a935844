#include "server/bench/engine/limit.h"

#include "config/base/check.h"

#include <math.h>

static double linear_params(const struct model_config *c, enum op_kind role)
{
    const double D = c->d_model, q = (double)c->n_heads * c->head_dim, L = c->n_layers;
    const double kv = (double)c->n_kv_heads * c->head_dim, F = c->d_ffn;
    switch (role) {
    case OP_QKV:
        return L * (q + 2 * kv) * D;
    case OP_O:
        return L * q * D;
    case OP_GATE_UP:
        return L * 2 * F * D;
    case OP_DOWN:
        return L * F * D;
    default:
        return (double)c->vocab_size * D;
    }
}

/* Keys that the new rows of one sequence see, and keys that any of them sees, of one layer. */
static void count_keys(const struct step_shape *s, int window, double *pairs, double *keys)
{
    *pairs = 0;
    for (int i = s->kv_len - s->n_new + 1; i <= s->kv_len; i++)
        *pairs += window > 0 && i > window ? window : i;
    const int seen = window > 0 ? window + s->n_new - 1 : s->kv_len;
    *keys = seen < s->kv_len ? seen : s->kv_len;
}

void step_work(const struct model_config *c, const struct step_format *f,
               const struct step_shape *s, struct op_work out[LIMIT_OPS])
{
    const double rows = (double)s->n_seqs * s->n_new;
    for (int i = 0; i < OP_LINEARS; i++)
        out[i] = (struct op_work){
            .bytes = f->linear_size[i],
            .ops = 2 * linear_params(c, (enum op_kind)i) * (i == OP_HEAD ? s->n_seqs : rows),
            .rate = f->linear_rate[i],
        };
    double pairs = 0, moved = 0; /* of all layers */
    for (int i = 0; i < c->n_layers; i++) {
        double layer_pairs, layer_keys;
        count_keys(s, c->layer_window[i] ? c->sliding_window : 0, &layer_pairs, &layer_keys);
        pairs += layer_pairs;
        moved += layer_keys + s->n_new;
    }
    out[OP_ATTENTION] = (struct op_work){
        .bytes = s->n_seqs * moved * (double)model_kv_block_size(c, 1, f->kv_dtype) / c->n_layers,
        .ops = 4 * s->n_seqs * pairs * c->n_heads * c->head_dim,
        .rate = f->kv_rate,
    };
}

struct step_limit work_limit(const struct op_work *works, int n, const struct probe *p)
{
    struct step_limit l = {0};
    for (int i = 0; i < n; i++) {
        l.bytes += works[i].bytes;
        l.ops += works[i].ops;
        const double rate = p->rates[works[i].rate].limit;
        if (rate > 0) l.compute_s += works[i].ops / rate;
    }
    const double memory = p->rates[PROBE_MEMORY].limit;
    if (l.bytes > (double)p->cache_size && memory > 0) l.memory_s = l.bytes / memory;
    l.seconds = fmax(l.memory_s, l.compute_s);
    return l;
}

struct engine_need engine_need(const struct model_config *c, enum quant_scheme quant,
                               enum dtype kv_dtype, int max_tokens, int max_seqs)
{
    const double D = c->d_model, F = c->d_ffn, V = c->vocab_size;
    const double q = (double)c->n_heads * c->head_dim;
    const double kv = (double)c->n_kv_heads * c->head_dim;
    /* float16 is held as float32. */
    const double wide = c->stored_dtype == DT_BF16 ? 2 : 4;
    const double stored = (double)dtype_size(c->stored_dtype);
    const bool int8 = quant == QUANT_INT8 || quant == QUANT_INT8_W8A16;
    const double item = quant == QUANT_INT4 ? 0.5 + 2.0 / 128 : int8 ? 1 : wide;
    const double head_item = quant == QUANT_NONE ? wide : 1;
    double layers = 0;
    for (int i = 0; i < OP_HEAD; i++) layers += linear_params(c, (enum op_kind)i);
    const double largest = fmax(V * D, fmax(2 * F * D, (q + 2 * kv) * D));
    const double widest = fmax(fmax(2 * F, D), q + 2 * kv);
    return (struct engine_need){
        .weights = layers * item + V * D * (head_item + wide) + largest * stored,
        .buffers = 4.0 * (max_tokens * (4 * D + 2 * q + kv * 2 + 3 * F + widest) +
                          max_seqs * (2 * D + 3 * V)),
        .kv_token = (double)model_kv_block_size(c, 1, kv_dtype),
    };
}
