#ifndef ENGINE_LOAD_PACKED_FILE_H
#define ENGINE_LOAD_PACKED_FILE_H

/* packed_file.h - private to engine/load: the file that holds a model's weights as the backend packed
 * them, so that another start maps them.  Pure: no file is touched here.
 *
 *   head      struct packed_head
 *   key       text that says what the contents were made of (packed_key.h); compared byte by byte
 *   entries   struct packed_entry, one for each array of each weight, in the order of loading
 *   arrays    each at the next multiple of PACKED_ALIGN behind the one before; zeros between
 *
 * Every place follows from the sizes, and everything but the arrays is covered by one sum; each array
 * has its own.  Numbers are in the byte order of the machine, which `byte_order` tells apart. */

#include "config/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKED_FORMAT     1
#define PACKED_BYTE_ORDER 0x01020304u
#define PACKED_ALIGN      64         /* a cache line, which the kernels want */
#define PACKED_MAX_KEY    (1u << 20) /* some 150 bytes for each of 1,024 shards, and room */

struct packed_head {
    char magic[8]; /* "inferdPW" */
    uint32_t byte_order, format;
    uint64_t file_size;
    uint32_t key_size, n_entries;
    uint64_t entries_at; /* behind the key, at a multiple of PACKED_ALIGN */
    uint64_t arrays_at;  /* behind the entries, likewise */
    uint64_t reserved;   /* 0 */
    uint64_t sum;        /* of the file up to arrays_at, with `sum` as 0 */
};

struct packed_entry {
    uint64_t at, size; /* bytes of the file; size > 0 */
    uint64_t sum;      /* of the array: packed_sum */
    uint64_t name;     /* packed_sum of the weight's name */
};
_Static_assert(sizeof(struct packed_head) == 64 && sizeof(struct packed_entry) == 32,
               "the file's records have no holes");

uint64_t packed_sum(const void *data, size_t size);

/* --- reading --- */

/* Checks all but the arrays' sums: magic, byte order, format, sizes, places, the sum of the front,
 * and that the key is the one given.  `data` is the whole file, aligned to 8 bytes.  INVALID when
 * all is well but the key is another one, CORRUPT and UNSUPPORTED say what is wrong.
 * *entries points into data: [*n]. */
enum status packed_file_check(const void *data, size_t size, const char *key, size_t key_size,
                              const struct packed_entry **entries, int *n, struct error *err);

/* --- writing --- */

/* Fills in `at` from the sizes; *front_size is arrays_at.  TOO_LARGE beyond what a file can be. */
enum status packed_file_plan(size_t key_size, struct packed_entry *entries, int n,
                             size_t *front_size, uint64_t *file_size, struct error *err);
/* The front into out[front_size], from entries whose sums are known. */
void packed_file_front(const char *key, size_t key_size, const struct packed_entry *entries, int n,
                       size_t front_size, uint64_t file_size, uint8_t *out);

#endif
