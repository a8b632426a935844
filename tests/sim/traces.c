/* traces.c - replays public request traces in virtual time: real arrival times, real lengths, and
 * for the Mooncake traces the real sharing of prefixes (its block hashes become the tokens).
 *
 * The model of step cost is that of a large GPU with an 8B model: reading the weights, computing
 * the rows, reading the cache.  It makes the scheduler's choices comparable between versions; it
 * predicts no machine.  Prompts are cut to what max_model_len leaves room for. */

#include "config/base/clock.h"
#include "config/base/file.h"
#include "config/base/json.h"
#include "config/base/str.h"
#include "tests/sim/sim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOONCAKE_BLOCK = 512, HISTOGRAM_SIZE = 2048, CHECK_EVERY = 4096 };

/* Of microseconds, buckets 2 % wide. */
struct histogram {
    uint64_t counts[HISTOGRAM_SIZE];
    uint64_t n;
};

static void histogram_add(struct histogram *h, uint64_t us)
{
    int i = us < 1 ? 0 : (int)(log((double)us) / log(1.02));
    h->counts[i < HISTOGRAM_SIZE ? i : HISTOGRAM_SIZE - 1]++;
    h->n++;
}

static double histogram_ms(const struct histogram *h, double quantile)
{
    uint64_t sum = 0;
    for (int i = 0; i < HISTOGRAM_SIZE; i++) {
        sum += h->counts[i];
        if ((double)sum >= quantile * (double)h->n) return pow(1.02, i + 0.5) / 1000;
    }
    return 0;
}

struct trace_request {
    struct request request;
    int32_t *prompt; /* made when it arrives, freed when it ends */
    uint64_t last_token_us;
    int32_t n_seen;
    bool ended;
};

/* hit_rate: what a plain LRU list of the trace's own 512-token blocks gives at the same capacity
 * (prompts cut alike, every prompt looked up and stored at once); ours must come near. */
struct trace_spec {
    const char *name, *file;
    bool azure;
    int32_t n_blocks; /* of 16 tokens */
    double hit_rate;
};

struct trace {
    const struct trace_spec *spec;
    struct trace_request *requests;
    int32_t n, capacity;
    int32_t *hash_ids;   /* of all requests, Mooncake only */
    int64_t *first_hash; /* [n] index in hash_ids */
    int64_t n_hash_ids, hash_capacity;
    int32_t n_submitted, n_ended;
    uint64_t now_us;
    struct histogram ttft, itl;
};

static void *grown(void *p, int64_t n, int64_t *capacity, size_t size)
{
    if (n < *capacity) return p;
    *capacity = *capacity ? *capacity * 2 : 4096;
    p = realloc(p, (size_t)*capacity * size);
    if (!p) abort();
    return p;
}

static struct trace_request *add_request(struct trace *t, uint64_t arrival_us, int64_t n_prompt,
                                         int64_t n_output, int32_t max_model_len)
{
    int64_t capacity = t->capacity, first_capacity = t->capacity;
    t->requests = grown(t->requests, t->n, &capacity, sizeof(*t->requests));
    t->first_hash = grown(t->first_hash, t->n, &first_capacity, sizeof(*t->first_hash));
    t->capacity = (int32_t)capacity;
    struct trace_request *r = &t->requests[t->n];
    t->first_hash[t->n] = t->n_hash_ids;
    memset(r, 0, sizeof(*r));
    if (n_output < 1) n_output = 1;
    if (n_output > max_model_len / 2) n_output = max_model_len / 2;
    if (n_prompt < 1) n_prompt = 1;
    if (n_prompt > max_model_len - n_output) n_prompt = max_model_len - n_output;
    r->request = (struct request){
        .n_prompt = (int32_t)n_prompt,
        .n = 1,
        .max_tokens = (int32_t)n_output,
        .arrival_us = arrival_us,
        .params = {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .n_logprobs = -1}};
    t->n++;
    return r;
}

/* "2023-11-16 18:17:03.9799600,4808,10" */
static bool parse_azure_line(const char *line, uint64_t *us, int *n_prompt, int *n_output)
{
    int day, hour, minute;
    double second;
    if (sscanf(line, "%*d-%*d-%d %d:%d:%lf,%d,%d", &day, &hour, &minute, &second, n_prompt,
               n_output) != 6)
        return false;
    *us = (uint64_t)((day * 24 + hour) * 60 + minute) * 60000000 + (uint64_t)(second * 1e6);
    return true;
}

