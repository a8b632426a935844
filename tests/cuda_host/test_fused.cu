/* Fused forms of the GPU backend give the bits of their parts (which optest compares with float64), and
 * a captured decode step takes the launches that docs/gpu.md says, and writes nothing that is not its
 * own: through the backend's table, as the engine does.
 *
 *   test_fused [f | r | SEED] [quick]   schedule; without one: several */
#include "tests/cuda_host/host_test.h"

#include <algorithm>
#include <string>

extern "C" {
#include "cuda/cuda.h"
#include "engine/model.h"
#include "engine/ops.h"
}

namespace
{

const unsigned char CANARY = 0x5a;

float random_real()
{
    return (float)((int)(test_draw() % 20001) - 10000) / 8192.0f;
}

struct backend *open_backend(const backend_limits &l, const rope_params &rope)
{
    struct backend *be = nullptr;
    struct error err = {};
    plugin_options o = {};
    o.host_addressable = true;
    if (cuda_backend_open(&be, &o, &err) != STATUS_OK ||
        be->ops->reserve(be, &l, &rope, &err) != STATUS_OK) {
        printf("%s\n0 passed, 1 failed\n", err.message);
        exit(1);
    }
    return be;
}

void settle(struct backend *be)
{
    struct error err = {};
    if (be->ops->wait(be, &err) == STATUS_OK) return;
    printf("%s\n0 passed, 1 failed\n", err.message);
    exit(1);
}

size_t size_of(const tensor &t)
{
    return (size_t)t.rows * (size_t)t.ld * dtype_size(t.dtype);
}

/* A buffer of rows + 1 rows, of which the view lacks the last; every byte the canary. */
tensor make_rows(struct backend *be, enum dtype dtype, int rows, int cols)
{
    tensor t = {};
    struct error err = {};
    if (be->ops->tensor_alloc(be, dtype, rows + 1, cols, &t, &err) != STATUS_OK) abort();
    memset(t.data, CANARY, size_of(t));
    if (t.scale) memset(t.scale, CANARY, (size_t)t.rows * sizeof(float));
    t.rows = rows;
    return t;
}

bool same_rows(const tensor &a, const tensor &b) /* and the row behind them */
{
    const size_t scales = ((size_t)a.rows + 1) * sizeof(float);
    tensor all = a;
    all.rows++;
    return memcmp(a.data, b.data, size_of(all)) == 0 &&
           (!a.scale || memcmp(a.scale, b.scale, scales) == 0);
}

void fill(const tensor &t)
{
    for (int r = 0; r < t.rows; r++) {
        for (int c = 0; c < t.cols; c++) {
            const size_t at = (size_t)r * t.ld + c;
            if (t.dtype == DT_F32) static_cast<float *>(t.data)[at] = random_real();
            if (t.dtype == DT_BF16)
                static_cast<bf16 *>(t.data)[at] = __float2bfloat16_rn(random_real());
            if (t.dtype == DT_F16) static_cast<f16 *>(t.data)[at] = __float2half_rn(random_real());
            if (t.dtype == DT_I8)
                static_cast<int8_t *>(t.data)[at] = (int8_t)((int)(test_draw() % 255) - 127);
        }
        if (t.scale) t.scale[r] = 0.001f + 0.01f * fabsf(random_real());
    }
}

/* Columns [first, first + n) of a row-major f32 buffer. */
tensor columns(tensor t, int first, int n)
{
    t.data = static_cast<float *>(t.data) + first;
    t.cols = n;
    return t;
}

/* bf16 or f16 as stored; int8 of bf16. */
struct weight *make_weight(struct backend *be, enum weight_kind kind, int n, int k,
                           enum dtype dtype, bool bias)
{
    std::vector<uint16_t> data((size_t)n * k), bias_data((size_t)n);
    const auto draw = [&] {
        const float x = random_real();
        return dtype == DT_F16 ? __half_as_ushort(__float2half_rn(x))
                               : __bfloat16_as_ushort(__float2bfloat16_rn(x));
    };
    for (auto &v : data) v = draw();
    for (auto &v : bias_data) v = draw();
    weight_source src = {}, b = {};
    src.n_parts = b.n_parts = 1;
    src.parts[0].data = data.data();
    src.parts[0].rows = n;
    src.cols = k;
    src.dtype = b.dtype = dtype == DT_F16 ? DT_F16 : DT_BF16;
    src.kind = kind;
    src.quant = dtype == DT_I8 ? QUANT_INT8 : QUANT_NONE;
    b.parts[0].data = bias_data.data();
    b.parts[0].rows = 1;
    b.cols = n;
    b.kind = WEIGHT_VECTOR;
    src.bias = bias ? &b : nullptr;
    struct weight *w = nullptr;
    struct error err = {};
    if (be->ops->weight_prepare(be, &src, &w, &err) != STATUS_OK) {
        printf("%s\n0 passed, 1 failed\n", err.message);
        exit(1);
    }
    return w;
}

backend_limits limits_of(int max_tokens, int max_cols)
{
    backend_limits l = {};
    l.max_tokens = l.max_samples = max_tokens;
    l.max_seqs = 64;
    l.max_blocks_per_seq = 4;
    l.n_blocks = 2 + max_tokens / 16 + 64;
    l.block_size = 16;
    l.n_layers = 2;
    l.n_heads = l.n_kv_heads = 1;
    l.head_dim = 8;
    l.max_cols = max_cols;
    l.vocab_size = 64;
    l.kv_dtype = DT_F32;
    return l;
}

rope_params rope_of(int dim)
{
    rope_params r = {};
    r.type = ROPE_DEFAULT;
    r.dim = dim;
    r.theta = 10000;
    return r;
}

const enum dtype weight_types[] = {DT_BF16, DT_F16, DT_I8};

/* --- gate|up --- */

void run_silu(struct backend *be, enum dtype type, int T, int F, int K, enum dtype out_type,
              bool f32_rows)
{
    struct weight *w = make_weight(be, WEIGHT_LINEAR, 2 * F, K, type, F % 2);
    const enum dtype wanted = be->ops->activation_dtype(be, w);
    EXPECT(wanted == type, "what the linear reads: %d, %d", wanted, type);
    const tensor x = make_rows(be, f32_rows ? DT_F32 : wanted, T, K);
    const tensor room = make_rows(be, DT_F32, T, 2 * F), other = make_rows(be, DT_F32, T, 2 * F);
    const tensor fused = make_rows(be, out_type, T, F), parts = make_rows(be, out_type, T, F);
    for (int turn = 0; turn < 2; turn++) { /* counters begin anew */
        fill(x);
        op_linear_silu_mul(be, fused, room, x, w);
        be->ops->linear(be, other, x, w);
        be->ops->silu_mul_quant(be, parts, other);
        settle(be);
        EXPECT(same_rows(fused, parts), "silu of type %d to %d, f32 rows %d: T %d F %d K %d", type,
               out_type, f32_rows, T, F, K);
    }
    be->ops->weight_free(be, w);
}

void test_silu(bool quick)
{
    static const int widths[] = {1, 15, 16, 33, 100, 2100};
    struct backend *be = open_backend(limits_of(128, 4300), rope_of(8));
    int i = 0;
    for (enum dtype type : weight_types)
        for (int T : {1, 3, 8, 9, 17, 40, 64, 65})
            for (int F : widths) {
                i++;
                if (F > 1000 ? i % 7 != 0 : quick && i % 5 != 0) continue;
                const enum dtype narrow = type == DT_I8 ? DT_I8 : type;
                run_silu(be, type, T, F, i % 3 ? 48 : 131, i % 4 ? narrow : DT_F32,
                         type != DT_I8 && i % 3 == 1);
            }
    be->ops->close(be);
}

/* --- q|k|v --- */

struct heads_case {
    int E, H, G;
    enum dtype kv;
    bool norms;
};

void upload_rows(struct backend *be, int T)
{
    std::vector<int32_t> zeros(T), positions(T), slots(T);
    for (int t = 0; t < T; t++) {
        slots[t] = (t * 7) % (16 * (1 + T / 16 + 1)); /* 7 is prime to 16 k: all different */
        positions[t] = t % 3 == 2 ? 5000 + t : t;     /* beyond the table, too */
    }
    std::vector<bool> used(1000);
    for (int t = 0; t < T; t++) {
        while (used[slots[t]]) slots[t]++;
        used[slots[t]] = true;
    }
    step s = {};
    s.n_tokens = T;
    s.token_ids = zeros.data();
    s.positions = positions.data();
    s.slots = slots.data();
    s.rope_len = positions.data();
    be->ops->step_upload(be, &s);
}

size_t cache_size(const cuda_backend *cb)
{
    return 2 * (size_t)cb->limits.n_blocks * (cb->kv_block_size + cb->kv_scale_size);
}

void run_heads(const heads_case &c, enum dtype type, int T)
{
    const int q = c.H * c.E, kv = c.G * c.E, K = 40;
    backend_limits l = limits_of(80, q + 2 * kv);
    l.n_heads = c.H;
    l.n_kv_heads = c.G;
    l.head_dim = c.E;
    l.kv_dtype = c.kv;
    struct backend *be = open_backend(l, rope_of(c.E));
    const cuda_backend *cb = cuda_of(be);
    struct weight *w = make_weight(be, WEIGHT_LINEAR, q + 2 * kv, K, type, c.norms);
    head_norms n = {nullptr, nullptr, 1e-5f};
    if (c.norms) {
        n.q = make_weight(be, WEIGHT_VECTOR, 1, c.E, DT_BF16, false);
        n.k = make_weight(be, WEIGHT_VECTOR, 1, c.E, DT_BF16, false);
    }
    const tensor x = make_rows(be, type, T, K);
    tensor out[3];
    for (tensor &t : out) t = make_rows(be, DT_F32, T, q + 2 * kv);
    const attn_shape s = {c.H, c.G, c.E, 1.0f, 0};
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < 2; i++) memset(cb->layers[i].k, CANARY, cache_size(cb));
        fill(x);
        upload_rows(be, T);
        op_linear_qkv(be, out[0], x, w, &cb->layers[0], s, n);
        for (int i = 1; i < 3; i++) be->ops->linear(be, out[i], x, w);
        if (c.norms) {
            be->ops->head_norm(be, columns(out[1], 0, q), c.H, n.q, n.eps);
            be->ops->head_norm(be, columns(out[1], q, kv), c.G, n.k, n.eps);
        }
        be->ops->rope(be, columns(out[1], 0, q), columns(out[1], q, kv), s);
        be->ops->kv_write(be, &cb->layers[1], columns(out[1], q, kv), columns(out[1], q + kv, kv));
        settle(be);
        EXPECT(same_rows(out[0], out[1]), "q|k|v of type %d: E %d T %d, cache %d, norms %d", type,
               c.E, T, c.kv, c.norms);
        EXPECT(memcmp(cb->layers[0].k, cb->layers[1].k, cache_size(cb)) == 0,
               "the cache behind q|k|v of type %d: E %d T %d, cache %d", type, c.E, T, c.kv);
        memset(cb->layers[0].k, CANARY, cache_size(cb));
        op_norm_rope_kv_write(be, columns(out[2], 0, q), columns(out[2], q, kv),
                              columns(out[2], q + kv, kv), &cb->layers[0], s, n);
        settle(be);
        EXPECT(same_rows(out[2], out[1]) &&
                   memcmp(cb->layers[0].k, cb->layers[1].k, cache_size(cb)) == 0,
               "norm, rotation and cache: E %d T %d, cache %d, norms %d", c.E, T, c.kv, c.norms);
    }
    for (const struct weight *used : {(const struct weight *)w, n.q, n.k})
        be->ops->weight_free(be, const_cast<struct weight *>(used));
    be->ops->close(be);
}

