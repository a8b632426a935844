/* Request JSON to parameters: whatever the bytes, a refusal with words or a struct whose values are
 * inside the rules.  The first byte chooses the kind of request. */
#include <stdlib.h>
#include <string.h>

#include "config/base/check.h"
#include "server/api_params.h"
#include "server/sse.h"
#include "server/stop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct api_rules rules = {.vocab_size = 512,
                                       .max_model_len = 1000,
                                       .max_n = LIMIT_N,
                                       .max_prompts = 64,
                                       .max_stop_strings = LIMIT_STOP_STRINGS,
                                       .max_logprobs = LIMIT_LOGPROBS,
                                       .priority_policy = true,
                                       .temperature = 1,
                                       .top_p = 1,
                                       .repetition_penalty = 1};

static void check_ids(const int32_t *ids, int32_t n)
{
    for (int32_t i = 0; i < n; i++) CHECK(ids[i] >= 0 && ids[i] < rules.vocab_size);
}

static void check_params(const struct api_params *p)
{
    const struct sampling_params *s = &p->sampling;

    CHECK(s->temperature >= 0 && s->temperature <= 2 && s->top_p > 0 && s->top_p <= 1);
    CHECK(s->min_p >= 0 && s->min_p <= 1 && s->repetition_penalty > 0 && s->top_k >= -1);
    CHECK(s->presence_penalty >= -2 && s->presence_penalty <= 2);
    CHECK(s->frequency_penalty >= -2 && s->frequency_penalty <= 2);
    CHECK(s->n_logprobs >= -1 && s->n_logprobs <= LIMIT_LOGPROBS && s->min_tokens >= 0);
    CHECK(p->n >= 1 && p->n <= LIMIT_N && p->n_stop <= LIMIT_STOP_STRINGS);
    CHECK(s->n_bias <= LIMIT_LOGIT_BIAS && s->n_stop_ids <= LIMIT_STOP_IDS);
    check_ids(s->stop_ids, s->n_stop_ids);
    check_ids(p->tokens, p->n_tokens);
    for (int32_t i = 0; i < s->n_bias; i++) check_ids(&s->bias[i].token, 1);
    for (int32_t i = 0; i < p->n_prompts; i++) {
        if (p->prompts[i].ids)
            check_ids(p->prompts[i].ids, p->prompts[i].n_ids);
        else
            CHECK(utf8_valid(p->prompts[i].text.data, p->prompts[i].text.len));
    }
}

/* The prompt as a generated text, in pieces of 1 to 4 bytes. */
static void run_stops(struct api_params *p)
{
    struct stop_set set;
    struct stop_state st = {0};
    struct strbuf out;
    struct str text = p->n_prompts > 0 ? p->prompts[0].text : (struct str){NULL, 0};

    CHECK(stop_set_init(&set, &p->arena, p->stop, p->n_stop));
    strbuf_init(&out, 0);
    for (size_t at = 0, n = 1; at < text.len; at += n, n = n % 4 + 1) {
        if (n > text.len - at) n = text.len - at;
        if (stop_push(&set, &st, (struct str){text.data + at, n}, true, false, &out) >= 0) break;
    }
    stop_flush(&set, &st, &out);
    CHECK(out.len <= text.len);
    json_add_text(&out, text.data, text.len);
    strbuf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum api_kind kinds[] = {API_COMPLETION, API_CHAT, API_TOKENIZE, API_DETOKENIZE};
    struct api_params p;
    struct error err = {0};

    if (size == 0) return 0;
    if (api_params_parse((const char *)data + 1, size - 1, kinds[data[0] % 4], &rules, &p, &err) !=
        STATUS_OK) {
        CHECK(err.message[0] && utf8_valid(err.message, strlen(err.message)));
        CHECK(utf8_valid(err.param, strlen(err.param)));
        return 0;
    }
    check_params(&p);
    run_stops(&p);
    api_params_free(&p);
    return 0;
}
