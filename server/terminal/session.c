#include "server/terminal/session.h"

#include "config/base/check.h"
#include "config/base/clock.h"
#include "server/terminal/save.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHILD_END_MS = 500 }; /* from a broken connection to the end of the process behind it */

static enum status on_text(void *arg, struct str text, bool reasoning, struct error *err)
{
    struct chat_session *s = arg;
    return display_answer(&s->display, text, reasoning, err);
}

enum status chat_session_init(struct chat_session *s, struct chat_args *args, bool interactive,
                              struct error *err)
{
    enum status st = STATUS_OK;

    *s = (struct chat_session){.args = args, .watch.fd = -1};
    s->child.pid_fd = s->child.ready_fd = -1;
    display_init(&s->display, interactive);
    answer_init(&s->answer, on_text, s);
    strbuf_init(&s->model, 0);
    if (args->load) st = chat_session_load(s, args->load, err);
    if (st == STATUS_OK && args->system)
        st = conversation_set_system(&s->talk, str_from(args->system), err);
    sampling_params_move(&s->params, &args->params);
    return st;
}

enum status chat_session_connect(struct chat_session *s, struct error *err)
{
    const struct chat_args *a = s->args;
    bool own = !a->url;
    enum status st = STATUS_OK;

    if (own) {
        st = server_child_start(&s->child, a->model, a->server_words, a->n_server_words, err);
        if (st == STATUS_OK) st = server_child_wait_ready(&s->child, &s->watch, err);
    }
    if (st == STATUS_OK)
        st = http_client_open(&s->client, own ? s->child.url : a->url,
                              own ? s->child.key : a->api_key, own, err);
    if (st != STATUS_OK) return st;
    if (!a->name)
        st = http_client_first_model(s->client, &s->watch, &s->model, &s->info, err);
    else if (!utf8_valid(a->name, strlen(a->name)))
        st = error_set(err, STATUS_INVALID, "--model: the name is not valid UTF-8");
    else
        strbuf_add_str(&s->model, a->name);
    if (st == STATUS_OK && s->model.failed)
        st = error_set(err, STATUS_NO_MEMORY, "no memory for the model's name");
    return st;
}

void chat_session_close(struct chat_session *s)
{
    http_client_close(s->client);
    s->client = NULL;
    server_child_stop(&s->child);
    conversation_free(&s->talk);
    sampling_params_free(&s->params);
    sampling_params_free(&s->info.defaults);
    answer_free(&s->answer);
    strbuf_free(&s->model);
    display_free(&s->display);
    free(s->unanswered);
    s->unanswered = NULL;
}

/* --- errors ------------------------------------------------------------------------------------ */

/* What helps: for a person who can type, and for one who gave all in advance. */
static const struct hint {
    enum status code;
    const char *person, *pipe;
} hints[] = {
    {STATUS_CONTEXT_LENGTH, "/reset starts a new conversation, /undo takes the last turn back",
     "a shorter input or a smaller --max-tokens helps"},
    {STATUS_MODEL_NOT_FOUND, "", "--model NAME names one that the server has"},
    {STATUS_OVERLOADED, "/retry asks again", "try again later"},
};

/* Whose key was refused, or how to give one; a server of our own has its own. */
static void key_hint(const struct chat_args *a, char *out, size_t size)
{
    if (a->url && a->api_key)
        snprintf(out, size, "the key comes from %s", a->key_from);
    else if (a->url)
        snprintf(out, size, "INFERD_API_KEY, OPENAI_API_KEY or --api-key-file FILE gives one");
}

void chat_session_show_error(struct chat_session *s, const struct error *err)
{
    const char *hint = "";
    char key[256] = "";

    key_hint(s->args, key, sizeof(key));
    if (err->code == STATUS_UNAUTHENTICATED) hint = key;
    for (size_t i = 0; i < ARRAY_LEN(hints); i++)
        if (hints[i].code == err->code)
            hint = s->display.interactive && *hints[i].person ? hints[i].person : hints[i].pipe;
    display_error(&s->display, err, hint);
}

/* A connection that broke because the server behind it is no more: how that ended says more. */
static enum status explain(struct chat_session *s, enum status st, struct error *err)
{
    struct error end;

    if (s->args->url || st != STATUS_IO || s->display.reader_left) return st;
    if (server_child_check(&s->child, CHILD_END_MS, &end) == STATUS_OK) return st;
    *err = end;
    return end.code;
}

/* --- turns ------------------------------------------------------------------------------------- */

/* Why an answer has no end.  The server says "length" for either limit. */
static const char *why_cut(const struct chat_session *s)
{
    const struct answer *a = &s->answer;
    bool exact;
    int64_t n = answer_n_tokens(a, &exact), limit = sampling_params_max_tokens(&s->params);

    if (strcmp(a->finish_reason, "length") != 0) return "";
    if (limit > 0 && n >= limit) return ", cut at max_tokens";
    if (s->info.max_model_len > 0 && a->prompt_tokens >= 0 &&
        a->prompt_tokens + n >= s->info.max_model_len)
        return ", cut: the context is full; /reset starts a new conversation";
    return ", cut at the server's limit";
}

