/* blas.h on cuBLASLt. */
#include "config/base/check.h"
#include "cuda/blas.h"

#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>

/* What cuBLAS itself takes on Hopper. */
#define WORKSPACE ((size_t)32 << 20)
/* Shapes: 4 products of a layer and the logits, for each bucket of a captured step, and for each T of
 * other steps. */
#define MAX_PLANS 4096

struct plan {
    struct blas_shape shape;
    bool used, works;
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t w, x, out;
    cublasLtMatmulAlgo_t algo;
};

struct blas {
    cublasLtHandle_t handle;
    struct device *device;
    void *workspace;
    cublasStatus_t failed; /* the first failure */
    int n_plans;
    struct plan plans[MAX_PLANS]; /* open addressing; never more than half full */
};

static const struct {
    cudaDataType_t in, out, scale;
    cublasComputeType_t compute;
} types[] = {
    [BLAS_F32] = {CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F_PEDANTIC},
    [BLAS_BF16] = {CUDA_R_16BF, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F},
    [BLAS_F16] = {CUDA_R_16F, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F},
    [BLAS_INT8] = {CUDA_R_8I, CUDA_R_32I, CUDA_R_32I, CUBLAS_COMPUTE_32I},
};

enum status blas_open(struct blas **out, struct device *d, struct error *err)
{
    struct blas *b = calloc(1, sizeof *b);
    if (!b) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    b->device = d;
    const cublasStatus_t s = device_counts(d) ? CUBLAS_STATUS_SUCCESS : cublasLtCreate(&b->handle);
    if (s != CUBLAS_STATUS_SUCCESS) {
        free(b);
        const bool full = s == CUBLAS_STATUS_ALLOC_FAILED;
        return error_set(err, full ? STATUS_NO_MEMORY : STATUS_UNAVAILABLE,
                         "cuBLASLt does not start: %s", cublasLtGetStatusString(s));
    }
    const enum status status =
        device_alloc(d, &b->workspace, WORKSPACE, "cuBLASLt's workspace", err);
    if (status != STATUS_OK) {
        blas_close(b);
        return status;
    }
    *out = b;
    return STATUS_OK;
}

void blas_close(struct blas *b)
{
    if (!b) return;
    if (b->workspace) device_free(b->device, b->workspace);
    if (b->handle) cublasLtDestroy(b->handle);
    free(b);
}

static bool same_shape(const struct blas_shape *a, const struct blas_shape *b)
{
    return a->type == b->type && a->rows == b->rows && a->n == b->n && a->k == b->k &&
           a->ldx == b->ldx && a->ldw == b->ldw && a->ldo == b->ldo &&
           a->align_out == b->align_out && a->bias == b->bias;
}

/* The shape's entry, or the free one where it would be. */
static struct plan *find_plan(struct blas *b, const struct blas_shape *s)
{
    const int words[] = {(int)s->type, s->rows, s->n,         s->k,   s->ldx,
                         s->ldw,       s->ldo,  s->align_out, s->bias};
    uint32_t hash = 2166136261u; /* FNV-1a, by words */
    for (size_t i = 0; i < ARRAY_LEN(words); i++) hash = (hash ^ (uint32_t)words[i]) * 16777619u;
    uint32_t at = (hash ^ hash >> 15) % MAX_PLANS;
    while (b->plans[at].used && !same_shape(&b->plans[at].shape, s)) at = (at + 1) % MAX_PLANS;
    return &b->plans[at];
}

static bool set_product(struct plan *p, cublasLtMatmulDescAttributes_t what, const void *value,
                        size_t size)
{
    return cublasLtMatmulDescSetAttribute(&p->product, what, value, size) == CUBLAS_STATUS_SUCCESS;
}

