#include "engine/load/packed_key.h"

#include <inttypes.h>

const char *packed_quant_name(enum quant_scheme quant)
{
    if (quant == QUANT_INT8) return "int8";
    if (quant == QUANT_INT8_W8A16) return "int8-w8a16";
    return quant == QUANT_INT4 ? "int4" : "none";
}

void packed_key_add(struct strbuf *out, const char *layout, const struct model_config *c,
                    enum quant_scheme quant, const struct safetensors *st)
{
    strbuf_addf(out, "layout %s\nquantization %s\ndtype %s\n", layout, packed_quant_name(quant),
                dtype_name(c->stored_dtype));
    /* What config.json says about the weights; the rest of it is read at every start. */
    strbuf_addf(out,
                "model %s d_model=%d layers=%d heads=%d kv_heads=%d head_dim=%d ffn=%d vocab=%d "
                "tied=%d bias=%d%d%d qk_norm=%d\n",
                c->architecture, c->d_model, c->n_layers, c->n_heads, c->n_kv_heads, c->head_dim,
                c->d_ffn, c->vocab_size, c->tie_embeddings, c->qkv_bias, c->o_bias, c->mlp_bias,
                c->qk_norm);
    for (int i = 0; i < safetensors_n_files(st); i++) {
        struct stored_file f;
        safetensors_file_at(st, i, &f);
        strbuf_addf(out,
                    "file %s size=%zu mtime_ns=%" PRId64 " header=%016" PRIx64 " sample=%016" PRIx64
                    "\n",
                    f.name, f.size, f.mtime_ns, f.header_sum, f.sample_sum);
    }
}
