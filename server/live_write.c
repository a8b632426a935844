#include "server/live_write.h"

#include <inttypes.h>
#include <string.h>

static void write_pair(struct strbuf *out, const char *name, const double pair[2])
{
    if (pair[0] < 0)
        strbuf_addf(out, ",\"%s\":null", name);
    else
        strbuf_addf(out, ",\"%s\":[%.2f,%.2f]", name, pair[0], pair[1]);
}

void live_write_point(struct strbuf *out, const struct live_point *p, int64_t unix_offset_s)
{
    strbuf_addf(out,
                "{\"t\":%" PRId64 ",\"prompt\":%" PRId64 ",\"output\":%" PRId64
                ",\"running\":%d,\"waiting\":%d",
                p->second + unix_offset_s, p->prompt, p->output, p->gauges.running,
                p->gauges.waiting);
    write_pair(out, "ttft_ms", p->ttft_ms);
    write_pair(out, "itl_ms", p->itl_ms);
    write_pair(out, "e2e_ms", p->e2e_ms);
    strbuf_addf(out, ",\"kv\":%.4f,\"done\":%" PRId64 "}", p->gauges.kv, p->done);
}

void live_write_hello(struct strbuf *out, const struct live_hello *h, const struct live_stats *s,
                      uint64_t now_us, int64_t unix_offset_s)
{
    strbuf_add_str(out, "{\"protocol\":1,\"version\":");
    strbuf_add_json(out, h->version, strlen(h->version));
    strbuf_add_str(out, ",\"model\":");
    strbuf_add_json(out, h->model, strlen(h->model));
    strbuf_addf(out,
                ",\"max_model_len\":%d,\"max_num_seqs\":%d,\"block_size\":%d,\"n_blocks\":%d,"
                "\"cells\":%d,\"blocks_per_cell\":%d,\"history\":[",
                h->max_model_len, h->max_num_seqs, h->block_size, h->n_blocks, h->n_cells,
                h->blocks_per_cell);
    uint64_t n = live_stats_n_closed(s);
    bool first = true;
    for (uint64_t i = n > LIVE_POINTS ? n - LIVE_POINTS : 0; i < n; i++) {
        const struct live_point *p = live_stats_point(s, i, now_us);
        if (!p) continue;
        if (!first) strbuf_add_char(out, ',');
        first = false;
        live_write_point(out, p, unix_offset_s);
    }
    strbuf_add_str(out, "]}");
}

void live_write_runs(struct strbuf *out, const int64_t *cells, int32_t n)
{
    strbuf_add_char(out, '[');
    for (int32_t i = 0, k; i < n; i = k) {
        for (k = i + 1; k < n && cells[k] == cells[i];) k++;
        strbuf_addf(out, "%s[%" PRId64 ",%d]", i ? "," : "", cells[i], k - i);
    }
    strbuf_add_char(out, ']');
}

static int64_t age_ms(const struct live_state *s, uint64_t arrival_us)
{
    return s->now_us > arrival_us ? (int64_t)((s->now_us - arrival_us) / 1000) : 0;
}

static void write_choice(struct strbuf *out, const struct live_state *s,
                         const struct sched_view_choice *c)
{
    static const char *const states[] = {"prefill", "decode", "preempted"};
    bool own = s->all_own || c->owner == s->owner;
    /* Until its prompt is done, how far another tenant's request is tells what was cached for it. */
    int32_t n_computed = own || c->n_computed >= c->n_prompt ? c->n_computed : 0;
    strbuf_addf(out, "{\"id\":%" PRIu64 ",\"own\":%s", c->request, own ? "true" : "false");
    if (c->n > 1) strbuf_addf(out, ",\"choice\":%d", c->choice);
    strbuf_addf(out,
                ",\"prompt\":%d,\"cached\":%d,\"computed\":%d,\"output\":%d,\"max\":%d,"
                "\"age_ms\":%" PRId64 ",\"state\":\"%s\"}",
                c->n_prompt, own ? c->n_cached : 0, n_computed, c->n_output, c->max_output,
                age_ms(s, c->arrival_us), states[c->state]);
}

static void write_waiting(struct strbuf *out, const struct live_state *s,
                          const struct sched_view_waiting *w)
{
    bool own = s->all_own || w->owner == s->owner;
    strbuf_addf(
        out, "{\"id\":%" PRIu64 ",\"own\":%s,\"prompt\":%d,\"max\":%d,\"age_ms\":%" PRId64 "}",
        w->request, own ? "true" : "false", w->n_prompt, w->max_output, age_ms(s, w->arrival_us));
}

void live_write_state(struct strbuf *out, const struct live_state *s)
{
    const struct sched_view *v = s->view;
    const struct sched_stats *st = &v->stats;
    strbuf_addf(out, "{\"time\":%.3f,\"state\":\"%s\",\"n_running\":%d,\"n_waiting\":%d", s->unix_s,
                s->state, v->n_choices, st->n_waiting);
    strbuf_add_str(out, ",\"running\":[");
    for (int32_t i = 0; i < v->n_running; i++) {
        if (i) strbuf_add_char(out, ',');
        write_choice(out, s, &v->running[i]);
    }
    strbuf_add_str(out, "],\"waiting\":[");
    for (int32_t i = 0; i < v->n_waiting; i++) {
        if (i) strbuf_add_char(out, ',');
        write_waiting(out, s, &v->waiting[i]);
    }
    strbuf_addf(out, "],\"kv\":{\"used\":%d,\"cached\":%d,\"free\":%d,\"runs\":", st->blocks_held,
                st->blocks_cached, st->blocks_free);
    live_write_runs(out, v->cells, v->n_cells);
    strbuf_addf(out, "},\"rate\":{\"prompt\":%.1f,\"output\":%.1f}", s->prompt_rate,
                s->output_rate);
    strbuf_addf(out,
                ",\"total\":{\"prompt\":%" PRIu64 ",\"output\":%" PRIu64 ",\"requests\":%" PRIu64
                ",\"preemptions\":%" PRIu64 ",\"prefix_queries\":%" PRIu64
                ",\"prefix_hits\":%" PRIu64 "}}",
                st->prompt_tokens, st->generation_tokens, s->n_done, st->n_preemptions,
                st->prefix_queries, st->prefix_hits);
}
