#include "server/tokenize.h"

#include "config/base/check.h"
#include "config/base/json_string.h"
#include "engine/tokenizer/tokenizer.h"
#include "server/cli.h"
#include "server/demo_model.h"
#include "server/model_dir.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMMAND "tokenize"

enum {
    TEXT_MAX_SIZE = 1 << 30, /* the tokenizer's own limit */
    WRITE_SIZE = 1 << 16,    /* output is written in pieces of about this size */
};
/* Of text in JSON, or of its ids: about seven bytes for the four that a token stands for. */
#define JSON_MAX_SIZE ((size_t)2 << 30)

/* --- the command line ------------------------------------------------------------------------ */

struct arguments {
    const char *dir; /* NULL: the demo model's */
    bool lines, no_special, detokenize, skip_special, help;
};

static const struct flag {
    const char *name;
    size_t offset;
    const char *help;
} flags[] = {
    {"--lines", offsetof(struct arguments, lines),
     "A document on each line: JSON strings in, JSON arrays out."},
    {"--no-special", offsetof(struct arguments, no_special),
     "Do not add what the tokenizer puts around a text (BOS, EOS)."},
    {"--detokenize", offsetof(struct arguments, detokenize), "Ids to text instead."},
    {"--skip-special", offsetof(struct arguments, skip_special),
     "With --detokenize: leave special tokens out of the text."},
    {"--help", offsetof(struct arguments, help), "This text."},
};

static void print_help(FILE *f)
{
    fputs(
        "usage: inferd tokenize [MODEL] [options] < input > output\n\n"
        "Turns text into token ids with the tokenizer of MODEL, a directory or\n"
        "ORG/NAME[@REV] of the Hugging Face cache: tokenizer.json, else a SentencePiece model or\n"
        "tiktoken ranks; without MODEL, of the demo model. The standard input is one text in "
        "UTF-8, the standard output one JSON "
        "array.\n\n",
        f);
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        fprintf(f, "  %-15s %s\n", flags[i].name, flags[i].help);
    fputs("\nWith --lines every answer is written before more input is waited for, and the first\n"
          "line that is wrong ends the command. Exit status: 0 done, 1 failed, 2 wrong usage.\n\n"
          "examples:\n"
          "  inferd tokenize ./model < book.txt\n"
          "  echo '\"Once upon a time\"' | inferd tokenize ./model --lines --no-special\n"
          "  inferd tokenize ./model < book.txt | inferd tokenize ./model --detokenize "
          "--skip-special\n",
          f);
}

static enum status parse_arguments(int argc, char **argv, struct arguments *out, struct error *err)
{
    for (int i = 0; i < argc; i++) {
        const struct flag *known = NULL;
        const char *word = strcmp(argv[i], "-h") == 0 ? "--help" : argv[i];
        for (size_t k = 0; k < ARRAY_LEN(flags) && !known; k++)
            if (strcmp(word, flags[k].name) == 0) known = &flags[k];
        if (known) {
            *(bool *)((char *)out + known->offset) = true;
        } else if (word[0] == '-' && word[1]) {
            return error_set(err, STATUS_INVALID, "no option %s; see inferd tokenize --help", word);
        } else if (out->dir) {
            return error_set(err, STATUS_INVALID,
                             "one model only, not also %s; the text comes by standard input", word);
        } else {
            out->dir = word;
        }
    }
    if (out->help) return STATUS_OK;
    if (out->skip_special && !out->detokenize)
        return error_set(err, STATUS_INVALID,
                         "--skip-special needs --detokenize; --no-special is the one for ids");
    if (out->no_special && out->detokenize)
        return error_set(err, STATUS_INVALID,
                         "--no-special has no meaning with --detokenize; --skip-special leaves "
                         "special tokens out of the text");
    return STATUS_OK;
}

/* --- documents ------------------------------------------------------------------------------- */

struct job {
    const struct arguments *args;
    struct tokenizer *tokenizer;
    struct token_vec ids;
    struct strbuf text, out;
};

static enum status check_utf8(const char *text, size_t len, struct error *err)
{
    uint32_t cp;
    size_t at = 0;

