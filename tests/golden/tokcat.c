/* tokcat - the tokenizer as a filter, for tokenizer_diff.py.
 *
 *   tokcat [--special] tokenizer.json             lines of JSON strings in, JSON arrays of ids out
 *   tokcat --decode [--skip-special] tokenizer.json   the reverse
 *   tokcat --stream tokenizer.json                like --decode, through the incremental decoder
 *
 * Added tokens in the text are found, as Hugging Face does; --special adds BOS and the like. */
#include "config/base/file.h"
#include "config/base/json.h"
#include "config/limits.h"
#include "engine/tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    bool decode, stream, special, skip_special;
    const char *path;
};

static bool encode_line(const struct tokenizer *t, const struct options *o, const cJSON *line,
                        struct strbuf *out, struct error *err)
{
    struct token_vec ids = {0};
    if (!cJSON_IsString(line)) return false;
    enum status st = tokenizer_encode(t, line->valuestring, strlen(line->valuestring), o->special,
                                      true, 0, &ids, err);
    strbuf_add_char(out, '[');
    for (size_t i = 0; i < ids.len; i++) strbuf_addf(out, i ? ",%d" : "%d", ids.ids[i]);
    strbuf_add_char(out, ']');
    token_vec_free(&ids);
    return st == STATUS_OK;
}

static bool decode_line(const struct tokenizer *t, const struct options *o, const cJSON *line,
                        struct strbuf *out)
{
    struct token_vec ids = {0};
    struct strbuf text;
    strbuf_init(&text, 0);
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, line)
    {
        int64_t id = 0;
        if (!json_as_i64(item, INT32_MIN, INT32_MAX, &id) || !token_vec_push(&ids, (int32_t)id))
            return false;
    }
    if (o->stream) {
        struct detok d;
        detok_init(&d, t, o->skip_special);
        for (size_t i = 0; i < ids.len; i++) detok_push(&d, ids.ids[i], &text);
        detok_finish(&d, &text);
    } else {
        tokenizer_decode(t, ids.ids, ids.len, o->skip_special, &text);
    }
    strbuf_add_json(out, text.data ? text.data : "", text.len);
    strbuf_free(&text);
    token_vec_free(&ids);
    return true;
}

static bool parse_options(int argc, char **argv, struct options *o)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"--decode", &o->decode},
                 {"--stream", &o->stream},
                 {"--special", &o->special},
                 {"--skip-special", &o->skip_special}};
    for (int i = 1; i < argc; i++) {
        bool known = false;
        for (size_t k = 0; k < sizeof(flags) / sizeof(flags[0]); k++)
            if (!strcmp(flags[k].name, argv[i])) known = *flags[k].flag = true;
        if (!known) o->path = argv[i];
    }
    return o->path != NULL;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct error err = {0};
    struct tokenizer *t = NULL;
    char *json = NULL, *line = NULL;
    size_t json_len = 0, line_cap = 0;
    if (!parse_options(argc, argv, &o)) {
        fprintf(stderr, "usage: tokcat [--special] [--decode|--stream] [--skip-special] FILE\n");
        return 2;
    }
    int rc = 1;
    struct strbuf out;
    strbuf_init(&out, 0);
    if (file_read(o.path, LIMIT_JSON_SIZE, &json, &json_len, &err) != STATUS_OK ||
        tokenizer_parse(json, json_len, NULL, 0, &t, &err) != STATUS_OK)
        goto out;
    for (ssize_t len; (len = getline(&line, &line_cap, stdin)) > 0;) {
        cJSON *item = NULL;
        bool good = json_parse(line, (size_t)len, NULL, &item, &err) == STATUS_OK;
        strbuf_clear(&out);
        if (good)
            good = o.decode || o.stream ? decode_line(t, &o, item, &out)
                                        : encode_line(t, &o, item, &out, &err);
        cJSON_Delete(item);
        if (!good) goto out;
        puts(out.data);
    }
    rc = 0;
out:
    if (rc) fprintf(stderr, "tokcat: %s\n", err.message);
    tokenizer_free(t);
    strbuf_free(&out);
    free(json);
    free(line);
    return rc;
}