void test_heads(bool quick)
{
    static const heads_case cases[] = {{64, 4, 2, DT_BF16, true},
                                       {80, 3, 1, DT_I8, true},
                                       {8, 4, 4, DT_F32, false},
                                       {128, 2, 1, DT_BF16, false},
                                       {24, 1, 1, DT_I8, false}};
    int i = 0;
    for (enum dtype type : weight_types)
        for (int T : {1, 5, 8, 13, 33, 64, 70})
            for (const heads_case &c : cases)
                if (i++ % (quick ? 7 : 2) == 0) run_heads(c, type, T);
}

/* --- attention in the form that o reads --- */

void run_attention(int E, int H, int G, enum dtype kv, const std::vector<int> &rows,
                   const std::vector<int> &lens)
{
    int T = 0, used = 1, longest = 1;
    std::vector<int32_t> q_start(1, 0), kv_len, slots, zeros, table;
    for (size_t i = 0; i < rows.size(); i++) {
        T += rows[i];
        q_start.push_back(T);
        kv_len.push_back(lens[i]);
        longest = std::max(longest, lens[i]);
    }
    backend_limits l = limits_of(std::max(T, 100), H * E + 2 * G * E);
    l.n_heads = H;
    l.n_kv_heads = G;
    l.head_dim = E;
    l.kv_dtype = kv;
    l.max_blocks_per_seq = (longest + 15) / 16;
    l.n_blocks = 1 + (int)rows.size() * l.max_blocks_per_seq;
    struct backend *be = open_backend(l, rope_of(E));
    const cuda_backend *cb = cuda_of(be);
    for (size_t i = 0; i < rows.size(); i++)
        for (int b = 0; b < l.max_blocks_per_seq; b++) table.push_back(used++);
    zeros.resize(T);
    char *cache = static_cast<char *>(cb->layers[0].k);
    const size_t values = 2 * (size_t)l.n_blocks * cb->kv_block_size;
    for (size_t i = 0; i < values / dtype_size(kv); i++) {
        if (kv == DT_F32) reinterpret_cast<float *>(cache)[i] = random_real();
        if (kv == DT_BF16) reinterpret_cast<bf16 *>(cache)[i] = __float2bfloat16_rn(random_real());
        if (kv == DT_I8) cache[i] = (char)((int)(test_draw() % 255) - 127);
    }
    for (size_t i = 0; i < (cache_size(cb) - values) / 4; i++)
        reinterpret_cast<float *>(cache + values)[i] = 0.01f * (1.5f + random_real());
    step s = {};
    s.n_tokens = T;
    s.n_seqs = (int)rows.size();
    s.token_ids = s.positions = s.slots = s.rope_len = zeros.data();
    s.q_start = q_start.data();
    s.kv_len = kv_len.data();
    s.block_tables = table.data();
    s.block_table_ld = l.max_blocks_per_seq;
    be->ops->step_upload(be, &s);
    const attn_shape shape = {H, G, E, 0.2f, 0};
    const tensor q = make_rows(be, DT_F32, T, H * E), wide = make_rows(be, DT_F32, T, H * E);
    fill(q);
    op_attention(be, wide, q, &cb->layers[0], shape);
    for (enum dtype type : {DT_I8, DT_BF16, DT_F16, DT_I8}) {
        const tensor out = make_rows(be, type, T, H * E), want = make_rows(be, type, T, H * E);
        op_attention(be, out, q, &cb->layers[0], shape);
        settle(be);
        if (type == DT_I8) be->ops->quantize(be, want, wide);
        settle(be);
        for (int t = 0; t < T && type != DT_I8; t++)
            for (int i = 0; i < H * E; i++) {
                const float x = static_cast<const float *>(wide.data)[(size_t)t * wide.ld + i];
                static_cast<uint16_t *>(want.data)[(size_t)t * want.ld + i] =
                    type == DT_BF16 ? __bfloat16_as_ushort(__float2bfloat16_rn(x))
                                    : __half_as_ushort(__float2half_rn(x));
            }
        EXPECT(same_rows(out, want), "attention to type %d: E %d heads %d/%d cache %d, %d rows",
               type, E, H, G, kv, T);
    }
    be->ops->close(be);
}

