#include "server/generation.h"

/* One loop thread, one scratch: a token costs no allocation once these have grown. */
static struct gen_scratch scratch;

static const char *finish_name(int finish)
{
    return finish == FINISH_LENGTH ? "length" : "stop";
}

static int64_t count_chars(struct str s)
{
    int64_t n = 0;

    for (size_t i = 0; i < s.len; i++) n += ((unsigned char)s.data[i] & 0xc0) != 0x80;
    return n;
}

static struct str view(const struct strbuf *b)
{
    return (struct str){b->data ? b->data : "", b->len};
}

static struct logprob_style style_of(const struct generation *g, int32_t n_top)
{
    return (struct logprob_style){.tokenizer = g->app->tokenizer,
                                  .tokens_as_ids = g->params.tokens_as_ids,
                                  .n_top = n_top,
                                  .scratch = &scratch.names};
}

static bool wants_echo_logprobs(const struct generation *g)
{
    return g->params.echo && g->params.n_logprobs >= 0;
}

/* [1,2,3] of what ids_add has made. */
static void add_array(struct strbuf *out, const struct strbuf *items)
{
    strbuf_add_char(out, '[');
    if (items->len > 0) strbuf_add(out, items->data, items->len);
    strbuf_add_char(out, ']');
}

static void add_prompt_ids(struct strbuf *out, const struct gen_prompt *p)
{
    strbuf_add_char(out, '[');
    for (int32_t i = 0; i < p->request.n_prompt; i++) {
        if (i > 0) strbuf_add_char(out, ',');
        strbuf_add_i64(out, p->request.prompt[i]);
    }
    strbuf_add_char(out, ']');
}

/* null for eos and length, the id or the string otherwise: vLLM's stop_reason. */
static void add_stop_reason(struct strbuf *out, const struct gen_choice *c)
{
    const struct api_params *params = &c->prompt->gen->params;

    if (c->stop_string >= 0) {
        struct str s = params->stop[c->stop_string];
        json_add_text(out, s.data, s.len);
    } else if (c->stop_token >= 0) {
        strbuf_add_i64(out, c->stop_token);
    } else {
        strbuf_add_str(out, "null");
    }
}

/* --- the prompt ------------------------------------------------------------------------------ */

void generation_begin_prompt(struct gen_prompt *p)
{
    struct generation *g = p->gen;

    if (!wants_echo_logprobs(g)) return;
    struct logprob_style style = style_of(g, g->params.n_logprobs);
    legacy_logprobs_add_first(&p->echo_logprobs, &style, p->request.prompt[0]);
    detok_init(&p->echo_detok, g->app->tokenizer, g->params.skip_special_tokens);
    strbuf_clear(&scratch.echo);
    detok_push(&p->echo_detok, p->request.prompt[0], &scratch.echo);
    p->echo_chars = count_chars(view(&scratch.echo));
}

void generation_take_prompt_logprob(struct gen_prompt *p, const struct engine_event *ev)
{
    struct generation *g = p->gen;

    if (!ev->logprobs || ev->position != p->n_scored + 1) return;
    p->n_scored++;
    if (g->params.n_prompt_logprobs >= 0) {
        struct logprob_style style = style_of(g, g->params.n_prompt_logprobs);
        prompt_logprob_add(&p->prompt_logprobs, &style, ev->logprobs);
    }
    if (!wants_echo_logprobs(g)) return;
    struct logprob_style style = style_of(g, g->params.n_logprobs);
    legacy_logprobs_add(&p->echo_logprobs, &style, ev->logprobs, p->echo_chars);
    strbuf_clear(&scratch.echo);
    detok_push(&p->echo_detok, ev->logprobs->token, &scratch.echo);
    p->echo_chars += count_chars(view(&scratch.echo));
}

/* --- a token --------------------------------------------------------------------------------- */

/* A stop or eos token has no text of its own, unless stop strings are to be shown too. */
static bool token_has_text(const struct generation *g, const struct engine_event *ev)
{
    return ev->type == EVENT_TOKEN && (ev->finish != FINISH_STOP || g->params.include_stop);
}

