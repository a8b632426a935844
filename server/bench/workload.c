#include "server/bench/workload.h"

#include "config/base/check.h"
#include "config/base/file.h"
#include "config/base/hash.h"
#include "config/base/json.h"

#include <stdlib.h>
#include <string.h>

#define PROMPT_FILE_MAX (1u << 30)
#define PROMPTS_MAX     10000000

static const char *const words[] = {
    "the",   "of",   "and",   "a",     "to",    "in",     "is",   "you",  "that",  "it",
    "he",    "was",  "for",   "on",    "are",   "as",     "with", "his",  "they",  "I",
    "at",    "be",   "this",  "have",  "from",  "or",     "one",  "had",  "by",    "word",
    "but",   "not",  "what",  "all",   "were",  "we",     "when", "your", "can",   "said",
    "there", "use",  "an",    "each",  "which", "she",    "do",   "how",  "their", "if",
    "will",  "up",   "other", "about", "out",   "many",   "then", "them", "these", "so",
    "some",  "her",  "would", "make",  "like",  "him",    "into", "time", "has",   "look",
    "two",   "more", "write", "go",    "see",   "number", "no",   "way",  "could", "people",
    "my",    "than", "first", "water", "been",  "call",   "who",  "oil",  "its",   "now",
    "find",  "long", "down",  "day",   "did",   "get",    "come", "made", "may",   "part",
};

static const char sample_text[] =
    "Once upon a time there was a little girl named Lily, who liked to play outside in the park. "
    "One day she saw a big, red ball; it was very high up in a tree! \"Can you help me get it?\" "
    "she asked her friend Tom. They looked for a long stick, but the sky grew dark and the rain "
    "came down, so both ran home together. In 1987 about 250 people wrote letters to the paper: "
    "some were happy, many said that water, oil and numbers should not go that way. What would "
    "your mother think of these words? She could make a list of them, call each one by name, and "
    "find out how people use them now.";

static struct rng rng_for(uint64_t seed, uint64_t stream, int64_t number)
{
    uint64_t key[2] = {stream, (uint64_t)number};
    return (struct rng){hash_bytes(key, sizeof(key), seed)};
}

const char *workload_sample_text(void)
{
    return sample_text;
}

static enum status read_prompts(struct workload *w, const char *path, struct error *err)
{
    char *text;
    size_t len;
    enum status st = file_read(path, PROMPT_FILE_MAX, &text, &len, err);
    if (st != STATUS_OK) return st;
    size_t number = 1, cap = 0;
    for (size_t at = 0; at < len && st == STATUS_OK; number++) {
        const char *lf = memchr(text + at, '\n', len - at);
        size_t line_len = lf ? (size_t)(lf - text) - at : len - at;
        const char *line = text + at;
        at += line_len + 1;
        if (line_len == 0) continue;
        cJSON *item;
        st = json_parse(line, line_len, NULL, &item, err);
        if (st == STATUS_OK && !cJSON_IsString(item))
            st = error_set(err, STATUS_INVALID, "needs a JSON string on each line, found %s",
                           json_type_name(item));
        if (st != STATUS_OK) {
            error_prepend(err, "%s line %zu", path, number);
        } else if (w->n_prompts == cap) {
            cap = cap ? cap * 2 : 256;
            char **grown = realloc(w->prompts, cap * sizeof(*grown));
            if (grown) w->prompts = grown;
            if (!grown || cap > PROMPTS_MAX)
                st = error_set(err, STATUS_NO_MEMORY, "too many prompts in %s", path);
        }
        if (st == STATUS_OK) {
            struct strbuf b;
            strbuf_init(&b, 0);
            json_print(&b, item);
            w->prompts[w->n_prompts] = strbuf_take(&b, NULL);
            if (w->prompts[w->n_prompts]) w->n_prompts++;
        }
        cJSON_Delete(item);
    }
    free(text);
    if (st == STATUS_OK && w->n_prompts == 0)
        st = error_set(err, STATUS_INVALID, "%s has no prompts", path);
    return st;
}

