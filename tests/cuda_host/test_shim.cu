/* What the shim has to notice: each planted error runs in a process of its own and must end with
 * the message that names it.  Then what a schedule may change and what it may not, and the limits. */
#include "tests/cuda_host/host_test.h"

#include <string>

#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#if IH_TSAN
extern "C" const char *__tsan_default_options()
{
    return "halt_on_error=1";
}
#endif

namespace
{
int n_cases, wanted = -1; /* wanted: this process is for one case alone */

/* What a new process says and how it ends, that comes as far as case `id` and runs it.  New, not
 * forked: TSan watches nothing after the fork of a process with several threads, which fibers are. */
std::string run_case(int id, int *status)
{
    int ends[2];
    fflush(stdout);
    if (pipe(ends) != 0) abort();
    const pid_t child = fork();
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        dup2(ends[1], 2);
        close(ends[0]);
        execl("/proc/self/exe", "test_shim", "case", std::to_string(id).c_str(), nullptr);
        _exit(0);
    }
    close(ends[1]);
    std::string said;
    char part[512];
    for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;) said.append(part, (size_t)n);
    close(ends[0]);
    waitpid(child, status, 0);
    return said;
}

/* f() must end the process, and say `message`. */
template <class F> void must_fail(const char *name, const char *message, F f)
{
    const int id = n_cases++;
    if (wanted >= 0) {
        if (id != wanted) return;
        f();
        _exit(0);
    }
    int status = 0;
    const std::string said = run_case(id, &status);
    EXPECT(status != 0, "%s: nobody noticed", name);
    EXPECT(said.find(message) != std::string::npos, "%s: \"%s\" is not in: %s", name, message,
           said.substr(0, 1000).c_str());
}

/* One launch of f(args...) with n threads and `shared` bytes. */
template <class K, class... A> void one_block(K kernel, unsigned n, size_t shared, A... args)
{
    LAUNCH(kernel, dim3(1), dim3(n), shared, nullptr, args...);
}

/* --- barriers and collectives --- */

void k_exit_before_barrier()
{
    if (threadIdx.x < 32) return;
    __syncthreads();
}
void k_barrier_or_fence()
{
    if (threadIdx.x % 2)
        __syncthreads();
    else
        __syncwarp();
}
void k_two_barriers_in_a_warp()
{
    if (threadIdx.x % 2)
        __syncthreads();
    else
        __syncthreads();
}
void k_half_warps_at_barrier()
{
    if (threadIdx.x % 32 < 16) bar_sync(1, 32);
}
void k_arrives_twice()
{
    bar_arrive(1, 64);
    if (threadIdx.x < 32) bar_arrive(1, 64);
    bar_sync(1, 64);
}
void k_counts_differ()
{
    bar_sync(1, threadIdx.x < 32 ? 64 : 96);
}
void k_count_too_large()
{
    bar_sync(1, 96);
}
void k_count_not_of_warps()
{
    bar_sync(1, 40);
}
void k_barrier_16()
{
    bar_sync(16, 64);
}
void k_exit_before_shuffle()
{
    if (threadIdx.x % 32 == 7) return;
    __shfl_xor_sync(~0u, 1, 1);
}
void k_shuffle_or_vote()
{
    if (threadIdx.x % 32 < 16)
        __shfl_xor_sync(~0u, 1, 1);
    else
        __ballot_sync(~0u, 1);
}
void k_not_in_mask()
{
    __shfl_sync(0xffu, 1, 9);
}
void k_not_in_own_mask()
{
    __ballot_sync(0xffu, 1);
}
void k_width()
{
    __shfl_sync(~0u, 1, 1, 12);
}
void k_mma_of_half_a_warp()
{
    float d[4] = {};
    uint32_t a[4] = {}, b[2] = {};
    if (threadIdx.x < 16) mma_bf16_16816(d, a, b);
}

