/* bench_template - microseconds of one rendering of a 20-message chat, for each chat template.
 *
 *   bench_template [--json] [FILE...]     none = every file in $INFERD_SHARED/data/chat-templates
 *
 * Two figures, medians of many renderings on one thread: the interpreter alone, from JSON to the
 * prompt (template_render), and the whole way of a request from its parsed body (messages checked
 * and converted, context made, rendered, freed).  compile is what loading the template takes.
 * tests/bench/template_times.py runs this with --json and prints Jinja2's own times beside. */
#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/base/file.h"
#include "config/base/json.h"
#include "config/limits.h"
#include "server/chat.h"
#include "server/chat_templates.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGES = 20, ROUNDS = 301 };

static const char *const texts[2] = {
    "Could you explain how a rope bridge carries its load, what each cable does, and why the deck "
    "sways more in the middle than near its ends? I would like to build a small one.",
    "The two main cables take nearly all of the weight and pull on the anchors at both banks. The "
    "deck hangs between them; in the middle the cables are flattest, so a side push meets the "
    "least resistance there: that is why it sways.\n\nHandrails \xe2\x80\x93 stiffen it a little.",
};

/* For the templates that want tools. */
static const char tools_text[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"description\": "
    "\"Weather of a city\", \"parameters\": {\"type\": \"object\", \"properties\": {\"city\": "
    "{\"type\": \"string\", \"description\": \"Name\"}}, \"required\": [\"city\"]}}}]";

struct figures {
    double compile_us, render_us, chat_us;
    size_t len;
    bool with_tools;
};

/* As tests/bench/template_times.py makes it. */
static cJSON *make_messages(void)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < MESSAGES; i++) {
        cJSON *m = cJSON_CreateObject();
        cJSON_AddStringToObject(m, "role", i % 2 ? "assistant" : "user");
        cJSON_AddStringToObject(m, "content", texts[i % 2]);
        cJSON_AddItemToArray(list, m);
    }
    return list;
}

static cJSON *make_tokens(void)
{
    cJSON *tokens = cJSON_CreateObject();
    cJSON_AddStringToObject(tokens, "bos_token", "<s>");
    cJSON_AddStringToObject(tokens, "eos_token", "</s>");
    return tokens;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v)
{
    qsort(v, ROUNDS, sizeof(*v), compare_doubles);
    return v[ROUNDS / 2];
}

static enum status measure_render(const struct template *t, const struct chat_templates *all,
                                  const struct chat_input *in, struct figures *f, struct error *err)
{
    double us[ROUNDS];
    struct strbuf out;
    enum status st = STATUS_OK;
    cJSON *context = cJSON_Duplicate(all->special_tokens, true);
    cJSON_AddItemReferenceToObject(context, "messages", (cJSON *)in->messages);
    if (in->tools) cJSON_AddStringToObject(context, "functions", tools_text);
    if (in->tools) cJSON_AddStringToObject(context, "datetime", "now");
    cJSON_AddItemReferenceToObject(context, "tools", (cJSON *)in->tools);
    if (!in->tools) cJSON_AddNullToObject(context, "tools");
    cJSON_AddNullToObject(context, "documents");
    cJSON_AddTrueToObject(context, "add_generation_prompt");
    strbuf_init(&out, 0);
    for (int i = 0; i < ROUNDS && st == STATUS_OK; i++) {
        strbuf_clear(&out);
        uint64_t start = clock_now_ns();
        st = template_render(t, context, 0, &out, err);
        us[i] = (double)(clock_now_ns() - start) * 1e-3;
    }
    if (st == STATUS_OK) f->render_us = median(us);
    f->len = out.len;
    strbuf_free(&out);
    cJSON_Delete(context);
    return st;
}

static enum status measure_chat(const struct chat_templates *all, const struct chat_input *in,
                                struct figures *f, struct error *err)
{
    double us[ROUNDS];
    struct strbuf out;
    enum status st = STATUS_OK;
    strbuf_init(&out, 0);
    for (int i = 0; i < ROUNDS && st == STATUS_OK; i++) {
        strbuf_clear(&out);
        uint64_t start = clock_now_ns();
        st = chat_render_input(all, "auto", in, 0, &out, err);
        us[i] = (double)(clock_now_ns() - start) * 1e-3;
    }
    if (st == STATUS_OK) f->chat_us = median(us);
    strbuf_free(&out);
    return st;
}

