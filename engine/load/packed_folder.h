#ifndef ENGINE_LOAD_PACKED_FOLDER_H
#define ENGINE_LOAD_PACKED_FOLDER_H

/* packed_folder.h - private to packed_cache.c and packed_write.c: what the two share. */

#include "engine/load/packed_cache.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define PACKED_SUFFIX      ".packed"
#define PACKED_PART_SUFFIX ".part"
#define PACKED_LABEL       120 /* bytes of a label */
#define PACKED_DIGITS      16  /* of the key's sum, in hexadecimal */

struct packed_cache {
    int dir_fd;
    char label[PACKED_LABEL + 1];
    char file[PACKED_LABEL + 32], part[PACKED_LABEL + 32]; /* in the folder */
    char path[PATH_MAX + NAME_MAX + 2];
    char *key;
    size_t key_size;
    bool refused; /* the file is there but must be replaced */

    /* reading */
    void *data;
    size_t size;

    /* writing: the writer's from pthread_create to pthread_join */
    struct packed_array *arrays;
    int n_arrays;
    pthread_t writer;
    bool has_writer;
    atomic_bool stop;
    atomic_int phase; /* enum packed_phase */
};

/* Who frees the structure: the owner, unless it left while the writer waited for the disk. */
enum packed_phase { PACKED_COPYING, PACKED_SYNCING, PACKED_LEFT, PACKED_DONE };

/* Frees all; no writer runs any more, or it is the caller. */
void packed_cache_free(struct packed_cache *c);

#endif
