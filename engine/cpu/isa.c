/* Which instruction set the kernels use.  The compiler's CPU model (CPUID, and XGETBV for what
 * the operating system saves) answers. */
#include "config/base/check.h"
#include "engine/cpu/kernels.h"

#include <cpuid.h>
#include <string.h>

static bool has_scalar(void)
{
    return true;
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx2_vnni(void)
{
    /* Leaf 7.1, EAX bit 4: gcc 12 has no name for it.  What the system saves is as for AVX2. */
    unsigned a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1) != 0;
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
}

static bool has_avx512_bf16(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512bf16");
}

static bool is_intel(void)
{
    return __builtin_cpu_is("intel");
}

static const struct {
    const struct cpu_kernels *kernels;
    bool (*supported)(void);
    const char *needs;
    /* Where it runs, but the next one is faster: auto passes over it. */
    bool (*slow)(void);
} tables[] = {
    /* Half the operations of f32 FMA on the one kind of Intel's cores that was measured, Emerald Rapids
     * (184 and 379 Gop/s by two); others have not been. */
    {&cpu_kernels_avx512_bf16, has_avx512_bf16, "AVX-512 F, BW, VL, DQ, VNNI and BF16", is_intel},
    {&cpu_kernels_avx512, has_avx512, "AVX-512 F, BW, VL, DQ and VNNI", NULL},
    {&cpu_kernels_avx2_vnni, has_avx2_vnni, "AVX2, FMA and AVX-VNNI", NULL},
    {&cpu_kernels_avx2, has_avx2, "AVX2 and FMA", NULL},
    {&cpu_kernels_scalar, has_scalar, "nothing", NULL},
};

enum status cpu_kernels_choose(const char *isa, const struct cpu_kernels **out, struct error *err)
{
    const bool any = !isa || strcmp(isa, "auto") == 0;
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        if (!any && strcmp(isa, tables[i].kernels->name) != 0) continue;
        if (any && tables[i].slow && tables[i].slow()) continue;
        if (tables[i].supported()) {
            *out = tables[i].kernels;
            return STATUS_OK;
        }
        if (!any)
            return error_set_param(err, STATUS_UNSUPPORTED, "isa",
                                   "this CPU cannot run %s, which needs %s: use auto", isa,
                                   tables[i].needs);
    }
    return error_set_param(
        err, STATUS_INVALID, "isa",
        "unknown instruction set %.32s: use auto, scalar, avx2, avx2_vnni, avx512 or avx512_bf16",
        isa);
}

bool cpu_fetches_to_l2(void)
{
    return is_intel();
}