void barriers()
{
    must_fail("a warp that left before a barrier", "32 of 128 threads exited",
              [] { one_block(k_exit_before_barrier, 128, 0); });
    must_fail("a barrier for half the lanes", "deadlock",
              [] { one_block(k_barrier_or_fence, 64, 0); });
    must_fail("a warp at two barriers", "the warp diverged",
              [] { one_block(k_two_barriers_in_a_warp, 64, 0); });
    must_fail("halves of two warps fill a barrier", "of warp 0 only lanes 0000ffff",
              [] { one_block(k_half_warps_at_barrier, 64, 0); });
    must_fail("an arrival too many", "arrived twice", [] { one_block(k_arrives_twice, 64, 0); });
    must_fail("counts that differ", "others said", [] { one_block(k_counts_differ, 96, 0); });
    must_fail("a count above the block's", "the block has 64",
              [] { one_block(k_count_too_large, 64, 0); });
    must_fail("a count that is not of warps", "not a multiple of the warp size",
              [] { one_block(k_count_not_of_warps, 64, 0); });
    must_fail("barrier 16", "there are 16", [] { one_block(k_barrier_16, 64, 0); });
    must_fail("a lane that left before a shuffle", "missing lanes 00000080",
              [] { one_block(k_exit_before_shuffle, 32, 0); });
    must_fail("a shuffle that meets a vote", "the warp diverged",
              [] { one_block(k_shuffle_or_vote, 32, 0); });
    must_fail("a shuffle from outside of the mask", "not in mask 000000ff",
              [] { one_block(k_not_in_mask, 8, 0); });
    must_fail("a lane that its mask leaves out", "not in its own mask",
              [] { one_block(k_not_in_own_mask, 32, 0); });
    must_fail("segments of 12 lanes", "not a power of two", [] { one_block(k_width, 32, 0); });
    must_fail("a product of half a warp", "missing lanes ffff0000",
              [] { one_block(k_mma_of_half_a_warp, 32, 0); });
}

/* --- memory --- */

void k_ldmatrix_global(bf16 *g)
{
    uint32_t r[4];
    ldmatrix_x4(r, g);
}
void k_ldmatrix_misaligned()
{
    SHARED(bf16, s, 512);
    uint32_t r[4];
    ldmatrix_x4(r, s + threadIdx.x % 32 * 8 + 1);
}
void k_cp_misaligned(bf16 *g)
{
    SHARED(bf16, s, 64);
    cp_async16(s, g + 1, true);
}
void k_cp_to_global(bf16 *g)
{
    cp_async16(g, g + 8, true);
}
void k_bulk_misaligned(bf16 *g)
{
    SHARED(bf16, s, 64);
    SHARED(uint64_t, bar, 1);
    mbar_init(bar, 1);
    bulk_g2s(s, g, 24, bar);
}
void k_mbar_uninitialised()
{
    SHARED(uint64_t, bar, 1);
    mbar_wait(bar, 0);
}
void k_mbar_arrivals()
{
    SHARED(uint64_t, bar, 1);
    if (threadIdx.x == 0) mbar_init(bar, 2);
    __syncthreads();
    mbar_arrive(bar, threadIdx.x == 0 ? 16 : 0); /* 16 bytes that never come: no phase ends */
}
void k_mbar_never()
{
    SHARED(uint64_t, bar, 1);
    if (threadIdx.x == 0) mbar_init(bar, 2);
    __syncthreads();
    if (threadIdx.x == 0) mbar_arrive(bar, 0);
    mbar_wait(bar, 0);
}
#if !IH_ASAN && !IH_TSAN
void k_wild(char *p)
{
    p[threadIdx.x * (1ll << 40)] = 1;
}
void k_deep()
{
    volatile char big[600 << 10];
    for (size_t i = 0; i < sizeof big; i += 1024) big[i] = 1;
    __syncthreads();
}
#endif
#if IH_ASAN
void k_write_static(int n)
{
    SHARED(int, s, 32);
    SHARED(int, t, 32);
    t[0] = 0;
    s[n] = t[0];
}
void k_write_dynamic(int n)
{
    SHARED_DYN(int, s);
    s[n] = 1;
}
void k_read_global(const int *g, int *out, int n)
{
    out[0] = g[n];
}
void k_copy_global(const int *g, int n)
{
    SHARED(int, s, 64);
    cp_async16(s, g + n, true);
}
void k_read16(const char *p, uint4 *out)
{
    *out = *reinterpret_cast<const uint4 *>(p);
}
void k_read8(const char *p, float2 *out)
{
    *out = __ldg(reinterpret_cast<const float2 *>(p));
}
#endif

