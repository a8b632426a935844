/* Matrix products of cuda/linear.h against integers and float64.
 *   test_linear [schedule: f, r or a number = seed of random] [quick]
 * Buffers end where their last element does; what lies between and in front of rows is NaN, or large.
 * Integer-valued operands must give the same bits on every path; real ones stay within the error of
 * any order of f32 sums, (K + 8) 2^-24 sum |x w|. */
#include "cuda/cu.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>
#include <vector>

extern "C" {
#include "cuda/linear.h"
}

namespace
{

constexpr enum linear_type all_types[] = {LINEAR_F32, LINEAR_BF16, LINEAR_F16, LINEAR_W8A8,
                                          LINEAR_W8A16};
const char *const type_names[] = {"f32", "bf16", "f16", "w8a8", "w8a16"};

uint64_t seed = 1;
uint32_t random_bits()
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(seed >> 33);
}
int random_int(int low, int high)
{
    return low + (int)(random_bits() % (uint32_t)(high - low + 1));
}
float random_real()
{
    return (float)random_int(-100000, 100000) / 65536.0f;
}

int cases, failures;

/* --- numbers, on their own --- */

/* x rounded to `bits` significant bits, to nearest even; exponents from min_exponent on. */
double round_bits(double x, int bits, int min_exponent)
{
    int e;
    frexp(x, &e);
    if (e < min_exponent) e = min_exponent;
    return ldexp(nearbyint(ldexp(x, bits - e)), e - bits);
}
double as_input(enum linear_type t, double x)
{
    if (t == LINEAR_BF16 || t == LINEAR_W8A16) return round_bits(x, 8, -125);
    return t == LINEAR_F16 ? round_bits(x, 11, -13) : x;
}
void put(enum linear_type t, void *p, size_t at, double v, bool weight)
{
    if (t == LINEAR_W8A8 || (t == LINEAR_W8A16 && weight))
        ((int8_t *)p)[at] = (int8_t)v;
    else if (t == LINEAR_BF16 && weight)
        ((bf16 *)p)[at] = __float2bfloat16_rn((float)v);
    else if (t == LINEAR_F16 && weight)
        ((f16 *)p)[at] = __float2half_rn((float)v);
    else
        ((float *)p)[at] = (float)v;
}
size_t size_of(enum linear_type t, bool weight)
{
    if (t == LINEAR_W8A8) return 1;
    if (!weight || t == LINEAR_F32) return 4;
    return t == LINEAR_W8A16 ? 1 : 2;
}
enum dtype weight_dtype(enum linear_type t)
{
    if (t == LINEAR_BF16) return DT_BF16;
    if (t == LINEAR_F16) return DT_F16;
    return t == LINEAR_F32 ? DT_F32 : DT_I8;
}

/* --- a product --- */

struct test_case {
    enum linear_type type;
    int T, N, K;
    bool bias, real;
    int offset;         /* elements in front of x's first row, and of out's */
    bool wide;          /* gaps between rows; else rows are as dense as they may be */
    int tile_n, tile_m; /* 0: what linear_choose() says */
};

struct cuda_backend cb;

template <class P> P *take(size_t len)
{
    void *p;
    struct error err;
    if (device_alloc_shared(cb.device, &p, len * sizeof(P), "a test", &err) != STATUS_OK) {
        printf("FAIL %s\n", err.message);
        exit(1);
    }
    return (P *)p;
}

struct product {
    struct test_case c;
    struct weight w = {};
    struct tensor x = {}, out = {};
    std::vector<double> wv, xv; /* [N][K], [T][K] */
    void *x_base;
    float *out_base;

    explicit product(const test_case &the_case) : c(the_case)
    {
        make_weight();
        make_inputs();
        const int ldo = c.N + (c.wide ? 3 : 0);
        const size_t len = (size_t)c.offset + (size_t)(c.T - 1) * ldo + c.N;
        out_base = take<float>(len);
        out = {out_base + c.offset, nullptr, DT_F32, c.T, c.N, ldo};
        for (size_t i = 0; i < len; i++) out_base[i] = -12345.0f;
    }
    ~product()
    {
        for (void *p :
             {w.data, (void *)w.scale, (void *)w.bias, x_base, (void *)x.scale, (void *)out_base})
            if (p) device_free(cb.device, p);
    }
    product(const product &) = delete;
    product &operator=(const product &) = delete;

