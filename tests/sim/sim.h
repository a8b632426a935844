#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

/* sim.h - the scheduler's world: a fake engine, clients, and a virtual clock. */

#include "config/base/rng.h"
#include "scheduler/scheduler.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

/* A failed check ends the history: message to stderr, back to the runner's setjmp. */
extern jmp_buf sim_on_failure;
_Noreturn void sim_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define SIM_CHECK(cond, ...)                                       \
    do {                                                           \
        if (!(cond)) sim_fail(__FILE__, __LINE__, "" __VA_ARGS__); \
    } while (0)

/* --- the pure model: what any engine must compute for a request, whatever the schedule --- */

enum { SIM_VOCAB = 97 };

uint64_t model_root(void);
/* The hidden state after `token` in the context `h`: the content of the token's cache slot. */
uint64_t model_extend(uint64_t h, int32_t token);
int32_t model_draw(uint64_t h, const struct sampling_params *p, int32_t choice, int32_t n_output);
float model_logprob(uint64_t h, int32_t token);

/* --- the fake engine: executes steps on a simulated cache, believing nothing --- */

struct client_request;
/* Finds the request of a sample; NULL when it has ended.  seed is the request's id. */
typedef const struct client_request *sim_find_fn(void *arg, uint64_t seed);

struct fake_engine {
    struct sched_config config;
    uint64_t *kv;       /* [n_blocks * block_size] state hash of the token in the slot */
    uint64_t *salt_tag; /* [n_blocks] salt + 1 of the request that was seen to use it; 0 = none */
    uint64_t *written;  /* [n_blocks * block_size] id of the last step that wrote it */
    uint64_t *rows;     /* [max_num_batched_tokens] state hash after each row */
    /* Two generations: the step's own samples and the previous step's (token_src). */
    struct sample_out *samples[2];
    uint64_t *sample_key[2]; /* seed and choice of each sample */
    int32_t n_samples[2];
    uint64_t last_id;
};
void fake_engine_open(struct fake_engine *e, const struct sched_config *c);
void fake_engine_close(struct fake_engine *e);
/* previous_applied: no step was in flight when this one was planned. */
void fake_engine_execute(struct fake_engine *e, const struct step *step, bool previous_applied,
                         sim_find_fn *find, void *find_arg, struct step_result *out);
/* A digest of everything in a step, to show that it does not change while in flight. */
uint64_t step_digest(const struct step *step);

/* --- clients: what each request should see --- */

enum { SIM_MAX_TOKENS = 48, SIM_MAX_N = 4, SIM_MAX_PROMPT = 160 };

struct client_choice {
    int32_t expected[SIM_MAX_TOKENS];
    int32_t n_expected;
    enum finish_reason expected_finish; /* of the last expected token */
    int32_t n_seen;
    bool ended;
    bool silent; /* ended by sched_finish_choice */
};

/* The server's memory of a request: poisoned and freed when the last event arrives. */
struct client_memory {
    struct request request;
    int32_t prompt[SIM_MAX_PROMPT];
    int32_t stop_ids[2], eos_ids[1];
    struct logit_bias bias[1];
};

struct client_request {
    struct client_memory *r; /* NULL after the last event */
    uint64_t id;             /* also params.seed */
    uint64_t arrival_us, deadline_us;
    int32_t prompt[SIM_MAX_PROMPT];
    int32_t n_prompt, n;
    uint64_t salt;
    bool submitted, admitted, ended, score;
    int32_t next_scored; /* prompt position of the next EVENT_PROMPT_LOGPROB */
    int32_t n_cached_max;
    struct client_choice choices[SIM_MAX_N];
};
void client_expect(struct client_request *c, const struct sampling_params *p, int32_t max_tokens,
                   int32_t seq_cap);
void client_event(struct client_request *c, const struct sched_event *ev, bool failed);

/* --- runners --- */

/* One random history.  False: it failed (the reason was printed). */
bool history_run(uint64_t seed, bool verbose);
struct history_totals {
    uint64_t n_histories, n_requests, n_steps, n_tokens, n_preemptions, n_hits, n_copies;
    uint64_t n_cancelled, n_deadlines, n_scored, n_faults, n_chained, n_surplus;
    uint64_t longest; /* history, in steps */
};
extern struct history_totals history_totals;

/* Replays the public traces under `dir`, each for at most so many seconds; 0 = fine.  Says so where
 * one is not there. */
int traces_run(const char *dir, double seconds_each);

#endif
