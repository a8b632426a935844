/* tokcat - the tokenizer as a filter of frames, for the differential tests.
 *
 *   tokcat PATH        a tokenizer.json, a rank or SentencePiece file's directory, or a model's
 *
 * A request is one letter, the length of what follows (4 bytes, little-endian) and a text (UTF-8,
 * NUL allowed) or 32-bit ids:
 *
 *   e text   encode              E text   the same with the post-processor's tokens
 *   p text   encode, special tokens in the text are plain text
 *   d ids    decode              s ids    the same id by id, through the incremental decoder
 *   c ids    id by id, the decoder's state moved to another place every few ids
 *   D S C    as d s c, special tokens skipped
 *
 * The answer is one byte (0 = done, 1 = refused), a length, and ids or text, or why it was refused.
 * Exit status 3: the tokenizer itself was refused, the reason is on stderr. */
#include "config/base/file.h"
#include "config/limits.h"
#include "engine/tokenizer/tokenizer.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FRAME_SIZE_MAX (64u << 20)
#define EXIT_REFUSED   3

static bool read_frame(int *op, char **data, size_t *cap, uint32_t *len)
{
    uint8_t head[4];
    *op = getchar();
    if (*op == EOF || fread(head, 1, sizeof(head), stdin) != sizeof(head)) return false;
    *len = head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 24;
    if (*len > FRAME_SIZE_MAX) return false;
    if (*len >= *cap) {
        free(*data);
        *cap = (size_t)*len + 1;
        *data = malloc(*cap);
        if (!*data) return false;
    }
    return fread(*data, 1, *len, stdin) == *len;
}

static bool write_frame(int refused, const void *data, size_t len)
{
    uint8_t head[5] = {(uint8_t)refused, (uint8_t)len, (uint8_t)(len >> 8), (uint8_t)(len >> 16),
                       (uint8_t)(len >> 24)};
    return fwrite(head, 1, sizeof(head), stdout) == sizeof(head) &&
           (len == 0 || fwrite(data, 1, len, stdout) == len);
}

static bool encode_frame(const struct tokenizer *t, int op, const char *text, size_t len)
{
    struct token_vec ids = {0};
    struct error err = {0};
    /* The text in memory of just its size: a read beyond its end is seen by the sanitizer. */
    char *exact = malloc(len ? len : 1);
    if (!exact) return false;
    memcpy(exact, text, len);
    enum status st = tokenizer_encode(t, exact, len, op == 'E', op != 'p', 0, &ids, &err);
    bool good = st == STATUS_OK ? write_frame(0, ids.ids, ids.len * sizeof(ids.ids[0]))
                                : write_frame(1, err.message, strlen(err.message));
    free(exact);
    token_vec_free(&ids);
    return good;
}

static void stream(const struct tokenizer *t, const int32_t *ids, size_t n, bool skip, bool move,
                   struct strbuf *out)
{
    struct detok states[2];
    int at = 0;
    detok_init(&states[0], t, skip);
    for (size_t i = 0; i < n; i++) {
        detok_push(&states[at], ids[i], out);
        if (move && (i * 7 + n) % 3 == 0) {
            states[!at] = states[at];
            memset(&states[at], 0xA5, sizeof(states[at]));
            at = !at;
        }
    }
    detok_finish(&states[at], out);
}

static bool decode_frame(const struct tokenizer *t, int op, const void *data, size_t len)
{
    bool skip = isupper(op);
    size_t n = len / sizeof(int32_t);
    int32_t *ids = malloc(n ? len : 1);
    if (!ids) return false;
    memcpy(ids, data, n * sizeof(int32_t));
    struct strbuf text;
    strbuf_init(&text, 0);
    if (tolower(op) == 'd')
        tokenizer_decode(t, ids, n, skip, &text);
    else
        stream(t, ids, n, skip, tolower(op) == 'c', &text);
    bool good = !text.failed && write_frame(0, text.data, text.len);
    strbuf_free(&text);
    free(ids);
    return good;
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

int main(int argc, char **argv)
{
    struct error err = {0};
    struct tokenizer *t = NULL;
    char *data = NULL;
    size_t cap = 0;
    uint32_t len = 0;
    int op = 0;
    if (argc != 2) {
        fprintf(stderr, "usage: tokcat PATH <REQUESTS >ANSWERS\n");
        return 2;
    }
    if (load(argv[1], &t, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_REFUSED;
    }
    bool good = true;
    while (good && read_frame(&op, &data, &cap, &len)) {
        if (strchr("eEp", op))
            good = encode_frame(t, op, data, len);
        else if (strchr("dDsScC", op))
            good = decode_frame(t, op, data, len);
        else
            good = false;
    }
    good = good && feof(stdin) && fflush(stdout) == 0;
    if (!good) fprintf(stderr, "tokcat: a request that is none, or no memory\n");
    tokenizer_free(t);
    free(data);
    return good ? 0 : 1;
}