    void make_weight()
    {
        const size_t item = size_of(c.type, true);
        const int whole = (int)(16 / item);
        w.kind = WEIGHT_LINEAR;
        w.dtype = weight_dtype(c.type);
        w.n = c.N;
        w.k = c.K;
        w.ld = (c.K + whole - 1) / whole * whole + (c.wide ? whole : 0);
        w.size = (size_t)w.n * (size_t)w.ld * item;
        w.data = take<char>(w.size);
        memset(w.data, 0, w.size);
        wv.resize((size_t)c.N * c.K);
        for (int n = 0; n < c.N; n++) {
            for (int k = 0; k < c.K; k++) {
                double v = c.real ? as_input(c.type, random_real()) : random_int(-8, 8);
                if (item == 1) v = random_int(-127, 127);
                wv[(size_t)n * c.K + k] = v;
                put(c.type, w.data, (size_t)n * w.ld + k, v, true);
            }
        }
        if (item == 1) {
            w.scale = take<float>(c.N);
            for (int n = 0; n < c.N; n++) w.scale[n] = 0.01f + fabsf(random_real());
        }
        if (!c.bias) return;
        w.bias = take<float>(c.N);
        for (int n = 0; n < c.N; n++) w.bias[n] = c.real ? random_real() : (float)random_int(-9, 9);
    }

    void make_inputs()
    {
        const size_t item = size_of(c.type, false);
        const int whole = (int)(16 / item);
        int ld = c.K;
        if (c.wide) ld = (c.K + whole - 1) / whole * whole + whole + c.offset;
        const size_t len = (size_t)c.offset + (size_t)(c.T - 1) * ld + c.K;
        x_base = take<char>(len * item);
        for (size_t i = 0; i < len; i++) put(c.type, x_base, i, item == 1 ? 127 : NAN, false);
        x = {(char *)x_base + c.offset * item, nullptr, item == 1 ? DT_I8 : DT_F32, c.T, c.K, ld};
        if (item == 1) {
            x.scale = take<float>(c.T);
            for (int t = 0; t < c.T; t++) x.scale[t] = 0.01f + fabsf(random_real());
        }
        xv.resize((size_t)c.T * c.K);
        fill_inputs();
    }

    void fill_inputs()
    {
        for (int t = 0; t < c.T; t++) {
            for (int k = 0; k < c.K; k++) {
                double v = c.real ? random_real() : random_int(-8, 8);
                if (x.dtype == DT_I8) v = random_int(-127, 127);
                xv[(size_t)t * c.K + k] = as_input(c.type, v);
                put(c.type, x.data, (size_t)t * x.ld + k, v, false);
            }
        }
    }

    float at(int t, int n) const { return ((const float *)out.data)[(size_t)t * out.ld + n]; }

    /* The tile's kernel as it is, whatever linear_choose() would take. */
    void run_tile() const
    {
        struct linear_args a = {};
        a.out = (float *)out.data;
        a.x = x.data;
        a.w = w.data;
        a.x_scale = x.scale;
        a.w_scale = w.scale;
        a.bias = w.bias;
        a.ldo = out.ld;
        a.ldx = x.ld;
        a.ldw = w.ld;
        a.rows = c.T;
        a.n = c.N;
        a.type = c.type;
        a.tile_n = c.tile_n;
        a.tile_m = c.tile_m;
        static const enum linear_rows forms[] = {LINEAR_ROWS_COPY_F32, LINEAR_ROWS_BF16,
                                                 LINEAR_ROWS_F16, LINEAR_ROWS_COPY_I8,
                                                 LINEAR_ROWS_BF16_TURNED};
        const int whole = size_of(c.type, true) == 1 ? 16 : 8;
        a.k = (c.K + whole - 1) / whole * whole;
        a.ldx = a.k;
        void *rows = take<char>((size_t)c.T * a.k * 4);
        const struct linear_rows_args r = {rows, x.data, a.k, x.ld, c.T, c.K, forms[c.type]};
        void *stream = device_stream(cb.device);
        cuda_linear_rows(&r, stream);
        a.x = rows;
        (c.type == LINEAR_W8A8 ? cuda_linear_tile_int8 : cuda_linear_tile_mma)(&a, stream);
        wait();
        device_free(cb.device, rows);
    }

