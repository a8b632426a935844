/* cuda/peaks.h: what GPUs whose figures are published would do. */
#include "cuda/peaks.h"
#include "tests/cuda_host/host_test.h"

#include <math.h>

static bool near(double got, double want, double part)
{
    return fabs(got - want) <= part * want;
}

static struct device_info gpu(int major, int minor, int n_sms, int mhz, int memory_mhz, int bus)
{
    struct device_info d = {};
    d.major = major;
    d.minor = minor;
    d.n_sms = n_sms;
    d.clock_khz = mhz * 1000;
    d.memory_clock_khz = memory_mhz * 1000;
    d.memory_bus_bits = bus;
    return d;
}

int main()
{
    struct device_peaks p;
    /* H100 SXM at 1,830 MHz: 989 and 1,979 T/s, 67 TFLOP/s at 1,980; five stacks of HBM3. */
    struct device_info d = gpu(9, 0, 132, 1830, 2619, 5120);
    device_peaks(&d, &p);
    EXPECT(near(p.bf16_ops, 989e12, 0.01), "%g", p.bf16_ops);
    EXPECT(near(p.int8_ops, 1979e12, 0.01), "%g", p.int8_ops);
    EXPECT(near(p.f32_ops, 62e12, 0.01), "%g", p.f32_ops);
    EXPECT(near(p.memory_bytes, 3.35e12, 0.01), "%g", p.memory_bytes);
    /* A100 SXM 80 GB: 312 and 624 T/s, 19.5 TFLOP/s, 2,039 GB/s. */
    d = gpu(8, 0, 108, 1410, 1593, 5120);
    device_peaks(&d, &p);
    EXPECT(near(p.bf16_ops, 312e12, 0.01), "%g", p.bf16_ops);
    EXPECT(near(p.int8_ops, 624e12, 0.01), "%g", p.int8_ops);
    EXPECT(near(p.f32_ops, 19.5e12, 0.01), "%g", p.f32_ops);
    EXPECT(near(p.memory_bytes, 2.039e12, 0.01), "%g", p.memory_bytes);
    /* An architecture that is not in the table: the bus alone. */
    d = gpu(11, 7, 100, 1000, 1000, 1024);
    device_peaks(&d, &p);
    EXPECT(p.bf16_ops == 0 && p.int8_ops == 0 && p.f32_ops == 0, "%g", p.bf16_ops);
    EXPECT(near(p.memory_bytes, 256e9, 1e-9), "%g", p.memory_bytes);
    return test_result();
}
