/* Captured launches, as the backend replays a step: a replay does what the launches did, with the
 * data that lies in the same buffers by then. */
#include "tests/cuda_host/host_test.h"

namespace
{
constexpr int N = 200;

struct scale_args {
    const float *x;
    float *y;
    const int *n; /* on the device: how many there are this time */
    float factor;
};
__global__ void k_scale(struct scale_args a)
{
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < *a.n) a.y[i] = a.factor * a.x[i];
}
__global__ void k_sum(const float *x, const int *n, float *out)
{
    if (threadIdx.x == 0 && blockIdx.x == 0) {
        float sum = 0.0f;
        for (int i = 0; i < *n; i++) sum += x[i];
        *out = sum;
    }
}

struct buffers {
    float *x, *y, *out, *rows;
    int *n;
};

/* A kernel that reads what the one before it wrote, a copy, rows of a copy, zeros. */
void enqueue(const buffers &b)
{
    struct scale_args a = {b.x, b.y, b.n, 2.0f};
    LAUNCH(k_scale, dim3(2), dim3(128), 0, test_stream(), a);
    a.factor = 0.0f; /* the launch has its own copy */
    a.x = nullptr;
    LAUNCH(k_sum, dim3(1), dim3(32), 0, test_stream(), b.y, b.n, b.out);
    device_copy(test_device(), b.out + 1, b.out, sizeof *b.out);
    device_zero(test_device(), b.rows, 12 * sizeof *b.rows);
    device_copy_rows(test_device(), b.rows, 4 * sizeof(float), b.y, 10 * sizeof(float),
                     2 * sizeof(float), 3);
}

void fill(const buffers &b, int n, float seed)
{
    *b.n = n;
    for (int i = 0; i < N; i++) b.x[i] = seed + (float)i;
    for (int i = 0; i < N; i++) b.y[i] = -1.0f;
    b.out[0] = b.out[1] = -1.0f;
    for (int i = 0; i < 12; i++) b.rows[i] = -1.0f;
}

void check(const buffers &b, int n, float seed, const char *what)
{
    float sum = 0.0f;
    int wrong = !test_wait();
    for (int i = 0; i < N; i++) {
        const float want = i < n ? 2.0f * (seed + (float)i) : -1.0f;
        wrong += b.y[i] != want;
        if (i < n) sum += want;
    }
    wrong += b.out[0] != sum || b.out[1] != sum;
    for (int i = 0; i < 12; i++) wrong += b.rows[i] != (i % 4 < 2 ? b.y[i / 4 * 10 + i % 4] : 0.0f);
    EXPECT(wrong == 0, "%s, n %d: %d wrong", what, n, wrong);
}

struct device_graph *capture(const buffers &b)
{
    struct error err = {};
    struct device_graph *g = nullptr;
    EXPECT(device_capture_begin(test_device(), &err) == STATUS_OK, "begin");
#ifdef INFERD_HOST_SHIM /* CUDA refuses it too, and then the capture under way */
    EXPECT(device_capture_begin(test_device(), &err) != STATUS_OK, "a capture inside a capture");
    EXPECT(device_wait(test_device(), &err) != STATUS_OK, "a wait inside a capture");
#endif
    enqueue(b);
    EXPECT(device_capture_end(test_device(), &g, &err) == STATUS_OK, "end: %s", err.message);
    return g;
}

void test_replay()
{
    const buffers b = {test_buffer<float>(N), test_buffer<float>(N), test_buffer<float>(2),
                       test_buffer<float>(12), test_buffer<int>(1)};
    fill(b, N, 3.0f);
    enqueue(b);
    check(b, N, 3.0f, "eager");

    fill(b, 5, 1.0f);
    struct device_graph *g = capture(b);
    test_wait();
    EXPECT(b.y[0] == -1.0f && b.out[0] == -1.0f && b.rows[3] == -1.0f,
           "a capture ran its launches");
    const int lengths[] = {5, 0, N, 129};
    for (int i = 0; i < 4; i++) {
        fill(b, lengths[i], (float)(7 * i));
        device_graph_launch(test_device(), g);
        check(b, lengths[i], (float)(7 * i), "replay");
    }
    fill(b, 64, 2.0f);
    enqueue(b);
    check(b, 64, 2.0f, "eager after replays");
    fill(b, 65, 4.0f);
    device_graph_launch(test_device(), g);
    device_graph_launch(test_device(), g);
    check(b, 65, 4.0f, "replayed twice");
    device_graph_free(test_device(), g);
    test_free(b.x), test_free(b.y), test_free(b.out), test_free(b.rows), test_free(b.n);
}

void test_misuse()
{
    struct error err = {};
    struct device_graph *g = nullptr;
    EXPECT(device_capture_end(test_device(), &g, &err) != STATUS_OK, "an end without a begin");
    EXPECT(g == nullptr, "a graph of nothing");
    struct device *d = nullptr;
    EXPECT(device_open(&d, 99, &err) == STATUS_UNAVAILABLE && !d, "GPU 99");
}
} // namespace

int main()
{
    for_each_schedule([] { test_replay(); });
    test_misuse();
    return test_result();
}
