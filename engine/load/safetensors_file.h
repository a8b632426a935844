#ifndef ENGINE_LOAD_SAFETENSORS_FILE_H
#define ENGINE_LOAD_SAFETENSORS_FILE_H

/* safetensors_file.h - private to engine/load: which files a model's tensors are in, and their
 * mappings. */

#include "config/base/json.h"
#include "config/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAFETENSORS_SINGLE "model.safetensors"
#define SAFETENSORS_INDEX  "model.safetensors.index.json"

struct safetensors_file {
    const char *name; /* not owned */
    const uint8_t *data;
    size_t size;
    int64_t mtime_ns; /* of the mapped file */
    bool mapped;      /* false: the caller's memory */
    int fd;           /* of a mapped file, open as long as the mapping is; else 0 */
};

/* Maps DIR/name for reading. */
enum status safetensors_file_map(const char *dir, const char *name, struct safetensors_file *out,
                                 struct error *err);
void safetensors_file_close(struct safetensors_file *f);

/* *map is the weight_map (tensor name -> shard name, all plain file names) inside *index, which the
 * caller deletes; both NULL when the directory has the single file. */
enum status safetensors_index_read(const char *dir, cJSON **index, const cJSON **map,
                                   struct error *err);
/* The same from text. */
enum status safetensors_index_parse(const char *text, size_t len, cJSON **index, const cJSON **map,
                                    struct error *err);

#endif
