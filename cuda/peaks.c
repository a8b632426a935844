#include "cuda/peaks.h"

/* Operations of a multiprocessor a clock, from the architectures' white papers: A100, A40, L40S, H100. */
static const struct {
    int major, minor, f32, bf16, int8;
} widths[] = {
    {8, 0, 128, 2048, 4096},
    {8, 6, 256, 1024, 2048},
    {8, 9, 256, 1024, 2048},
    {9, 0, 256, 4096, 8192},
};

void device_peaks(const struct device_info *d, struct device_peaks *out)
{
    *out = (struct device_peaks){
        .memory_bytes = 2.0 * 1e3 * d->memory_clock_khz * d->memory_bus_bits / 8.0,
        .cache_size = d->l2_size,
    };
    const double clocks = 1e3 * d->clock_khz * d->n_sms;
    for (unsigned i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        if (widths[i].major != d->major || widths[i].minor != d->minor) continue;
        out->f32_ops = clocks * widths[i].f32;
        out->bf16_ops = clocks * widths[i].bf16;
        out->int8_ops = clocks * widths[i].int8;
    }
}