    if (utf8_valid(text, len)) return STATUS_OK;
    while (at < len) {
        int n = utf8_decode(text + at, len - at, &cp);
        if (n == 0) break;
        at += (size_t)n;
    }
    return error_set(err, STATUS_INVALID, "the text is not valid UTF-8 at byte %zu (0x%02x)", at,
                     (unsigned)(unsigned char)text[at]);
}

static enum status write_ids(struct job *j, struct error *err)
{
    strbuf_add_char(&j->out, '[');
    for (size_t i = 0; i < j->ids.len; i++) {
        if (i > 0) strbuf_add_char(&j->out, ',');
        strbuf_add_i64(&j->out, j->ids.ids[i]);
        if (j->out.len < WRITE_SIZE) continue;
        enum status st = cli_write_buf(&j->out, err);
        if (st != STATUS_OK) return st;
    }
    strbuf_add_str(&j->out, "]\n");
    return STATUS_OK;
}

static enum status encode(struct job *j, struct str text, struct error *err)
{
    enum status st;

    j->ids.len = 0;
    st = tokenizer_encode(j->tokenizer, text.data ? text.data : "", text.len, !j->args->no_special,
                          true, 0, &j->ids, err);
    return st == STATUS_OK ? write_ids(j, err) : st;
}

static enum status encode_text(struct job *j, struct str text, struct error *err)
{
    enum status st = check_utf8(text.data ? text.data : "", text.len, err);
    return st == STATUS_OK ? encode(j, text, err) : st;
}

static enum status encode_line(struct job *j, struct str line, struct error *err)
{
    strbuf_clear(&j->text);
    enum status st = json_string_decode(line.data, line.len, &j->text, err);
    return st == STATUS_OK ? encode(j, (struct str){j->text.data, j->text.len}, err) : st;
}

static void skip_space(struct str s, size_t *at)
{
    while (*at < s.len && memchr(" \t\r\n", s.data[*at], 4)) ++*at;
}

/* A JSON integer that is an id. */
static bool scan_id(struct str s, size_t *at, int32_t *id)
{
    size_t start = *at;
    int64_t v = 0;

    while (*at < s.len && s.data[*at] >= '0' && s.data[*at] <= '9' && v <= INT32_MAX)
        v = v * 10 + (s.data[(*at)++] - '0');
    *id = (int32_t)v;
    bool leading_zero = *at - start > 1 && s.data[start] == '0';
    return *at > start && v <= INT32_MAX && !leading_zero;
}

/* By hand: an array of ids through a JSON tree would take 64 bytes for each of them. */
static enum status scan_ids(struct str s, struct token_vec *out, struct error *err)
{
    size_t at = 0;
    int32_t id;

    out->len = 0;
    skip_space(s, &at);
    if (at >= s.len || s.data[at] != '[')
        return error_set(err, STATUS_INVALID, "not a JSON array of ids: no '[' at byte %zu", at);
    at++;
    skip_space(s, &at);
    bool more = at >= s.len || s.data[at] != ']';
    while (more) {
        skip_space(s, &at);
        if (!scan_id(s, &at, &id))
            return error_set(err, STATUS_INVALID,
                             "not a JSON array of ids: no integer from 0 to %d at byte %zu",
                             INT32_MAX, at);
        if (!token_vec_push(out, id))
            return error_set(err, STATUS_NO_MEMORY, "no memory for the ids");
        skip_space(s, &at);
        more = at < s.len && s.data[at] == ',';
        at += more;
    }
    if (at >= s.len || s.data[at] != ']')
        return error_set(err, STATUS_INVALID, "not a JSON array of ids: no ',' or ']' at byte %zu",
                         at);
    at++;
    skip_space(s, &at);
    if (at == s.len) return STATUS_OK;
    return error_set(err, STATUS_INVALID, "more text after the JSON array at byte %zu", at);
}

static enum status decode(struct job *j, struct str json, struct error *err)
{
    enum status st = scan_ids(json, &j->ids, err);
    if (st != STATUS_OK) return st;
    strbuf_clear(&j->text);
    tokenizer_decode(j->tokenizer, j->ids.ids, j->ids.len, j->args->skip_special, &j->text);
    if (j->text.failed) return error_set(err, STATUS_NO_MEMORY, "no memory for the text");
    return STATUS_OK;
}