    static void wait()
    {
        struct error err;
        if (device_wait(cb.device, &err) != STATUS_OK) {
            printf("FAIL %s\n", err.message);
            exit(1);
        }
    }

    void run() const
    {
        if (c.tile_n)
            run_tile();
        else
            cuda_linear(&cb.base, out, x, &w);
        wait();
    }

    bool right(int t, int n) const
    {
        double sum = 0.0, size = 0.0;
        for (int k = 0; k < c.K; k++) {
            const double p = xv[(size_t)t * c.K + k] * wv[(size_t)n * c.K + k];
            sum += p;
            size += fabs(p);
        }
        const float w_scale = w.scale ? w.scale[n] : 1.0f, x_scale = x.scale ? x.scale[t] : 1.0f;
        if (!c.real || c.type == LINEAR_W8A8) { /* sums are integers below 2^24, or int32 */
            float v = (float)(int32_t)sum * w_scale * x_scale;
            if (w.bias) v += w.bias[n];
            const float got = at(t, n);
            return memcmp(&v, &got, 4) == 0;
        }
        double v = sum * w_scale;
        if (w.bias) v += w.bias[n];
        const double limit = (c.K + 8) * ldexp(size * w_scale + fabs(v), -24);
        return fabs(at(t, n) - v) <= limit;
    }

    void fail(const char *what, int t, int n) const
    {
        if (failures++ > 20) return;
        printf(
            "FAIL %s T %d N %d K %d bias %d real %d offset %d wide %d tile %dx%d: %s [%d,%d] %g\n",
            type_names[c.type], c.T, c.N, c.K, c.bias, c.real, c.offset, c.wide, c.tile_n, c.tile_m,
            what, t, n, at(t, n));
    }

    void check() const
    {
        cases++;
        for (int t = 0; t < c.T; t++)
            for (int n = 0; n < c.N; n++)
                if (!right(t, n)) return fail("wrong", t, n);
        for (int i = 0; i < c.offset; i++)
            if (out_base[i] != -12345.0f) return fail("written in front", 0, 0);
        for (int t = 0; t + 1 < c.T; t++)
            for (int n = c.N; n < out.ld; n++)
                if (at(t, n) != -12345.0f) return fail("written between", t, n);
    }
};

void run_case(const test_case &c)
{
    const product p(c);
    p.run();
    p.check();
}

/* --- the sets --- */

const int shapes[][2] = {{1, 1},   {17, 33}, {40, 80},  {33, 77},  {16, 16},
                         {95, 64}, {8, 258}, {130, 48}, {60, 300}, {36, 160}};

void every_row_count(bool quick)
{
    for (int T = 1; T <= 64; T += quick ? 7 : 1) {
        for (enum linear_type type : all_types) {
            for (int i = 0; i < 3; i++) {
                const int *s = shapes[(T + 3 * i) % (int)std::size(shapes)];
                test_case c = {};
                c.type = type;
                c.T = T;
                c.N = s[0];
                c.K = s[1];
                c.bias = (T + i) % 2;
                c.real = i == 2;
                c.offset = i == 1 ? 1 + T % 3 : 0;
                c.wide = (T / 2 + i) % 2;
                run_case(c);
            }
        }
    }
}

/* Every shape with few rows: K across the turns of the warps. */
void few_rows(bool quick)
{
    for (enum linear_type type : all_types)
        for (int T : {1, 3, 8})
            for (int K : {1, 15, 16, 17, 64, 127, 128, 1024, 1040, 4112})
                for (int N : {1, 15, 16, 18, 165}) /* of 165: blocks of 32, 4 multiprocessors */
                    for (int offset = 0; offset < 2; offset++) {
                        if (quick && (K > 200 || T == 3)) continue;
                        test_case c = {};
                        c.type = type;
                        c.T = T;
                        c.N = N;
                        c.K = K;
                        c.bias = N % 2;
                        c.offset = offset;
                        c.wide = N == 15;
                        run_case(c);
                    }
}