/* Appends to scratch.text what may be shown now; sets the end of the choice. */
static void add_text(struct gen_choice *c, const struct engine_event *ev)
{
    struct generation *g = c->prompt->gen;
    bool no_stops = g->stops.n == 0;
    struct strbuf *raw = no_stops ? &scratch.text : &scratch.raw;
    size_t start = raw->len;

    c->finish = (uint8_t)ev->finish;
    if (token_has_text(g, ev)) detok_push(&c->detok, ev->token, raw);
    if (ev->finish != FINISH_NONE) detok_finish(&c->detok, raw);
    struct str piece = {raw->data ? raw->data + start : "", raw->len - start};
    if (g->kind == API_COMPLETION && g->params.n_logprobs >= 0) c->n_chars += count_chars(piece);
    if (no_stops) return;
    bool armed = c->n_tokens > g->params.sampling.min_tokens;
    c->stop_string =
        stop_push(&g->stops, &c->stop, piece, armed, g->params.include_stop, &scratch.text);
    if (c->stop_string >= 0)
        c->finish = FINISH_STOP;
    else if (ev->finish != FINISH_NONE)
        stop_flush(&g->stops, &c->stop, &scratch.text);
}

/* The id that ended the choice, when it is the client's and not the model's eos. */
static int32_t stop_token_of(const struct generation *g, const struct engine_event *ev)
{
    const struct sampling_params *s = &g->params.sampling;

    if (ev->type != EVENT_TOKEN || ev->finish != FINISH_STOP) return -1;
    for (int32_t i = 0; !s->ignore_eos && i < s->n_eos_ids; i++)
        if (s->eos_ids[i] == ev->token) return -1;
    return ev->token;
}

static void add_logprobs(struct gen_choice *c, const struct engine_event *ev, int64_t offset,
                         struct strbuf *chat, struct legacy_logprobs *legacy)
{
    struct generation *g = c->prompt->gen;
    struct logprob_style style = style_of(g, g->params.n_logprobs);

    if (!ev->logprobs || g->params.n_logprobs < 0) return;
    if (g->kind == API_CHAT)
        chat_logprob_add(chat, &style, ev->logprobs);
    else
        legacy_logprobs_add(legacy, &style, ev->logprobs, offset);
}

/* --- streamed -------------------------------------------------------------------------------- */

/* The logprobs of this chunk as JSON; empty when there are none to show. */
static struct str chunk_logprobs(struct gen_choice *c, const struct engine_event *ev,
                                 int64_t offset, bool first)
{
    struct generation *g = c->prompt->gen;
    bool has = ev->type == EVENT_TOKEN || (first && wants_echo_logprobs(g));

    if (g->params.n_logprobs < 0 || !has) return (struct str){"", 0};
    strbuf_clear(&scratch.logprobs);
    if (g->kind == API_CHAT) {
        strbuf_add_str(&scratch.logprobs, "{\"content\":[");
        strbuf_clear(&scratch.ids);
        add_logprobs(c, ev, offset, &scratch.ids, NULL);
        strbuf_add(&scratch.logprobs, view(&scratch.ids).data, scratch.ids.len);
        strbuf_add_str(&scratch.logprobs, "],\"refusal\":null}");
        return view(&scratch.logprobs);
    }
    legacy_logprobs_clear(&scratch.legacy);
    if (first && wants_echo_logprobs(g))
        legacy_logprobs_append(&scratch.legacy, &c->prompt->echo_logprobs);
    if (ev->type == EVENT_TOKEN) add_logprobs(c, ev, offset, NULL, &scratch.legacy);
    legacy_logprobs_json(&scratch.logprobs, &scratch.legacy);
    return view(&scratch.logprobs);
}

static struct str chunk_usage(const struct gen_choice *c)
{
    const struct generation *g = c->prompt->gen;

    if (!g->params.continuous_usage) {
        /* The chat schema wants a null beside include_usage, the completions schema forbids it. */
        return g->params.include_usage && g->kind == API_CHAT ? STR("null") : STR("");
    }
    struct usage u = {.prompt_tokens = c->prompt->request.n_prompt,
                      .completion_tokens = c->n_tokens,
                      .cached_tokens = c->prompt->n_cached > 0 ? c->prompt->n_cached : 0};
    strbuf_clear(&scratch.usage);
    usage_add_json(&scratch.usage, &u);
    return view(&scratch.usage);
}

/* Whether memory ran out on the way to scratch.out shows in one place. */
static void send_out(struct generation *g)
{
    if (scratch.out.failed || scratch.text.failed || scratch.raw.failed || scratch.echo.failed ||
        scratch.logprobs.failed || scratch.ids.failed || legacy_logprobs_failed(&scratch.legacy))
        g->out_of_memory = true;
    else if (g->x)
        http_stream_write(g->x, scratch.out.data, scratch.out.len);
}

static bool is_plain(const struct gen_choice *c, bool first)
{
    const struct api_params *p = &c->prompt->gen->params;

    return c->finish == FINISH_NONE && !first && p->n_logprobs < 0 && !p->return_token_ids &&
           !(p->include_usage && p->kind == API_CHAT) && !p->continuous_usage;
}

