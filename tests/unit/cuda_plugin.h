#ifndef TESTS_CUDA_PLUGIN_H
#define TESTS_CUDA_PLUGIN_H

/* cuda_plugin.h - the plug-in that a test opens as the device "cuda": the one of a GPU where
 * INFERD_CUDA_PLUGIN names it, else the kernels as host code, which this build has beside it. */

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* NULL: there is none. */
static inline const char *cuda_plugin(void)
{
    static char path[PATH_MAX + 32];
    const char *named = getenv("INFERD_CUDA_PLUGIN");
    if (named) return named;
    const ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
    if (n <= 0) return NULL;
    path[n] = '\0';
    for (int i = 0; i < 3; i++) *strrchr(path, '/') = '\0';
    strcat(path, "/libinferd-cuda-host.so");
    return access(path, R_OK) == 0 ? path : NULL;
}

/* Such kernels take some 100 ms a step. */
static inline bool cuda_is_host_code(void)
{
    return getenv("INFERD_CUDA_PLUGIN") == NULL;
}

#endif