/* Without tools, or with them where the template fails without. */
static enum status measure_both(const struct template *t, const struct chat_templates *all,
                                const cJSON *messages, struct figures *f, struct error *err)
{
    cJSON *tools = cJSON_Parse(tools_text), *kwargs = cJSON_CreateObject();
    cJSON_AddStringToObject(kwargs, "functions", tools_text);
    cJSON_AddStringToObject(kwargs, "datetime", "now");
    struct chat_input in = {.messages = messages, .add_generation_prompt = true};
    enum status st = measure_render(t, all, &in, f, err);
    if (st != STATUS_OK) {
        in.tools = tools;
        in.template_kwargs = kwargs;
        f->with_tools = true;
        st = measure_render(t, all, &in, f, err);
    }
    if (st == STATUS_OK) st = measure_chat(all, &in, f, err);
    cJSON_Delete(kwargs);
    cJSON_Delete(tools);
    return st;
}

static enum status measure(const char *path, const cJSON *messages, struct figures *f,
                           struct error *err)
{
    char *text, name[] = "default";
    size_t len;
    struct chat_template one = {.name = name};
    enum status st = file_read(path, LIMIT_TEMPLATE_SIZE, &text, &len, err);
    if (st != STATUS_OK) return st;
    uint64_t start = clock_now_ns();
    st = template_compile(text, len, &one.compiled, err);
    f->compile_us = (double)(clock_now_ns() - start) * 1e-3;
    struct chat_templates all = {.items = &one, .n = 1, .special_tokens = make_tokens()};
    if (st == STATUS_OK) st = measure_both(one.compiled, &all, messages, f, err);
    template_free(one.compiled);
    cJSON_Delete(all.special_tokens);
    free(text);
    return st;
}

static void print(const char *path, const struct figures *f, bool as_json)
{
    const char *name = strrchr(path, '/');
    if (as_json)
        printf("{\"file\": \"%s\", \"compile_us\": %.1f, \"render_us\": %.1f, \"chat_us\": %.1f, "
               "\"bytes\": %zu, \"with_tools\": %s}\n",
               path, f->compile_us, f->render_us, f->chat_us, f->len,
               f->with_tools ? "true" : "false");
    else
        printf("%-52s %8.1f %8.1f %8.1f %8zu\n", name ? name + 1 : path, f->compile_us,
               f->render_us, f->chat_us, f->len);
}

int main(int argc, char **argv)
{
    bool as_json = argc > 1 && strcmp(argv[1], "--json") == 0;
    const char *shared = getenv("INFERD_SHARED");
    char pattern[4096];
    glob_t files = {0};
    int first = 1 + as_json, failed = 0;
    if (first < argc) {
        for (int i = first; i < argc; i++)
            glob(argv[i], i > first ? GLOB_APPEND | GLOB_NOCHECK : GLOB_NOCHECK, NULL, &files);
    } else {
        snprintf(pattern, sizeof(pattern), "%s/data/chat-templates/*/*.jinja",
                 shared ? shared : "../shared");
        glob(pattern, 0, NULL, &files);
    }
    if (files.gl_pathc == 0) {
        fprintf(stderr, "skipped: no templates at %s\n", pattern);
        return 0;
    }
    if (!as_json)
        printf("%-52s %8s %8s %8s %8s\n", "us for 20 messages", "compile", "render", "chat",
               "bytes");
    cJSON *messages = make_messages();
    CHECK(messages);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct figures f = {0};
        struct error err = {0};
        if (measure(files.gl_pathv[i], messages, &f, &err) == STATUS_OK) {
            print(files.gl_pathv[i], &f, as_json);
        } else {
            fprintf(stderr, "%s: %s\n", files.gl_pathv[i], err.message);
            failed = 1;
        }
    }
    cJSON_Delete(messages);
    globfree(&files);
    return failed;
}
