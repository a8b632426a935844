#ifndef ENGINE_LOAD_PACKED_CACHE_H
#define ENGINE_LOAD_PACKED_CACHE_H

/* packed_cache.h - private to engine/load: the folder of packed files (packed_file.h).
 *
 *   DIR/LABEL.0123456789abcdef.packed    whole, on the disk; the digits are the sum of its key
 *   DIR/LABEL.0123456789abcdef.part      being written; its writer holds a lock (flock) on it
 *
 * A reader meets whole files only: they are renamed into place when all is on the disk.  One process
 * writes a file, others that start meanwhile do without.  What a killed writer left, the next writer
 * removes.  A new file replaces those of the same label, and LIMIT_PACKED_FILES are kept: the ones
 * that were used last (a file's time of modification is when it was last mapped or written).
 *
 * Trust: the weights decide what the server says, so the folder and the file must belong to the user
 * or to root, and nobody else may write to them.  Folders are made with mode 0700, files with 0600.
 * A file is mapped, not copied: processes share its pages.  Cut short while it is mapped, it ends the
 * process with SIGBUS, as any mapping does; nothing here rewrites a file in place.
 *
 * Threads: one owner; the writer is a thread of its own. */

#include "engine/backend.h"
#include "engine/load/packed_file.h"

struct packed_cache;

/* An array to be written; alive and unchanged until packed_cache_stop. */
struct packed_array {
    const void *data;
    size_t size;
    uint64_t name; /* packed_sum of the weight's name */
};

/* Opens DIR, which is made when it is not there.  label: words for people ("ORG/NAME.int8"), made a
 * file name.  The key is copied. */
enum status packed_cache_open(struct packed_cache **out, const char *dir, const char *label,
                              const char *key, size_t key_size, struct error *err);
/* Stops the writer where it is, which leaves no file; before the arrays that it reads go.  A writer
 * that has copied all and waits for the disk, which can take long and cannot be cut short, keeps the
 * structure and ends by itself: then NULL is returned, else c.  NULL is allowed. */
struct packed_cache *packed_cache_stop(struct packed_cache *c);
/* The same, and unmaps: weights that lie in the mapping must be gone.  NULL is allowed. */
void packed_cache_close(struct packed_cache *c);

/* The path of the file, for messages; it lives as long as *c. */
const char *packed_cache_path(const struct packed_cache *c);

/* Maps the file and checks all of it, the arrays' sums too, on the threads of `be`.
 * NOT_FOUND: there is none; else the message says why the file is refused. */
enum status packed_cache_map(struct packed_cache *c, struct backend *be, const uint8_t **data,
                             const struct packed_entry **entries, int *n, struct error *err);
/* Unmaps a file whose arrays turned out to be wrong: the next packed_cache_write replaces it. */
void packed_cache_refuse(struct packed_cache *c);

/* Starts to write the file, in place of one that was refused or of none, and returns; how it went is
 * in the log.  arrays[n] is copied. */
void packed_cache_write(struct packed_cache *c, const struct packed_array *arrays, int n);
/* Waits until the writer has ended. */
void packed_cache_wait(struct packed_cache *c);

#endif