static enum status decode_text(struct job *j, struct str json, struct error *err)
{
    enum status st = decode(j, json, err);
    return st == STATUS_OK ? cli_write(j->text.data, j->text.len, err) : st;
}

static enum status decode_line(struct job *j, struct str json, struct error *err)
{
    enum status st = decode(j, json, err);
    if (st != STATUS_OK) return st;
    strbuf_add_json(&j->out, j->text.data ? j->text.data : "", j->text.len);
    strbuf_add_char(&j->out, '\n');
    return STATUS_OK;
}

/* --- the command ----------------------------------------------------------------------------- */

static enum status flush(void *job, struct error *err)
{
    return cli_write_buf(&((struct job *)job)->out, err);
}

static enum status run_whole(struct job *j, struct error *err)
{
    size_t max_size = j->args->detokenize ? JSON_MAX_SIZE : TEXT_MAX_SIZE;
    struct strbuf input;
    enum status st;

    strbuf_init(&input, 0);
    st = cli_read_all(STDIN_FILENO, max_size, &input, err);
    struct str all = {input.data ? input.data : "", input.len};
    if (st == STATUS_OK)
        st = j->args->detokenize ? decode_text(j, all, err) : encode_text(j, all, err);
    if (st == STATUS_OK) st = flush(j, err);
    strbuf_free(&input);
    return st;
}

static enum status run_lines(struct job *j, struct error *err)
{
    struct cli_lines lines;
    struct str line;
    struct error ignored;
    bool end = false;
    enum status st = STATUS_OK;

    cli_lines_init(&lines, STDIN_FILENO, JSON_MAX_SIZE);
    lines.before_read = flush;
    lines.arg = j;
    while (st == STATUS_OK) {
        st = cli_lines_next(&lines, &line, &end, err);
        if (st != STATUS_OK || end) break;
        st = j->args->detokenize ? decode_line(j, line, err) : encode_line(j, line, err);
        if (st == STATUS_OK && j->out.len >= WRITE_SIZE) st = flush(j, err);
        if (st != STATUS_OK) error_prepend(err, "line %llu", (unsigned long long)lines.n_taken);
    }
    /* What was answered before a wrong line is an answer. */
    if (st == STATUS_OK)
        st = flush(j, err);
    else if (!j->out.failed)
        flush(j, &ignored);
    cli_lines_free(&lines);
    return st;
}

static enum status load(const char *said, struct tokenizer **out, struct error *err)
{
    char dir[PATH_MAX];
    struct hub_name name;
    struct stat st;

    if (!said && demo_model_find(dir, sizeof(dir), err) != STATUS_OK)
        return error_prepend(err, "no model given; write inferd tokenize MODEL");
    if (said && model_dir_find(said, dir, &name, err) != STATUS_OK) return err->code;
    if (stat(dir, &st) != 0) return error_set(err, STATUS_IO, "%s: %s", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return error_set(err, STATUS_INVALID,
                         "%s is not a directory: give the one that holds the tokenizer", dir);
    return tokenizer_load(dir, out, err);
}

int tokenize_main(int argc, char **argv)
{
    struct arguments args = {0};
    struct error err = {0};
    struct job j = {.args = &args};

    if (parse_arguments(argc, argv, &args, &err) != STATUS_OK) {
        cli_print_error(COMMAND, &err);
        return 2;
    }
    if (args.help) {
        print_help(stdout);
        return 0;
    }
    strbuf_init(&j.text, 0);
    strbuf_init(&j.out, 0);
    enum status st = load(args.dir, &j.tokenizer, &err);
    if (st == STATUS_OK) st = args.lines ? run_lines(&j, &err) : run_whole(&j, &err);
    if (st != STATUS_OK) cli_print_error(COMMAND, &err);
    strbuf_free(&j.text);
    strbuf_free(&j.out);
    token_vec_free(&j.ids);
    tokenizer_free(j.tokenizer);
    return st == STATUS_OK ? 0 : 1;
}