void test_attention_out(bool quick)
{
    run_attention(64, 4, 2, DT_BF16, {1, 1, 3, 1}, {1, 700, 40, 257});
    run_attention(128, 8, 2, DT_I8, {20, 1, 1}, {30, 513, 9}); /* a tile, and units */
    if (quick) return;
    run_attention(64, 6, 1, DT_BF16, {5, 2}, {600, 300}); /* tokens that two units share */
    run_attention(24, 3, 1, DT_F32, {1, 7}, {520, 100});
    run_attention(80, 4, 4, DT_BF16, {64}, {300});
    run_attention(64, 2, 1, DT_BF16, {65, 5}, {65, 400}); /* a prompt: quantised behind it */
}

/* --- whole steps --- */

struct small_model {
    model_config config;
    model_weights weights;
    std::vector<layer_weights> layers;
    struct model model;
    struct backend *be;
};

enum { MAX_ROWS = 64, LONG = 40 };

struct weight *small_weight(small_model &m, enum quant_scheme quant, int n, int k)
{
    return make_weight(m.be, WEIGHT_LINEAR, n, k, quant == QUANT_INT8 ? DT_I8 : DT_BF16, false);
}

struct weight *small_gain(small_model &m, int n)
{
    return make_weight(m.be, WEIGHT_VECTOR, 1, n, DT_BF16, false);
}