void memory()
{
    bf16 *g = test_buffer<bf16>(512);
    must_fail("ldmatrix from global memory", "not in shared memory",
              [=] { one_block(k_ldmatrix_global, 32, 0, g); });
    must_fail("ldmatrix from between the rows", "16-byte aligned",
              [] { one_block(k_ldmatrix_misaligned, 32, 0); });
    must_fail("cp.async from between", "16-byte aligned",
              [=] { one_block(k_cp_misaligned, 32, 0, g); });
    must_fail("cp.async to global memory", "must be shared",
              [=] { one_block(k_cp_to_global, 32, 0, g); });
    must_fail("a bulk copy of 24 bytes", "multiples of 16",
              [=] { one_block(k_bulk_misaligned, 1, 0, g); });
    must_fail("a barrier of garbage", "no mbarrier was initialised",
              [] { one_block(k_mbar_uninitialised, 32, 0); });
    must_fail("arrivals beyond the count", "more arrivals",
              [] { one_block(k_mbar_arrivals, 64, 0); });
    must_fail("an arrival that never comes", "wait at mbarrier.wait",
              [] { one_block(k_mbar_never, 32, 0); });
#if !IH_ASAN && !IH_TSAN /* whose own reports say less of the thread */
    must_fail("a wild address", "thread (1,0,0)",
              [=] { one_block(k_wild, 32, 0, reinterpret_cast<char *>(g)); });
    must_fail("a stack that is too small", "stack overflow", [] { one_block(k_deep, 32, 0); });
#endif
#if IH_ASAN
    int *exact = test_buffer<int>(64), *out = test_buffer<int>(1);
    must_fail("one behind a shared array", "use-after-poison",
              [] { one_block(k_write_static, 1, 0, 32); });
    must_fail("one before a shared array", "use-after-poison",
              [] { one_block(k_write_static, 1, 0, -1); });
    must_fail("one behind dynamic shared memory", "use-after-poison",
              [] { one_block(k_write_dynamic, 1, 256, 64); });
    must_fail("dynamic shared memory that was not asked for", "use-after-poison",
              [] { one_block(k_write_dynamic, 1, 0, 0); });
    must_fail("one behind a buffer", "heap-buffer-overflow",
              [=] { one_block(k_read_global, 1, 0, exact, out, 64); });
    must_fail("a copy that ends behind a buffer", "out of bounds",
              [=] { one_block(k_copy_global, 1, 0, test_buffer<int>(62), 60); });
    must_fail("16 bytes from an address that is not of 16", "misaligned address", [=] {
        one_block(k_read16, 1, 0, reinterpret_cast<char *>(exact) + 8, test_buffer<uint4>(1));
    });
    must_fail("8 bytes from an address that is not of 8", "misaligned address", [=] {
        one_block(k_read8, 1, 0, reinterpret_cast<char *>(exact) + 4, test_buffer<float2>(1));
    });
#endif
}

/* --- limits --- */

void k_nothing() {}
void k_static_45k(int *out)
{
    SHARED(char, s, 45 << 10);
    out[0] = s[0];
}
void k_static_2x30k(int *out)
{
    SHARED(char, s, 30 << 10);
    SHARED(char, t, 30 << 10);
    out[0] = s[0] + t[0];
}
void k_pointer(const int *p, int *out)
{
    out[0] = p[0];
}
void k_launches()
{
    one_block(k_nothing, 1, 0);
}

void grid_of(dim3 grid, dim3 block)
{
    LAUNCH(k_nothing, grid, block, 0, nullptr);
}

