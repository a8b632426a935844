/* bench_tok_speed - the tokenizer timed from inside, one command a line; tokenizer_speed.py drives it.
 *
 *   load PATH      a tokenizer.json or a model directory; prints ns
 *   text PATH N    the text to encode, in pieces of about N bytes cut between characters; 0 = whole
 *   encode R       encodes the text R times; prints the fastest ns, the ids' number and their hash
 *   decode R       decodes what was encoded; prints the fastest ns and the bytes
 *
 * One thread; the times are the process's own (CPU time), so that a busy machine does not matter.  An
 * error is printed after "error". */
#include "config/base/file.h"
#include "config/limits.h"
#include "engine/tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define TEXT_MAX ((size_t)256 << 20)

struct bench {
    struct tokenizer *t;
    char *text;
    size_t len, piece;
    struct token_vec ids;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static enum status load(const char *path, struct tokenizer **t, struct error *err)
{
    struct stat info;
    char *json = NULL;
    size_t len = 0;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return tokenizer_load(path, t, err);
    enum status st = file_read(path, LIMIT_JSON_SIZE, &json, &len, err);
    if (st == STATUS_OK) st = tokenizer_parse(json, len, NULL, 0, t, err);
    free(json);
    return st;
}

static enum status do_load(struct bench *b, const char *path, struct error *err)
{
    tokenizer_free(b->t);
    b->t = NULL;
    uint64_t start = now_ns();
    enum status st = load(path, &b->t, err);
    if (st == STATUS_OK) printf("%llu\n", (unsigned long long)(now_ns() - start));
    return st;
}

static enum status do_text(struct bench *b, const char *path, size_t piece, struct error *err)
{
    free(b->text);
    b->text = NULL;
    enum status st = file_read(path, TEXT_MAX, &b->text, &b->len, err);
    b->piece = piece ? piece : b->len;
    if (st == STATUS_OK) printf("%zu\n", b->len);
    return st;
}

static enum status encode_pieces(struct bench *b, struct error *err)
{
    enum status st = STATUS_OK;
    b->ids.len = 0;
    for (size_t at = 0, end; at < b->len && st == STATUS_OK; at = end) {
        end = b->len - at > b->piece ? at + b->piece : b->len;
        while (end < b->len && ((uint8_t)b->text[end] & 0xC0) == 0x80) end++;
        st = tokenizer_encode(b->t, b->text + at, end - at, false, true, 0, &b->ids, err);
    }
    return st;
}

static enum status do_encode(struct bench *b, int rounds, struct error *err)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < rounds; i++) {
        uint64_t start = now_ns();
        enum status st = encode_pieces(b, err);
        uint64_t ns = now_ns() - start;
        if (st != STATUS_OK) return st;
        if (ns < best) best = ns;
    }
    /* FNV-1a over the ids: the driver compares it with the other libraries' ids. */
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < b->ids.len; i++)
        hash = (hash ^ (uint32_t)b->ids.ids[i]) * 0x100000001b3u;
    printf("%llu %zu %llu\n", (unsigned long long)best, b->ids.len, (unsigned long long)hash);
    return STATUS_OK;
}

static enum status do_decode(struct bench *b, int rounds)
{
    uint64_t best = UINT64_MAX;
    struct strbuf out;
    strbuf_init(&out, 0);
    for (int i = 0; i < rounds; i++) {
        strbuf_clear(&out);
        uint64_t start = now_ns();
        tokenizer_decode(b->t, b->ids.ids, b->ids.len, false, &out);
        uint64_t ns = now_ns() - start;
        if (ns < best) best = ns;
    }
    printf("%llu %zu\n", (unsigned long long)best, out.len);
    strbuf_free(&out);
    return STATUS_OK;
}

static enum status run(struct bench *b, const char *command, const char *word, size_t n,
                       struct error *err)
{
    int rounds = atoi(word) > 0 ? atoi(word) : 1;
    if (!strcmp(command, "load")) return do_load(b, word, err);
    if (!strcmp(command, "text")) return do_text(b, word, n, err);
    if (b->t && b->text && !strcmp(command, "encode")) return do_encode(b, rounds, err);
    if (b->t && !strcmp(command, "decode")) return do_decode(b, rounds);
    return error_set(err, STATUS_INVALID, "no such command, or nothing is loaded");
}

int main(void)
{
    struct bench b = {0};
    char line[8192], command[16], word[8000];
    while (fgets(line, sizeof(line), stdin)) {
        struct error err = {0};
        size_t n = 0;
        if (sscanf(line, "%15s %7999s %zu", command, word, &n) < 2) continue;
        if (run(&b, command, word, n, &err) != STATUS_OK) printf("error %s\n", err.message);
        fflush(stdout);
    }
    tokenizer_free(b.t);
    token_vec_free(&b.ids);
    free(b.text);
    return 0;
}
