#ifndef SERVER_BENCH_WORKLOAD_H
#define SERVER_BENCH_WORKLOAD_H

/* workload.h - what to send and when.  A request's body is a function of the seed and its number,
 * whatever the order in which they are sent. */

#include "config/base/rng.h"
#include "config/base/str.h"
#include "server/bench/args.h"
#include "server/bench/trace.h"

struct work_item {
    int64_t number;  /* from 0; warm-ups count downwards from -1 */
    uint64_t due_ns; /* since the start; 0 in a closed loop */
    int64_t input_len, output_len;
};

struct workload {
    const struct bench_args *args;
    const char *model;
    uint64_t seed;
    bool chat;
    int64_t n_given; /* items handed out */
    double clock_s;  /* of the last arrival */
    struct rng arrivals;
    struct trace_row *rows;
    size_t n_rows;
    char **prompts; /* JSON strings with their quotes */
    size_t n_prompts;
    int32_t *ids; /* token ids that prompts are drawn from; NULL = all below vocab_size */
    size_t n_ids;
    struct strbuf extra; /* ,"key":value of --extra-body */
};

/* Reads trace and prompts.  `model` must outlive the workload. */
enum status workload_init(struct workload *w, const struct bench_args *args, const char *model,
                          struct error *err);
void workload_free(struct workload *w);
/* True when prompts are token ids and it is not known which ones the model has: then ask
 * /tokenize for workload_sample_text() and hand the answer's body to workload_learn_ids. */
bool workload_needs_ids(const struct workload *w);
const char *workload_sample_text(void);
enum status workload_learn_ids(struct workload *w, const char *json, size_t len, struct error *err);

/* The next arrival; false when there is none.  Does not look at --duration. */
bool workload_next(struct workload *w, struct work_item *out);
struct work_item workload_warmup(const struct workload *w, int64_t i);
/* Appends the JSON body of a request. */
void workload_body(const struct workload *w, const struct work_item *item, struct strbuf *out);

#endif