void limits()
{
    int *out = test_buffer<int>(1);
    must_fail("1025 threads", "launch of a block", [] { grid_of(dim3(1), dim3(1025)); });
    must_fail("a block 65 deep", "launch of a block", [] { grid_of(dim3(1), dim3(1, 1, 65)); });
    must_fail("no threads", "launch of a block", [] { grid_of(dim3(1), dim3(0)); });
    must_fail("no blocks", "launch of a grid", [] { grid_of(dim3(0), dim3(32)); });
    must_fail("65536 blocks in y", "launch of a grid", [] { grid_of(dim3(1, 65536), dim3(32)); });
    must_fail("a launch inside a kernel", "from inside a kernel",
              [] { one_block(k_launches, 1, 0); });
    must_fail("60 KiB of static shared memory", "at most 49152",
              [=] { one_block(k_static_2x30k, 1, 0, out); });
    must_fail("45 KiB and 10 KiB", "together above 49152",
              [=] { one_block(k_static_45k, 1, 10 << 10, out); });
    const struct {
        int arch;
        unsigned kib;
    } most[] = {{80, 163}, {89, 99}, {90, 227}};
    for (const auto m : most) {
        ih::set_arch(m.arch);
        one_block(k_nothing, 1, m.kib << 10);
        one_block(k_static_45k, 1, (m.kib - 45) << 10, out);
        must_fail("dynamic shared memory above the limit", "bytes of shared memory, sm_",
                  [=] { one_block(k_nothing, 1, (m.kib << 10) + 1); });
        must_fail("both kinds together above the limit", "dynamic, sm_",
                  [=] { one_block(k_static_45k, 1, (m.kib - 44) << 10, out); });
    }
    ih::set_arch(90);
    must_fail("sm_70", "80, 89 and 90", [] { ih::set_arch(70); });
    must_fail("a pointer to the host's stack", "points to the host's stack", [=] {
        const int on_stack = 1;
        one_block(k_pointer, 1, 0, &on_stack, out);
    });
    must_fail("the same in a capture", "points to the host's stack", [=] {
        const int on_stack = 1;
        device_capture_begin(test_device(), nullptr);
        LAUNCH(k_pointer, dim3(1), dim3(1), 0, test_stream(), &on_stack, out);
    });
    must_fail("too many threads in a capture", "launch of a block", [] {
        device_capture_begin(test_device(), nullptr);
        LAUNCH(k_nothing, dim3(1), dim3(2000), 0, test_stream());
    });
    must_fail("a captured copy from the stack", "points to the host's stack", [=] {
        const int on_stack = 1;
        device_capture_begin(test_device(), nullptr);
        device_copy(test_device(), out, &on_stack, sizeof on_stack);
    });
}

/* --- waits that never end --- */

#if !IH_ASAN && !IH_TSAN
void k_spin(const volatile int *flag)
{
    while (*flag == 0) {
    }
}
#endif
void k_spin_politely(const volatile int *flag)
{
    while (*flag == 0) __nanosleep(100);
}
void k_flag_in_block(int *out)
{
    SHARED(int, flag, 1);
    if (threadIdx.x == 0) flag[0] = 0;
    __syncthreads();
    if (threadIdx.x == 40) atomicExch(flag, 1);
    while (threadIdx.x != 40 && atomicAdd(flag, 0) == 0) __nanosleep(20);
    atomicAdd(out, 1);
}

void waits()
{
    int *flag = test_buffer<int>(1), *out = test_buffer<int>(1);
    *flag = 0;
    must_fail("a wait for another block", "waits for something outside it",
              [=] { one_block(k_spin_politely, 64, 0, flag); });
#if !IH_ASAN && !IH_TSAN
    must_fail("a spin that lets nobody run", "no progress", [=] {
        const struct itimerval soon = {{0, 300000}, {0, 300000}};
        ih::submit(
            nullptr, dim3(1), dim3(1), 0,
            [=] {
                setitimer(ITIMER_VIRTUAL, &soon, nullptr);
                k_spin(flag);
            },
            ih::here());
    });
#endif
    for_each_schedule([&] {
        *out = 0;
        one_block(k_flag_in_block, 96, 0, out);
        EXPECT(*out == 96, "a flag within the block: %d threads", *out);
    });
}

