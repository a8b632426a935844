/* Parameters on the device: rows as they are stored, or quantised there. */
#include "cuda/weight.h"

#include "config/limits.h"
#include "cuda/rows.h"
#include "cuda/upload.h"

#include <stdlib.h>

/* |sum| <= 127 * 127 * K must stay below 2^31; the CPU's bound, so that both take the same models. */
#define INT8_MAX_K 66000

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
        const enum dtype from = src->parts[i].as_stored ? src->parts[i].stored : src->dtype;
        if (from != src->dtype && (from > DT_BF16 || src->dtype == DT_F16))
            return error_set(err, STATUS_UNSUPPORTED, "parameters in %s cannot become %s",
                             dtype_name(from), dtype_name(src->dtype));
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

static enum status open_upload(struct cuda_backend *cb, struct error *err)
{
    if (cb->weight_upload) return STATUS_OK;
    return cuda_upload_open(&cb->weight_upload, cb->device, cb->n_load_threads, err);
}

void cuda_weight_uploads_end(struct cuda_backend *cb)
{
    cuda_upload_close(cb->weight_upload);
    cb->weight_upload = NULL;
}

/* Where rows go, and what they are. */
struct destination {
    struct cuda_backend *cb;
    char *data;
    float *scale;        /* integers */
    size_t width, pitch; /* bytes of a row as it comes; to the next one on the device */
    int cols, ld;
    enum dtype dtype; /* as they come */
};

static void put_rows(void *ctx, const void *pinned, int row0, int n)
{
    const struct destination *d = ctx;
    char *to = d->data + (size_t)row0 * d->pitch;
    if (d->pitch == d->width)
        device_copy(d->cb->device, to, pinned, (size_t)n * d->width);
    else
        device_copy_rows(d->cb->device, to, d->pitch, pinned, d->width, d->width, (size_t)n);
}

static void put_integers(void *ctx, const void *pinned, int row0, int n)
{
    const struct destination *d = ctx;
    void *rows = cuda_upload_scratch(d->cb->weight_upload);
    device_copy(d->cb->device, rows, pinned, (size_t)n * d->width);
    const struct quantize_rows_args a = {
        .out = (int8_t *)d->data + (size_t)row0 * d->pitch,
        .scale = d->scale + row0,
        .x = rows,
        .dtype = d->dtype,
        .rows = n,
        .cols = d->cols,
        .ld_out = d->ld,
        .ld_x = d->cols,
    };
    cuda_quantize_rows(&a, device_stream(d->cb->device));
}

static enum status move_rows(struct cuda_backend *cb, const struct weight *w,
                             const struct weight_source *src, upload_put_fn *put, struct error *err)
{
    struct destination d = {
        .cb = cb,
        .data = w->data,
        .scale = w->scale,
        .width = (size_t)src->cols * dtype_size(src->dtype),
        .pitch = (size_t)w->ld * dtype_size(w->dtype),
        .cols = src->cols,
        .ld = w->ld,
        .dtype = src->dtype,
    };
    const enum status s = open_upload(cb, err);
    return s == STATUS_OK ? cuda_upload_rows(cb->weight_upload, src, put, &d, err) : s;
}

/* --- prepare --- */

/* The parts one after the other, as f32 on the device. */
static enum status make_vector(struct cuda_backend *cb, const struct weight_source *src,
                               float **out, size_t *size, struct error *err)
{
    struct weight_source wide = *src;
    for (int p = 0; p < src->n_parts; p++) {
        if (!src->parts[p].as_stored) wide.parts[p].stored = src->dtype;
        wide.parts[p].as_stored = true;
    }
    wide.dtype = DT_F32;
    const size_t width = (size_t)src->cols * sizeof(float);
    *size = (size_t)count_rows(src) * width;
    enum status s = device_alloc(cb->device, (void **)out, *size, "a vector", err);
    if (s == STATUS_OK) s = open_upload(cb, err);
    if (s != STATUS_OK) return s;
    struct destination d = {.cb = cb, .data = (char *)*out, .width = width, .pitch = width};
    return cuda_upload_rows(cb->weight_upload, &wide, put_rows, &d, err);
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