void every_tile(bool quick)
{
    static const int tiles[][2] = {{32, 16}, {32, 32},  {32, 64},  {64, 16},  {64, 32},
                                   {64, 64}, {128, 16}, {128, 32}, {128, 64}, {128, 128}};
    for (enum linear_type type : {LINEAR_BF16, LINEAR_F16, LINEAR_W8A8, LINEAR_W8A16}) {
        for (const auto &tile : tiles) {
            for (int i = 0; i < (quick ? 2 : 6); i++) {
                const int n[] = {tile[0], tile[0] + 1, 1, 2 * tile[0] - 1, 30, tile[0] - 9};
                const int m[] = {tile[1] + 1, tile[1], 9, 1, 2 * tile[1] - 3, 7};
                const int k[] = {77, 64, 1, 129, 650, 1250};
                test_case c = {};
                c.type = type;
                c.T = m[i];
                c.N = n[i];
                c.K = k[i];
                c.bias = i % 2;
                c.real = i == 3;
                c.wide = i % 2;
                c.tile_n = tile[0];
                c.tile_m = tile[1];
                run_case(c);
            }
        }
    }
}

/* More rows than tiles are for: the library, or tiles where it has no plan (int8, N % 4 != 0). */
void many_rows()
{
    for (enum linear_type type : all_types)
        for (int T : {65, 100, 129, 331})
            for (int N : {60, 33}) {
                test_case c = {};
                c.type = type;
                c.T = T;
                c.N = N;
                c.K = 45;
                c.bias = T % 2;
                c.offset = T == 100;
                c.wide = T == 129;
                run_case(c);
            }
}

/* Scratch of 24 rows of f32: 24 rows (48 in 16 bits) a call. */
void pieces()
{
    struct error err;
    struct linear_state *whole = cb.linear;
    const struct backend_limits limits = cb.limits;
    cb.limits.max_tokens = 24;
    cb.limits.max_cols = 40;
    cb.limits.vocab_size = 40;
    if (cuda_linear_reserve(&cb, &err) != STATUS_OK) exit(1);
    for (enum linear_type type : all_types)
        for (int T : {9, 24, 25, 60, 97, 203}) {
            test_case c = {};
            c.type = type;
            c.T = T;
            c.N = 44;
            c.K = 40;
            c.bias = true;
            c.offset = 1;
            run_case(c);
        }
    cuda_linear_release(&cb);
    cb.linear = whole;
    cb.limits = limits;
}

/* A row's bits are the same whatever its neighbours: the same kernel with fewer rows. */
void same_bits()
{
    for (enum linear_type type : all_types) {
        for (int tile_m : {0, 16, 64}) {
            if (type == LINEAR_F32 && tile_m) continue;
            test_case c = {};
            c.type = type;
            c.T = tile_m ? tile_m : LINEAR_GEMV_ROWS;
            c.N = tile_m ? 37 : 140; /* with few rows blocks of 16 outputs, else of 32 */
            c.K = 333;
            c.real = true;
            c.tile_n = tile_m ? 32 : 0;
            c.tile_m = tile_m;
            product all(c);
            all.run();
            std::vector<float> kept((const float *)all.out.data,
                                    (const float *)all.out.data + (size_t)c.T * c.N);
            for (int T = 1; T < c.T; T += tile_m ? 5 : 1) {
                all.c.T = all.x.rows = all.out.rows = T;
                memset(all.out.data, 0, (size_t)T * c.N * sizeof(float));
                all.run();
                cases++;
                if (memcmp(all.out.data, kept.data(), (size_t)T * c.N * sizeof(float)) != 0)
                    all.fail("other bits with fewer rows", T, 0);
            }
        }
    }
}

/* A captured product reads what lies in its buffers when it is replayed. */
void replay()
{
    for (enum linear_type type : all_types) {
        for (int T : {3, 40, 80}) {
            test_case c = {};
            c.type = type;
            c.T = T;
            c.N = 36;
            c.K = 50;
            product p(c);
            p.run(); /* plans are made outside of captures */
            struct device_graph *graph;
            struct error err;
            if (device_capture_begin(cb.device, &err) != STATUS_OK) exit(1);
            cuda_linear(&cb.base, p.out, p.x, &p.w);
            if (device_capture_end(cb.device, &graph, &err) != STATUS_OK) exit(1);
            p.fill_inputs();
            device_graph_launch(cb.device, graph);
            product::wait();
            p.check();
            device_graph_free(cb.device, graph);
        }
    }
}

