#include "server/auth.h"

#include "config/base/file.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { KEY_MAX_LEN = 256, KEYS_MAX = 4096, KEY_FILE_MAX_SIZE = 1 << 20 };

struct auth {
    int n;
    struct auth_key {
        char text[KEY_MAX_LEN]; /* padded with zeros */
        size_t len;
    } keys[KEYS_MAX];
};

static enum status add_key(struct auth *a, const char *key, size_t len, const char *source,
                           struct error *err)
{
    if (len == 0) return error_set_param(err, STATUS_INVALID, source, "an API key is empty");
    if (len >= KEY_MAX_LEN)
        return error_set_param(err, STATUS_INVALID, source,
                               "an API key has %zu characters; at most %d are allowed", len,
                               KEY_MAX_LEN - 1);
    if (a->n == KEYS_MAX)
        return error_set_param(err, STATUS_INVALID, source, "more than %d API keys", KEYS_MAX);
    for (size_t i = 0; i < len; i++)
        if (key[i] <= 0x20 || key[i] >= 0x7f)
            return error_set_param(err, STATUS_INVALID, source,
                                   "an API key has white space or a character that is not ASCII");
    struct auth_key *k = &a->keys[a->n++];
    memcpy(k->text, key, len);
    k->len = len;
    return STATUS_OK;
}

static enum status add_file(struct auth *a, const char *path, struct error *err)
{
    char *data;
    size_t len;
    enum status st = file_read(path, KEY_FILE_MAX_SIZE, &data, &len, err);
    if (st != STATUS_OK) return error_prepend(err, "--api-key-file");
    int before = a->n;
    for (char *save = NULL, *line = strtok_r(data, "\r\n", &save); line && st == STATUS_OK;
         line = strtok_r(NULL, "\r\n", &save)) {
        line += strspn(line, " \t");
        size_t n = strlen(line);
        while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t')) n--;
        if (n > 0 && line[0] != '#') st = add_key(a, line, n, "api-key-file", err);
    }
    explicit_bzero(data, len);
    free(data);
    if (st == STATUS_OK && a->n == before)
        return error_set_param(err, STATUS_INVALID, "api-key-file",
                               "%s holds no key: write one on each line", path);
    return st;
}

enum status auth_load(const struct options *o, struct auth **out, struct error *err)
{
    *out = NULL;
    bool has_file = o->api_key_file && *o->api_key_file;
    if (o->api_key.n == 0 && !has_file) return STATUS_OK;
    struct auth *a = calloc(1, sizeof(*a));
    if (!a) return error_set(err, STATUS_NO_MEMORY, "no memory for the API keys");
    enum status st = STATUS_OK;
    for (int i = 0; i < o->api_key.n && st == STATUS_OK; i++)
        st = add_key(a, o->api_key.items[i], strlen(o->api_key.items[i]), "api-key", err);
    if (st == STATUS_OK && has_file) st = add_file(a, o->api_key_file, err);
    if (st != STATUS_OK) {
        auth_free(a);
        return st;
    }
    *out = a;
    return STATUS_OK;
}

void auth_free(struct auth *a)
{
    if (!a) return;
    explicit_bzero(a, sizeof(*a));
    free(a);
}

int auth_find(const struct auth *a, const char *authorization)
{
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0) return -1;
    const char *given = authorization + 7;
    given += strspn(given, " ");
    size_t len = strlen(given);
    char padded[KEY_MAX_LEN] = {0};
    if (len == 0 || len >= KEY_MAX_LEN) return -1;
    memcpy(padded, given, len);
    /* Every key is compared over its whole padded length, whatever was found before. */
    int found = -1;
    for (int k = 0; k < a->n; k++) {
        unsigned char differ = (unsigned char)(a->keys[k].len != len);
        for (int i = 0; i < KEY_MAX_LEN; i++)
            differ |= (unsigned char)(a->keys[k].text[i] ^ padded[i]);
        if (!differ) found = k;
    }
    return found;
}
