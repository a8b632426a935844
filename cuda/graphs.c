#include "cuda/graphs.h"

#include "config/base/check.h"
#include "cuda/flight.h"
#include "cuda/step.h"

#include <stdlib.h>

#define MAX_GRAPHS 64

struct graph_state {
    int n;
    struct {
        int rows;
        struct device_graph *graph;
    } items[MAX_GRAPHS];
};

static struct device_graph *find(const struct cuda_backend *cb, int rows)
{
    const struct graph_state *g = cb->graphs;
    for (int i = 0; g && i < g->n; i++)
        if (g->items[i].rows == rows) return g->items[i].graph;
    return NULL;
}

static int most_rows(const struct cuda_backend *cb)
{
    const struct backend_limits *l = &cb->limits;
    return l->max_samples < l->max_tokens ? l->max_samples : l->max_tokens;
}

/* Rows of the captured step for n of them: the last bucket ends where the limits do. */
static int captured_rows(const struct cuda_backend *cb, int n)
{
    const int rows = cuda_step_bucket(n), most = most_rows(cb);
    return rows > most ? most : rows;
}

enum status cuda_run(struct backend *be, const struct step_dims *dims, forward_fn *forward,
                     void *model, struct error *err)
{
    struct cuda_backend *cb = cuda_of(be);
    (void)err; /* what fails on the device shows at the download */
    const bool all_rows = dims->n_logits == dims->n_tokens && cb->step.n_samples == dims->n_logits;
    struct device_graph *g = all_rows ? find(cb, captured_rows(cb, dims->n_tokens)) : NULL;
    if (g)
        device_graph_launch(cb->device, g);
    else
        forward(be, dims, model);
    cuda_flight_return(cb);
    return STATUS_OK;
}

/* One bucket; it was run as it is, so that libraries have made their plans. */
static enum status capture(struct cuda_backend *cb, int rows, forward_fn *forward, void *model,
                           struct error *err)
{
    const struct step_dims dims = {.n_tokens = rows, .n_logits = rows};
    struct graph_state *g = cb->graphs;
    enum status s = device_capture_begin(cb->device, err);
    if (s != STATUS_OK) return s;
    forward(&cb->base, &dims, model);
    s = device_capture_end(cb->device, &g->items[g->n].graph, err);
    if (s == STATUS_OK) g->items[g->n++].rows = rows;
    return s;
}

/* The next bucket of more than `rows` rows; 0: there is none. */
static int next_bucket(const struct cuda_backend *cb, int rows)
{
    const int n = rows + 1;
    return n <= most_rows(cb) && n <= CUDA_BUCKET_MAX ? captured_rows(cb, n) : 0;
}

static int count_buckets(const struct cuda_backend *cb)
{
    int n = 0;
    for (int rows = next_bucket(cb, 0); rows > 0; rows = next_bucket(cb, rows)) n++;
    return n;
}

static enum status run_padding(struct cuda_backend *cb, int rows, int n_logits, forward_fn *forward,
                               void *model, struct error *err)
{
    const struct step_dims dims = {.n_tokens = rows, .n_logits = n_logits};
    cuda_step_upload_padding(cb, rows);
    forward(&cb->base, &dims, model);
    return device_wait(cb->device, err);
}

enum status cuda_warm(struct backend *be, forward_fn *forward, void *model, bool capture_steps,
                      struct error *err)
{
    struct cuda_backend *cb = cuda_of(be);
    /* The driver loads a kernel's code at its first launch: those of long prompts too are loaded now. */
    enum status s = run_padding(cb, cb->limits.max_tokens, 1, forward, model, err);
    int rows = capture_steps ? next_bucket(cb, 0) : 0;
    for (; rows > 0 && s == STATUS_OK; rows = next_bucket(cb, rows))
        s = run_padding(cb, rows, rows, forward, model, err);
    return s;
}

/* Of a graph on the device: some 240 kernels for 32 layers, each with its parameters and what the driver
 * keeps beside them.  A guess on the large side. */
#define GRAPH_SIZE ((size_t)4 << 20)

size_t cuda_capture_size(struct backend *be)
{
    return (size_t)count_buckets(cuda_of(be)) * GRAPH_SIZE;
}

void cuda_graphs_count(const struct cuda_backend *cb, int *n_captured, int *n_to_capture)
{
    *n_captured = cb->graphs ? cb->graphs->n : 0;
    *n_to_capture = cb->upload ? count_buckets(cb) : 0;
}

enum status cuda_capture(struct backend *be, forward_fn *forward, void *model, struct error *err)
{
    struct cuda_backend *cb = cuda_of(be);
    enum status s = STATUS_OK;
    CHECK(count_buckets(cb) <= MAX_GRAPHS);
    cb->graphs = calloc(1, sizeof *cb->graphs);
    if (!cb->graphs) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    int rows = next_bucket(cb, 0);
    for (; rows > 0 && s == STATUS_OK; rows = next_bucket(cb, rows)) {
        cuda_step_upload_padding(cb, rows);
        s = capture(cb, rows, forward, model, err);
        if (s == STATUS_OK) s = device_wait(cb->device, err); /* the staging memory, the upload */
    }
    return s;
}

void cuda_graphs_release(struct cuda_backend *cb)
{
    struct graph_state *g = cb->graphs;
    if (!g) return;
    for (int i = 0; i < g->n; i++) device_graph_free(cb->device, g->items[i].graph);
    free(g);
}