static enum status set_one_prompt(struct workload *w, const char *text, struct error *err)
{
    struct strbuf b;
    strbuf_init(&b, 0);
    strbuf_add_json(&b, text, strlen(text));
    w->prompts = calloc(1, sizeof(*w->prompts));
    char *json = strbuf_take(&b, NULL);
    if (!w->prompts || !json) {
        free(json);
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    w->prompts[w->n_prompts++] = json;
    return STATUS_OK;
}

static enum status read_extra(struct workload *w, const char *text, struct error *err)
{
    cJSON *item;
    enum status st = json_parse(text, strlen(text), NULL, &item, err);
    if (st == STATUS_OK && !cJSON_IsObject(item))
        st = error_set(err, STATUS_INVALID, "must be a JSON object");
    for (const cJSON *c = st == STATUS_OK ? item->child : NULL; c; c = c->next) {
        strbuf_add_char(&w->extra, ',');
        strbuf_add_json(&w->extra, c->string, strlen(c->string));
        strbuf_add_char(&w->extra, ':');
        json_print(&w->extra, c);
    }
    cJSON_Delete(item);
    if (st != STATUS_OK) error_prepend(err, "--extra-body");
    return st;
}

enum status workload_init(struct workload *w, const struct bench_args *args, const char *model,
                          struct error *err)
{
    memset(w, 0, sizeof(*w));
    strbuf_init(&w->extra, 0);
    w->args = args;
    w->model = model;
    /* Up to 2^53, so that the JSON report shows it exactly. */
    w->seed = args->seed >= 0 ? (uint64_t)args->seed : hash_process_seed() >> 11;
    w->chat = strcmp(args->endpoint, "chat") == 0;
    w->arrivals = rng_for(w->seed, 1, 0);
    enum status st = STATUS_OK;
    if (args->trace) st = trace_read(args->trace, &w->rows, &w->n_rows, err);
    if (st == STATUS_OK && args->prompt) st = set_one_prompt(w, args->prompt, err);
    if (st == STATUS_OK && args->prompt_file) st = read_prompts(w, args->prompt_file, err);
    if (st == STATUS_OK && args->extra_body) st = read_extra(w, args->extra_body, err);
    if (st != STATUS_OK) workload_free(w);
    return st;
}

void workload_free(struct workload *w)
{
    for (size_t i = 0; i < w->n_prompts; i++) free(w->prompts[i]);
    free(w->prompts);
    free(w->rows);
    free(w->ids);
    strbuf_free(&w->extra);
    memset(w, 0, sizeof(*w));
}

bool workload_needs_ids(const struct workload *w)
{
    return !w->chat && !w->prompts && w->args->vocab_size == 0 && !w->ids;
}

enum status workload_learn_ids(struct workload *w, const char *json, size_t len, struct error *err)
{
    cJSON *item;
    enum status st = json_parse(json, len, NULL, &item, err);
    if (st != STATUS_OK) return st;
    const cJSON *tokens = json_get(item, "tokens"), *t;
    int n = cJSON_IsArray(tokens) ? cJSON_GetArraySize(tokens) : 0;
    w->ids = n > 0 ? calloc((size_t)n, sizeof(*w->ids)) : NULL;
    if (!w->ids) st = error_set(err, STATUS_INVALID, "/tokenize gave no tokens; use --vocab-size");
    cJSON_ArrayForEach(t, tokens)
    {
        int64_t id;
        if (st != STATUS_OK) break;
        if (!json_as_i64(t, 0, INT32_MAX, &id)) {
            st = error_set(err, STATUS_INVALID, "/tokenize gave a token that is no id");
        } else {
            w->ids[w->n_ids++] = (int32_t)id;
        }
    }
    cJSON_Delete(item);
    return st;
}

static int64_t cut(int64_t len, int64_t max)
{
    return max > 0 && len > max ? max : len;
}

bool workload_next(struct workload *w, struct work_item *out)
{
    const struct bench_args *a = w->args;
    int64_t i = w->n_given;
    if (a->num_requests > 0 && i >= a->num_requests) return false;
    *out = (struct work_item){i, 0, a->input_len, a->output_len};
    if (w->rows) {
        if ((size_t)i >= w->n_rows) return false;
        const struct trace_row *row = &w->rows[i];
        w->clock_s = row->at_s / a->trace_speed;
        out->input_len = cut(row->input_len, a->max_input_len);
        out->output_len = cut(row->output_len, a->max_output_len);
    } else if (a->request_rate > 0) {
        w->clock_s += rng_exponential(&w->arrivals, 1 / a->request_rate);
    }
    out->due_ns = (uint64_t)(w->clock_s * 1e9);
    w->n_given++;
    return true;
}

struct work_item workload_warmup(const struct workload *w, int64_t i)
{
    const struct bench_args *a = w->args;
    struct work_item item = {-1 - i, 0, a->input_len, a->output_len};
    if (w->rows) {
        item.input_len = cut(w->rows[0].input_len, a->max_input_len);
        item.output_len = cut(w->rows[0].output_len, a->max_output_len);
    }
    return item;
}

static void add_random_ids(const struct workload *w, struct rng *r, int64_t n, struct strbuf *out)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t id = w->ids ? (uint64_t)w->ids[rng_below(r, w->n_ids)]
                             : rng_below(r, (uint64_t)w->args->vocab_size);
        strbuf_add_u64(out, id);
        strbuf_add_char(out, ',');
    }
}