/* --- schedules --- */

void k_uninitialised(float *f, int *i)
{
    SHARED(float, s, 4);
    SHARED_DYN(int, d);
    f[0] = s[3];
    i[0] = d[5];
}
void k_order(int *order, int *n)
{
    order[atomicAdd(n, 1)] = (int)(blockIdx.x * blockDim.x + threadIdx.x);
}

std::vector<int> order_of(ih::schedule s, uint64_t seed)
{
    int *order = test_buffer<int>(256), *n = test_buffer<int>(1);
    *n = 0;
    ih::set_schedule(s, seed);
    LAUNCH(k_order, dim3(4), dim3(64), 0, nullptr, order, n);
    ih::set_schedule(ih::FORWARD, 0);
    std::vector<int> v(order, order + 256);
    std::vector<int> seen(256);
    for (int i : v) seen[(size_t)i]++;
    EXPECT(seen == std::vector<int>(256, 1), "every thread runs once");
    test_free(order), test_free(n);
    return v;
}

void schedules()
{
    const std::vector<int> forward = order_of(ih::FORWARD, 0), reverse = order_of(ih::REVERSE, 0);
    for (size_t i = 0; i < 256; i++)
        EXPECT(forward[i] == (int)i && reverse[i] == 255 - (int)i, "thread %zu of 256", i);
    const std::vector<int> one = order_of(ih::RANDOM, 1);
    EXPECT(one == order_of(ih::RANDOM, 1), "a seed is an order");
    EXPECT(one != order_of(ih::RANDOM, 2) && one != forward, "another seed is another order");
    float *f = test_buffer<float>(1);
    int *i = test_buffer<int>(1);
    one_block(k_uninitialised, 1, 64, f, i);
    EXPECT(f[0] != f[0] && i[0] == -1, "shared memory begins as NaN and -1: %g, %d", f[0], i[0]);
    test_free(f), test_free(i);
}

/* --- what is missing between a write and a read: seen by some schedule, or by TSan --- */

enum missing { NOTHING, BARRIER, REFILL_BARRIER, COPY_WAIT, FENCE };

template <int MISSING> void k_exchange(int *out)
{
    SHARED(int, s, 64);
    const int t = (int)threadIdx.x;
    int sum = 0;
    for (int i = 0; i < 3; i++) {
        s[t] = t + i;
        if (MISSING != BARRIER) __syncthreads();
        sum += s[63 - t];
        if (MISSING != REFILL_BARRIER) __syncthreads();
    }
    out[t] = sum;
}
template <int MISSING> void k_fetch(const int *src, int *out)
{
    SHARED(int, s, 256);
    const int t = (int)threadIdx.x;
    cp_async16(s + 4 * t, src + 4 * t, true);
    cp_async_commit();
    if (MISSING != COPY_WAIT) cp_async_wait<0>();
    __syncthreads();
    out[t] = s[4 * (63 - t)];
}
template <int MISSING> void k_flag(int *out)
{
    SHARED(int, s, 2);
    const int t = (int)threadIdx.x;
    if (t == 0) s[0] = 0;
    __syncthreads();
    if (t == 32) {
        s[1] = 7;
        if (MISSING != FENCE) __threadfence_block();
        atomicExch(s, 1);
    }
    if (t == 0) {
        while (atomicAdd(s, 0) == 0) __nanosleep(20);
        if (MISSING != FENCE) __threadfence_block();
        out[0] = s[1];
    }
}

/* Blocks that pass data on: with the fence nothing is wrong, without it only TSan knows.  Thread b of
 * block b acts: threads of one index are one to TSan, in whatever block. */
