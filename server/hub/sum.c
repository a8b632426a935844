#include "server/hub/sum.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

void hub_sum_free(struct hub_sum *s)
{
    EVP_MD_CTX_free(s->context);
    s->context = NULL;
}

bool hub_sum_begin(struct hub_sum *s, const struct hub_file *f)
{
    const bool lfs = strlen(f->etag) == HUB_ETAG_LEN;
    char head[40];
    hub_sum_free(s);
    s->context = EVP_MD_CTX_new();
    if (!s->context || EVP_DigestInit_ex(s->context, lfs ? EVP_sha256() : EVP_sha1(), NULL) != 1) {
        hub_sum_free(s);
        return false;
    }
    int n = snprintf(head, sizeof(head), "blob %" PRId64, f->size);
    if (!lfs) hub_sum_add(s, head, (size_t)n + 1); /* with its NUL */
    return true;
}

void hub_sum_add(struct hub_sum *s, const void *data, size_t len)
{
    if (s->context && EVP_DigestUpdate(s->context, data, len) != 1) hub_sum_free(s);
}

bool hub_sum_end(struct hub_sum *s, char out[HUB_ETAG_LEN + 1])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    bool ok =
        s->context && EVP_DigestFinal_ex(s->context, digest, &len) == 1 && 2 * len <= HUB_ETAG_LEN;
    for (unsigned i = 0; ok && i < len; i++) snprintf(out + (size_t)2 * i, 3, "%02x", digest[i]);
    hub_sum_free(s);
    return ok;
}