static void add_random_words(struct rng *r, int64_t n, struct strbuf *out)
{
    for (int64_t i = 0; i < n; i++) {
        strbuf_add_str(out, words[rng_below(r, ARRAY_LEN(words))]);
        strbuf_add_char(out, ' ');
    }
}

/* [1,2,3] or "some words": first those that all prompts share, then the request's own. */
static void add_random_prompt(const struct workload *w, const struct work_item *item,
                              struct strbuf *out)
{
    struct rng shared = rng_for(w->seed, 2, 0), own = rng_for(w->seed, 3, item->number);
    int64_t n_shared = cut(item->input_len, w->args->prefix_len);
    if (w->args->prefix_len == 0) n_shared = 0;
    strbuf_add_char(out, w->chat ? '"' : '[');
    if (w->chat) {
        add_random_words(&shared, n_shared, out);
        add_random_words(&own, item->input_len - n_shared, out);
    } else {
        add_random_ids(w, &shared, n_shared, out);
        add_random_ids(w, &own, item->input_len - n_shared, out);
    }
    if (!out->failed) out->len--; /* the last comma or space */
    strbuf_add_char(out, w->chat ? '"' : ']');
}

void workload_body(const struct workload *w, const struct work_item *item, struct strbuf *out)
{
    const struct bench_args *a = w->args;
    strbuf_add_str(out, "{\"model\":");
    strbuf_add_json(out, w->model, strlen(w->model));
    strbuf_add_str(out,
                   w->chat ? ",\"messages\":[{\"role\":\"user\",\"content\":" : ",\"prompt\":");
    if (w->n_prompts > 0) {
        uint64_t i = item->number < 0 ? (uint64_t)(-1 - item->number) : (uint64_t)item->number;
        strbuf_add_str(out, w->prompts[i % w->n_prompts]);
    } else {
        add_random_prompt(w, item, out);
    }
    strbuf_add_str(out, w->chat ? "}],\"max_tokens\":" : ",\"max_tokens\":");
    strbuf_add_i64(out, item->output_len);
    strbuf_addf(out, ",\"temperature\":%.6g", a->temperature);
    if (a->ignore_eos) strbuf_add_str(out, ",\"ignore_eos\":true");
    if (a->stream)
        strbuf_add_str(out, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    if (w->extra.len > 0) strbuf_add(out, w->extra.data, w->extra.len);
    strbuf_add_char(out, '}');
}
