/* bench_load DIR PLUGIN [THREADS [DTYPE]]: how fast a model's weights reach a device: by the loader and a
 * plug-in, as `inferd serve --device cuda` loads them.  THREADS 0: as many as the plug-in takes; DTYPE:
 * bfloat16 (as without it) or float32.  Of the kernels as host code (libinferd-cuda-host.so) the device
 * is memory, and the caller's thread its bus. */

#include "config/base/clock.h"
#include "engine/load/load.h"
#include "engine/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status load(const char *dir, const char *plugin, int n_threads, enum dtype dtype,
                        struct error *err)
{
    const struct plugin_options po = {.n_threads = n_threads};
    const struct load_options o = {.quant = QUANT_NONE};
    struct model_config c;
    struct model_weights w;
    struct backend *be;
    enum status s = model_config_load(dir, &c, err);
    if (s == STATUS_OK) s = plugin_backend_open(&be, plugin, &po, err);
    if (s != STATUS_OK) return s;
    c.stored_dtype = dtype;
    const uint64_t start = clock_now_us();
    s = model_weights_load(be, dir, &c, &o, &w, err);
    if (s == STATUS_OK) s = be->ops->wait(be, err);
    if (s == STATUS_OK) {
        const double us = (double)(clock_now_us() - start), size = (double)be->weight_size;
        printf("%d threads: %.0f MB of %s weights in %.3f s, %.0f MB/s\n", n_threads, size / 1e6,
               dtype_name(dtype), us / 1e6, size / us);
        model_weights_free(be, &c, &w);
    }
    be->ops->close(be);
    return s;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    if (argc < 3) {
        fprintf(stderr, "usage: bench_load DIR PLUGIN [THREADS [bfloat16|float32]]\n");
        return 2;
    }
    const enum dtype dtype = argc > 4 && strcmp(argv[4], "float32") == 0 ? DT_F32 : DT_BF16;
    if (load(argv[1], argv[2], argc > 3 ? atoi(argv[3]) : 0, dtype, &err) == STATUS_OK) return 0;
    fprintf(stderr, "%s\n", err.message);
    return 1;
}
