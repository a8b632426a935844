/* Parameters in the layout that the kernels read (kernels.h: panels of 64 outputs). */
#include "config/base/check.h"
#include "engine/cpu/cpu.h"
#include "engine/cpu/quant4.h"

#include <stdlib.h>
#include <string.h>

/* |sum| <= 255 * 127 * K must stay below 2^31 (unsigned weights are q + 128). */
#define INT8_MAX_K 66000

/* --- where a stacked row comes from --- */

static const void *source_row(const struct weight_source *src, int row)
{
    int part = 0;
    while (row >= src->parts[part].rows) row -= src->parts[part++].rows;
    return (const char *)src->parts[part].data +
           (size_t)row * (size_t)src->cols * dtype_size(src->dtype);
}

static void widen(float *out, const void *in, enum dtype dtype, size_t n)
{
    const uint16_t *h = in;
    if (dtype == DT_F32) memcpy(out, in, n * sizeof *out);
    if (dtype == DT_BF16)
        for (size_t i = 0; i < n; i++) out[i] = bf16_to_f32(h[i]);
    if (dtype == DT_F16)
        for (size_t i = 0; i < n; i++) out[i] = f16_to_f32(h[i]);
}

static enum status check_source(const struct weight_source *src, int *n_rows, struct error *err)
{
    if (src->dtype != DT_F32 && src->dtype != DT_F16 && src->dtype != DT_BF16)
        return error_set(err, STATUS_UNSUPPORTED,
                         "parameters in %s are not supported: use float32, float16 or bfloat16",
                         dtype_name(src->dtype));
    if (src->n_parts < 1 || src->n_parts > (int)ARRAY_LEN(src->parts) || src->cols < 1 ||
        src->cols > LIMIT_WIDTH * 4)
        return error_set(err, STATUS_UNSUPPORTED, "a parameter of %d parts, %d columns wide",
                         src->n_parts, src->cols);
    int64_t rows = 0;
    for (int i = 0; i < src->n_parts; i++) {
        if (src->parts[i].rows < 1 || !src->parts[i].data)
            return error_set(err, STATUS_UNSUPPORTED, "part %d of a parameter is empty", i);
        rows += src->parts[i].rows;
    }
    if (rows > INT32_MAX / 4)
        return error_set(err, STATUS_UNSUPPORTED, "a parameter of %lld rows is too large",
                         (long long)rows);
    *n_rows = (int)rows;
    return STATUS_OK;
}

static enum status alloc_array(void **out, size_t n, size_t item_size, size_t *size,
                               struct error *err)
{
    if (__builtin_mul_overflow(n, item_size, size))
        return error_set(err, STATUS_NO_MEMORY, "the size of a parameter overflows");
    *out = cpu_memory_map(*size);
    if (*out) return STATUS_OK;
    return error_set(err, STATUS_NO_MEMORY,
                     "cannot map %.1f MiB for a parameter: use a smaller model, --quantization "
                     "int8, or a machine with more memory",
                     (double)*size / (1 << 20));
}

/* --- vectors and embeddings --- */

/* The parts one after the other: [1, n] or [n, 1] each. */
static enum status vector_of(const struct weight_source *src, float **out, size_t *len,
                             size_t *size, struct error *err)
{
    int rows = 0;
    enum status s = check_source(src, &rows, err);
    if (s != STATUS_OK) return s;
    const size_t cols = (size_t)src->cols;
    *len = (size_t)rows * cols;
    s = alloc_array((void **)out, *len, sizeof(float), size, err);
    if (s != STATUS_OK) return s;
    size_t at = 0;
    for (int i = 0; i < src->n_parts; i++) {
        const size_t n = (size_t)src->parts[i].rows * cols;
        widen(*out + at, src->parts[i].data, src->dtype, n);
        at += n;
    }
    return STATUS_OK;
}

static enum status prepare_vector(struct weight *w, const struct weight_source *src,
                                  struct error *err)
{
    size_t len;
    const enum status s = vector_of(src, (float **)&w->data, &len, &w->size, err);
    if (s != STATUS_OK) return s;
    if (len > INT32_MAX) return error_set(err, STATUS_UNSUPPORTED, "a vector of %zu", len);
    w->n = 1;
    w->k = (int)len;
    w->dtype = DT_F32;
    return STATUS_OK;
}

static enum status prepare_embed(struct weight *w, const struct weight_source *src,
                                 struct error *err)
{
    w->dtype = src->dtype == DT_BF16 ? DT_BF16 : DT_F32;
    const size_t row_size = (size_t)w->k * dtype_size(w->dtype);
    const enum status s = alloc_array(&w->data, (size_t)w->n, row_size, &w->size, err);
    if (s != STATUS_OK) return s;
    for (int i = 0; i < w->n; i++) {
        void *dst = (char *)w->data + (size_t)i * row_size;
        if (w->dtype == DT_BF16)
            memcpy(dst, source_row(src, i), row_size);
        else
            widen(dst, source_row(src, i), src->dtype, (size_t)w->k);
    }
    return STATUS_OK;
}

/* --- linears --- */