static bool parse_mooncake_line(struct trace *t, const char *line, int32_t max_model_len)
{
    struct error err;
    cJSON *json;
    int64_t ms, n_prompt, n_output, id;
    if (json_parse(line, strlen(line), &(struct json_limits){0}, &json, &err) != STATUS_OK)
        return false;
    bool ok = json_as_i64(json_get(json, "timestamp"), 0, INT32_MAX, &ms) &&
              json_as_i64(json_get(json, "input_length"), 0, INT32_MAX, &n_prompt) &&
              json_as_i64(json_get(json, "output_length"), 0, INT32_MAX, &n_output);
    if (ok) add_request(t, (uint64_t)ms * 1000, n_prompt, n_output, max_model_len);
    const cJSON *item;
    cJSON_ArrayForEach(item, json_get(json, "hash_ids"))
    {
        ok = ok && json_as_i64(item, 0, INT32_MAX, &id);
        if (!ok) break;
        t->hash_ids = grown(t->hash_ids, t->n_hash_ids, &t->hash_capacity, sizeof(*t->hash_ids));
        t->hash_ids[t->n_hash_ids++] = (int32_t)id;
    }
    cJSON_Delete(json);
    return ok;
}

static bool load_trace(struct trace *t, const char *dir, const char *file, bool azure,
                       int32_t max_model_len)
{
    char path[4096];
    struct error err = {0};
    char *text;
    size_t len;
    if (path_join(path, sizeof(path), dir, file, &err) != STATUS_OK ||
        file_read(path, 64u << 20, &text, &len, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.message);
        return false;
    }
    uint64_t us, first_us = 0;
    int n_prompt, n_output;
    bool ok = true;
    char *save;
    for (char *line = strtok_r(text, "\r\n", &save); line && ok;
         line = strtok_r(NULL, "\r\n", &save)) {
        if (!azure) {
            ok = parse_mooncake_line(t, line, max_model_len);
        } else if (parse_azure_line(line, &us, &n_prompt, &n_output)) {
            if (t->n == 0) first_us = us;
            add_request(t, us - first_us, n_prompt, n_output, max_model_len);
        }
    }
    free(text);
    if (!ok || t->n == 0) fprintf(stderr, "%s: not the expected format\n", path);
    return ok && t->n > 0;
}

/* --- running --- */

static void make_trace_prompt(struct trace *t, int32_t i)
{
    struct trace_request *r = &t->requests[i];
    int64_t n_hashes = (i + 1 < t->n ? t->first_hash[i + 1] : t->n_hash_ids) - t->first_hash[i];
    const int32_t *hashes = t->hash_ids + t->first_hash[i];
    int32_t n = r->request.n_prompt;
    r->prompt = malloc((size_t)n * sizeof(int32_t));
    if (!r->prompt) abort();
    for (int32_t k = 0; k < n; k++) {
        uint32_t block = k / MOONCAKE_BLOCK < n_hashes
                             ? (uint32_t)hashes[k / MOONCAKE_BLOCK]
                             : (1u << 21) + (uint32_t)i; /* nobody else's */
        r->prompt[k] =
            (int32_t)((block * MOONCAKE_BLOCK + (uint32_t)k % MOONCAKE_BLOCK) & INT32_MAX);
    }
    r->request.prompt = r->prompt;
    r->request.user = r;
}

static void on_event(void *arg, const struct sched_event *ev)
{
    struct trace *t = arg;
    struct trace_request *r = ev->request->user;
    SIM_CHECK(!r->ended, "an event after the end");
    if (ev->type == EVENT_TOKEN) {
        if (r->n_seen++ == 0)
            histogram_add(&t->ttft, t->now_us - r->request.arrival_us);
        else
            histogram_add(&t->itl, t->now_us - r->last_token_us);
        r->last_token_us = t->now_us;
    }
    if (!ev->last) return;
    SIM_CHECK(ev->finish == FINISH_LENGTH && r->n_seen == r->request.max_tokens,
              "a request ended with reason %d after %d tokens", (int)ev->finish, r->n_seen);
    r->ended = true;
    free(r->prompt);
    r->prompt = NULL;
    t->n_ended++;
}

static uint64_t step_cost_us(const struct step *step)
{
    int64_t context = 0;
    for (int32_t i = 0; i < step->n_seqs; i++) context += step->kv_len[i];
    return 5000 + 10 * (uint64_t)step->n_tokens + (uint64_t)context / 25;
}

static void run_trace(struct trace *t, struct sched *s, struct sample_out *samples, double seconds)
{
    uint64_t stop_us = clock_now_us() + (uint64_t)(seconds * 1e6);
    struct error err = {0};
    int32_t n = t->n;
    for (uint64_t n_steps = 0; t->n_submitted < n || sched_has_work(s); n_steps++) {
        if (clock_now_us() > stop_us) n = t->n_submitted;
        while (t->n_submitted < n && t->requests[t->n_submitted].request.arrival_us <= t->now_us) {
            make_trace_prompt(t, t->n_submitted);
            SIM_CHECK(sched_submit(s, &t->requests[t->n_submitted].request, &err) == STATUS_OK,
                      "%s", err.message);
            t->n_submitted++;
        }
        const struct step *step = sched_plan(s, t->now_us);
        if (step) {
            t->now_us += step_cost_us(step);
            for (int32_t i = 0; i < step->n_samples; i++)
                samples[i].token = (int32_t)(step->id % 32768) + i;
            struct step_result result = {step->id, step->n_samples, samples};
            sched_apply(s, &result, t->now_us);
        } else if (t->n_submitted < n) {
            t->now_us = t->requests[t->n_submitted].request.arrival_us;
        }
        if (n_steps % CHECK_EVERY == 0)
            SIM_CHECK(sched_check_invariants(s, &err), "%s", err.message);
    }
    SIM_CHECK(t->n_ended == t->n_submitted, "%d of %d requests ended", t->n_ended, t->n_submitted);
}