enum { D = 48, H = 2, E = 64, F = 80, V = 40 };

void make_weights(small_model &m, enum quant_scheme quant, bool head_norms)
{
    m.weights.embed = make_weight(m.be, WEIGHT_EMBED, V, D, DT_BF16, false);
    m.weights.final_norm = small_gain(m, D);
    m.weights.lm_head = small_weight(m, quant, V, D);
    for (layer_weights &l : m.layers) {
        l.attn_norm = small_gain(m, D);
        l.ffn_norm = small_gain(m, D);
        l.wqkv = small_weight(m, quant, (H + 2) * E, D);
        l.wo = small_weight(m, quant, D, H * E);
        l.w_gate_up = small_weight(m, quant, 2 * F, D);
        l.w_down = small_weight(m, quant, D, F);
        l.q_norm = head_norms ? small_gain(m, E) : nullptr;
        l.k_norm = head_norms ? small_gain(m, E) : nullptr;
    }
    m.weights.layers = m.layers.data();
}

void open_model(small_model &m, enum quant_scheme quant, int n_layers, bool head_norms)
{
    struct error err = {};
    plugin_options o = {};
    o.host_addressable = true;
    m.layers.resize(n_layers);
    m.config.d_model = D;
    m.config.n_layers = n_layers;
    m.config.n_heads = H;
    m.config.n_kv_heads = 1;
    m.config.head_dim = E;
    m.config.d_ffn = F;
    m.config.vocab_size = V;
    m.config.norm_eps = 1e-5f;
    backend_limits l = limits_of(MAX_ROWS, (H + 2) * E);
    l.n_layers = n_layers;
    l.n_heads = H;
    l.head_dim = E;
    l.kv_dtype = DT_BF16;
    l.vocab_size = V;
    l.max_blocks_per_seq = LONG; /* contexts that are split */
    l.n_blocks = MAX_ROWS + LONG + 2;
    l.max_seqs = MAX_ROWS;
    const rope_params rope = rope_of(E);
    enum status s = cuda_backend_open(&m.be, &o, &err);
    if (s == STATUS_OK) make_weights(m, quant, head_norms);
    if (s == STATUS_OK) s = m.be->ops->reserve(m.be, &l, &rope, &err);
    if (s == STATUS_OK) s = model_init(&m.model, m.be, &m.config, &m.weights, &l, &err);
    if (s == STATUS_OK) s = m.be->ops->warm(m.be, model_forward, &m.model, true, &err);
    if (s == STATUS_OK) s = m.be->ops->capture(m.be, model_forward, &m.model, &err);
    if (s == STATUS_OK) return;
    printf("%s\n0 passed, 1 failed\n", err.message);
    exit(1);
}

