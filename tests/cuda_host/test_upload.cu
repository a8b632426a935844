/* Weights on their way to the device, on the shim, whose memory the host may look at: the same bits
 * whoever reads them, in whatever order pieces are there; fewer buffers; failures of the device and of
 * files half way, after which the backend still closes.  tests/bench/bench_load.c measures. */
#include "tests/cuda_host/host_test.h"

#include <string>

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

extern "C" {
#include "cuda/cuda.h"
#include "cuda/upload.h"
#include "engine/convert.h"
}

namespace
{

struct backend *open_backend(int n_threads)
{
    struct backend *be = nullptr;
    struct error err = {};
    plugin_options o = {};
    o.n_threads = n_threads;
    if (cuda_backend_open(&be, &o, &err) == STATUS_OK) return be;
    printf("%s\n0 passed, 1 failed\n", err.message);
    exit(1);
}

void settle(struct backend *be)
{
    struct error err = {};
    EXPECT(be->ops->wait(be, &err) == STATUS_OK, "%s", err.message);
}

/* A source of parts of `rows` rows, at odd addresses where they are stored in another type. */
struct source {
    std::vector<char> bytes[3];
    weight_source s = {};

    source(enum weight_kind kind, std::vector<int> rows, int cols, enum dtype dtype,
           enum dtype stored, enum quant_scheme quant)
    {
        s.kind = kind;
        s.n_parts = (int)rows.size();
        s.cols = cols;
        s.dtype = dtype;
        s.quant = quant;
        for (int p = 0; p < s.n_parts; p++) {
            const size_t n = (size_t)rows[p] * (size_t)cols, item = dtype_size(stored);
            const bool as_stored = stored != dtype;
            bytes[p].resize(n * item + 16);
            char *at = bytes[p].data() + as_stored;
            for (size_t i = 0; i < n; i++) {
                const float f = (float)((int)(test_draw() % 20001) - 10000) / 8192.0f;
                const uint16_t h =
                    stored == DT_BF16 ? convert_f32_to_bf16(f) : (uint16_t)(test_draw() & 0xbbff);
                memcpy(at + i * item, item == 4 ? (const void *)&f : &h, item);
            }
            s.parts[p].data = at;
            s.parts[p].rows = rows[p];
            s.parts[p].as_stored = as_stored;
            s.parts[p].stored = stored;
        }
    }
};

/* What lies on the device in the end, ld elements a row: data, scales, bias. */
std::string held(const struct weight *w)
{
    const size_t size = (size_t)w->n * (size_t)(w->kind == WEIGHT_VECTOR ? w->k : w->ld);
    std::string all(static_cast<const char *>(w->data), size * dtype_size(w->dtype));
    if (w->scale) all.append(reinterpret_cast<const char *>(w->scale), (size_t)w->n * 4);
    if (w->bias) all.append(reinterpret_cast<const char *>(w->bias), (size_t)w->n * 4);
    return all;
}

/* Of a source whose weights stay as they are. */
std::string wanted(const weight_source &s)
{
    const size_t per_16 = 16 / dtype_size(s.dtype), cols = (size_t)s.cols;
    const size_t ld = s.kind == WEIGHT_VECTOR ? cols : (cols + per_16 - 1) / per_16 * per_16;
    const enum dtype to = s.kind == WEIGHT_VECTOR ? DT_F32 : s.dtype;
    std::string all;
    for (int p = 0; p < s.n_parts; p++) {
        const enum dtype from = s.parts[p].as_stored ? s.parts[p].stored : s.dtype;
        std::vector<char> row(ld * dtype_size(to));
        for (int r = 0; r < s.parts[p].rows; r++) {
            convert_elements(row.data(), to,
                             static_cast<const char *>(s.parts[p].data) +
                                 (size_t)r * cols * dtype_size(from),
                             from, cols);
            all.append(row.data(), row.size());
        }
    }
    return all;
}

/* Of one whose weights become integers: each row of bf16 by its largest value. */
std::string wanted_integers(const weight_source &s)
{
    const size_t cols = (size_t)s.cols, ld = (cols + 15) / 16 * 16;
    std::string ints, scales;
    std::vector<uint16_t> stored(cols);
    std::vector<float> x(cols);
    for (int p = 0; p < s.n_parts; p++) {
        const enum dtype from = s.parts[p].as_stored ? s.parts[p].stored : s.dtype;
        for (int r = 0; r < s.parts[p].rows; r++) {
            const char *row = static_cast<const char *>(s.parts[p].data);
            convert_elements(stored.data(), DT_BF16, row + (size_t)r * cols * dtype_size(from),
                             from, cols);
            convert_elements(x.data(), DT_F32, stored.data(), DT_BF16, cols);
            float most = 0;
            for (float v : x) most = fmaxf(most, fabsf(v));
            const float scale = most / 127.0f, inverse = 127.0f / most;
            std::string q(ld, '\0');
            for (size_t i = 0; i < cols; i++) q[i] = (char)(int8_t)nearbyintf(x[i] * inverse);
            ints += q;
            scales.append(reinterpret_cast<const char *>(&scale), sizeof scale);
        }
    }
    return ints + scales;
}

struct shape {
    enum weight_kind kind;
    std::vector<int> rows;
    int cols;
    enum dtype dtype, stored;
    enum quant_scheme quant;
    bool bias;
};
/* Pieces are 4 MiB: less than one, one, several in each part. */
const std::vector<shape> shapes = {
    {WEIGHT_LINEAR, {700, 300, 300}, 1024, DT_BF16, DT_BF16, QUANT_NONE, true},
    {WEIGHT_LINEAR, {3000, 2100}, 2050, DT_BF16, DT_BF16, QUANT_NONE, false},
    {WEIGHT_LINEAR, {2048, 2049, 1}, 1024, DT_BF16, DT_F32, QUANT_NONE, true},
    {WEIGHT_EMBED, {5000}, 999, DT_F32, DT_F16, QUANT_NONE, false},
    {WEIGHT_EMBED, {4099}, 513, DT_F16, DT_F16, QUANT_NONE, false},
    {WEIGHT_VECTOR, {1}, 70001, DT_BF16, DT_BF16, QUANT_NONE, false},
    {WEIGHT_VECTOR, {1}, 64, DT_F32, DT_F32, QUANT_NONE, false},
    {WEIGHT_LINEAR, {1500, 40}, 1600, DT_BF16, DT_F16, QUANT_INT8, true},
    {WEIGHT_LINEAR, {2}, 48, DT_F32, DT_BF16, QUANT_INT8, false},
};

/* All shapes, one after the other without a wait: what they hold is what was stored. */
void load_all(struct backend *be)
{
    std::vector<struct weight *> all;
    std::vector<std::string> wants;
    struct error err = {};
    for (size_t i = 0; i < shapes.size(); i++) {
        const shape &c = shapes[i];
        int n = 0;
        for (int r : c.rows) n += r;
        source s(c.kind, c.rows, c.cols, c.dtype, c.stored, c.quant);
        source bias(WEIGHT_VECTOR, {n}, 1, DT_BF16, DT_BF16, QUANT_NONE);
        if (c.bias) s.s.bias = &bias.s;
        struct weight *w = nullptr;
        EXPECT(be->ops->weight_prepare(be, &s.s, &w, &err) == STATUS_OK, "shape %zu: %s", i,
               err.message);
        all.push_back(w);
        wants.push_back(wanted(s.s) + (c.bias ? wanted(bias.s) : ""));
        for (std::vector<char> &b : s.bytes) /* the source is the caller's again */
            std::fill(b.begin(), b.end(), (char)0x77);
    }
    settle(be);
    for (size_t i = 0; i < shapes.size(); i++)
        if (shapes[i].quant == QUANT_NONE)
            EXPECT(held(all[i]) == wants[i], "shape %zu is not what was stored", i);
    for (struct weight *w : all) be->ops->weight_free(be, w);
    EXPECT(be->weight_size == 0, "%zu bytes are left", be->weight_size);
}

void stored_bits(bool quick)
{
    for (int n : {1, 2, 5}) {
        if (quick && n != 5) continue;
        struct backend *be = open_backend(n);
        load_all(be);
        be->ops->close(be);
    }
}

/* int8 rows are made on the device, a piece of the source at a time: the same by one thread and by several. */
void same_integers(bool quick)
{
    source s(WEIGHT_LINEAR, {quick ? 100 : 3000, 77}, quick ? 15000 : 1500, DT_BF16, DT_F32,
             QUANT_INT8);
    const std::string want = wanted_integers(s.s);
    for (int n : {1, 2, 5}) {
        struct backend *be = open_backend(n);
        struct weight *w = nullptr;
        struct error err = {};
        EXPECT(be->ops->weight_prepare(be, &s.s, &w, &err) == STATUS_OK, "%s", err.message);
        settle(be);
        EXPECT(held(w) == want, "integers by %d threads", n);
        be->ops->weight_free(be, w);
        be->ops->close(be);
    }
}

void few_buffers(bool quick)
{
    for (int n : {3, 1}) {
        if (quick && n != 3) continue;
        struct backend *be = open_backend(4);
        ih::pinned_left = (size_t)n * UPLOAD_PIECE + 100;
        load_all(be);
        EXPECT(cuda_upload_buffers(cuda_of(be)->weight_upload) == n, "%d buffers of %d",
               cuda_upload_buffers(cuda_of(be)->weight_upload), n);
        ih::pinned_left = SIZE_MAX;
        be->ops->close(be);
    }
    struct backend *be = open_backend(2);
    source s(WEIGHT_VECTOR, {1}, 64, DT_F32, DT_F32, QUANT_NONE);
    struct weight *w = nullptr;
    struct error err = {};
    ih::pinned_left = 100;
    EXPECT(be->ops->weight_prepare(be, &s.s, &w, &err) == STATUS_NO_MEMORY && !w, "no buffer");
    ih::pinned_left = SIZE_MAX;
    EXPECT(be->ops->weight_prepare(be, &s.s, &w, &err) == STATUS_OK, "%s", err.message);
    be->ops->weight_free(be, w);
    be->ops->close(be);
}

/* The device fails while pieces are under way. */
void device_fails(const char *file)
{
    setenv("INFERD_CUDA_HOST_FAIL", file, 1);
    for (int n : {1, 3}) {
        struct backend *be = open_backend(n);
        source s(WEIGHT_LINEAR, {40000}, 1024, DT_BF16, DT_F32, QUANT_NONE);
        struct weight *w = nullptr;
        struct error err = {};
        EXPECT(be->ops->weight_prepare(be, &s.s, &w, &err) == STATUS_OK, "%s", err.message);
        be->ops->weight_free(be, w);
        w = nullptr;
        close(open(file, O_CREAT | O_WRONLY, 0600));
        EXPECT(be->ops->weight_prepare(be, &s.s, &w, &err) == STATUS_INTERNAL && !w,
               "a device that failed took weights");
        EXPECT(be->weight_size == 0, "%zu bytes are left", be->weight_size);
        unlink(file);
        be->ops->close(be);
    }
    unsetenv("INFERD_CUDA_HOST_FAIL");
}

/* Parts that lie in a file, at odd places, read there: data says something else.  Then the file is cut. */
void from_a_file(const char *file, int n_threads)
{
    const shape &c = shapes[2];
    source s(c.kind, c.rows, c.cols, c.dtype, c.stored, c.quant);
    source plain(WEIGHT_EMBED, {3000}, 1100, DT_BF16, DT_BF16, QUANT_NONE);
    const int fd = open(file, O_CREAT | O_RDWR, 0600);
    uint64_t at = 13;
    std::vector<std::string> wants = {wanted(s.s), wanted(plain.s)};
    for (source *one : {&s, &plain})
        for (int p = 0; p < one->s.n_parts; p++) {
            auto &part = one->s.parts[p];
            const size_t size = (size_t)part.rows * (size_t)one->s.cols * dtype_size(part.stored);
            if (pwrite(fd, part.data, size, (off_t)at) != (ssize_t)size) abort();
            part.fd = fd;
            part.file_at = at;
            at += size + 5;
            std::fill(one->bytes[p].begin(), one->bytes[p].end(), (char)0x77);
        }
    struct backend *be = open_backend(n_threads);
    struct weight *w[2] = {}, *none = nullptr;
    struct error err = {};
    EXPECT(be->ops->weight_prepare(be, &s.s, &w[0], &err) == STATUS_OK, "%s", err.message);
    EXPECT(be->ops->weight_prepare(be, &plain.s, &w[1], &err) == STATUS_OK, "%s", err.message);
    settle(be);
    EXPECT(held(w[0]) == wants[0] && held(w[1]) == wants[1], "read from a file");
    for (struct weight *one : w) be->ops->weight_free(be, one);
    for (uint64_t cut : {at - 6, plain.s.parts[0].file_at + 100, s.s.parts[2].file_at - 1}) {
        if (ftruncate(fd, (off_t)cut) != 0) abort();
        EXPECT(be->ops->weight_prepare(be, &plain.s, &none, &err) == STATUS_IO && !none,
               "a file that was cut");
    }
    EXPECT(be->ops->weight_prepare(be, &s.s, &none, &err) == STATUS_IO && !none, "cut there");
    EXPECT(be->weight_size == 0, "%zu bytes are left", be->weight_size);
    be->ops->close(be);
    close(fd);
    unlink(file);
}

} // namespace

int main(int argc, char **argv)
{
    const bool quick = argc > 1 && !strcmp(argv[argc - 1], "quick");
    char folder[] = "/tmp/test_upload.XXXXXX";
    if (!mkdtemp(folder)) return 1;
    const std::string file = std::string(folder) + "/file";
    same_integers(quick);
    stored_bits(quick);
    few_buffers(quick);
    device_fails(file.c_str());
    for (int n : {1, 3}) from_a_file(file.c_str(), n);
    rmdir(folder);
    return test_result();
}
