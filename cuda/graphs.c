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

enum status cuda_warm(struct backend *be, forward_fn *forward, void *model, bool capture_steps,
                      struct error *err)
{
    struct cuda_backend *cb = cuda_of(be);
    const int most = most_rows(cb), longest = cb->limits.max_tokens;
    /* The driver loads a kernel's code at its first launch: those of long prompts too are loaded now. */
    const struct step_dims prompt = {.n_tokens = longest, .n_logits = 1};
    cuda_step_upload_padding(cb, longest);
    forward(be, &prompt, model);
    enum status s = device_wait(cb->device, err);
    if (s != STATUS_OK || !capture_steps) return s;
    cb->graphs = calloc(1, sizeof *cb->graphs);
    if (!cb->graphs) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    for (int n = 1; n <= most && n <= CUDA_BUCKET_MAX && s == STATUS_OK; n++) {
        CHECK(cb->graphs->n < MAX_GRAPHS);
        n = captured_rows(cb, n);
        cuda_step_upload_padding(cb, n);
        s = capture(cb, n, forward, model, err);
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
