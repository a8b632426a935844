/* Parameters in the layout that the kernels read (kernels.h: panels of 64 outputs). */
#include "config/base/check.h"
#include "engine/cpu/cpu.h"
#include "engine/cpu/quant4.h"

#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the bytes that a weight becomes: to be raised by whoever changes them, for files hold them
 * (tests/unit/test_packed.c notices). */
#define CPU_LAYOUT 1

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

/* The source but for its data; *n_rows: of all parts. */
static enum status check_shape(const struct weight_source *src, int *n_rows, struct error *err)
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
        if (src->parts[i].rows < 1)
            return error_set(err, STATUS_UNSUPPORTED, "part %d of a parameter is empty", i);
        rows += src->parts[i].rows;
    }
    if (rows > INT32_MAX / 4)
        return error_set(err, STATUS_UNSUPPORTED, "a parameter of %lld rows is too large",
                         (long long)rows);
    *n_rows = (int)rows;
    return STATUS_OK;
}

static enum status check_data(const struct weight_source *src, struct error *err)
{
    for (int i = 0; i < src->n_parts; i++) {
        if (!src->parts[i].data)
            return error_set(err, STATUS_UNSUPPORTED, "part %d of a parameter is empty", i);
    }
    return STATUS_OK;
}

static enum status alloc_array(void **out, size_t size, struct error *err)
{
    *out = cpu_memory_map(size);
    if (*out) return STATUS_OK;
    return error_set(err, STATUS_NO_MEMORY,
                     "cannot map %.1f MiB for a parameter: use a smaller model, --quantization "
                     "int8, or a machine with more memory",
                     (double)size / (1 << 20));
}

/* --- shapes --- */

static enum weight_format format_of(const struct weight_source *src)
{
    if (src->quant == QUANT_INT8) return WF_I8;
    if (src->quant == QUANT_INT8_W8A16) return WF_W8A16;
    if (src->quant == QUANT_INT4) return WF_I4;
    return src->dtype == DT_BF16 ? WF_BF16 : WF_F32;
}

static size_t line_size(enum weight_format format, int k)
{
    static const size_t items_per_step[WF_COUNT] = {
        [WF_F32] = 1, [WF_BF16] = 2, [WF_I8] = 4, [WF_W8A16] = 4};
    if (format == WF_I4) return groups4(k) * LINE4_SIZE;
    return ((size_t)k + items_per_step[format] - 1) / items_per_step[format] * LINE;
}

/* Elements of a vector in up to three parts, [1, n] or [n, 1] each. */
static enum status vector_len(const struct weight_source *src, size_t *len, struct error *err)
{
    int rows = 0;
    const enum status s = check_shape(src, &rows, err);
    *len = (size_t)rows * (size_t)src->cols;
    if (s == STATUS_OK && *len > INT32_MAX)
        return error_set(err, STATUS_UNSUPPORTED, "a vector of %zu", *len);
    return s;
}

static enum status shape_linear(struct weight *w, const struct weight_source *src, size_t *n_rows,
                                size_t *row_size, struct error *err)
{
    w->format = format_of(src);
    if (w->format == WF_I8 && w->k > INT8_MAX_K)
        return error_set(err, STATUS_UNSUPPORTED,
                         "int8 linears with more than %d inputs overflow their sums (this one has "
                         "%d): use --quantization none",
                         INT8_MAX_K, w->k);
    w->line_size = line_size(w->format, w->k);
    *n_rows = ((size_t)w->n + LANES - 1) / LANES;
    *row_size = w->line_size;
    if (!src->bias) return STATUS_OK;
    size_t len;
    const enum status s = vector_len(src->bias, &len, err);
    if (s == STATUS_OK && len != (size_t)w->n)
        return error_set(err, STATUS_CORRUPT, "a bias of %zu for %d outputs", len, w->n);
    return s;
}

/* All of a weight but its arrays. */
static enum status shape_weight(struct weight *w, const struct weight_source *src,
                                struct error *err)
{
    size_t n = 1, item = sizeof(float), len;
    *w = (struct weight){.kind = src->kind, .k = src->cols, .dtype = DT_F32};
    enum status s = check_shape(src, &w->n, err);
    if (s != STATUS_OK) return s;
    if (w->kind == WEIGHT_VECTOR) {
        s = vector_len(src, &len, err);
        w->n = 1;
        w->k = s == STATUS_OK ? (int)len : 0;
        n = len;
    } else if (w->kind == WEIGHT_EMBED) {
        w->dtype = src->dtype == DT_BF16 ? DT_BF16 : DT_F32;
        n = (size_t)w->n;
        item = (size_t)w->k * dtype_size(w->dtype);
    } else {
        s = shape_linear(w, src, &n, &item, err);
    }
    if (s == STATUS_OK && __builtin_mul_overflow(n, item, &w->size))
        return error_set(err, STATUS_NO_MEMORY, "the size of a parameter overflows");
    return s;
}