template <int MISSING> void k_pass_on(int *data, unsigned *n_done, int *out)
{
    const int b = (int)blockIdx.x;
    if (threadIdx.x != blockIdx.x) return;
    data[b] = b + 1;
    if (MISSING != FENCE) __threadfence();
    if (atomicAdd(n_done, 1u) != gridDim.x - 1) return;
    if (MISSING != FENCE) __threadfence();
    out[0] = 0;
    for (int i = 0; i < (int)gridDim.x; i++) out[0] += data[i];
}
#if IH_TSAN
void k_same_place(int *data)
{
    if (threadIdx.x == blockIdx.x) data[0] = (int)blockIdx.x;
}
#endif
int passed_on(void (*kernel)(int *, unsigned *, int *))
{
    int *data = test_buffer<int>(5), *out = test_buffer<int>(1);
    unsigned *n_done = test_buffer<unsigned>(1);
    *n_done = 0;
    LAUNCH(kernel, dim3(5), dim3(5), 0, nullptr, data, n_done, out);
    const int sum = out[0];
    test_free(data), test_free(out), test_free(n_done);
    return sum;
}

int exchange_wrong(void (*kernel)(int *))
{
    int *out = test_buffer<int>(64), wrong = 0;
    one_block(kernel, 64, 0, out);
    for (int t = 0; t < 64; t++) wrong += out[t] != 3 * (63 - t) + 3;
    test_free(out);
    return wrong;
}
int fetch_wrong(void (*kernel)(const int *, int *))
{
    int *src = test_buffer<int>(256), *out = test_buffer<int>(64), wrong = 0;
    for (int i = 0; i < 256; i++) src[i] = i;
    one_block(kernel, 64, 0, src, out);
    for (int t = 0; t < 64; t++) wrong += out[t] != 4 * (63 - t);
    test_free(src), test_free(out);
    return wrong;
}

void races()
{
    int n_right = 0, n_barrier = 0, n_refill = 0, n_wait = 0, n_schedules = 0;
    int *out = test_buffer<int>(1);
    for_each_schedule([&] {
        n_schedules++;
        n_right += exchange_wrong(k_exchange<NOTHING>) == 0 && fetch_wrong(k_fetch<NOTHING>) == 0;
        one_block(k_flag<NOTHING>, 64, 0, out);
        n_right += out[0] == 7;
        n_right += passed_on(k_pass_on<NOTHING>) == 15;
    });
    EXPECT(n_right == 3 * n_schedules, "correct kernels: %d of %d", n_right, 3 * n_schedules);
#if IH_TSAN
    (void)n_barrier, (void)n_refill, (void)n_wait;
    must_fail("no barrier", "data race", [] { exchange_wrong(k_exchange<BARRIER>); });
    must_fail("no barrier before the refill", "data race",
              [] { exchange_wrong(k_exchange<REFILL_BARRIER>); });
    must_fail("no wait for a copy", "data race", [] { fetch_wrong(k_fetch<COPY_WAIT>); });
    must_fail("no fence between data and flag", "data race",
              [=] { one_block(k_flag<FENCE>, 64, 0, out); });
    must_fail("no fence between blocks", "data race", [] { passed_on(k_pass_on<FENCE>); });
    must_fail("two blocks write to one place", "data race", [] {
        int *data = test_buffer<int>(2);
        LAUNCH(k_same_place, dim3(2), dim3(2), 0, nullptr, data);
    });
#else
    for_each_schedule([&] {
        n_barrier += exchange_wrong(k_exchange<BARRIER>) != 0;
        n_refill += exchange_wrong(k_exchange<REFILL_BARRIER>) != 0;
        n_wait += fetch_wrong(k_fetch<COPY_WAIT>) != 0;
    });
    EXPECT(n_barrier > 0, "no barrier: no schedule noticed");
    EXPECT(n_refill > 0, "no barrier before the refill: no schedule noticed");
    EXPECT(n_wait > 0, "no wait for a copy: no schedule noticed");
#endif
    test_free(out);
}
/* --- kernels that overlap --- */

enum overlap {
    RIGHT,
    LATE,
    NO_WAIT,
    ONE_DOES_NOT_WAIT,
    READS_EARLY,
    READS_FAR_EARLY,
    WRITES_EARLY
};
constexpr unsigned STEP_LEN = 96;

