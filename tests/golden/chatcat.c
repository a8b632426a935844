/* chatcat - renders whole chats, as the server does it, for comparison with transformers.
 *
 *   chatcat < jobs > answers
 *
 * A job is one line: {"template": text, "messages": [...], "tools"?, "documents"?, "kwargs"?,
 * "tokens"?: {name: text}, "format"?: "auto", "add_generation_prompt"?, "continue_final_message"?,
 * "now"?}.  The answer is one line: {"text": ...} or {"error": ...}.  As in a request, "messages" and
 * the other members are read with the digits of their numbers. */
#include "config/base/check.h"
#include "config/base/json.h"
#include "server/chat.h"
#include "server/chat_templates.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cache {
    char *text;
    struct template *compiled;
    enum status status;
    struct error err;
};

static void compile_cached(struct cache *c, const char *text)
{
    if (c->text && strcmp(c->text, text) == 0) return;
    template_free(c->compiled);
    free(c->text);
    c->text = strdup(text);
    c->status = template_compile(text, strlen(text), &c->compiled, &c->err);
}

static enum status render(struct cache *cache, const cJSON *job, struct strbuf *text,
                          struct error *err)
{
    char name[] = "default";
    const cJSON *format = json_get(job, "format"), *now = json_get(job, "now");
    const struct chat_input in = {
        .messages = json_get(job, "messages"),
        .tools = json_get(job, "tools"),
        .documents = json_get(job, "documents"),
        .template_kwargs = json_get(job, "kwargs"),
        .add_generation_prompt = cJSON_IsTrue(json_get(job, "add_generation_prompt")),
        .continue_final_message = cJSON_IsTrue(json_get(job, "continue_final_message")),
    };
    compile_cached(cache, json_get(job, "template")->valuestring);
    *err = cache->err;
    if (cache->status != STATUS_OK) return cache->status;
    struct chat_template one = {.name = name, .compiled = cache->compiled};
    struct chat_templates all = {
        .items = &one, .n = 1, .special_tokens = (cJSON *)json_get(job, "tokens")};
    return chat_render_input(&all, format ? format->valuestring : "auto", &in,
                             now ? (int64_t)now->valuedouble : 0, text, err);
}

static void answer(struct cache *cache, const char *line, size_t len)
{
    const struct json_limits limits = {.allow_nul = true};
    struct error err = {0};
    cJSON *job = NULL;
    struct strbuf text, reply;
    strbuf_init(&text, 0);
    strbuf_init(&reply, 0);
    enum status st = json_parse(line, len, &limits, &job, &err);
    if (st == STATUS_OK) {
        CHECK(template_keep_numbers(job, line, len));
        st = render(cache, job, &text, &err);
    }
    strbuf_add_str(&reply, st == STATUS_OK ? "{\"text\":" : "{\"error\":");
    if (st == STATUS_OK)
        strbuf_add_json(&reply, text.data ? text.data : "", text.len);
    else
        strbuf_add_json(&reply, err.message, strlen(err.message));
    strbuf_add_str(&reply, "}");
    puts(reply.data);
    strbuf_free(&text);
    strbuf_free(&reply);
    cJSON_Delete(job);
}

int main(void)
{
    struct cache cache = {0};
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, stdin)) > 0) {
        if (line[n - 1] == '\n') n--;
        answer(&cache, line, (size_t)n);
    }
    template_free(cache.compiled);
    free(cache.text);
    free(line);
    return 0;
}
