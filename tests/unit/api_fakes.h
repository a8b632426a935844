#ifndef TESTS_UNIT_API_FAKES_H
#define TESTS_UNIT_API_FAKES_H

/* api_fakes.h - everything around the API's code, in place of the library's own: an exchange that
 * keeps what is written, an engine that the test plays, a tokenizer with one token per byte, a
 * template that prints the messages.  Included by one .c file; the linker then takes these
 * functions and leaves the library's files of the same functions out. */

#include <stdlib.h>
#include <string.h>

#include "config/base/check.h"
#include "config/base/json.h"
#include "server/app.h"
#include "server/chat_templates.h"

/* --- tokens: 0..255 bytes, then these --- */
enum { TOKEN_BOS = 256, TOKEN_EOS = 257, TOKEN_END = 258, TOKEN_AB = 259, FAKE_VOCAB = 260 };
static const char *const fake_special[] = {"<s>", "</s>", "<end>", "ab"};

static struct str fake_token_text(int32_t id, char *byte)
{
    if (id >= 256 && id < FAKE_VOCAB) return str_from(fake_special[id - 256]);
    *byte = (char)id;
    return (struct str){byte, id >= 0 && id < 256};
}

void token_vec_free(struct token_vec *v)
{
    free(v->ids);
    *v = (struct token_vec){0};
}

bool token_vec_push(struct token_vec *v, int32_t id)
{
    if (v->len == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 16;
        int32_t *ids = realloc(v->ids, cap * sizeof(*ids));
        if (!ids) return false;
        v->ids = ids;
        v->cap = cap;
    }
    v->ids[v->len++] = id;
    return true;
}

static bool fake_bos = true;

enum status tokenizer_encode(const struct tokenizer *t, const char *text, size_t len,
                             bool add_special, bool parse_special, size_t max_tokens,
                             struct token_vec *out, struct error *err)
{
    (void)t;
    if (add_special && fake_bos) token_vec_push(out, TOKEN_BOS);
    for (size_t i = 0; i < len; i++) {
        if (max_tokens && out->len >= max_tokens)
            return error_set(err, STATUS_CONTEXT_LENGTH, "too long");
        bool end = parse_special && len - i >= 5 && memcmp(text + i, "<end>", 5) == 0;
        token_vec_push(out, end ? TOKEN_END : (unsigned char)text[i]);
        if (end) i += 4;
    }
    return STATUS_OK;
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id)
{
    (void)t;
    return id >= TOKEN_BOS && id <= TOKEN_END;
}

void detok_init(struct detok *d, const struct tokenizer *t, bool skip_special)
{
    memset(d, 0, sizeof(*d));
    d->tok = t;
    d->skip_special = skip_special;
}

void detok_push(struct detok *d, int32_t id, struct strbuf *out)
{
    char byte;
    if (d->skip_special && tokenizer_is_special(d->tok, id)) return;
    struct str s = fake_token_text(id, &byte);
    memcpy(d->pending + d->n_pending, s.data, s.len);
    d->n_pending += (int)s.len;
    size_t whole = utf8_complete_len((const char *)d->pending, (size_t)d->n_pending);
    if (!whole) return;
    strbuf_add(out, d->pending, whole);
    d->n_pending -= (int)whole;
    memmove(d->pending, d->pending + whole, (size_t)d->n_pending);
}

void detok_finish(struct detok *d, struct strbuf *out)
{
    if (d->n_pending > 0) strbuf_add_str(out, "\xef\xbf\xbd");
    d->n_pending = 0;
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                      struct strbuf *out)
{
    struct detok d;
    detok_init(&d, t, skip_special);
    for (size_t i = 0; i < n; i++) detok_push(&d, ids[i], out);
    detok_finish(&d, out);
}

void tokenizer_token_bytes(const struct tokenizer *t, int32_t id, struct strbuf *out)
{
    char byte;
    struct str s = fake_token_text(id, &byte);
    (void)t;
    strbuf_add(out, s.data, s.len);
}

const char *tokenizer_id_to_token(const struct tokenizer *t, int32_t id)
{
    static char byte[2];
    (void)t;
    return fake_token_text(id, byte).data;
}

int32_t tokenizer_eos_id(const struct tokenizer *t)
{
    (void)t;
    return TOKEN_EOS;
}