/* next = last + before_last; `next` was read by the kernel ahead. */
template <int ERROR> void k_chain(const int *last, const int *before_last, int *next)
{
    if (ERROR != LATE) grid_launch_dependents();
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    int x = 0, y = 0;
    if (ERROR == READS_EARLY) x = last[i];
    if (ERROR == READS_FAR_EARLY) y = before_last[i];
    if (ERROR == WRITES_EARLY) next[i] = 0;
    if (ERROR != NO_WAIT && (ERROR != ONE_DOES_NOT_WAIT || i != 40)) grid_wait();
    if (ERROR != READS_EARLY) x = last[i];
    if (ERROR != READS_FAR_EARLY) y = before_last[i];
    next[i] = x + y;
    if (ERROR == LATE) grid_launch_dependents();
}

/* Fibonacci's numbers by ten kernels over three buffers: how many are wrong.  n_early: kernels that began
 * ahead of their turn. */
int chain_wrong(void (*kernel)(const int *, const int *, int *), int *n_early)
{
    constexpr int N = 10;
    int *buffers[3], numbers[N + 2] = {1, 1}, wrong = 0;
    for (int *&b : buffers) b = test_buffer<int>(STEP_LEN);
    for (unsigned i = 0; i < STEP_LEN; i++) buffers[0][i] = buffers[1][i] = 1;
    const uint64_t before = ih::n_early;
    device_set_overlap(test_device(), true);
    for (int k = 2; k < N + 2; k++) {
        numbers[k] = numbers[k - 1] + numbers[k - 2];
        LAUNCH(kernel, dim3(STEP_LEN / 32), dim3(32), 0, test_stream(), buffers[(k - 1) % 3],
               buffers[(k - 2) % 3], buffers[k % 3]);
    }
    device_set_overlap(test_device(), false);
    test_wait();
    *n_early = (int)(ih::n_early - before);
    for (unsigned i = 0; i < STEP_LEN; i++) wrong += buffers[(N + 1) % 3][i] != numbers[N + 1];
    for (int *b : buffers) test_free(b);
    return wrong;
}

void overlaps()
{
    int n_early = 0, seed = 0;
    for_each_schedule([&] {
        EXPECT(chain_wrong(k_chain<RIGHT>, &n_early) == 0, "kernels that overlap");
        EXPECT(seed++ > 1 || n_early == 9, "%d of 10 kernels began early", n_early);
        EXPECT(chain_wrong(k_chain<LATE>, &n_early) == 0 && n_early == 0,
               "%d kernels began before the one ahead let them", n_early);
    });
    must_fail("no grid_wait", "without griddepcontrol.wait",
              [&] { chain_wrong(k_chain<NO_WAIT>, &n_early); });
    must_fail("a thread without grid_wait", "without griddepcontrol.wait",
              [&] { chain_wrong(k_chain<ONE_DOES_NOT_WAIT>, &n_early); });
#if IH_TSAN
    must_fail("an early read", "data race", [&] { chain_wrong(k_chain<READS_EARLY>, &n_early); });
    must_fail("an early read of what is older", "data race",
              [&] { chain_wrong(k_chain<READS_FAR_EARLY>, &n_early); });
    must_fail("an early write", "data race", [&] { chain_wrong(k_chain<WRITES_EARLY>, &n_early); });
#else
    for (ih::schedule s : {ih::FORWARD, ih::REVERSE}) {
        ih::set_schedule(s, 0);
        EXPECT(chain_wrong(k_chain<READS_EARLY>, &n_early) > 0, "an early read");
        EXPECT(chain_wrong(k_chain<READS_FAR_EARLY>, &n_early) > 0, "an early read of older data");
        EXPECT(chain_wrong(k_chain<WRITES_EARLY>, &n_early) > 0, "an early write");
    }
    ih::set_schedule(ih::FORWARD, 0);
#endif
}
} // namespace

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "case") == 0) wanted = atoi(argv[2]);
    barriers();
    memory();
    limits();
    waits();
    schedules();
    races();
    overlaps();
    return test_result();
}
