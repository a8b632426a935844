#ifndef ENGINE_PLUGIN_H
#define ENGINE_PLUGIN_H

/* plugin.h - a backend in a shared object of its own, so that one binary serves with or without the
 * device's libraries.
 *
 * The object exports one function, PLUGIN_ENTRY, whose answer names the interface that it was built
 * against; one that differs is refused.  The two are built and installed together.
 * Threads: any, before the engine runs. */

#include "engine/backend.h"

struct plugin_options {
    int device;
    int n_threads;         /* that read weights; <= 0: one for each CPU that the process may use */
    bool host_addressable; /* tensors that the host may read and write: for tests */
    bool no_overlap; /* a kernel begins when the one ahead has ended, whatever the device can */
};

#define PLUGIN_ABI 5 /* raised when backend.h, step.h or this file changes what crosses */

struct plugin {
    int abi;
    size_t backend_size, ops_size, step_size, limits_size; /* sizeof: a stale object shows */
    const char *version;                                   /* of inferd */
    enum status (*open)(struct backend **out, const struct plugin_options *o, struct error *err);
    /* What a step of a well-known model costs there at best, and its kernels' registers as compiled
     * for `arch`, line by line; for people.  False: not compiled for that. */
    bool (*print_plan)(void (*add)(void *ctx, const char *line), void *ctx, const char *arch);
};

#define PLUGIN_ENTRY "inferd_plugin"
typedef const struct plugin *plugin_entry_fn(void);

/* Loads the object, which then stays for the life of the process.  `path` NULL: libinferd-cuda.so
 * beside the binary, or in ../lib/inferd from there.  NOT_FOUND when there is no such file, UNAVAILABLE
 * when it cannot be loaded or was built for another inferd. */
enum status plugin_load(const struct plugin **out, const char *path, struct error *err);
/* The same, and opens its backend; also UNAVAILABLE when there is no such device. */
enum status plugin_backend_open(struct backend **out, const char *path,
                                const struct plugin_options *o, struct error *err);

#endif
