#include "server/api_prompt.h"
#include "server/sse.h"

#include <string.h>

/* GET /v1/models and /v1/models/{id}.  max_model_len, root and parent are vLLM's additions, which
 * routers read; default_sampling_params is for people who look at a request's fields. */

static void add_float(struct strbuf *out, const char *name, double value)
{
    /* The digits of a float, not those of its double: 0.3, not 0.30000001192092896. */
    strbuf_addf(out, "\"%s\":%.6g,", name, value);
}

/* What a request gets that does not say. */
static void add_defaults(struct strbuf *out, const struct app *a)
{
    struct api_rules r;
    int64_t max_tokens = api_default_chat_tokens(a);
    api_rules_init(&r, a);
    strbuf_add_str(out, ",\"default_sampling_params\":{");
    add_float(out, "temperature", r.temperature);
    add_float(out, "top_p", r.top_p);
    add_float(out, "min_p", r.min_p);
    add_float(out, "repetition_penalty", r.repetition_penalty);
    strbuf_addf(out, "\"top_k\":%d,\"max_tokens\":", r.top_k);
    if (max_tokens > 0)
        strbuf_add_i64(out, max_tokens);
    else
        strbuf_add_str(out, "null");
    strbuf_add_char(out, '}');
}

static void add_model(struct strbuf *out, const struct app *a, const char *name)
{
    strbuf_add_str(out, "{\"id\":");
    strbuf_add_json(out, name, strlen(name));
    strbuf_add_str(out, ",\"object\":\"model\",\"created\":");
    strbuf_add_i64(out, a->created_s);
    strbuf_add_str(out, ",\"owned_by\":\"inferd\",\"root\":");
    strbuf_add_json(out, a->opts->model_said, strlen(a->opts->model_said));
    strbuf_add_str(out, ",\"parent\":null,\"max_model_len\":");
    api_add_max_model_len(out, a);
    if (!a->render_only) add_defaults(out, a);
    strbuf_add_char(out, '}');
}

static void respond_json(struct http_exchange *x, struct strbuf *body)
{
    if (body->failed) {
        struct error err = {0};
        error_set(&err, STATUS_NO_MEMORY, "out of memory writing the answer");
        respond_error(x, &err);
    } else {
        http_respond(x, 200, "application/json", body->data, body->len);
    }
    strbuf_free(body);
}

void api_models(struct app *a, struct http_exchange *x)
{
    const struct option_list *names = &a->opts->served_model_name;
    struct strbuf out;

    strbuf_init(&out, 0);
    strbuf_add_str(&out, "{\"object\":\"list\",\"data\":[");
    for (int i = 0; i < names->n; i++) {
        if (i > 0) strbuf_add_char(&out, ',');
        add_model(&out, a, names->items[i]);
    }
    strbuf_add_str(&out, "]}");
    respond_json(x, &out);
}

/* The id may hold slashes: all that follows /models/ in the path. */
void api_model(struct app *a, struct http_exchange *x)
{
    static const char mark[] = "/models/";
    const char *at = strstr(http_path(x), mark);
    const char *name = at ? at + sizeof(mark) - 1 : "";
    struct error err = {0};
    struct strbuf out;

    if (api_check_model(a, name, &err) != STATUS_OK) {
        respond_error(x, &err);
        return;
    }
    strbuf_init(&out, 0);
    add_model(&out, a, name);
    respond_json(x, &out);
}