static void fill_extra(struct gen_choice *c, const struct engine_event *ev, int64_t offset,
                       bool first, struct sse_extra *e)
{
    struct generation *g = c->prompt->gen;

    e->logprobs = chunk_logprobs(c, ev, offset, first);
    if (c->finish != FINISH_NONE) {
        e->finish_reason = finish_name(c->finish);
        strbuf_clear(&scratch.reason);
        add_stop_reason(&scratch.reason, c);
        e->stop_reason = view(&scratch.reason);
    }
    if (g->params.return_token_ids) {
        strbuf_clear(&scratch.ids);
        strbuf_add_char(&scratch.ids, '[');
        if (ev->type == EVENT_TOKEN) strbuf_add_i64(&scratch.ids, ev->token);
        strbuf_add_char(&scratch.ids, ']');
        e->token_ids = view(&scratch.ids);
    }
    if (first && g->params.return_token_ids && g->kind == API_COMPLETION) {
        strbuf_clear(&scratch.prompt_ids);
        add_prompt_ids(&scratch.prompt_ids, c->prompt);
        e->prompt_token_ids = view(&scratch.prompt_ids);
    }
    e->usage = chunk_usage(c);
}

static void write_chunk(struct gen_choice *c, const struct engine_event *ev, int64_t offset)
{
    struct generation *g = c->prompt->gen;
    struct str text = view(&scratch.text);
    bool first = !c->opened;

    c->opened = true;
    if (first && g->params.echo) {
        strbuf_clear(&scratch.echo);
        strbuf_add(&scratch.echo, c->prompt->echo.data, c->prompt->echo.len);
        strbuf_add(&scratch.echo, text.data, text.len);
        text = view(&scratch.echo);
    }
    strbuf_clear(&scratch.out);
    if (is_plain(c, first)) {
        sse_add_delta(&scratch.out, &g->head, c->index, text, NULL);
    } else {
        struct sse_extra extra = {0};
        fill_extra(c, ev, offset, first, &extra);
        sse_add_delta(&scratch.out, &g->head, c->index, text, &extra);
    }
    if (first && g->params.echo) g->echo_size += scratch.out.len;
    send_out(g);
}

void generation_write_roles(struct generation *g)
{
    strbuf_clear(&scratch.out);
    for (int32_t i = 0; i < g->params.n; i++) {
        struct gen_choice *c = &g->choices[i];
        struct str ids = {"", 0};
        if (i == 0 && g->params.return_token_ids) {
            strbuf_clear(&scratch.prompt_ids);
            add_prompt_ids(&scratch.prompt_ids, c->prompt);
            ids = view(&scratch.prompt_ids);
        }
        sse_add_role(&scratch.out, &g->head, c->index, ids, chunk_usage(c));
        c->opened = true;
    }
    send_out(g);
}

void generation_write_stream_end(struct generation *g)
{
    strbuf_clear(&scratch.out);
    if (g->params.include_usage) {
        strbuf_clear(&scratch.usage);
        usage_add_json(&scratch.usage, &g->usage);
        sse_add_usage(&scratch.out, &g->head, view(&scratch.usage));
    }
    sse_add_done(&scratch.out);
    send_out(g);
}

/* --- unstreamed ------------------------------------------------------------------------------ */

static size_t kept_size(const struct gen_choice *c)
{
    const struct legacy_logprobs *l = &c->legacy;

    return c->text.len + c->token_ids.len + c->chat_logprobs.len + l->tokens.len + l->values.len +
           l->tops.len + l->offsets.len;
}

static void keep_output(struct gen_choice *c, const struct engine_event *ev, int64_t offset)
{
    struct generation *g = c->prompt->gen;
    bool first = !c->opened;

    c->opened = true;
    if (first && g->params.echo) strbuf_add(&c->text, c->prompt->echo.data, c->prompt->echo.len);
    if (scratch.text.len > 0) strbuf_add(&c->text, scratch.text.data, scratch.text.len);
    if (first && wants_echo_logprobs(g))
        legacy_logprobs_append(&c->legacy, &c->prompt->echo_logprobs);
    if (ev->type != EVENT_TOKEN) return;
    add_logprobs(c, ev, offset, &c->chat_logprobs, &c->legacy);
    if (g->params.return_token_ids) ids_add(&c->token_ids, ev->token);
}

