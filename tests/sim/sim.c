#include "tests/sim/sim.h"

#include "config/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run_histories(uint64_t first, uint64_t n)
{
    for (uint64_t seed = first; seed < first + n; seed++) {
        if (history_run(seed, false)) continue;
        printf("FAILED: seed %llu (replay: simtest --seed %llu)\n", (unsigned long long)seed,
               (unsigned long long)seed);
        return 1;
    }
    const struct history_totals *t = &history_totals;
    printf("%llu histories: %llu requests, %llu steps (%llu planned ahead), %llu tokens, "
           "%llu scored\n",
           (unsigned long long)t->n_histories, (unsigned long long)t->n_requests,
           (unsigned long long)t->n_steps, (unsigned long long)t->n_chained,
           (unsigned long long)t->n_tokens, (unsigned long long)t->n_scored);
    printf("  %llu preemptions, %llu prefix hits (tokens), %llu copies on write, %llu cancels, "
           "%llu deadlines, %llu device failures\n",
           (unsigned long long)t->n_preemptions, (unsigned long long)t->n_hits,
           (unsigned long long)t->n_copies, (unsigned long long)t->n_cancelled,
           (unsigned long long)t->n_deadlines, (unsigned long long)t->n_faults);
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t seed = 0, n = 10000;
    bool one = false;
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (more && !strcmp(argv[i], "--seed") && parse_u64(argv[i + 1], &seed)) {
            one = true;
        } else if (!(more && !strcmp(argv[i], "--histories") && parse_u64(argv[i + 1], &n))) {
            fprintf(stderr, "usage: simtest [--histories N] [--seed N]\n");
            return 2;
        }
        i++;
    }
    if (one) {
        bool ok = history_run(seed, true);
        printf("seed %llu: %s\n", (unsigned long long)seed, ok ? "ok" : "FAILED");
        return !ok;
    }
    return run_histories(1, n);
}