struct packing {
    struct weight *w;
    const struct weight_source *src;
    const struct cpu_kernels *kernels;
    float *wide; /* [workers][k]; int4: whole groups, zero behind k */
    int8_t *q;   /* [workers][16][k] */
};

#define PACK_BLOCK 64 /* k steps at once: 16 rows times 64 steps stay in the L1 cache */

/* One line of 16 outputs per k step; `rows` of them exist, the others stay as they are (zero). */
static void pack_lines(char *lines, size_t pitch, const void *const *rows, int n_rows, int k,
                       int items_per_step)
{
    const size_t item = 4 / (size_t)items_per_step;
    const int n_steps = (k + items_per_step - 1) / items_per_step;
    for (int s0 = 0; s0 < n_steps; s0 += PACK_BLOCK) {
        const int s1 = s0 + PACK_BLOCK < n_steps ? s0 + PACK_BLOCK : n_steps;
        for (int r = 0; r < n_rows; r++) {
            for (int s = s0; s < s1; s++) {
                const int first = s * items_per_step;
                const int left = k - first < items_per_step ? k - first : items_per_step;
                const char *from = (const char *)rows[r] + (size_t)first * item;
                char *to = lines + (size_t)s * pitch + (size_t)r * 4;
                if (left == items_per_step)
                    memcpy(to, from, 4);
                else
                    memcpy(to, from, (size_t)left * item);
            }
        }
    }
}

/* 16 outputs of four bits, from row n0, in line `line` of the panel. */
static void pack_groups4(const struct packing *p, int worker, int n0, char *panel, int line,
                         size_t pitch)
{
    const struct weight *w = p->w;
    const int n_rows = w->n - n0 < LANES ? w->n - n0 : LANES;
    const size_t n_groups = groups4(w->k), n_lines = pitch / LINE;
    float *wide = p->wide + (size_t)worker * n_groups * GROUP4; /* zero behind k */
    for (int r = 0; r < n_rows; r++) {
        widen(wide, source_row(p->src, n0 + r), p->src->dtype, (size_t)w->k);
        for (size_t g = 0; g < n_groups; g++) {
            uint8_t q[GROUP4];
            const uint16_t scale = quant4_group(wide + g * GROUP4, q);
            char *group = panel + g * n_lines * LINE4_SIZE;
            char *word = group + line * LINE + r * 4;
            for (size_t s = 0; s < GROUP4_STEPS; s++, word += pitch)
                for (size_t j = 0; j < 4; j++)
                    word[j] = (char)(q[8 * s + j] | q[8 * s + 4 + j] << 4);
            char *scales = group + GROUP4_STEPS * pitch + (size_t)line * LINE4_SCALES;
            memcpy(scales + (size_t)r * sizeof scale, &scale, sizeof scale);
        }
    }
}

/* 16 outputs, from row n0. */
static void pack_group(const struct packing *p, int worker, int n0, char *lines, size_t pitch)
{
    const struct weight *w = p->w;
    const int n_rows = w->n - n0 < LANES ? w->n - n0 : LANES;
    const size_t k = (size_t)w->k;
    const void *rows[LANES];
    float *wide = p->wide ? p->wide + (size_t)worker * k : NULL;
    if (w->format == WF_I8) {
        int8_t *q = p->q + (size_t)worker * LANES * k;
        for (int r = 0; r < n_rows; r++) {
            int8_t *row = q + (size_t)r * k;
            widen(wide, source_row(p->src, n0 + r), p->src->dtype, k);
            w->scale[n0 + r] = p->kernels->quantize(row, wide, w->k);
            for (size_t i = 0; i < k; i++) row[i] = (int8_t)((uint8_t)row[i] ^ p->kernels->w8_flip);
            rows[r] = row;
        }
        pack_lines(lines, pitch, rows, n_rows, w->k, 4);
    } else if (w->format == WF_BF16) {
        for (int r = 0; r < n_rows; r++) rows[r] = source_row(p->src, n0 + r);
        pack_lines(lines, pitch, rows, n_rows, w->k, 2);
    } else {
        for (int r = 0; r < n_rows; r++) {
            rows[0] = source_row(p->src, n0 + r);
            if (p->src->dtype != DT_F32) {
                widen(wide, rows[0], p->src->dtype, k);
                rows[0] = wide;
            }
            pack_lines(lines + (size_t)r * 4, pitch, rows, 1, w->k, 1);
        }
    }
}

static void pack_panel(void *ctx, int worker, int panel)
{
    const struct packing *p = ctx;
    const struct linear_args a = {.n = p->w->n,
                                  .panel = p->kernels->panel,
                                  .k = p->w->k,
                                  .line_size = p->w->line_size,
                                  .data = p->w->data};
    const int n_lines = (panel_outputs(&a, panel) + LANES - 1) / LANES;
    const size_t pitch = (size_t)n_lines * LINE;
    char *data = (char *)p->w->data + ((const char *)panel_data(&a, panel) - (const char *)a.data);
    if (p->w->format == WF_I8) /* zero, in the form the kernels read */
        memset(data, p->kernels->w8_flip, (size_t)n_lines * p->w->line_size);
    for (int line = 0; line < n_lines; line++) {
        const int n0 = panel * a.panel + line * LANES;
        if (p->w->format == WF_I4) /* outputs that do not exist keep the scale 0 */
            pack_groups4(p, worker, n0, data, line, pitch);
        else
            pack_group(p, worker, n0, data + (size_t)line * LINE, pitch);
    }
}