/* --- the plan --- */

void expect(bool ok, const char *what)
{
    cases++;
    if (ok) return;
    failures++;
    printf("FAIL %s\n", what);
}

void plans()
{
    struct linear_shape s = {LINEAR_W8A8,        8,    4096, 4096, true, true, 132, LINEAR_SCRATCH,
                             LINEAR_SCRATCH / 4, false};
    expect(linear_choose(&s).path == LINEAR_GEMV && linear_choose(&s).tile_n == 16,
           "8 int8 rows are for the GEMV, 16 outputs a block");
    s.rows = 9;
    expect(linear_choose(&s).path == LINEAR_TILE && linear_choose(&s).tile_n == 64 &&
               linear_choose(&s).tile_m == 16,
           "9 rows of 4096 outputs: 64 tiles of 64 x 16, 128 of 32 x 16 read more");
    s.rows = 64;
    s.n = 28672;
    expect(linear_choose(&s).tile_n == 128 && linear_choose(&s).tile_m == 64,
           "64 rows of 28672 outputs: tiles of 128 x 64");
    s.rows = 65;
    expect(linear_choose(&s).path == LINEAR_BLAS, "65 rows are for the library");
    s.rows = 2048;
    expect(linear_choose(&s).rows_per_call == 512, "sums of 512 rows fit");
    s.blas = false;
    expect(linear_choose(&s).path == LINEAR_TILE && linear_choose(&s).tile_m == 128 &&
               linear_choose(&s).rows_per_call == 2048,
           "without the library: tiles of 128 x 128");
    s.type = LINEAR_W8A16;
    s.blas = true;
    expect(linear_choose(&s).path == LINEAR_TILE && linear_choose(&s).k == 4096,
           "the library has no mixed types");
    s.type = LINEAR_BF16;
    s.k = 4097;
    expect(linear_choose(&s).k == 4104 && linear_choose(&s).form == LINEAR_ROWS_BF16,
           "rounded rows are filled up to 16 bytes");
    const struct linear_shape one = {
        LINEAR_BF16, 1, 28672, 4096, true, true, 132, LINEAR_SCRATCH, LINEAR_SCRATCH / 4, false};
    const struct linear_cost c = linear_estimate(&one, &linear_rates_h200);
    expect(c.flops == 2.0 * 28672 * 4096 && c.bytes == 28672.0 * (2 * 4096 + 4) + 4 * 4096 &&
               fabs(c.ns - 54652.0) < 100.0,
           "gate|up of one row: 235 MB in 54.7 us");
}

void print_line(void *, const char *line)
{
    puts(line);
}

} // namespace

int main(int argc, char **argv)
{
    const std::string schedule = argc > 1 ? argv[1] : "f";
    if (schedule == "plan") {
        linear_print_plan(print_line, nullptr);
        return 0;
    }
    const bool quick = argc > 2;
#ifdef INFERD_HOST_SHIM
    const auto order = schedule == "f" ? ih::FORWARD : schedule == "r" ? ih::REVERSE : ih::RANDOM;
    ih::set_schedule(order, (uint64_t)atoi(schedule.c_str()));
#endif
    struct error err;
    if (device_open(&cb.device, 0, &err) != STATUS_OK) {
        printf("FAIL %s\n", err.message);
        return 1;
    }
    device_set_overlap(cb.device, true);
    cb.limits.max_tokens = 512;
    cb.limits.max_cols = 4200;
    cb.limits.vocab_size = 100;
    if (cuda_linear_reserve(&cb, &err) != STATUS_OK) {
        printf("FAIL %s\n", err.message);
        return 1;
    }
    plans();
    every_row_count(quick);
    few_rows(quick);
    every_tile(quick);
    same_bits();
    replay();
    pieces();
    many_rows();
#ifdef INFERD_HOST_SHIM
    expect(ih::n_ldsm_rows > 0 && ih::n_ldsm_extra == 0, "no ldmatrix meets a bank twice");
#endif
    if (cuda_linear_check(&cb, &err) != STATUS_OK) {
        failures++;
        printf("FAIL %s\n", err.message);
    }
    cuda_linear_release(&cb);
    device_close(cb.device);
    printf("%d cases passed, %d failed\n", cases - failures, failures);
    return failures != 0;
}
