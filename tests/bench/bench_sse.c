/* CPU time per token of the API's part of a stream: event -> detokeniser -> stop strings -> chunk ->
 * exchange buffer, without sockets and engine.  `bench_sse [tokens]` prints one line per case. */
#include <stdio.h>

#include "config/base/clock.h"
#include "tests/unit/api_fakes.h"

static const char sentence[] = "Once upon a time, there was a \"little\" girl named Lily.\n";

/* Streams as a server with many has them: a step gives one token to each. */
enum { N_STREAMS = 64 };

static double run(const char *body, long n_steps, double *bytes)
{
    struct http_exchange *x[N_STREAMS];
    uint64_t t0, total = 0;
    size_t n_bytes = 0;

    fake_engine.n_requests = 0;
    fake_engine.n_cancels = 0;
    for (int i = 0; i < N_STREAMS; i++) {
        x[i] = fake_post(body);
        api_completions(&fake_app, x[i]);
        CHECK(fake_engine.n_requests == i + 1);
    }
    for (long step = 0; step < n_steps; step++) {
        t0 = clock_now_ns();
        for (int i = 0; i < N_STREAMS; i++) {
            struct engine_event ev = {.request = fake_engine.requests[i],
                                      .type = EVENT_TOKEN,
                                      .token =
                                          sentence[(size_t)(step + i) % (sizeof(sentence) - 1)],
                                      .time_us = 2000 + (uint64_t)step};
            api_on_event(&fake_app, &ev);
        }
        api_on_batch_end(&fake_app);
        total += clock_now_ns() - t0;
        for (int i = 0; i < N_STREAMS; i++) {
            n_bytes += x[i]->out.len;
            strbuf_clear(&x[i]->out);
        }
    }
    for (int i = 0; i < N_STREAMS; i++) {
        struct engine_event ev = {.request = fake_engine.requests[i],
                                  .type = EVENT_FINISH,
                                  .finish = FINISH_ABORT,
                                  .last = true};
        http_closed_fn *closed = x[i]->closed;
        x[i]->closed = NULL;
        closed(x[i]->user, true);
        api_on_event(&fake_app, &ev);
        fake_close(x[i], true);
    }
    *bytes = (double)n_bytes / (double)(n_steps * N_STREAMS);
    return (double)total / (double)(n_steps * N_STREAMS);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name, *body;
    } cases[] = {
        {"plain", "{\"prompt\":\"x\",\"stream\":true}"},
        {"1 stop", "{\"prompt\":\"x\",\"stream\":true,\"stop\":\"\\n\\n\"}"},
        {"4 stops", "{\"prompt\":\"x\",\"stream\":true,\"stop\":[\"\\n\\n\",\"END\",\"User:\","
                    "\"Onc!\"]}"},
        {"token ids", "{\"prompt\":\"x\",\"stream\":true,\"return_token_ids\":true}"},
        {"usage in each", "{\"prompt\":\"x\",\"stream\":true,\"stream_options\":"
                          "{\"continuous_usage_stats\":true}}"},
    };
    long n = argc > 1 ? atol(argv[1]) : 1000000;

    if (n < N_STREAMS) n = N_STREAMS;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double bytes, ns;
        run(cases[i].body, 100, &bytes);
        ns = run(cases[i].body, n / N_STREAMS, &bytes);
        printf("%-14s %7.1f ns per token, %5.1f bytes per event\n", cases[i].name, ns, bytes);
    }
    return 0;
}
