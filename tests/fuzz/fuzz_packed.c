/* A packed file of any bytes: as it is, and with the sum of its front made right, so that the checks
 * behind the sum are reached. */

#include "config/base/hash.h"
#include "engine/load/packed_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEY "key"

static void check(const uint8_t *data, size_t size)
{
    const struct packed_entry *e;
    struct error err = {0};
    int n;
    if (packed_file_check(data, size, KEY, strlen(KEY), &e, &n, &err) != STATUS_OK) {
        if (err.message[0] == '\0') abort();
        return;
    }
    /* What is taken lies within the file, in order, and ends with it. */
    volatile uint64_t sum = 0;
    uint64_t end = 0;
    if (n < 1) abort();
    for (int i = 0; i < n; i++) {
        if (e[i].at < end || e[i].at % PACKED_ALIGN != 0) abort();
        end = e[i].at + e[i].size;
        sum += packed_sum(data + e[i].at, e[i].size);
    }
    if (end != size) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy =
        aligned_alloc(PACKED_ALIGN, (size + PACKED_ALIGN) / PACKED_ALIGN * PACKED_ALIGN);
    struct packed_head h;
    if (!copy) return 0;
    if (size > 0) memcpy(copy, data, size);
    check(copy, size);
    if (size >= sizeof h) {
        memcpy(&h, copy, sizeof h);
        h.file_size = size; /* a fuzzer does not find it by itself */
        h.sum = 0;
        if (h.arrays_at >= sizeof h && h.arrays_at <= size)
            h.sum = hash_bytes(copy + sizeof h, h.arrays_at - sizeof h, packed_sum(&h, sizeof h));
        memcpy(copy, &h, sizeof h);
        check(copy, size);
    }
    free(copy);
    return 0;
}
