/* Parameters on the device: rows as they are stored, or quantised there. */
#include "cuda/weight.h"

#include "config/limits.h"
#include "cuda/rows.h"

#include <stdlib.h>
#include <string.h>

/* |sum| <= 127 * 127 * K must stay below 2^31; the CPU's bound, so that both take the same models. */
#define INT8_MAX_K 66000

/* Bytes of one piece of an upload: large enough for the bus, small enough to have two in flight. */
#define PIECE ((size_t)16 << 20)

struct upload {
    void *pinned[2];
    void *rows; /* PIECE bytes on the device: parameters on their way to integers */
};

/* --- checks --- */

static int count_rows(const struct weight_source *src)
{
    int n = 0;
    for (int i = 0; i < src->n_parts; i++) n += src->parts[i].rows;
    return n;
}

static enum status check_shape(const struct weight_source *src, struct error *err)
{
    if (src->dtype != DT_F32 && src->dtype != DT_F16 && src->dtype != DT_BF16)
        return error_set(err, STATUS_UNSUPPORTED,
                         "parameters in %s are not supported: use float32, float16 or bfloat16",
                         dtype_name(src->dtype));
    if (src->n_parts < 1 || src->n_parts > 3 || src->cols < 1 || src->cols > LIMIT_WIDTH * 4)
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
    return STATUS_OK;
}

static enum status check_scheme(const struct weight_source *src, struct error *err)
{
    if (src->kind != WEIGHT_LINEAR || src->quant == QUANT_NONE) return STATUS_OK;
    if (src->quant == QUANT_INT8_W8A16) return STATUS_OK; /* its sums are f32 */
    if (src->quant != QUANT_INT8)
        return error_set_param(err, STATUS_UNSUPPORTED, "quantization",
                               "4-bit weights are not supported on a GPU: use --quantization int8, "
                               "or --device cpu");
    if (src->cols > INT8_MAX_K)
        return error_set(err, STATUS_UNSUPPORTED,
                         "int8 linears with more than %d inputs overflow their sums (this one has "
                         "%d): use --quantization none",
                         INT8_MAX_K, src->cols);
    return STATUS_OK;
}

static enum status check_bias(const struct weight_source *src, int n, struct error *err)
{
    if (!src->bias) return STATUS_OK;
    const enum status s = check_shape(src->bias, err);
    if (s != STATUS_OK) return s;
    const int64_t len = (int64_t)count_rows(src->bias) * src->bias->cols;
    if (len != n)
        return error_set(err, STATUS_CORRUPT, "a bias of %lld for %d outputs", (long long)len, n);
    return STATUS_OK;
}

/* --- moving rows --- */

static enum status upload_buffers(struct cuda_backend *cb, struct error *err)
{
    if (cb->weight_upload) return STATUS_OK;
    struct upload *u = calloc(1, sizeof *u);
    if (!u) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    cb->weight_upload = u;
    enum status s = device_alloc_pinned(cb->device, &u->pinned[0], PIECE, "an upload buffer", err);
    if (s == STATUS_OK)
        s = device_alloc_pinned(cb->device, &u->pinned[1], PIECE, "an upload buffer", err);
    if (s == STATUS_OK) s = device_alloc(cb->device, &u->rows, PIECE, "an upload buffer", err);
    return s;
}

void cuda_weight_uploads_end(struct cuda_backend *cb)
{
    struct upload *u = cb->weight_upload;
    if (!u) return;
    for (int i = 0; i < 2; i++)
        if (u->pinned[i]) device_free(cb->device, u->pinned[i]);
    if (u->rows) device_free(cb->device, u->rows);
    free(u);
    cb->weight_upload = NULL;
}

/* Where rows [row0, row0 + n) of a weight go. */
typedef void put_fn(struct cuda_backend *cb, const struct weight *w,
                    const struct weight_source *src, const void *pinned, int row0, int n);

static void put_rows(struct cuda_backend *cb, const struct weight *w,
                     const struct weight_source *src, const void *pinned, int row0, int n)
{
    const size_t item = dtype_size(w->dtype), width = (size_t)src->cols * item;
    const size_t pitch = (size_t)w->ld * item;
    device_copy_rows(cb->device, (char *)w->data + (size_t)row0 * pitch, pitch, pinned, width,
                     width, (size_t)n);
}

static void put_integers(struct cuda_backend *cb, const struct weight *w,
                         const struct weight_source *src, const void *pinned, int row0, int n)
{
    const struct upload *u = cb->weight_upload;
    device_copy(cb->device, u->rows, pinned,
                (size_t)n * (size_t)src->cols * dtype_size(src->dtype));
    const struct quantize_rows_args a = {
        .out = (int8_t *)w->data + (size_t)row0 * (size_t)w->ld,
        .scale = w->scale + row0,
        .x = u->rows,
        .dtype = src->dtype,
        .rows = n,
        .cols = src->cols,
        .ld_out = w->ld,
        .ld_x = src->cols,
    };
    cuda_quantize_rows(&a, device_stream(cb->device));
}