static bool is_int8(enum weight_format format)
{
    return format == WF_I8 || format == WF_W8A16;
}

/* int8 has a scale for each output. */
static bool has_scale(const struct weight *w)
{
    return w->kind == WEIGHT_LINEAR && is_int8(w->format);
}

/* --- vectors and embeddings --- */

/* The parts one after the other. */
static void fill_vector(float *out, const struct weight_source *src)
{
    for (int i = 0; i < src->n_parts; i++) {
        const size_t n = (size_t)src->parts[i].rows * (size_t)src->cols;
        widen(out, src->parts[i].data, src->dtype, n);
        out += n;
    }
}

struct embedding {
    struct weight *w;
    const struct weight_source *src;
};

static void fill_embed_rows(void *ctx, int worker, int chunk)
{
    const struct embedding *e = ctx;
    const struct weight *w = e->w;
    const size_t row_size = (size_t)w->k * dtype_size(w->dtype);
    const int row0 = chunk * PANEL, end = row0 + PANEL < w->n ? row0 + PANEL : w->n;
    (void)worker;
    for (int i = row0; i < end; i++) {
        void *dst = (char *)w->data + (size_t)i * row_size;
        if (w->dtype == DT_BF16)
            memcpy(dst, source_row(e->src, i), row_size);
        else
            widen(dst, source_row(e->src, i), e->src->dtype, (size_t)w->k);
    }
}

static void fill_embed(struct cpu_backend *cb, struct weight *w, const struct weight_source *src)
{
    struct embedding e = {w, src};
    pool_run(cb->pool, fill_embed_rows, &e, (w->n + PANEL - 1) / PANEL, (double)w->size / 10.0);
}

/* --- linears --- */

