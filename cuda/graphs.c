#include "cuda/graphs.h"

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

enum status cuda_run(struct backend *be, const struct step_dims *dims, forward_fn *forward,
                     void *model, struct error *err)
{
    struct cuda_backend *cb = cuda_of(be);
    (void)err; /* what fails on the device shows at the download */
    const bool all_rows = dims->n_logits == dims->n_tokens && cb->step.n_samples == dims->n_logits;
    struct device_graph *g = all_rows ? find(cb, cuda_step_bucket(dims->n_tokens)) : NULL;
    if (g)
        device_graph_launch(cb->device, g);
    else
        forward(be, dims, model);
    cuda_flight_return(cb);
    return STATUS_OK;
}

/* One bucket: run as it is first, so that libraries make their plans outside of the capture. */
static enum status capture(struct cuda_backend *cb, int rows, forward_fn *forward, void *model,
                           struct error *err)
{
    const struct step_dims dims = {.n_tokens = rows, .n_logits = rows};
    struct graph_state *g = cb->graphs;
    forward(&cb->base, &dims, model);
    enum status s = device_wait(cb->device, err);
    if (s == STATUS_OK) s = device_capture_begin(cb->device, err);
    if (s != STATUS_OK) return s;
    forward(&cb->base, &dims, model);
    s = device_capture_end(cb->device, &g->items[g->n].graph, err);
    if (s == STATUS_OK) g->items[g->n++].rows = rows;
    return s;
}

enum status cuda_warm(struct backend *be, forward_fn *forward, void *model, struct error *err)
{
    struct cuda_backend *cb = cuda_of(be);
    const struct backend_limits *l = &cb->limits;
    cb->graphs = calloc(1, sizeof *cb->graphs);
    if (!cb->graphs) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    const int most = l->max_samples < l->max_tokens ? l->max_samples : l->max_tokens;
    enum status s = STATUS_OK;
    for (int rows = 1; s == STATUS_OK && cb->graphs->n < MAX_GRAPHS; rows++) {
        rows = cuda_step_bucket(rows);
        if (rows > most || rows > CUDA_BUCKET_MAX) break;
        cuda_step_upload_padding(cb, rows);
        s = capture(cb, rows, forward, model, err);
    }
    return s == STATUS_OK ? device_wait(cb->device, err) : s;
}

void cuda_graphs_release(struct cuda_backend *cb)
{
    struct graph_state *g = cb->graphs;
    if (!g) return;
    for (int i = 0; i < g->n; i++) device_graph_free(cb->device, g->items[i].graph);
    free(g);
}
