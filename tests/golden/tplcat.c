/* tplcat - renders chat templates for comparison with Jinja2.
 * stdin: one JSON object a line, {"template": text, "context": object, "now": seconds};
 * stdout: one line each, {"text": ...} or {"error": message}. */

#include "config/base/check.h"
#include "config/base/json.h"
#include "engine/template/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A compiled template is kept while the lines name the same text. */
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

static void answer(struct cache *cache, const char *line, size_t len)
{
    struct error err = {0};
    const struct json_limits limits = {.allow_nul = true};
    cJSON *job = NULL;
    struct strbuf text, reply;
    strbuf_init(&text, 0);
    strbuf_init(&reply, 0);
    enum status s = json_parse(line, len, &limits, &job, &err);
    if (s == STATUS_OK) {
        CHECK(template_keep_numbers(job, line, len));
        const cJSON *now = json_get(job, "now");
        compile_cached(cache, json_get(job, "template")->valuestring);
        s = cache->status;
        if (s == STATUS_OK)
            s = template_render(cache->compiled, json_get(job, "context"),
                                now ? (int64_t)now->valuedouble : 0, &text, &err);
        else
            err = cache->err;
    }
    strbuf_add_str(&reply, s == STATUS_OK ? "{\"text\":" : "{\"error\":");
    if (s == STATUS_OK)
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