void close_model(small_model &m)
{
    std::vector<struct weight *> all = {m.weights.embed, m.weights.final_norm, m.weights.lm_head};
    for (const layer_weights &l : m.layers)
        all.insert(all.end(), {l.attn_norm, l.ffn_norm, l.wqkv, l.wo, l.w_gate_up, l.w_down,
                               l.q_norm, l.k_norm});
    for (struct weight *w : all) m.be->ops->weight_free(m.be, w);
    m.be->ops->close(m.be);
}

/* A decode of `rows` sequences: the first far into its context (blocks 1 ..), the others at their first
 * token in a block of their own. */
struct decode_step {
    std::vector<int32_t> ids, positions, slots, q_start, kv_len, tables;
    std::vector<step_sample> samples;
    std::vector<sample_out> results;
    sampling_params params = {};
    step s = {};

    explicit decode_step(int rows)
    {
        params.top_p = params.repetition_penalty = 1;
        params.n_logprobs = -1;
        q_start.push_back(0);
        for (int i = 0; i < rows; i++) {
            const int at = i == 0 ? LONG * 16 - 1 : 0, block = i == 0 ? LONG : LONG + i;
            ids.push_back(3 + i % 30);
            positions.push_back(at);
            slots.push_back(block * 16 + at % 16);
            q_start.push_back(i + 1);
            kv_len.push_back(at + 1);
            for (int b = 0; b < LONG; b++) tables.push_back(i == 0 ? 1 + b : block);
            step_sample sample = {};
            sample.row = i;
            sample.target = -1;
            sample.params = &params;
            samples.push_back(sample);
        }
        results.resize(rows);
        s.n_tokens = s.n_seqs = s.n_samples = rows;
        s.token_ids = ids.data();
        s.positions = positions.data();
        s.slots = slots.data();
        s.rope_len = kv_len.data();
        s.q_start = q_start.data();
        s.kv_len = kv_len.data();
        s.block_tables = tables.data();
        s.block_table_ld = LONG;
        s.samples = samples.data();
    }
};