#define FAKE_TOKEN(name, text)                  \
    const char *name(const struct tokenizer *t) \
    {                                           \
        (void)t;                                \
        return text;                            \
    }
FAKE_TOKEN(tokenizer_bos_token, "<s>")
FAKE_TOKEN(tokenizer_eos_token, "</s>")
FAKE_TOKEN(tokenizer_unk_token, "")
FAKE_TOKEN(tokenizer_pad_token, "")

/* The messages as "role:content|", then the other variables that were asked for by `fake_show`. */
static cJSON *fake_context; /* of the last rendering */

enum status template_render(const struct template *t, const cJSON *context, int64_t now,
                            struct strbuf *out, struct error *err)
{
    const cJSON *m;
    (void)t, (void)now;
    cJSON_Delete(fake_context);
    fake_context = cJSON_Duplicate(context, true);
    cJSON_ArrayForEach(m, json_get(context, "messages"))
    {
        const cJSON *content = json_get(m, "content");
        if (cJSON_IsString(content) && strcmp(content->valuestring, "refuse me") == 0)
            return error_set(err, STATUS_INVALID, "I refuse");
        strbuf_add_str(out, json_get(m, "role")->valuestring);
        strbuf_add_char(out, ':');
        if (cJSON_IsString(content)) strbuf_add_str(out, content->valuestring);
        strbuf_add_char(out, '|');
    }
    if (cJSON_IsTrue(json_get(context, "add_generation_prompt"))) strbuf_add_str(out, "A:");
    return STATUS_OK;
}

enum status chat_templates_pick(const struct chat_templates *t, bool has_tools, const char *name,
                                const struct chat_template **out, struct error *err)
{
    static const struct chat_template only;
    (void)t, (void)has_tools, (void)name, (void)err;
    *out = &only;
    return STATUS_OK;
}

struct template_contents template_contents(const struct template *t)
{
    (void)t;
    return (struct template_contents){0};
}

struct str template_strip(struct str s, bool left, bool right)
{
    while (left && s.len && s.data[0] == ' ') s = (struct str){s.data + 1, s.len - 1};
    while (right && s.len && s.data[s.len - 1] == ' ') s.len--;
    return s;
}

bool template_keep_numbers(cJSON *tree, const char *text, size_t len)
{
    (void)tree, (void)text, (void)len;
    return true;
}

static cJSON fake_token = {.type = cJSON_String, .string = "bos_token", .valuestring = "<s>"};
static cJSON fake_tokens = {.type = cJSON_Object, .child = &fake_token};
static const struct chat_templates fake_templates = {.special_tokens = &fake_tokens};

/* --- http --- */
struct http_exchange {
    char *body;
    size_t body_len;
    struct strbuf out; /* body or stream */
    int status;        /* 0 = not answered */
    bool streaming, ended;
    int n_flushes;
    size_t backlog;
    char retry_after[16];
    const char *path;
    http_closed_fn *closed;
    void *user;
};

struct str http_body(const struct http_exchange *x)
{
    return (struct str){x->body, x->body_len};
}

char *http_take_body(struct http_exchange *x)
{
    char *body = x->body;
    x->body = NULL;
    x->body_len = 0;
    return body;
}

const char *http_request_id(const struct http_exchange *x)
{
    (void)x;
    return "req1";
}

const char *http_path(const struct http_exchange *x)
{
    return x->path;
}

uint64_t http_received_us(const struct http_exchange *x)
{
    (void)x;
    return 1000;
}

void http_set_closed(struct http_exchange *x, http_closed_fn *fn, void *user)
{
    x->closed = fn;
    x->user = user;
}

void http_add_header(struct http_exchange *x, const char *name, const char *value)
{
    (void)x, (void)name, (void)value;
}

void http_respond(struct http_exchange *x, int status, const char *content_type, const char *body,
                  size_t body_len)
{
    (void)content_type;
    CHECK(!x->status);
    x->status = status;
    x->ended = true;
    strbuf_add(&x->out, body, body_len);
}

void http_respond_buf(struct http_exchange *x, int status, const char *content_type,
                      struct strbuf *body)
{
    http_respond(x, status, content_type, body->data, body->len);
    strbuf_free(body);
}

void http_stream_begin(struct http_exchange *x, int status, const char *content_type)
{
    (void)content_type;
    CHECK(!x->status);
    x->status = status;
    x->streaming = true;
}

