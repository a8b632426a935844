#include "config/base/str.h"
#include "config/options_table.h"

#include <string.h>

#define API_KEY_MAX 512 /* a key travels in a header */

static enum status check_engine(const struct options *o, struct error *err)
{
    if ((o->block_size & (o->block_size - 1)) != 0)
        return error_set_param(err, STATUS_INVALID, "block-size",
                               "--block-size must be 16, 32, 64 or 128, not %lld",
                               (long long)o->block_size);
    if (o->max_num_batched_tokens < o->max_num_seqs)
        return error_set_param(
            err, STATUS_INVALID, "max-num-batched-tokens",
            "--max-num-batched-tokens is %lld but a step must hold a token of each of %lld "
            "sequences; raise it to %lld or lower --max-num-seqs",
            (long long)o->max_num_batched_tokens, (long long)o->max_num_seqs,
            (long long)o->max_num_seqs);
    if (!o->enable_chunked_prefill && o->max_model_len > o->max_num_batched_tokens)
        return error_set_param(
            err, STATUS_INVALID, "max-num-batched-tokens",
            "without chunked prefill a prompt of %lld tokens must fit one step; raise "
            "--max-num-batched-tokens from %lld to %lld, or lower --max-model-len",
            (long long)o->max_model_len, (long long)o->max_num_batched_tokens,
            (long long)o->max_model_len);
    if (o->kv_cache_memory_bytes > 0 && o->kv_cache_memory_bytes < (1 << 16))
        return error_set_param(err, STATUS_INVALID, "kv-cache-memory-bytes",
                               "--kv-cache-memory-bytes is %lld bytes, too small for any model; "
                               "write a size such as 512M or 4G, or leave it out",
                               (long long)o->kv_cache_memory_bytes);
    return STATUS_OK;
}

static enum status check_origin(const char *origin, struct error *err)
{
    const char *host = strstr(origin, "://");
    bool ok = strcmp(origin, "*") == 0 || strcmp(origin, "null") == 0;
    if (host && host > origin) ok = host[3] && !strpbrk(host + 3, "/?#@ ");
    for (const char *c = origin; *c; c++) ok = ok && *c > 0x20 && *c < 0x7F;
    if (ok) return STATUS_OK;
    return error_set_param(err, STATUS_INVALID, "allowed-origins",
                           "--allowed-origins: \"%.100s\" is no origin; write it like "
                           "https://example.org or http://localhost:3000, without a path",
                           origin);
}

static enum status check_server(const struct options *o, struct error *err)
{
    for (int i = 0; i < o->api_key.n; i++) {
        size_t len = strlen(o->api_key.items[i]);
        bool ok = len <= API_KEY_MAX;
        for (const char *c = o->api_key.items[i]; *c; c++) ok = ok && *c > 0x20 && *c < 0x7F;
        if (!ok)
            return error_set_param(err, STATUS_INVALID, "api-key",
                                   "--api-key: key %d must be 1 to %d printable ASCII characters "
                                   "without spaces",
                                   i + 1, API_KEY_MAX);
    }
    size_t root_len = strlen(o->root_path);
    bool root_ok = root_len == 0 || (o->root_path[0] == '/' && o->root_path[root_len - 1] != '/');
    for (const char *c = o->root_path; *c; c++) root_ok = root_ok && *c > 0x20 && *c < 0x7F;
    if (!root_ok || strpbrk(o->root_path, "?#"))
        return error_set_param(err, STATUS_INVALID, "root-path",
                               "--root-path must start with / and must not end with it, like "
                               "/llm, not \"%.100s\"",
                               o->root_path);
    for (int i = 0; i < o->allowed_origins.n; i++) {
        enum status st = check_origin(o->allowed_origins.items[i], err);
        if (st != STATUS_OK) return st;
    }
    if (strpbrk(o->host, " /\t"))
        return error_set_param(err, STATUS_INVALID, "host",
                               "--host must be an address or a name, not \"%.100s\"", o->host);
    return STATUS_OK;
}

enum status options_check(const struct options *o, struct error *err)
{
    enum status st = check_engine(o, err);
    return st == STATUS_OK ? check_server(o, err) : st;
}