static void show_stats(struct chat_session *s, uint64_t sent_ns, bool stopped)
{
    const struct answer *a = &s->answer;
    double rate = answer_tokens_per_s(a);
    char speed[48] = "", first[48] = "";
    bool exact;
    int64_t n = answer_n_tokens(a, &exact);

    if (!s->args->stats || (!s->display.interactive && !s->args->stats_given)) return;
    if (rate > 0) snprintf(speed, sizeof(speed), ", %.*f tokens/s", rate < 100, rate);
    if (a->first_ns > sent_ns)
        snprintf(first, sizeof(first), ", first token %.0f ms",
                 (double)(a->first_ns - sent_ns) / 1e6);
    display_note(&s->display, "[%s%lld token%s%s%s%s%s]", exact ? "" : "about ", (long long)n,
                 n == 1 ? "" : "s", speed, first, why_cut(s), stopped ? ", stopped" : "");
}

static void make_body(const struct chat_session *s, struct strbuf *body)
{
    strbuf_add_str(body, "{\"model\":");
    strbuf_add_json(body, s->model.data, s->model.len);
    strbuf_add_str(body, ",\"messages\":");
    conversation_add_json(&s->talk, body);
    sampling_params_add_json(&s->params, body);
    strbuf_add_str(body, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
}

/* Asks for the answer to what the conversation holds, and adds it. */
static enum status ask(struct chat_session *s, struct error *err)
{
    struct strbuf body;
    struct error shown;
    uint64_t sent_ns = clock_now_ns();
    enum status st = STATUS_OK;

    answer_reset(&s->answer);
    strbuf_init(&body, 0);
    make_body(s, &body);
    if (body.failed)
        st = error_set(err, STATUS_NO_MEMORY, "no memory for the request");
    else
        st = http_client_ask(s->client, &s->watch, (struct str){body.data, body.len}, &s->answer,
                             err);
    strbuf_free(&body);
    enum status end = display_answer_end(&s->display, st == STATUS_OK ? err : &shown);
    if (st == STATUS_OK) st = end;
    bool stopped = st == STATUS_CANCELLED && s->answer.text.len > 0;
    if (st != STATUS_OK && !stopped) return explain(s, st, err);
    struct str text = {s->answer.text.data ? s->answer.text.data : "", s->answer.text.len};
    st = conversation_add(&s->talk, CHAT_ASSISTANT, text, err);
    if (st == STATUS_OK) show_stats(s, sent_ns, stopped);
    return st;
}

static void remember_unanswered(struct chat_session *s, const struct chat_message *m)
{
    free(s->unanswered);
    s->unanswered = m ? strdup(m->text) : NULL;
}

enum status chat_session_turn(struct chat_session *s, struct str text, struct error *err)
{
    enum status st = conversation_add(&s->talk, CHAT_USER, text, err);

    if (st != STATUS_OK) return st;
    st = ask(s, err);
    remember_unanswered(s, st == STATUS_OK ? NULL : conversation_last(&s->talk, CHAT_USER));
    if (st != STATUS_OK) conversation_pop(&s->talk);
    return st;
}

enum status chat_session_load(struct chat_session *s, const char *path, struct error *err)
{
    enum status st = save_read(path, &s->talk, &s->params, err);

    if (st == STATUS_OK) remember_unanswered(s, NULL);
    return st;
}

/* A copy of the last message's text, which is taken away; NULL: it has another role, or no memory. */
static char *take_last(struct chat_session *s, enum chat_role role)
{
    const struct chat_message *m = conversation_last(&s->talk, role);
    char *text = m ? strdup(m->text) : NULL;

    if (text) conversation_pop(&s->talk);
    return text;
}

enum status chat_session_retry(struct chat_session *s, struct error *err)
{
    char *answer = NULL, *text = NULL;
    struct error ignored;

    if (s->unanswered) {
        text = s->unanswered;
        s->unanswered = NULL;
    } else {
        answer = take_last(s, CHAT_ASSISTANT);
        text = take_last(s, CHAT_USER);
    }
    enum status st = text ? chat_session_turn(s, str_from(text), err)
                          : error_set(err, STATUS_INVALID, "there is no message to ask again");
    /* What was there before is better than nothing. */
    if (st != STATUS_OK && answer) {
        if (text) conversation_add(&s->talk, CHAT_USER, str_from(text), &ignored);
        conversation_add(&s->talk, CHAT_ASSISTANT, str_from(answer), &ignored);
    }
    free(answer);
    free(text);
    return st;
}

bool chat_session_undo(struct chat_session *s)
{
    char *answer = take_last(s, CHAT_ASSISTANT), *text = take_last(s, CHAT_USER);
    bool some = answer || text;

    remember_unanswered(s, NULL);
    free(answer);
    free(text);
    return some;
}