struct step_cost {
    int launches, others; /* kernels; copies and zeros */
    int early;            /* kernels that began while one ahead of them ran */
};

step_cost run_step(small_model &m, decode_step &d)
{
    struct error err = {};
    m.be->ops->step_upload(m.be, &d.s);
    const step_dims dims = {d.s.n_tokens, d.s.n_samples};
    step_cost c = {};
#ifdef INFERD_HOST_SHIM
    const uint64_t launches = ih::n_launches, others = ih::n_transfers, early = ih::n_early;
#endif
    EXPECT(m.be->ops->run(m.be, &dims, model_forward, &m.model, &err) == STATUS_OK, "run");
#ifdef INFERD_HOST_SHIM
    c = {(int)(ih::n_launches - launches), (int)(ih::n_transfers - others),
         (int)(ih::n_early - early)};
#endif
    step_result result = {};
    result.samples = d.results.data();
    EXPECT(m.be->ops->step_download(m.be, &result, &err) == STATUS_OK, "%s", err.message);
    return c;
}

/* What docs/gpu.md says of a layer. */
constexpr int LAYER_LAUNCHES = 7;
/* The drawn ids, on their way to the host behind the last kernel. */
[[maybe_unused]] constexpr int STEP_COPIES = 1;

#ifdef INFERD_HOST_SHIM
void test_launches(enum quant_scheme quant, bool head_norms)
{
    small_model one = {}, two = {};
    open_model(one, quant, 1, head_norms);
    open_model(two, quant, 2, head_norms);
    for (int rows : {1, 2, 3, 8, 9, 16, 30, 64}) {
        decode_step d(rows);
        const step_cost a = run_step(one, d), b = run_step(two, d);
        EXPECT(
            b.launches - a.launches == LAYER_LAUNCHES && a.others == STEP_COPIES &&
                b.others == STEP_COPIES,
            "a layer of scheme %d, q/k norms %d, %d rows: %d launches; a step: %d copies and zeros",
            quant, head_norms, rows, b.launches - a.launches, b.others);
        EXPECT(b.early == b.launches - 1, "%d rows: %d of %d kernels let the next one begin early",
               rows, b.early, b.launches);
    }
    close_model(one);
    close_model(two);
}
#endif