void http_stream_write(struct http_exchange *x, const char *data, size_t len)
{
    CHECK(x->streaming && !x->ended);
    strbuf_add(&x->out, data, len);
}

void http_stream_flush(struct http_exchange *x)
{
    x->n_flushes++;
}

void http_stream_end(struct http_exchange *x)
{
    CHECK(x->streaming && !x->ended);
    x->ended = true;
}

size_t http_stream_backlog(const struct http_exchange *x)
{
    return x->backlog;
}

void respond_error(struct http_exchange *x, const struct error *err)
{
    char text[1200];
    int n =
        snprintf(text, sizeof(text), "%s|%s|%s", status_name(err->code), err->param, err->message);
    http_respond(x, status_http(err->code), "application/json", text, (size_t)n);
}

int app_tenant(const struct app *a, const struct http_exchange *x)
{
    (void)a, (void)x;
    return -1;
}

/* --- the engine --- */
enum { FAKE_MAX_REQUESTS = 64 };
struct engine_loop {
    struct request *requests[FAKE_MAX_REQUESTS];
    int n_requests, max_requests;
    int n_cancels, n_finishes;
    struct request *cancelled[FAKE_MAX_REQUESTS];
};

enum status engine_loop_submit(struct engine_loop *l, struct request *r, struct error *err)
{
    if (l->n_requests >= l->max_requests) return error_set(err, STATUS_OVERLOADED, "full");
    l->requests[l->n_requests++] = r;
    return STATUS_OK;
}

void engine_loop_cancel(struct engine_loop *l, struct request *r)
{
    l->cancelled[l->n_cancels++] = r;
}

void engine_loop_finish_choice(struct engine_loop *l, struct request *r, int32_t choice)
{
    (void)r, (void)choice;
    l->n_finishes++;
}

static struct {
    int n_ttft, n_itl, n_requests, n_rejections;
    struct metrics_request last;
} fake_metrics;

void metrics_observe_request(struct metrics *m, const struct metrics_request *r)
{
    (void)m;
    fake_metrics.n_requests++;
    fake_metrics.last = *r;
}

void metrics_observe_ttft(struct metrics *m, double seconds)
{
    (void)m, (void)seconds;
    fake_metrics.n_ttft++;
}

void metrics_observe_itl(struct metrics *m, double seconds)
{
    (void)m, (void)seconds;
    fake_metrics.n_itl++;
}

void metrics_count_rejection(struct metrics *m)
{
    (void)m;
    fake_metrics.n_rejections++;
}

/* --- an app around them --- */
static struct model_config fake_config = {
    .vocab_size = FAKE_VOCAB, .n_eos_ids = 1, .eos_ids = {TOKEN_EOS}};
static char *fake_names[] = {(char *)(uintptr_t) "dir/model"};
static struct options fake_options = {.model = "/models/dir/model",
                                      .model_said = "/models/dir/model",
                                      .served_model_name = {fake_names, 1},
                                      .generation_config = "auto",
                                      .scheduling_policy = "fcfs",
                                      .chat_template_content_format = "auto",
                                      .max_n = 8,
                                      .max_prompt_batch = 8,
                                      .max_stop_strings = 4,
                                      .max_logprobs = 20,
                                      .seed = -1};
static struct engine_loop fake_engine = {.max_requests = FAKE_MAX_REQUESTS};
static struct app fake_app = {.opts = &fake_options,
                              .config = &fake_config,
                              .max_model_len = 100,
                              .tokenizer = (const struct tokenizer *)&fake_bos,
                              .chat_templates = &fake_templates,
                              .engine = &fake_engine,
                              .metrics = (struct metrics *)&fake_metrics,
                              .system_fingerprint = "fp_test"};

static struct http_exchange *fake_post(const char *body)
{
    struct http_exchange *x = calloc(1, sizeof(*x));
    CHECK(x);
    x->body_len = strlen(body);
    x->body = malloc(x->body_len + 1);
    CHECK(x->body);
    memcpy(x->body, body, x->body_len + 1);
    strbuf_init(&x->out, 0);
    return x;
}

/* The end of the exchange; its memory goes, as the real one's does. */
static void fake_close(struct http_exchange *x, bool gone)
{
    if (x->closed) x->closed(x->user, gone);
    strbuf_free(&x->out);
    free(x->body);
    free(x);
}

#endif