/* Descriptors lie in the plan: nothing of them is allocated. */
static bool describe(struct plan *p)
{
    const struct blas_shape *s = &p->shape;
    const cublasOperation_t transposed = CUBLAS_OP_T, plain = CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue =
        s->bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    const uint64_t n = (uint64_t)s->n, k = (uint64_t)s->k, rows = (uint64_t)s->rows;
    bool ok = cublasLtMatmulDescInit(&p->product, types[s->type].compute, types[s->type].scale) ==
              CUBLAS_STATUS_SUCCESS;
    ok = ok && set_product(p, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
    ok = ok && set_product(p, CUBLASLT_MATMUL_DESC_TRANSB, &plain, sizeof plain);
    ok = ok && set_product(p, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (s->bias) {
        const cudaDataType_t f32 = CUDA_R_32F;
        ok = ok && set_product(p, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &f32, sizeof f32);
    }
    const cudaDataType_t in = types[s->type].in;
    ok = ok && cublasLtMatrixLayoutInit(&p->w, in, k, n, s->ldw) == CUBLAS_STATUS_SUCCESS;
    ok = ok && cublasLtMatrixLayoutInit(&p->x, in, k, rows, s->ldx) == CUBLAS_STATUS_SUCCESS;
    return ok && cublasLtMatrixLayoutInit(&p->out, types[s->type].out, n, rows, s->ldo) ==
                     CUBLAS_STATUS_SUCCESS;
}

static bool set_preference(cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t what,
                           uint32_t value)
{
    return cublasLtMatmulPreferenceSetAttribute(p, what, &value, sizeof value) ==
           CUBLAS_STATUS_SUCCESS;
}

static bool choose_algorithm(struct blas *b, struct plan *p)
{
    cublasLtMatmulPreferenceOpaque_t preference;
    const size_t workspace = WORKSPACE;
    const uint32_t out = (uint32_t)p->shape.align_out;
    bool ok = cublasLtMatmulPreferenceInit(&preference) == CUBLAS_STATUS_SUCCESS;
    ok = ok && cublasLtMatmulPreferenceSetAttribute(
                   &preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                   sizeof workspace) == CUBLAS_STATUS_SUCCESS;
    ok = ok && set_preference(&preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 16);
    ok = ok && set_preference(&preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 16);
    ok = ok && set_preference(&preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, out);
    ok = ok && set_preference(&preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, out);
    cublasLtMatmulHeuristicResult_t found;
    int n = 0;
    ok =
        ok && cublasLtMatmulAlgoGetHeuristic(b->handle, &p->product, &p->w, &p->x, &p->out, &p->out,
                                             &preference, 1, &found, &n) == CUBLAS_STATUS_SUCCESS;
    if (!ok || n < 1 || found.state != CUBLAS_STATUS_SUCCESS) return false;
    p->algo = found.algo;
    return true;
}

bool blas_has_plan(struct blas *b, const struct blas_shape *s)
{
    DCHECK(!(s->bias && s->type == BLAS_INT8));
    struct plan *p = find_plan(b, s);
    if (p->used) return p->works;
    if (b->n_plans >= MAX_PLANS / 2) { /* begin anew: graphs have what they need of theirs */
        memset(b->plans, 0, sizeof b->plans);
        b->n_plans = 0;
        p = find_plan(b, s);
    }
    b->n_plans++;
    *p = (struct plan){.shape = *s, .used = true};
    p->works = describe(p) && choose_algorithm(b, p);
    return p->works;
}

void blas_multiply(struct blas *b, const struct blas_shape *s, void *out, const void *x,
                   const void *w, const float *bias)
{
    const struct device_queue *queue = device_stream(b->device);
    struct plan *p = find_plan(b, s);
    DCHECK(p->used && p->works);
    const float one = 1.0f, zero = 0.0f;
    const int32_t one_i = 1, zero_i = 0;
    const bool integers = s->type == BLAS_INT8;
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    if (s->bias)
        status = cublasLtMatmulDescSetAttribute(&p->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                                &bias, sizeof bias);
    if (status == CUBLAS_STATUS_SUCCESS)
        status =
            cublasLtMatmul(b->handle, &p->product, integers ? (const void *)&one_i : &one, w, &p->w,
                           x, &p->x, integers ? (const void *)&zero_i : &zero, out, &p->out, out,
                           &p->out, &p->algo, b->workspace, WORKSPACE, (cudaStream_t)queue->stream);
    if (status != CUBLAS_STATUS_SUCCESS && b->failed == CUBLAS_STATUS_SUCCESS) b->failed = status;
}

enum status blas_check(const struct blas *b, struct error *err)
{
    if (b->failed == CUBLAS_STATUS_SUCCESS) return STATUS_OK;
    return error_set(err, STATUS_INTERNAL, "a matrix product failed: %s",
                     cublasLtGetStatusString(b->failed));
}