static enum status pack(struct cpu_backend *cb, struct weight *w, const struct weight_source *src,
                        struct error *err)
{
    const size_t n_workers = (size_t)pool_n_threads(cb->pool), k = (size_t)w->k;
    struct packing p = {.w = w, .src = src, .kernels = cb->kernels};
    enum status s = STATUS_OK;
    const bool integers = w->format == WF_I8 || w->format == WF_I4;
    const size_t wide_len = w->format == WF_I4 ? groups4(w->k) * GROUP4 : k;
    if (w->format == WF_I8) p.q = malloc(n_workers * LANES * k);
    if (integers || src->dtype != DT_F32) p.wide = calloc(n_workers * wide_len, sizeof(float));
    if ((w->format == WF_I8 && !p.q) || ((integers || src->dtype != DT_F32) && !p.wide)) {
        s = error_set(err, STATUS_NO_MEMORY, "out of memory packing a parameter");
        goto out;
    }
    pool_run(cb->pool, pack_panel, &p, (w->n + p.kernels->panel - 1) / p.kernels->panel,
             (double)w->n * w->k);
out:
    free(p.q);
    free(p.wide);
    return s;
}

static enum weight_format format_of(const struct weight_source *src)
{
    if (src->quant == QUANT_INT8) return WF_I8;
    if (src->quant == QUANT_INT4) return WF_I4;
    return src->dtype == DT_BF16 ? WF_BF16 : WF_F32;
}

static size_t line_size(enum weight_format format, int k)
{
    static const size_t items_per_step[WF_COUNT] = {[WF_F32] = 1, [WF_BF16] = 2, [WF_I8] = 4};
    if (format == WF_I4) return groups4(k) * LINE4_SIZE;
    return ((size_t)k + items_per_step[format] - 1) / items_per_step[format] * LINE;
}

static enum status prepare_linear(struct cpu_backend *cb, struct weight *w,
                                  const struct weight_source *src, struct error *err)
{
    size_t unused;
    w->format = format_of(src);
    if (w->format == WF_I8 && w->k > INT8_MAX_K)
        return error_set(err, STATUS_UNSUPPORTED,
                         "int8 linears with more than %d inputs overflow their sums (this one has "
                         "%d): use --quantization none",
                         INT8_MAX_K, w->k);
    w->line_size = line_size(w->format, w->k);
    const size_t n_lines = ((size_t)w->n + LANES - 1) / LANES;
    enum status s = alloc_array(&w->data, n_lines, w->line_size, &w->size, err);
    if (s == STATUS_OK && w->format == WF_I8)
        s = alloc_array((void **)&w->scale, (size_t)w->n, sizeof(float), &unused, err);
    if (s == STATUS_OK && src->bias) {
        size_t len;
        s = vector_of(src->bias, &w->bias, &len, &unused, err);
        if (s == STATUS_OK && len != (size_t)w->n)
            s = error_set(err, STATUS_CORRUPT, "a bias of %zu for %d outputs", len, w->n);
    }
    return s == STATUS_OK ? pack(cb, w, src, err) : s;
}

/* --- interface --- */

enum status cpu_weight_prepare(struct backend *be, const struct weight_source *src,
                               struct weight **out, struct error *err)
{
    int rows = 0;
    enum status s = check_source(src, &rows, err);
    if (s != STATUS_OK) return s;
    struct weight *w = calloc(1, sizeof *w);
    if (!w) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    w->kind = src->kind;
    w->n = rows;
    w->k = src->cols;
    if (w->kind == WEIGHT_VECTOR)
        s = prepare_vector(w, src, err);
    else if (w->kind == WEIGHT_EMBED)
        s = prepare_embed(w, src, err);
    else
        s = prepare_linear(cpu_of(be), w, src, err);
    be->weight_size += cpu_weight_size(w);
    if (s != STATUS_OK) {
        cpu_weight_free(be, w);
        return s;
    }
    *out = w;
    return STATUS_OK;
}

size_t cpu_weight_size(const struct weight *w)
{
    return w->size + ((w->scale ? 1 : 0) + (w->bias ? 1 : 0)) * (size_t)w->n * sizeof(float);
}

void cpu_weight_free(struct backend *be, struct weight *w)
{
    if (!w) return;
    be->weight_size -= cpu_weight_size(w);
    cpu_memory_unmap(w->data, w->size);
    cpu_memory_unmap(w->scale, (size_t)w->n * sizeof(float));
    cpu_memory_unmap(w->bias, (size_t)w->n * sizeof(float));
    free(w);
}

enum dtype cpu_activation_dtype(struct backend *be, const struct weight *w)
{
    (void)be;
    const bool integers = w->format == WF_I8 || w->format == WF_I4;
    return w->kind == WEIGHT_LINEAR && integers ? DT_I8 : DT_F32;
}
