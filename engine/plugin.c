#include "engine/plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PLUGIN_FILE "libinferd-cuda.so"

/* PLUGIN_FILE in the binary's folder, or in ../lib/inferd from there; false: neither. */
static bool find_beside(char *out, size_t size)
{
    static const char *const folders[] = {"", "../lib/inferd/"};
    char exe[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0) return false;
    exe[n] = '\0';
    char *slash = strrchr(exe, '/');
    if (!slash) return false;
    slash[1] = '\0';
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (snprintf(out, size, "%s%s%s", exe, folders[i], PLUGIN_FILE) < (int)size &&
            access(out, R_OK) == 0)
            return true;
    }
    return false;
}

static enum status check_plugin(const struct plugin *p, const char *path, struct error *err)
{
    if (p && p->abi == PLUGIN_ABI && p->backend_size == sizeof(struct backend) &&
        p->ops_size == sizeof(struct backend_ops) && p->step_size == sizeof(struct step) &&
        p->limits_size == sizeof(struct backend_limits))
        return STATUS_OK;
    return error_set(err, STATUS_UNAVAILABLE,
                     "%s was built for another inferd (%s): install the two of one build", path,
                     p && p->abi == PLUGIN_ABI ? p->version : "an older or a newer one");
}

enum status plugin_load(const struct plugin **out, const char *path, struct error *err)
{
    char found[PATH_MAX + 64];
    if (!path) {
        if (!find_beside(found, sizeof found))
            return error_set(err, STATUS_NOT_FOUND,
                             "no %s beside this binary or in ../lib/inferd: build it with nvcc on "
                             "the PATH, or name it with --cuda-plugin",
                             PLUGIN_FILE);
        path = found;
    }
    if (access(path, R_OK) != 0) return error_set(err, STATUS_NOT_FOUND, "%s cannot be read", path);
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) return error_set(err, STATUS_UNAVAILABLE, "%s", dlerror());
    plugin_entry_fn *entry;
    /* POSIX: a symbol's address may be kept as a function through an object pointer. */
    *(void **)&entry = dlsym(object, PLUGIN_ENTRY);
    enum status s = STATUS_OK;
    if (!entry)
        s = error_set(err, STATUS_UNAVAILABLE, "%s is not a plug-in of inferd", path);
    else
        s = check_plugin(entry(), path, err);
    if (s != STATUS_OK) {
        dlclose(object);
        return s;
    }
    *out = entry();
    return STATUS_OK;
}

enum status plugin_backend_open(struct backend **out, const char *path,
                                const struct plugin_options *o, struct error *err)
{
    const struct plugin *p;
    const enum status s = plugin_load(&p, path, err);
    return s == STATUS_OK ? p->open(out, o, err) : s;
}
