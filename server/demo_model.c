#include "server/demo_model.h"

#include "config/base/check.h"
#include "config/base/file.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_model(const char *dir)
{
    char path[PATH_MAX];
    struct error err;
    return path_join(path, sizeof(path), dir, "config.json", &err) == STATUS_OK &&
           file_exists(path);
}

/* The executable's folder. */
static enum status own_dir(char *out, size_t size, struct error *err)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    if (n <= 0) return error_set(err, STATUS_IO, "cannot read /proc/self/exe: %s", strerror(errno));
    out[n] = '\0';
    char *slash = strrchr(out, '/');
    if (slash) *slash = '\0';
    return STATUS_OK;
}

/* A tidy path where there is one: it is shown to the user. */
static enum status found(const char *dir, char *out, size_t size, struct error *err)
{
    char real[PATH_MAX];
    const char *use = realpath(dir, real) ? real : dir;
    int n = snprintf(out, size, "%s", use);
    if (n < 0 || (size_t)n >= size)
        return error_set(err, STATUS_INVALID, "the demo model's path is too long: %.100s...", use);
    return STATUS_OK;
}

/* The folder so many levels above `dir`, an absolute path without "..". */
static const char *parent(const char *dir, int levels, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s", dir);
    for (char *slash; levels > 0 && (slash = strrchr(out, '/')); levels--) *slash = '\0';
    return out;
}

enum status demo_model_find(char *out, size_t size, struct error *err)
{
    /* From PREFIX/bin, and from BUILD/CONFIG. */
    static const char *const places[] = {"../share/inferd/models/demo", "../../models/demo"};
    const char *given = getenv("INFERD_DEMO_MODEL");
    char own[PATH_MAX], dir[PATH_MAX], real[PATH_MAX];

    if (given && *given) {
        if (is_model(given)) return found(given, out, size, err);
        return error_set(err, STATUS_NOT_FOUND,
                         "INFERD_DEMO_MODEL is %.200s, and no config.json is there", given);
    }
    enum status st = own_dir(own, sizeof(own), err);
    for (size_t i = 0; st == STATUS_OK && i < ARRAY_LEN(places); i++) {
        st = path_join(dir, sizeof(dir), own, places[i], err);
        if (st == STATUS_OK && is_model(dir)) return found(dir, out, size, err);
    }
    if (st != STATUS_OK) return st;
    return error_set(
        err, STATUS_NOT_FOUND,
        "the demo model is neither at %.150s/%s nor at %.150s/%s; INFERD_DEMO_MODEL can "
        "name its directory",
        parent(own, 1, dir), places[0] + strlen("../"), parent(own, 2, real),
        places[1] + strlen("../../"));
}