void generation_take(struct gen_choice *c, const struct engine_event *ev)
{
    struct generation *g = c->prompt->gen;
    int64_t offset = c->n_chars + (g->params.echo ? c->prompt->echo_chars : 0);

    if (ev->type == EVENT_TOKEN) {
        c->n_tokens++;
        g->usage.completion_tokens++;
    }
    strbuf_clear(&scratch.text);
    strbuf_clear(&scratch.raw);
    c->stop_token = stop_token_of(g, ev);
    add_text(c, ev);
    if (scratch.text.failed || scratch.raw.failed) g->out_of_memory = true;
    if (g->params.stream) {
        write_chunk(c, ev, offset);
    } else {
        g->kept_size -= kept_size(c);
        keep_output(c, ev, offset);
        g->kept_size += kept_size(c);
    }
}

static void add_body_logprobs(struct strbuf *out, const struct gen_choice *c)
{
    const struct generation *g = c->prompt->gen;

    strbuf_add_str(out, ",\"logprobs\":");
    if (g->params.n_logprobs < 0) {
        strbuf_add_str(out, "null");
    } else if (g->kind == API_COMPLETION) {
        legacy_logprobs_json(out, &c->legacy);
    } else {
        strbuf_add_str(out, "{\"content\":");
        add_array(out, &c->chat_logprobs);
        strbuf_add_str(out, ",\"refusal\":null}");
    }
}

static void add_prompt_logprobs(struct strbuf *out, const struct gen_prompt *p)
{
    if (p->gen->params.n_prompt_logprobs < 0) return;
    strbuf_add_str(out, ",\"prompt_logprobs\":[null");
    if (p->prompt_logprobs.len > 0) {
        strbuf_add_char(out, ',');
        strbuf_add(out, p->prompt_logprobs.data, p->prompt_logprobs.len);
    }
    strbuf_add_char(out, ']');
}

static void add_body_choice(struct strbuf *out, const struct gen_choice *c)
{
    const struct generation *g = c->prompt->gen;

    strbuf_addf(out, "{\"index\":%d,", c->index);
    strbuf_add_str(out, g->kind == API_CHAT ? "\"message\":{\"role\":\"assistant\",\"content\":"
                                            : "\"text\":");
    json_add_text(out, view(&c->text).data, c->text.len);
    if (g->kind == API_CHAT) strbuf_add_str(out, ",\"refusal\":null}");
    add_body_logprobs(out, c);
    strbuf_addf(out, ",\"finish_reason\":\"%s\",\"stop_reason\":", finish_name(c->finish));
    add_stop_reason(out, c);
    if (g->params.return_token_ids) {
        strbuf_add_str(out, ",\"token_ids\":");
        add_array(out, &c->token_ids);
    }
    if (g->kind == API_COMPLETION) {
        if (g->params.return_token_ids) {
            strbuf_add_str(out, ",\"prompt_token_ids\":");
            add_prompt_ids(out, c->prompt);
        }
        add_prompt_logprobs(out, c->prompt);
    }
    strbuf_add_char(out, '}');
}

static bool choice_failed(const struct gen_choice *c)
{
    return c->text.failed || c->token_ids.failed || c->chat_logprobs.failed ||
           legacy_logprobs_failed(&c->legacy);
}

bool generation_write_body(struct generation *g, struct strbuf *out)
{
    bool ok = true;

    sse_body_begin(out, &g->identity);
    for (int32_t i = 0; i < g->n_prompts * g->params.n; i++) {
        if (i > 0) strbuf_add_char(out, ',');
        add_body_choice(out, &g->choices[i]);
        ok = ok && !choice_failed(&g->choices[i]);
    }
    strbuf_add_str(out, "],\"usage\":");
    usage_add_json(out, &g->usage);
    if (g->kind == API_CHAT) {
        if (g->params.return_token_ids) {
            strbuf_add_str(out, ",\"prompt_token_ids\":");
            add_prompt_ids(out, &g->prompts[0]);
        }
        add_prompt_logprobs(out, &g->prompts[0]);
    }
    strbuf_add_char(out, '}');
    for (int32_t i = 0; i < g->n_prompts; i++)
        ok = ok && !g->prompts[i].prompt_logprobs.failed &&
             !legacy_logprobs_failed(&g->prompts[i].echo_logprobs);
    return ok && !out->failed;
}

void generation_output_free(struct generation *g)
{
    int32_t n_choices = g->choices ? g->n_prompts * g->params.n : 0;

    for (int32_t i = 0; i < n_choices; i++) {
        struct gen_choice *c = &g->choices[i];
        strbuf_free(&c->text);
        strbuf_free(&c->token_ids);
        strbuf_free(&c->chat_logprobs);
        legacy_logprobs_free(&c->legacy);
    }
    for (int32_t i = 0; g->prompts && i < g->n_prompts; i++) {
        strbuf_free(&g->prompts[i].prompt_logprobs);
        legacy_logprobs_free(&g->prompts[i].echo_logprobs);
    }
    sse_head_free(&g->head);
}