static void report(const struct trace *t, const struct sched *s)
{
    const struct trace_spec *spec = t->spec;
    struct sched_stats st;
    sched_get_stats(s, &st);
    SIM_CHECK(st.blocks_held == 0, "%d blocks are still held", st.blocks_held);
    double hit = st.prefix_queries ? 100.0 * (double)st.prefix_hits / (double)st.prefix_queries : 0;
    SIM_CHECK(t->n_ended < t->n || fabs(hit - 100 * spec->hit_rate) < 3,
              "%s: hit rate %.1f %%, a plain LRU has %.1f %%", spec->name, hit,
              100 * spec->hit_rate);
    printf("trace %-12s %4d Ki tokens: %5d of %5d requests, %7llu steps, hits %4.1f %%, %4llu "
           "preemptions, "
           "ms p50/p90/p99: TTFT %.0f/%.0f/%.0f ITL %.1f/%.1f/%.1f\n",
           spec->name, spec->n_blocks / 64, t->n_ended, t->n, (unsigned long long)st.n_steps, hit,
           (unsigned long long)st.n_preemptions, histogram_ms(&t->ttft, 0.5),
           histogram_ms(&t->ttft, 0.9), histogram_ms(&t->ttft, 0.99), histogram_ms(&t->itl, 0.5),
           histogram_ms(&t->itl, 0.9), histogram_ms(&t->itl, 0.99));
}

static bool replay(const char *dir, const struct trace_spec *spec, double seconds)
{
    const struct sched_config c = {.n_blocks = spec->n_blocks + 1,
                                   .block_size = 16,
                                   .max_num_seqs = 256,
                                   .max_num_batched_tokens = 4096,
                                   .max_model_len = 32768,
                                   .max_logit_rows = 256,
                                   .max_waiting = 1 << 20,
                                   .enable_prefix_caching = true,
                                   .enable_chunked_prefill = true,
                                   .hash_seed = 7};
    struct trace *t = calloc(1, sizeof(*t));
    struct sample_out *samples = calloc((size_t)c.max_logit_rows, sizeof(*samples));
    struct sched *s = NULL;
    struct error err = {0};
    volatile bool ok = false;
    if (!t || !samples) abort();
    t->spec = spec;
    if (load_trace(t, dir, spec->file, spec->azure, c.max_model_len)) {
        if (sched_create(&s, &c, on_event, t, &err) != STATUS_OK) {
            fprintf(stderr, "%s\n", err.message);
        } else if (setjmp(sim_on_failure) == 0) {
            run_trace(t, s, samples, seconds);
            report(t, s);
            ok = true;
        }
    }
    sched_destroy(s);
    for (int32_t i = 0; i < t->n; i++) free(t->requests[i].prompt);
    free(t->requests);
    free(t->hash_ids);
    free(t->first_hash);
    free(t);
    free(samples);
    return ok;
}

int traces_run(const char *dir, double seconds_each)
{
    /* 512 Ki tokens are the 64 GiB that a large GPU has left beside an 8B model. */
    static const struct trace_spec traces[] = {
        {"azure-code", "traces-azure/AzureLLMInferenceTrace_code.csv", true, 32768, 0},
        {"azure-conv", "traces-azure/AzureLLMInferenceTrace_conv.csv", true, 32768, 0},
        {"conversation", "traces-mooncake/conversation_trace.jsonl", false, 32768, 0.054},
        {"conversation", "traces-mooncake/conversation_trace.jsonl", false, 524288, 0.306},
        {"synthetic", "traces-mooncake/synthetic_trace.jsonl", false, 32768, 0.099},
        {"synthetic", "traces-mooncake/synthetic_trace.jsonl", false, 524288, 0.556},
    };
    char path[4096];
    struct error err;
    for (size_t i = 0; i < sizeof(traces) / sizeof(traces[0]); i++) {
        if (path_join(path, sizeof(path), dir, traces[i].file, &err) != STATUS_OK ||
            !file_exists(path)) {
            printf("trace %-12s SKIPPED: there is no %s\n", traces[i].name, path);
            continue;
        }
        if (!replay(dir, &traces[i], seconds_each)) {
            printf("trace %-12s FAILED\n", traces[i].name);
            return 1;
        }
    }
    return 0;
}
