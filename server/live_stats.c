#include "server/live_stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double first_edge = 0.00005, growth = 1.1;

struct live_stats {
    bool open;
    struct live_point now; /* the open second */
    struct live_histogram ttft, itl, e2e;
    struct live_point ring[LIVE_POINTS];
    uint64_t n_closed, n_done;
    bool has_gauges;
};

/* --- histograms ------------------------------------------------------------------------------ */

void live_histogram_add(struct live_histogram *h, double seconds)
{
    if (!(seconds >= 0)) return;
    double at = seconds > first_edge ? ceil(log(seconds / first_edge) / log(growth)) : 0;
    int i = at < LIVE_BUCKETS - 1 ? (int)at : LIVE_BUCKETS - 1;
    h->counts[i]++;
    h->n++;
}

double live_histogram_quantile(const struct live_histogram *h, double q)
{
    if (h->n == 0) return 0;
    double rank = ceil(q * h->n);
    uint64_t below = 0;
    int i = 0;
    while (i < LIVE_BUCKETS - 1 && (double)(below += h->counts[i]) < rank) i++;
    return 1000 * first_edge * pow(growth, i - 0.5); /* the middle of the bucket */
}

/* --- seconds --------------------------------------------------------------------------------- */

struct live_stats *live_stats_new(void)
{
    return calloc(1, sizeof(struct live_stats));
}

void live_stats_free(struct live_stats *s)
{
    free(s);
}

static void take_pair(double out[2], const struct live_histogram *h)
{
    out[0] = h->n ? live_histogram_quantile(h, 0.5) : -1;
    out[1] = h->n ? live_histogram_quantile(h, 0.99) : -1;
}

static void close_second(struct live_stats *s)
{
    const struct live_point *p = &s->now;
    s->open = false;
    if (!p->prompt && !p->output && !p->done && !p->gauges.running && !p->gauges.waiting) return;
    take_pair(s->now.ttft_ms, &s->ttft);
    take_pair(s->now.itl_ms, &s->itl);
    take_pair(s->now.e2e_ms, &s->e2e);
    s->ring[s->n_closed++ % LIVE_POINTS] = s->now;
}

void live_stats_advance(struct live_stats *s, uint64_t now_us)
{
    if (s && s->open && (int64_t)(now_us / 1000000) > s->now.second) close_second(s);
}

static struct live_point *open_second(struct live_stats *s, uint64_t now_us)
{
    live_stats_advance(s, now_us);
    if (!s->open) {
        s->open = true;
        s->has_gauges = false;
        s->now = (struct live_point){.second = (int64_t)(now_us / 1000000)};
        memset(&s->ttft, 0, sizeof(s->ttft));
        memset(&s->itl, 0, sizeof(s->itl));
        memset(&s->e2e, 0, sizeof(s->e2e));
    }
    return &s->now;
}

/* --- observing ------------------------------------------------------------------------------- */

void live_stats_add_prompt(struct live_stats *s, uint64_t now_us, int32_t n_tokens)
{
    if (s) open_second(s, now_us)->prompt += n_tokens;
}

void live_stats_add_token(struct live_stats *s, uint64_t now_us, double ttft, double itl)
{
    if (!s) return;
    open_second(s, now_us)->output++;
    live_histogram_add(&s->ttft, ttft);
    live_histogram_add(&s->itl, itl);
}

void live_stats_add_done(struct live_stats *s, uint64_t now_us, double e2e)
{
    if (!s) return;
    open_second(s, now_us)->done++;
    live_histogram_add(&s->e2e, e2e);
    s->n_done++;
}

bool live_stats_wants_gauges(const struct live_stats *s, uint64_t now_us)
{
    return s && !(s->open && s->has_gauges && (int64_t)(now_us / 1000000) <= s->now.second);
}

void live_stats_set_gauges(struct live_stats *s, uint64_t now_us, struct live_gauges g)
{
    if (!s) return;
    struct live_gauges *most = &open_second(s, now_us)->gauges;
    s->has_gauges = true;
    if (g.running > most->running) most->running = g.running;
    if (g.waiting > most->waiting) most->waiting = g.waiting;
    if (g.kv > most->kv) most->kv = g.kv;
}

/* --- reading --------------------------------------------------------------------------------- */

uint64_t live_stats_n_closed(const struct live_stats *s)
{
    return s ? s->n_closed : 0;
}

uint64_t live_stats_n_done(const struct live_stats *s)
{
    return s ? s->n_done : 0;
}

const struct live_point *live_stats_point(const struct live_stats *s, uint64_t i, uint64_t now_us)
{
    if (!s || i >= s->n_closed || s->n_closed - i > LIVE_POINTS) return NULL;
    const struct live_point *p = &s->ring[i % LIVE_POINTS];
    return p->second + LIVE_POINTS >= (int64_t)(now_us / 1000000) ? p : NULL;
}
