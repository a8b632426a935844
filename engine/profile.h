#ifndef ENGINE_PROFILE_H
#define ENGINE_PROFILE_H

/* profile.h - where the time of a step goes, operator by operator.
 *
 * A profiler is a table of operators that stands in front of a backend's own and times each call.  It
 * is there only while it is attached: what is not profiled pays nothing.  The times are those of the
 * calls, so a profile says something only about backends that have done an operator's work when its
 * call returns, as the CPU has. */

#include "config/base/status.h"

#include <stdint.h>

enum op_kind {
    /* linears, by what they are in the model */
    OP_QKV,
    OP_O,
    OP_GATE_UP,
    OP_DOWN,
    OP_HEAD,
    OP_LINEARS, /* how many those are */
    OP_ATTENTION = OP_LINEARS,
    OP_NORM, /* with the residual's addition and the quantising that are fused into it */
    OP_QUANTIZE,
    OP_ROPE, /* and the writes to the KV-cache, where the backend fuses them */
    OP_KV_WRITE,
    OP_SILU_MUL, /* with its fused quantising */
    OP_EMBED,
    OP_SAMPLE,
    OP_OTHER, /* block copies, gathered rows, additions, allreduce */
    OP_COUNT
};
const char *op_kind_name(enum op_kind k); /* "gate_up" */

struct op_profile {
    uint64_t (*now_ns)(void); /* a monotonic clock; set by whoever attaches */
    struct {
        uint64_t ns, n_calls;
    } ops[OP_COUNT];
};

/* --- for engine.c --- */
struct backend;
struct model_config;
struct model_weights;
struct profiler;

/* Puts the table in front of be->ops until profiler_detach, which must come before the backend is
 * closed.  `out` and the weights stay the caller's. */
enum status profiler_attach(struct profiler **p, struct backend *be, const struct model_config *c,
                            const struct model_weights *w, struct op_profile *out,
                            struct error *err);
void profiler_detach(struct profiler *p); /* NULL is fine */

#endif
