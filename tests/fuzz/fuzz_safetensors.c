/* A safetensors file, or (first byte 'i') the index of a sharded one. */

#include "engine/load/safetensors.h"
#include "engine/load/safetensors_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_index(const uint8_t *data, size_t size)
{
    cJSON *index;
    const cJSON *map;
    struct error err = {0};
    const enum status s = safetensors_index_parse((const char *)data, size, &index, &map, &err);
    if ((s == STATUS_OK) != (map != NULL)) abort();
    if (s != STATUS_OK && err.message[0] == '\0') abort();
    cJSON_Delete(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == 'i') {
        fuzz_index(data + 1, size - 1);
        return 0;
    }
    struct safetensors *st;
    struct error err = {0};
    if (safetensors_open_memory(data, size, &st, &err) != STATUS_OK) {
        if (err.message[0] == '\0') abort();
        return 0;
    }
    /* What opened must be readable to its last byte, and tile the file. */
    size_t total = 0;
    volatile uint8_t sum = 0;
    for (int i = 0; i < safetensors_count(st); i++) {
        const struct stored_tensor *t = safetensors_at(st, i);
        for (size_t k = 0; k < t->size; k++) sum ^= ((const uint8_t *)t->data)[k];
        total += t->size;
        if (safetensors_find(st, t->name) != t) abort();
    }
    if (total != safetensors_total_size(st) || total > size) abort();
    safetensors_close(st);
    return 0;
}
