#ifndef TESTS_CUDA_HOST_HOST_TEST_H
#define TESTS_CUDA_HOST_HOST_TEST_H

/* host_test.h - for the tests in this folder: checks, exact buffers, schedules.
 *
 * A test that uses device.h and this alone runs on a GPU as it is: INFERD_HOST_SHIM marks what only
 * the shim can do.  The last line of a test's output is "N passed, N failed". */

#include "cuda/cu.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

extern "C" {
#include "cuda/device.h"
}

static int n_passed, n_failed;

/* NAME: words for the line that says what failed. */
#define EXPECT(condition, ...)                                            \
    do {                                                                  \
        if (condition) {                                                  \
            n_passed++;                                                   \
        } else if (n_failed++ < 20) {                                     \
            printf("%s:%d: %s failed: ", __FILE__, __LINE__, #condition); \
            printf(__VA_ARGS__);                                          \
            printf("\n");                                                 \
        }                                                                 \
    } while (0)

static inline int test_result()
{
    printf("%d passed, %d failed\n", n_passed, n_failed);
    return n_failed != 0;
}

static inline struct device *test_device()
{
    static struct device *d;
    struct error err;
    if (!d && device_open(&d, 0, &err) != STATUS_OK) {
        printf("%s\n0 passed, 1 failed\n", err.message);
        exit(1);
    }
    return d;
}

/* n elements that host and device both see, of exactly that size, each byte 0xff: NaN, -1. */
template <class T> T *test_buffer(size_t n)
{
    void *p;
    struct error err;
    if (device_alloc_shared(test_device(), &p, n * sizeof(T), "a test's buffer", &err) !=
        STATUS_OK) {
        printf("%s\n0 passed, 1 failed\n", err.message);
        exit(1);
    }
    memset(p, 0xff, n * sizeof(T));
    return static_cast<T *>(p);
}
template <class T> void test_free(T *p)
{
    device_free(test_device(), p);
}

static inline bool test_wait()
{
    struct error err;
    if (device_wait(test_device(), &err) == STATUS_OK) return true;
    printf("%s\n", err.message);
    return false;
}
static inline void *test_stream()
{
    return device_stream(test_device());
}

/* f(), once on a GPU; in the shim forward, in reverse, and with some seeds. */
template <class F> void for_each_schedule(F f)
{
#ifdef INFERD_HOST_SHIM
    for (int seed = 0; seed < 8; seed++) {
        ih::set_schedule(seed == 0   ? ih::FORWARD
                         : seed == 1 ? ih::REVERSE
                                     : ih::RANDOM,
                         (uint64_t)seed);
        f();
    }
    ih::set_schedule(ih::FORWARD, 0);
#else
    f();
#endif
}

static inline uint32_t test_draw()
{
    static uint64_t state = 7;
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(state >> 33);
}

#endif
