#include "engine/load/packed_file.h"

#include "config/base/check.h"
#include "config/base/hash.h"
#include "config/limits.h"

#include <string.h>

#define MAGIC "inferdPW"
/* Of a backend's weight: data, scales, bias; LIMIT_TENSORS bounds the weights. */
#define MAX_ENTRIES (3 * LIMIT_TENSORS)
#define MAX_FILE    (UINT64_C(1) << 50)

uint64_t packed_sum(const void *data, size_t size)
{
    return hash_bytes(data, size, 0);
}

static uint64_t align(uint64_t at)
{
    return (at + PACKED_ALIGN - 1) / PACKED_ALIGN * PACKED_ALIGN;
}

/* Sizes are bounded by then, so that nothing overflows. */
static uint64_t entries_at(uint64_t key_size)
{
    return align(sizeof(struct packed_head) + key_size);
}
static uint64_t arrays_at(uint64_t key_size, uint64_t n_entries)
{
    return align(entries_at(key_size) + n_entries * sizeof(struct packed_entry));
}

static uint64_t front_sum(const uint8_t *data, size_t front_size)
{
    struct packed_head head;
    memcpy(&head, data, sizeof head);
    head.sum = 0;
    const uint64_t first = packed_sum(&head, sizeof head);
    return hash_bytes(data + sizeof head, front_size - sizeof head, first);
}

/* --- reading -------------------------------------------------------------------------------- */

static enum status check_head(const struct packed_head *h, uint64_t size, struct error *err)
{
    if (memcmp(h->magic, MAGIC, sizeof h->magic) != 0)
        return error_set(err, STATUS_CORRUPT, "it does not begin with " MAGIC);
    if (h->byte_order != PACKED_BYTE_ORDER)
        return error_set(err, STATUS_UNSUPPORTED, "it was written in another byte order");
    if (h->format != PACKED_FORMAT)
        return error_set(err, STATUS_UNSUPPORTED, "its format is %u, not %d", h->format,
                         PACKED_FORMAT);
    if (h->file_size != size)
        return error_set(err, STATUS_CORRUPT, "it has %llu bytes but should have %llu",
                         (unsigned long long)size, (unsigned long long)h->file_size);
    if (h->key_size == 0 || h->key_size > PACKED_MAX_KEY || h->n_entries == 0 ||
        h->n_entries > MAX_ENTRIES)
        return error_set(err, STATUS_CORRUPT, "a key of %u bytes and %u arrays are out of range",
                         h->key_size, h->n_entries);
    if (h->entries_at != entries_at(h->key_size) ||
        h->arrays_at != arrays_at(h->key_size, h->n_entries) || h->arrays_at > size ||
        h->reserved != 0)
        return error_set(err, STATUS_CORRUPT, "its head contradicts itself");
    return STATUS_OK;
}

/* Each array where the one before ends, the last one up to the end of the file. */
static enum status check_entries(const struct packed_head *h, const struct packed_entry *e,
                                 struct error *err)
{
    uint64_t at = h->arrays_at, end = at;
    for (uint32_t i = 0; i < h->n_entries; i++) {
        if (e[i].at != at || e[i].size == 0 || e[i].size > h->file_size ||
            e[i].size > h->file_size - at)
            return error_set(err, STATUS_CORRUPT, "array %u is not where it should be", i);
        end = at + e[i].size;
        at = align(end);
        if (i + 1 < h->n_entries && at > h->file_size)
            return error_set(err, STATUS_CORRUPT, "array %u is beyond the end", i + 1);
    }
    if (end != h->file_size)
        return error_set(err, STATUS_CORRUPT, "the arrays end at byte %llu of %llu",
                         (unsigned long long)end, (unsigned long long)h->file_size);
    return STATUS_OK;
}

enum status packed_file_check(const void *data, size_t size, const char *key, size_t key_size,
                              const struct packed_entry **entries, int *n, struct error *err)
{
    struct packed_head h;
    DCHECK((uintptr_t)data % 8 == 0);
    if (size < sizeof h)
        return error_set(err, STATUS_CORRUPT, "%zu bytes are no packed file", size);
    memcpy(&h, data, sizeof h);
    enum status s = check_head(&h, size, err);
    if (s != STATUS_OK) return s;
    if (h.sum != front_sum(data, h.arrays_at))
        return error_set(err, STATUS_CORRUPT, "the sum of its front is wrong");
    const struct packed_entry *e =
        (const struct packed_entry *)(const void *)((const uint8_t *)data + h.entries_at);
    s = check_entries(&h, e, err);
    if (s != STATUS_OK) return s;
    if (h.key_size != key_size || memcmp((const char *)data + sizeof h, key, key_size) != 0)
        return error_set(err, STATUS_INVALID, "it was made of something else");
    *entries = e;
    *n = (int)h.n_entries;
    return STATUS_OK;
}

/* --- writing -------------------------------------------------------------------------------- */

enum status packed_file_plan(size_t key_size, struct packed_entry *entries, int n,
                             size_t *front_size, uint64_t *file_size, struct error *err)
{
    if (key_size == 0 || key_size > PACKED_MAX_KEY || n < 1 || n > MAX_ENTRIES)
        return error_set(err, STATUS_TOO_LARGE, "a key of %zu bytes and %d arrays are out of range",
                         key_size, n);
    uint64_t at = arrays_at(key_size, (uint64_t)n), end = at;
    *front_size = at;
    for (int i = 0; i < n; i++) {
        CHECK(entries[i].size > 0);
        if (entries[i].size > MAX_FILE || at > MAX_FILE)
            return error_set(err, STATUS_TOO_LARGE, "the weights are too large for a file");
        entries[i].at = at;
        end = at + entries[i].size;
        at = align(end);
    }
    *file_size = end;
    return STATUS_OK;
}

void packed_file_front(const char *key, size_t key_size, const struct packed_entry *entries, int n,
                       size_t front_size, uint64_t file_size, uint8_t *out)
{
    struct packed_head h = {
        .magic = {'i', 'n', 'f', 'e', 'r', 'd', 'P', 'W'},
        .byte_order = PACKED_BYTE_ORDER,
        .format = PACKED_FORMAT,
        .file_size = file_size,
        .key_size = (uint32_t)key_size,
        .n_entries = (uint32_t)n,
        .entries_at = entries_at(key_size),
        .arrays_at = front_size,
    };
    memset(out, 0, front_size);
    memcpy(out, &h, sizeof h);
    memcpy(out + sizeof h, key, key_size);
    memcpy(out + h.entries_at, entries, (size_t)n * sizeof *entries);
    h.sum = front_sum(out, front_size);
    memcpy(out, &h, sizeof h);
}
