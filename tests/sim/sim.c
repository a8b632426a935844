/* simtest - random histories and public traces against the real scheduler.
 *
 * What a history shows: every request's output is the one that it gets when it is computed alone,
 * whatever else happens (other requests, chunks, preemption, shared prefixes, choices, cancels,
 * deadlines, two steps in flight, a device that fails).  The fake engine keeps a cache in which
 * each slot holds the chained hash of the tokens that should be there, and checks at every sample
 * the whole walk through the block table; the invariants are checked after every call.
 *
 * What it was seen to catch, by breaking the scheduler on purpose: a block freed twice; a missed
 * copy on write; a copy's source freed before its step; a step that keeps the old block table
 * after a copy; a fork without references; blocks lost in preemption; preempting or freeing what
 * a step in flight uses; ended sequences never freed; cache entries matched without their tokens,
 * parent or salt; a block registered one token early or not forgotten when evicted; hits without
 * references; a whole prompt taken from the cache; prompt logprobs read from it or sent twice; a
 * wrong slot at a block's border; another sequence's token fed back; the surplus token of an
 * ended sequence sent; penalties without the newest token; one token too many; more samples than
 * fit; a request read after its end; deadlines forgotten; the queue's head overtaken. */

#include "tests/sim/sim.h"

#include "config/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECONDS_PER_TRACE = 6 };

struct arguments {
    uint64_t seed, n_histories;
    bool replay_one, traces;
};

static bool parse_arguments(int argc, char **argv, struct arguments *a)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--no-traces")) {
            a->traces = false;
            continue;
        }
        if (!strcmp(argv[i], "--seed") && parse_u64(value, &a->seed))
            a->replay_one = true;
        else if (strcmp(argv[i], "--histories") != 0 || !parse_u64(value, &a->n_histories))
            return false;
        i++;
    }
    return true;
}

static int run_histories(uint64_t n)
{
    for (uint64_t seed = 1; seed <= n; seed++) {
        if (history_run(seed, false)) continue;
        printf("FAILED: seed %llu (replay: simtest --seed %llu)\n", (unsigned long long)seed,
               (unsigned long long)seed);
        return 1;
    }
    const struct history_totals *t = &history_totals;
    printf("%llu histories: %llu requests, %llu steps (%llu planned ahead, %llu surplus tokens), "
           "%llu tokens, %llu scored\n",
           (unsigned long long)t->n_histories, (unsigned long long)t->n_requests,
           (unsigned long long)t->n_steps, (unsigned long long)t->n_chained,
           (unsigned long long)t->n_surplus, (unsigned long long)t->n_tokens,
           (unsigned long long)t->n_scored);
    printf("  %llu preemptions, %llu prefix hits (tokens), %llu copies on write, %llu cancels, "
           "%llu deadlines, %llu device failures; longest: %llu steps\n",
           (unsigned long long)t->n_preemptions, (unsigned long long)t->n_hits,
           (unsigned long long)t->n_copies, (unsigned long long)t->n_cancelled,
           (unsigned long long)t->n_deadlines, (unsigned long long)t->n_faults,
           (unsigned long long)t->longest);
    /* A generator that no longer reaches a feature tests nothing. */
    bool all = t->n_preemptions && t->n_hits && t->n_copies && t->n_cancelled && t->n_deadlines &&
               t->n_faults && t->n_scored && t->n_chained && t->n_surplus;
    if (n >= 1000 && !all) {
        printf("FAILED: something above never happened\n");
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct arguments a = {.n_histories = 10000, .traces = true};
    if (!parse_arguments(argc, argv, &a)) {
        fprintf(stderr, "usage: simtest [--histories N] [--no-traces] [--seed N]\n"
                        "  --seed N replays one history and prints its events\n");
        return 2;
    }
    if (a.replay_one) {
        bool ok = history_run(a.seed, true);
        printf("seed %llu: %s\n", (unsigned long long)a.seed, ok ? "ok" : "FAILED");
        return !ok;
    }
    int failed = run_histories(a.n_histories);
    if (!failed && a.traces) {
        const char *shared = getenv("INFERD_SHARED");
        char dir[4096];
        snprintf(dir, sizeof(dir), "%s/data/traces", shared ? shared : "../shared");
        failed = traces_run(dir, SECONDS_PER_TRACE);
    }
    return failed;
}