/* All rows of all parts, in pieces: the host copies one while the bus takes the other. */
static enum status move_rows(struct cuda_backend *cb, const struct weight *w,
                             const struct weight_source *src, put_fn *put, struct error *err)
{
    enum status s = upload_buffers(cb, err);
    if (s != STATUS_OK) return s;
    const size_t width = (size_t)src->cols * dtype_size(src->dtype);
    const int per_piece = (int)(PIECE / width);
    if (per_piece < 1)
        return error_set(err, STATUS_UNSUPPORTED, "a parameter of %zu bytes a row is too wide",
                         width);
    int at = 0, piece = 0;
    for (int p = 0; p < src->n_parts; p++) {
        const char *data = src->parts[p].data;
        for (int r = 0, n; r < src->parts[p].rows; r += n, at += n, piece ^= 1) {
            n = src->parts[p].rows - r < per_piece ? src->parts[p].rows - r : per_piece;
            void *pinned = ((const struct upload *)cb->weight_upload)->pinned[piece];
            memcpy(pinned, data + (size_t)r * width, (size_t)n * width);
            put(cb, w, src, pinned, at, n);
            /* Both pieces are under way: the first must arrive before it is filled again. */
            if (piece == 1 && (s = device_wait(cb->device, err)) != STATUS_OK) return s;
        }
    }
    return device_wait(cb->device, err);
}

/* --- prepare --- */

static float widen(const void *data, enum dtype dtype, size_t i)
{
    if (dtype == DT_F32) return ((const float *)data)[i];
    const uint16_t h = ((const uint16_t *)data)[i];
    union {
        uint32_t u;
        float f;
    } x = {.u = (uint32_t)h << 16};
    if (dtype == DT_BF16) return x.f;
    /* f16: shift into place, then let a multiplication rebias the exponent; exact. */
    x.u = (uint32_t)(h & 0x7fff) << 13;
    if ((h & 0x7c00) == 0x7c00)
        x.u |= 0x7f800000u;
    else
        x.f *= 0x1p112f;
    x.u |= (uint32_t)(h & 0x8000) << 16;
    return x.f;
}

/* The parts one after the other, as f32 on the device. */
static enum status make_vector(struct cuda_backend *cb, const struct weight_source *src,
                               float **out, size_t *size, struct error *err)
{
    const size_t n = (size_t)count_rows(src) * (size_t)src->cols;
    *size = n * sizeof(float);
    float *host = malloc(*size);
    if (!host) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    size_t at = 0;
    for (int p = 0; p < src->n_parts; p++) {
        const size_t len = (size_t)src->parts[p].rows * (size_t)src->cols;
        for (size_t i = 0; i < len; i++) host[at++] = widen(src->parts[p].data, src->dtype, i);
    }
    enum status s = device_alloc(cb->device, (void **)out, *size, "a vector", err);
    if (s == STATUS_OK) {
        device_copy(cb->device, *out, host, *size);
        s = device_wait(cb->device, err);
    }
    free(host);
    return s;
}

static enum status make_matrix(struct cuda_backend *cb, struct weight *w,
                               const struct weight_source *src, struct error *err)
{
    const bool integers = w->kind == WEIGHT_LINEAR && src->quant != QUANT_NONE; /* check_scheme */
    w->dtype = integers ? DT_I8 : src->dtype;
    w->quant = w->kind == WEIGHT_LINEAR ? src->quant : QUANT_NONE;
    const size_t item = dtype_size(w->dtype), per_16 = 16 / item;
    w->ld = (int)(((size_t)w->k + per_16 - 1) / per_16 * per_16);
    const size_t size = (size_t)w->n * (size_t)w->ld * item;
    enum status s = device_alloc(cb->device, &w->data, size, "a parameter", err);
    if (s == STATUS_OK && integers)
        s = device_alloc(cb->device, (void **)&w->scale, (size_t)w->n * sizeof(float), "scales",
                         err);
    if (s != STATUS_OK) return s;
    w->size = size + (integers ? (size_t)w->n * sizeof(float) : 0);
    if (w->ld != w->k) device_zero(cb->device, w->data, size);
    s = move_rows(cb, w, src, integers ? put_integers : put_rows, err);
    if (s != STATUS_OK || !src->bias) return s;
    size_t bias_size;
    s = make_vector(cb, src->bias, &w->bias, &bias_size, err);
    w->size += bias_size;
    return s;
}

enum status cuda_weight_prepare(struct backend *be, const struct weight_source *src,
                                struct weight **out, struct error *err)
{
    struct cuda_backend *cb = cuda_of(be);
    enum status s = check_shape(src, err);
    if (s == STATUS_OK) s = check_scheme(src, err);
    if (s == STATUS_OK) s = check_bias(src, count_rows(src), err);
    if (s != STATUS_OK) return s;
    struct weight *w = calloc(1, sizeof *w);
    if (!w) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    *w = (struct weight){.kind = src->kind, .n = count_rows(src), .k = src->cols};
    if (w->kind == WEIGHT_VECTOR) {
        w->dtype = DT_F32;
        w->k *= w->n;
        w->n = 1;
        s = make_vector(cb, src, (float **)&w->data, &w->size, err);
    } else {
        s = make_matrix(cb, w, src, err);
    }
    if (s != STATUS_OK) {
        cuda_weight_free(be, w);
        return s;
    }
    be->weight_size += w->size;
    w->counted = true;
    *out = w;
    return STATUS_OK;
}

void cuda_weight_free(struct backend *be, struct weight *w)
{
    if (!w) return;
    struct cuda_backend *cb = cuda_of(be);
    if (w->counted) be->weight_size -= w->size;
    void *arrays[] = {w->data, w->scale, w->bias};
    for (int i = 0; i < 3; i++)
        if (arrays[i]) device_free(cb->device, arrays[i]);
    free(w);
}

size_t cuda_weight_size(const struct weight *w)
{
    return w->size;
}

enum dtype cuda_activation_dtype(struct backend *be, const struct weight *w)
{
    (void)be;
    if (w->quant == QUANT_INT8) return DT_I8;
    if (w->quant == QUANT_INT8_W8A16) return DT_F32; /* its linears round rows themselves */
    return w->dtype;                                 /* linears round f32 rows to it */
}