/* Rows that only fill a bucket write nowhere; the others each into their own slot. */
void test_padding(enum quant_scheme quant)
{
    small_model m = {};
    open_model(m, quant, 2, true);
    const cuda_backend *cb = cuda_of(m.be);
    for (int rows : {3, 5, 9, 60}) {
        decode_step d(rows);
        for (int i = 0; i < 2; i++) memset(cb->layers[i].k, CANARY, cache_size(cb));
        run_step(m, d);
        const size_t row = 64 * sizeof(bf16), pool = (size_t)cb->limits.n_blocks * 16;
        std::vector<bool> own(pool);
        for (int32_t slot : d.slots) own[slot] = true;
        for (int i = 0; i < 4; i++) {
            const char *p =
                static_cast<const char *>(i % 2 ? cb->layers[i / 2].v : cb->layers[i / 2].k);
            const std::vector<char> blank(row, (char)CANARY);
            int missing = 0, stray = 0;
            for (size_t slot = 0; slot < pool; slot++) {
                const bool written = memcmp(p + slot * row, blank.data(), row) != 0;
                missing += !written && own[slot];
                stray += written && !own[slot];
            }
            EXPECT(missing == 0 && stray == 0,
                   "%d rows: %d slots are not written, %d of others are", rows, missing, stray);
        }
    }
    close_model(m);
}

/* The first n rows of logits of a step, and their tokens; what reads an activation before it is made finds
 * NaN. */
std::vector<char> outcome_of(small_model &m, decode_step &d, int n)
{
    const struct model &o = m.model;
    for (const tensor &t : {o.residual, o.normed, o.normed_quant, o.delta, o.qkv, o.mix, o.gate_up,
                            o.act, o.last, o.last_quant, o.logits})
        if (t.data) memset(t.data, 0xff, size_of(t));
    for (int i = 0; i < 2; i++) memset(cuda_of(m.be)->layers[i].k, 0, cache_size(cuda_of(m.be)));
    run_step(m, d);
    const char *p = static_cast<const char *>(o.logits.data);
    std::vector<char> all(p, p + (size_t)n * o.logits.ld * sizeof(float));
    for (int i = 0; i < n; i++) all.push_back((char)d.results[i].token);
    return all;
}

/* A step's rows are the same captured, launched one by one (a step of other sizes is), and by kernels
 * none of which begins before the one ahead has ended. */
void test_captured(enum quant_scheme quant, int rows, bool head_norms)
{
    small_model m = {};
    open_model(m, quant, 2, head_norms);
    decode_step d(rows);
    const int n = rows - 1;
    const std::vector<char> captured = outcome_of(m, d, n);
    d.s.n_samples = n; /* not all rows: no graph is for that */
    const std::vector<char> launched = outcome_of(m, d, n);
    device_set_overlap(cuda_of(m.be)->device, false);
    const std::vector<char> one_by_one = outcome_of(m, d, n);
    EXPECT(captured == launched, "captured and launched, scheme %d, %d rows", quant, rows);
    EXPECT(launched == one_by_one, "overlapped and one by one, scheme %d, %d rows", quant, rows);
    close_model(m);
}

void choose_schedule(const std::string &s)
{
#ifdef INFERD_HOST_SHIM
    ih::set_schedule(s[0] == 'f'   ? ih::FORWARD
                     : s[0] == 'r' ? ih::REVERSE
                                   : ih::RANDOM,
                     strtoull(s.c_str(), nullptr, 10));
#endif
    (void)s;
}

void run_all(bool quick)
{
    test_silu(quick);
    test_heads(quick);
    test_attention_out(quick);
}

} // namespace

int main(int argc, char **argv)
{
    const bool quick = argc > 1 && !strcmp(argv[argc - 1], "quick");
    std::vector<std::string> schedules = {"f", "r", "1"};
    if (argc - quick > 1) schedules = {argv[1]};
    for (const std::string &s : schedules) {
        choose_schedule(s);
        run_all(quick || s != schedules[0]);
    }
    for (enum quant_scheme quant : {QUANT_NONE, QUANT_INT8}) {
#ifdef INFERD_HOST_SHIM
        choose_schedule("f"); /* all kernels that can begin early do */
        test_launches(quant, quant == QUANT_NONE);
        choose_schedule(schedules.back());
#endif
        test_padding(quant);
        for (int rows : {2, 11, 40}) test_captured(quant, rows, rows == 11);
    }
    return test_result();
}
