#ifndef ENGINE_LOAD_SAFETENSORS_H
#define ENGINE_LOAD_SAFETENSORS_H

/* safetensors.h - tensors of a model directory, memory-mapped and validated before use: header
 * size, JSON, dtypes, shapes, offsets inside the file, no overlap and no hole, sizes equal to
 * shape times dtype, no name twice.  One file (model.safetensors, preferred when both exist, as
 * transformers does) or the shards that model.safetensors.index.json names, each of which must
 * hold exactly what the index says.
 *
 * Threads: one owner at a time.  A file that is truncated while it is mapped ends the process with
 * SIGBUS, as any mapping does: model files are replaced by renaming, not rewritten in place.
 * Source: github.com/huggingface/safetensors, "Format". */

#include "config/base/status.h"
#include "engine/backend.h"

#include <stddef.h>
#include <stdint.h>

struct stored_tensor {
    const char *name;
    enum dtype dtype; /* F32, F16, BF16, I8 or I32; DT_COUNT for the format's other types */
    int n_dims;
    int64_t dims[8];
    const void *data; /* in the mapping; early writers did not pad the header, so that it may
                             * not be aligned to the element */
    size_t size;      /* bytes */
    int fd;           /* > 0: the same bytes are in this file, until close, from file_at on */
    uint64_t file_at;
    const char *dtype_text; /* as in the file, for messages */
    const char *file;       /* which shard */
    bool used;              /* set by safetensors_find: what stays unset is unexpected */
};

struct safetensors; /* owns the mappings */

enum status safetensors_open(const char *dir, struct safetensors **out, struct error *err);
/* One file from memory (tests, fuzzing); data must outlive *out. */
enum status safetensors_open_memory(const void *data, size_t size, struct safetensors **out,
                                    struct error *err);
void safetensors_close(struct safetensors *st); /* NULL is allowed */
/* NULL when absent. */
struct stored_tensor *safetensors_find(struct safetensors *st, const char *name);
int safetensors_count(const struct safetensors *st);
struct stored_tensor *safetensors_at(struct safetensors *st, int i);
size_t safetensors_total_size(const struct safetensors *st); /* bytes of all tensors */

/* What tells one file from another without reading all of it. */
struct stored_file {
    const char *name;
    size_t size;
    int64_t mtime_ns;
    uint64_t header_sum; /* of the header: names, types, shapes, places */
    uint64_t sample_sum; /* of up to 4 KiB from the middle of each tensor */
};
int safetensors_n_files(const struct safetensors *st);
void safetensors_file_at(const struct safetensors *st, int i, struct stored_file *out);

/* Hints for reading in one's own order: start reading ahead; give the mapped pages back. */
void safetensors_will_need(const struct safetensors *st, const struct stored_tensor *t);
void safetensors_dont_need(const struct safetensors *st, const struct stored_tensor *t);

#endif