struct packing {
    struct weight *w;
    const struct weight_source *src;
    const struct cpu_kernels *kernels;
    float *wide; /* [workers][k]; int4: whole groups, zero behind k */
    int8_t *q;   /* [workers][16][k], int8 */
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

/* A line of int8 from four inputs of each output to all outputs of each input. */
static void turn_line(char *line)
{
    const __m128i inputs = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m128i *p = (__m128i *)(void *)line, v[4];
    for (int i = 0; i < 4; i++) v[i] = _mm_shuffle_epi8(p[i], inputs);
    const __m128i low01 = _mm_unpacklo_epi32(v[0], v[1]), low23 = _mm_unpacklo_epi32(v[2], v[3]);
    const __m128i high01 = _mm_unpackhi_epi32(v[0], v[1]), high23 = _mm_unpackhi_epi32(v[2], v[3]);
    p[0] = _mm_unpacklo_epi64(low01, low23);
    p[1] = _mm_unpackhi_epi64(low01, low23);
    p[2] = _mm_unpacklo_epi64(high01, high23);
    p[3] = _mm_unpackhi_epi64(high01, high23);
}

/* 16 outputs of int8, from row n0. */
static void pack_group8(const struct packing *p, int worker, int n0, char *lines, size_t pitch)
{
    const struct weight *w = p->w;
    const int n_rows = w->n - n0 < LANES ? w->n - n0 : LANES;
    const size_t k = (size_t)w->k;
    const uint8_t flip = w->format == WF_I8 ? p->kernels->w8_flip : 0;
    float *wide = p->wide + (size_t)worker * k;
    int8_t *q = p->q + (size_t)worker * LANES * k;
    const void *rows[LANES];
    for (int r = 0; r < n_rows; r++) {
        int8_t *row = q + (size_t)r * k;
        widen(wide, source_row(p->src, n0 + r), p->src->dtype, k);
        w->scale[n0 + r] = p->kernels->quantize(row, wide, w->k);
        for (size_t i = 0; i < k; i++) row[i] = (int8_t)((uint8_t)row[i] ^ flip);
        rows[r] = row;
    }
    pack_lines(lines, pitch, rows, n_rows, w->k, 4);
    for (int s = 0; s < (w->k + 3) / 4 && w->format == WF_W8A16; s++)
        turn_line(lines + (size_t)s * pitch);
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

/* 16 outputs as they are stored, from row n0. */
static void pack_group(const struct packing *p, int worker, int n0, char *lines, size_t pitch)
{
    const struct weight *w = p->w;
    const int n_rows = w->n - n0 < LANES ? w->n - n0 : LANES;
    const size_t k = (size_t)w->k;
    const void *rows[LANES];
    float *wide = p->wide ? p->wide + (size_t)worker * k : NULL;
    if (w->format == WF_BF16) {
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
        else if (is_int8(p->w->format))
            pack_group8(p, worker, n0, data + (size_t)line * LINE, pitch);
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
    const bool integers = is_int8(w->format) || w->format == WF_I4;
    const size_t wide_len = w->format == WF_I4 ? groups4(w->k) * GROUP4 : k;
    if (is_int8(w->format)) p.q = malloc(n_workers * LANES * k);
    if (integers || src->dtype != DT_F32) p.wide = calloc(n_workers * wide_len, sizeof(float));
    if ((is_int8(w->format) && !p.q) || ((integers || src->dtype != DT_F32) && !p.wide)) {
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

/* --- interface --- */

static enum status alloc_arrays(struct weight *w, const struct weight_source *src,
                                struct error *err)
{
    const size_t column = (size_t)w->n * sizeof(float);
    enum status s = alloc_array(&w->data, w->size, err);
    if (s == STATUS_OK && has_scale(w)) s = alloc_array((void **)&w->scale, column, err);
    if (s == STATUS_OK && src->bias) s = alloc_array((void **)&w->bias, column, err);
    return s;
}

enum status cpu_weight_prepare(struct backend *be, const struct weight_source *src,
                               struct weight **out, struct error *err)
{
    struct weight *w = calloc(1, sizeof *w);
    if (!w) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    enum status s = shape_weight(w, src, err);
    if (s == STATUS_OK) s = check_data(src, err);
    if (s == STATUS_OK && src->bias) s = check_data(src->bias, err);
    if (s == STATUS_OK) s = alloc_arrays(w, src, err);
    if (s == STATUS_OK) {
        if (src->bias) fill_vector(w->bias, src->bias);
        if (w->kind == WEIGHT_VECTOR)
            fill_vector(w->data, src);
        else if (w->kind == WEIGHT_EMBED)
            fill_embed(cpu_of(be), w, src);
        else
            s = pack(cpu_of(be), w, src, err);
    }
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

const char *cpu_weight_layout(struct backend *be)
{
    struct cpu_backend *cb = cpu_of(be);
    snprintf(cb->layout, sizeof cb->layout, "cpu %d %s panel=%d flip=%02x", CPU_LAYOUT,
             cb->kernels->name, cb->kernels->panel, cb->kernels->w8_flip);
    return cb->layout;
}

static void add_array(struct weight_arrays *out, const void *data, size_t size)
{
    if (!data) return;
    out->items[out->n].data = data;
    out->items[out->n++].size = size;
}

void cpu_weight_arrays(struct backend *be, const struct weight *w, struct weight_arrays *out)
{
    const size_t column = (size_t)w->n * sizeof(float);
    (void)be;
    out->n = 0;
    add_array(out, w->data, w->size);
    add_array(out, w->scale, column);
    add_array(out, w->bias, column);
}

enum status cpu_weight_adopt(struct backend *be, const struct weight_source *shape,
                             const struct weight_arrays *arrays, struct weight **out,
                             struct error *err)
{
    struct weight w;
    const enum status s = shape_weight(&w, shape, err);
    if (s != STATUS_OK) return s;
    const size_t column = (size_t)w.n * sizeof(float);
    const struct {
        void **at;
        size_t size; /* 0: there is none */
    } wanted[] = {{&w.data, w.size},
                  {(void **)&w.scale, has_scale(&w) ? column : 0},
                  {(void **)&w.bias, shape->bias ? column : 0}};
    int n = 0;
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        if (wanted[i].size == 0) continue;
        if (n == arrays->n || arrays->items[n].size != wanted[i].size ||
            (uintptr_t)arrays->items[n].data % LINE != 0)
            return error_set(err, STATUS_CORRUPT, "array %d of a parameter has not its shape", n);
        *wanted[i].at = (void *)(uintptr_t)arrays->items[n++].data; /* never written to */
    }
    if (n != arrays->n)
        return error_set(err, STATUS_CORRUPT, "a parameter of %d arrays, not %d", n, arrays->n);
    w.borrowed = true;
    *out = malloc(sizeof **out);
    if (!*out) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    **out = w;
    be->weight_size += cpu_weight_size(&w);
    return STATUS_OK;
}

void cpu_weight_free(struct backend *be, struct weight *w)
{
    if (!w) return;
    be->weight_size -= cpu_weight_size(w);
    if (!w->borrowed) {
        cpu_memory_unmap(w->data, w->size);
        cpu_memory_unmap(w->scale, (size_t)w->n * sizeof(float));
        cpu_memory_unmap(w->bias, (size_t)w->n * sizeof(float));
    }
    free(w);
}

enum dtype cpu_activation_dtype(struct backend *be, const struct weight *w)
{
    (void)be;
    const bool integers = w->format == WF_I8 || w->format == WF_I4;
    return w->kind == WEIGHT_LINEAR && integers ? DT_I8 : DT_F32;
}
