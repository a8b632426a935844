#include "server/bench/engine/device.h"

#include "config/base/clock.h"
#include "config/base/machine.h"
#include "engine/plugin.h"

#include <stdio.h>

/* What of the free memory the engine may take (its need is an estimate, and the checkpoint's pages
 * want room), and what the probe may. */
#define MEMORY_SHARE 0.92
#define PROBE_SHARE  0.25

static const struct probe_clocks clocks = {clock_now_ns, clock_cpu_ns};

static enum status find_cpu(const struct engine_args *a, struct probe *p, double *memory,
                            struct error *err)
{
    const double size = PROBE_SHARE * (double)machine_available_memory();
    const enum status s = cpu_probe((int)a->threads, a->isa,
                                    size > 1 << 20 ? (size_t)size : 1 << 20, &clocks, p, err);
    *memory = MEMORY_SHARE * (double)machine_available_memory() - (double)p->memory_size;
    return s;
}

static enum status find_gpu(const struct engine_args *a, struct engine_run *run, double *memory,
                            struct error *err)
{
    struct backend *be;
    struct device_peaks peaks = {0};
    size_t left = 0, total = 0;
    const enum status s =
        plugin_backend_open(&be, a->cuda_plugin, &(struct plugin_options){.device = 0}, err);
    if (s != STATUS_OK) return s;
    snprintf(run->device_name, sizeof run->device_name, "%s", be->isa);
    be->ops->memory(be, &left, &total);
    if (be->ops->peaks) be->ops->peaks(be, &peaks);
    be->ops->close(be);
    const char *const how = "multiprocessors x clock x width";
    run->probe = (struct probe){.cache_size = peaks.cache_size};
    struct probe_rate *r = run->probe.rates;
    r[PROBE_MEMORY] = (struct probe_rate){.limit = peaks.memory_bytes, .how = "bus x clock"};
    r[PROBE_INT8] = (struct probe_rate){.limit = peaks.int8_ops, .how = how};
    r[PROBE_BF16] = (struct probe_rate){.limit = peaks.bf16_ops, .how = how};
    r[PROBE_F32] = (struct probe_rate){.limit = peaks.f32_ops, .how = how};
    *memory = MEMORY_SHARE * (double)left;
    return STATUS_OK;
}

enum status bench_device_find(const struct engine_args *a, struct engine_run *run, double *memory,
                              struct error *err)
{
    return a->on_gpu ? find_gpu(a, run, memory, err) : find_cpu(a, &run->probe, memory, err);
}

enum status bench_device_again(const struct engine_args *a, struct probe *p, struct error *err)
{
    return a->on_gpu ? STATUS_OK : cpu_probe_memory(p, &clocks, err);
}
