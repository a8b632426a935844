#include "server/api_logprobs.h"

#include "server/sse.h"

#include <string.h>

static void add_comma(struct strbuf *out)
{
    if (out->len > 0) strbuf_add_char(out, ',');
}

void ids_add(struct strbuf *out, int32_t id)
{
    add_comma(out);
    strbuf_add_i64(out, id);
}

/* Appends a token's name to the scratch; bytes that are no text are spelled as OpenAI does. */
static struct str name_of(const struct logprob_style *style, int32_t token, bool spell_bytes)
{
    struct strbuf *b = style->scratch;
    size_t start = b->len;

    if (style->tokens_as_ids)
        strbuf_addf(b, "token_id:%d", token);
    else
        tokenizer_token_bytes(style->tokenizer, token, b);
    size_t len = b->len - start;
    if (spell_bytes && len > 0 && !utf8_valid(b->data + start, len)) {
        for (size_t i = 0; i < len; i++)
            strbuf_addf(b, "\\x%02x", (unsigned char)b->data[start + i]);
        if (b->failed) return (struct str){"", 0};
        static const char prefix[] = "bytes:";
        size_t spelled = b->len - start - len;
        strbuf_add(b, prefix, sizeof(prefix) - 1); /* room; then shift over the raw bytes */
        if (b->failed) return (struct str){"", 0};
        memmove(b->data + start + sizeof(prefix) - 1, b->data + start + len, spelled);
        memcpy(b->data + start, prefix, sizeof(prefix) - 1);
        b->len = start + sizeof(prefix) - 1 + spelled;
        b->data[b->len] = '\0';
        len = b->len - start;
    }
    if (b->failed || len == 0) return (struct str){"", 0};
    return (struct str){b->data + start, len};
}

/* --- chat ------------------------------------------------------------------------------------ */

static void add_chat_token(struct strbuf *out, const struct logprob_style *style, int32_t token,
                           float logprob)
{
    struct strbuf *b = style->scratch;

    strbuf_clear(b);
    struct str name = name_of(style, token, false);
    strbuf_add_str(out, "{\"token\":");
    strbuf_add_json(out, name.data, name.len);
    strbuf_add_str(out, ",\"logprob\":");
    json_add_logprob(out, logprob);
    strbuf_add_str(out, ",\"bytes\":[");
    for (size_t i = 0; i < name.len; i++) {
        if (i > 0) strbuf_add_char(out, ',');
        strbuf_add_u64(out, (unsigned char)name.data[i]);
    }
    strbuf_add_char(out, ']');
}

void chat_logprob_add(struct strbuf *out, const struct logprob_style *style,
                      const struct sample_out *s)
{
    add_comma(out);
    add_chat_token(out, style, s->token, s->logprob);
    strbuf_add_str(out, ",\"top_logprobs\":[");
    for (int32_t i = 0; i < s->n_top && i < style->n_top; i++) {
        if (i > 0) strbuf_add_char(out, ',');
        add_chat_token(out, style, s->top[i].token, s->top[i].logprob);
        strbuf_add_char(out, '}');
    }
    strbuf_add_str(out, "]}");
}

/* --- completions ----------------------------------------------------------------------------- */

static void add_legacy_name(struct legacy_logprobs *l, const struct logprob_style *style,
                            int32_t token)
{
    strbuf_clear(style->scratch);
    struct str name = name_of(style, token, true);
    add_comma(&l->tokens);
    strbuf_add_json(&l->tokens, name.data, name.len);
}

/* The map's keys are texts, and two tokens may have the same: the likelier one stays. */
struct top_map {
    struct strbuf *out;
    const struct logprob_style *style;
    size_t start[LIMIT_LOGPROBS + 1], len[LIMIT_LOGPROBS + 1]; /* names in the scratch */
    int n;
};

static void top_map_add(struct top_map *m, int32_t token, float logprob)
{
    struct strbuf *b = m->style->scratch;
    size_t start = b->len;
    size_t len = name_of(m->style, token, true).len;

    if (b->failed) return;
    for (int i = 0; i < m->n; i++)
        if (m->len[i] == len && memcmp(b->data + m->start[i], b->data + start, len) == 0) return;
    m->start[m->n] = start;
    m->len[m->n] = len;
    if (m->n++ > 0) strbuf_add_char(m->out, ',');
    strbuf_add_json(m->out, len > 0 ? b->data + start : "", len);
    strbuf_add_char(m->out, ':');
    json_add_logprob(m->out, logprob);
}

void legacy_logprobs_add(struct legacy_logprobs *l, const struct logprob_style *style,
                         const struct sample_out *s, int64_t text_offset)
{
    struct top_map map = {.out = &l->tops, .style = style};

    add_legacy_name(l, style, s->token);
    add_comma(&l->values);
    json_add_logprob(&l->values, s->logprob);
    add_comma(&l->offsets);
    strbuf_add_i64(&l->offsets, text_offset);
    add_comma(&l->tops);
    strbuf_add_char(&l->tops, '{');
    strbuf_clear(style->scratch);
    strbuf_add(style->scratch, "", 0);
    for (int32_t i = 0; i < s->n_top && i < style->n_top && i < LIMIT_LOGPROBS; i++)
        top_map_add(&map, s->top[i].token, s->top[i].logprob);
    top_map_add(&map, s->token, s->logprob);
    strbuf_add_char(&l->tops, '}');
}

void legacy_logprobs_add_first(struct legacy_logprobs *l, const struct logprob_style *style,
                               int32_t token)
{
    add_legacy_name(l, style, token);
    add_comma(&l->values);
    strbuf_add_str(&l->values, "null");
    add_comma(&l->tops);
    strbuf_add_str(&l->tops, "null");
    add_comma(&l->offsets);
    strbuf_add_char(&l->offsets, '0');
}

static void append_items(struct strbuf *to, const struct strbuf *from)
{
    if (from->len == 0) return;
    add_comma(to);
    strbuf_add(to, from->data, from->len);
}

void legacy_logprobs_append(struct legacy_logprobs *to, const struct legacy_logprobs *from)
{
    append_items(&to->tokens, &from->tokens);
    append_items(&to->values, &from->values);
    append_items(&to->tops, &from->tops);
    append_items(&to->offsets, &from->offsets);
}

static void add_array(struct strbuf *out, const char *key, const struct strbuf *items)
{
    strbuf_add_str(out, key);
    strbuf_add_char(out, '[');
    if (items->len > 0) strbuf_add(out, items->data, items->len);
    strbuf_add_char(out, ']');
}

void legacy_logprobs_json(struct strbuf *out, const struct legacy_logprobs *l)
{
    add_array(out, "{\"tokens\":", &l->tokens);
    add_array(out, ",\"token_logprobs\":", &l->values);
    add_array(out, ",\"top_logprobs\":", &l->tops);
    add_array(out, ",\"text_offset\":", &l->offsets);
    strbuf_add_char(out, '}');
}

bool legacy_logprobs_failed(const struct legacy_logprobs *l)
{
    return l->tokens.failed || l->values.failed || l->tops.failed || l->offsets.failed;
}

void legacy_logprobs_clear(struct legacy_logprobs *l)
{
    strbuf_clear(&l->tokens);
    strbuf_clear(&l->values);
    strbuf_clear(&l->tops);
    strbuf_clear(&l->offsets);
}

void legacy_logprobs_free(struct legacy_logprobs *l)
{
    strbuf_free(&l->tokens);
    strbuf_free(&l->values);
    strbuf_free(&l->tops);
    strbuf_free(&l->offsets);
}

/* --- prompt_logprobs ------------------------------------------------------------------------- */

static void add_ranked(struct strbuf *out, const struct logprob_style *style,
                       const struct token_logprob *t, int32_t rank)
{
    strbuf_clear(style->scratch);
    tokenizer_token_bytes(style->tokenizer, t->token, style->scratch);
    strbuf_addf(out, "\"%d\":{\"logprob\":", t->token);
    json_add_logprob(out, t->logprob);
    strbuf_addf(out, ",\"rank\":%d,\"decoded_token\":", rank);
    strbuf_add_json(out, style->scratch->data ? style->scratch->data : "", style->scratch->len);
    strbuf_add_char(out, '}');
}

void prompt_logprob_add(struct strbuf *out, const struct logprob_style *style,
                        const struct sample_out *s)
{
    bool seen = false;

    add_comma(out);
    strbuf_add_char(out, '{');
    for (int32_t i = 0; i < s->n_top && i < style->n_top; i++) {
        if (i > 0) strbuf_add_char(out, ',');
        add_ranked(out, style, &s->top[i], i + 1);
        seen = seen || s->top[i].token == s->token;
    }
    if (!seen) {
        struct token_logprob own = {s->token, s->logprob};
        if (s->n_top > 0 && style->n_top > 0) strbuf_add_char(out, ',');
        add_ranked(out, style, &own, s->rank);
    }
    strbuf_add_char(out, '}');
}
