/* Paged attention of the GPU backend, through its entries, against float64; and that a row's bits
 * depend on nothing but its own keys and query.
 *
 * What should not be read would show: blocks are shuffled, slots behind a sequence's end hold NaN
 * (int8: scales of NaN), unused table entries are absurd, values before every window are huge,
 * and all arrays have their exact size.
 *
 *   test_attention [f | r | SEED] [quick]   schedule; without one: all of them */
#include "cuda/cu.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern "C" {
#include "cuda/attention.h"
}

static uint64_t seed = 1;
static uint32_t rnd()
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return uint32_t(seed >> 33);
}
static float uniform()
{
    return float(int(rnd() % 20001) - 10000) / 10000.0f;
}

static int n_cases, n_failed;
static double largest_error; /* as a part of the allowed one */
static void check(bool ok, const std::string &what)
{
    n_cases++;
    if (ok) return;
    if (n_failed++ < 20) printf("FAIL %s\n", what.c_str());
}

/* --- a case --- */

struct seq {
    int len, n_q; /* tokens in the cache, the last n_q of which are rows */
};

struct layout {
    int E, H, G;
    enum dtype kv;
    int block, window;
    int pad; /* rows that belong to no sequence */
};

static std::string name_of(const layout &c, const std::vector<seq> &seqs)
{
    char s[200];
    snprintf(s, sizeof s, "E %d heads %d/%d %s block %d window %d:", c.E, c.H, c.G,
             dtype_name(c.kv), c.block, c.window);
    std::string name = s;
    for (const seq &q : seqs) name += " " + std::to_string(q.n_q) + "/" + std::to_string(q.len);
    return name;
}

/* Cached keys and values as real numbers, and queries, of one sequence. */
struct content {
    std::vector<float> q;                /* [len][H][E], those of rows that are asked for matter */
    std::vector<float> k, v;             /* [len][G][E] as f32 */
    std::vector<int8_t> k8, v8;          /* int8: the same, */
    std::vector<float> k_scale, v_scale; /* [len][G] and their scales */
};

static float bf16_value(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &u, 4);
    return x;
}

static content make_content(const layout &c, const seq &s)
{
    content d;
    const int n = s.len * c.G * c.E, first = s.len - s.n_q;
    const int unseen = c.window > 0 ? first + 1 - c.window : 0; /* keys before it: by no row */
    for (int i = 0; i < s.len * c.H * c.E; i++) d.q.push_back(3 * uniform());
    for (int i = 0; i < s.len * c.G; i++) {
        d.k_scale.push_back(0.001f + 0.015f * std::fabs(uniform()));
        d.v_scale.push_back(i / c.G < unseen ? 3e4f : 0.001f + 0.015f * std::fabs(uniform()));
    }
    for (int i = 0; i < n; i++) {
        const int at = i / c.E;
        const float far = at / c.G >= 32 * ATTN_SPAN ? 2.0f : 1.0f; /* a new maximum there */
        float k = far * uniform(), v = at / c.G < unseen ? 3e4f : uniform();
        if (c.kv == DT_I8) {
            d.k8.push_back(int8_t(int(rnd() % 255) - 127));
            d.v8.push_back(int8_t(int(rnd() % 255) - 127));
            k = float(d.k8[i]) * d.k_scale[at];
            v = float(d.v8[i]) * d.v_scale[at];
        }
        d.k.push_back(c.kv == DT_BF16 ? bf16_value(k) : k);
        d.v.push_back(c.kv == DT_BF16 ? bf16_value(v) : v);
    }
    return d;
}

/* --- a backend with nothing but attention --- */

struct rig {
    cuda_backend cb;
    layout c;
    kv_layer kv;
    int n_blocks;
    float *q, *out; /* one element behind an aligned address */
    int q_ld, out_ld;
    std::vector<int32_t> q_start, kv_len, tables;
};

template <class T> static T *take(rig &r, size_t n)
{
    void *p = nullptr;
    struct error err;
    if (device_alloc_shared(r.cb.device, &p, n * sizeof(T), "test", &err) != STATUS_OK) abort();
    memset(p, 0xff, n * sizeof(T)); /* NaN, as f32 and as bf16 */
    return static_cast<T *>(p);
}

struct machine {
    int major, minor, n_sms;
};

/* max_rows, max_seqs, max_len: what the largest step has. */
static rig make_rig(const layout &c, const machine &m, int max_rows, int max_seqs, int max_len,
                    int n_blocks)
{
    rig r{};
    struct error err;
    r.c = c;
    if (device_open(&r.cb.device, 0, &err) != STATUS_OK) abort();
    device_set_overlap(r.cb.device, true);
    struct device_info *info = const_cast<struct device_info *>(device_info(r.cb.device));
    info->major = m.major;
    info->minor = m.minor;
    info->n_sms = m.n_sms;
    backend_limits &l = r.cb.limits;
    l.max_tokens = max_rows;
    l.max_seqs = max_seqs;
    l.block_size = c.block;
    l.max_blocks_per_seq = (max_len + c.block - 1) / c.block;
    l.n_blocks = r.n_blocks = n_blocks;
    l.n_kv_heads = c.G;
    l.n_heads = c.H;
    l.head_dim = c.E;
    l.kv_dtype = c.kv;
    r.q_ld = c.H * c.E + 3;
    r.out_ld = c.H * c.E + 5;
    r.q = take<float>(r, size_t(max_rows) * r.q_ld + 1) + 1;
    r.out = take<float>(r, size_t(max_rows) * r.out_ld + 1) + 1;
    const size_t slots = size_t(n_blocks) * c.G * c.block;
    const size_t item = c.kv == DT_F32 ? 4 : c.kv == DT_BF16 ? 2 : 1;
    r.kv.k = take<char>(r, slots * c.E * item);
    r.kv.v = take<char>(r, slots * c.E * item);
    if (c.kv == DT_I8) {
        r.kv.k_scale = take<float>(r, slots);
        r.kv.v_scale = take<float>(r, slots);
    }
    r.cb.at.table_ld = l.max_blocks_per_seq;
    r.cb.at.tables = take<int32_t>(r, size_t(max_seqs) * l.max_blocks_per_seq);
    if (cuda_attention_reserve(&r.cb, &err) != STATUS_OK) abort();
    return r;
}

static void close_rig(rig &r)
{
    cuda_attention_release(&r.cb);
    device_close(r.cb.device);
}

/* Head-token `from` of a sequence to slot `to` of the cache. */
static void store(const rig &r, void *cache, float *scales, size_t to, size_t from,
                  const std::vector<float> &x, const std::vector<int8_t> &x8,
                  const std::vector<float> &scale)
{
    for (size_t e = 0, i = from * r.c.E, at = to * r.c.E; e < size_t(r.c.E); e++, i++, at++) {
        if (r.c.kv == DT_F32) static_cast<float *>(cache)[at] = x[i];
        if (r.c.kv == DT_BF16) static_cast<bf16 *>(cache)[at] = __float2bfloat16_rn(x[i]);
        if (r.c.kv == DT_I8) static_cast<int8_t *>(cache)[at] = x8[i];
    }
    if (r.c.kv == DT_I8) scales[to] = scale[from];
}

/* Rows [from, to) of sequence `id` join the step; its keys up to `to` are in the cache. */
struct part {
    int id, from, to;
};

static void fill_cache(rig &r, const content &d, const int32_t *table, int len)
{
    const layout &c = r.c;
    for (int t = 0; t < len; t++) {
        for (int g = 0; g < c.G; g++) {
            const size_t slot = (size_t(table[t / c.block]) * c.G + g) * c.block + t % c.block;
            const size_t at = size_t(t) * c.G + g;
            store(r, r.kv.k, r.kv.k_scale, slot, at, d.k, d.k8, d.k_scale);
            store(r, r.kv.v, r.kv.v_scale, slot, at, d.v, d.v8, d.v_scale);
        }
    }
}

/* Uploads a step of these parts into an empty cache. */
static int upload(rig &r, const std::vector<content> &data, const std::vector<part> &parts)
{
    const layout &c = r.c;
    const size_t slots = size_t(r.n_blocks) * c.G * c.block;
    memset(r.kv.k, 0xff, slots * c.E * (c.kv == DT_F32 ? 4 : c.kv == DT_BF16 ? 2 : 1));
    memset(r.kv.v, 0xff, slots * c.E * (c.kv == DT_F32 ? 4 : c.kv == DT_BF16 ? 2 : 1));
    for (size_t i = 0; i < slots && c.kv == DT_I8; i++) r.kv.k_scale[i] = r.kv.v_scale[i] = NAN;
    std::vector<int> order(r.n_blocks);
    for (int i = 0; i < r.n_blocks; i++) order[i] = i;
    for (int i = r.n_blocks - 1; i > 0; i--) std::swap(order[i], order[rnd() % (i + 1)]);
    const int ld = r.cb.at.table_ld;
    for (int i = 0; i < r.cb.limits.max_seqs * ld; i++) r.cb.at.tables[i] = 1 << 28;
    r.q_start.assign(1, 0);
    r.kv_len.clear();
    int row = 0, used = 0;
    for (const part &p : parts) {
        int32_t *table = r.cb.at.tables + r.kv_len.size() * ld;
        for (int b = 0; b * c.block < p.to; b++) table[b] = order[used++];
        fill_cache(r, data[p.id], table, p.to);
        for (int t = p.from; t < p.to; t++, row++)
            memcpy(r.q + size_t(row) * r.q_ld, &data[p.id].q[size_t(t) * c.H * c.E],
                   sizeof(float) * c.H * c.E);
        r.q_start.push_back(row);
        r.kv_len.push_back(p.to);
    }
    step s{};
    s.n_tokens = row;
    s.n_seqs = int(parts.size());
    s.q_start = r.q_start.data();
    s.kv_len = r.kv_len.data();
    r.cb.step = s;
    cuda_attention_plan(&r.cb);
    return row;
}

static void attend(rig &r, int rows)
{
    const layout &c = r.c;
    tensor q{}, out{};
    q.data = r.q;
    out.data = r.out;
    q.dtype = out.dtype = DT_F32;
    q.rows = out.rows = rows;
    q.cols = out.cols = c.H * c.E;
    q.ld = r.q_ld;
    out.ld = r.out_ld;
    attn_shape s{};
    s.n_heads = c.H;
    s.n_kv_heads = c.G;
    s.head_dim = c.E;
    s.scale = float(1 / std::sqrt(double(c.E)));
    s.window = c.window;
    cuda_attention(&r.cb.base, out, q, &r.kv, s);
}

static const uint32_t UNTOUCHED = 0xffc0ffeeu;

static void clear_out(rig &r)
{
    const size_t n = size_t(r.cb.limits.max_tokens) * r.out_ld;
    for (size_t i = 0; i < n; i++) memcpy(r.out + i, &UNTOUCHED, 4);
}

/* The rows' results; false where something else was written. */
static bool collect(const rig &r, int rows, std::vector<float> *out)
{
    struct error err;
    if (device_wait(r.cb.device, &err) != STATUS_OK) {
        printf("%s\n", err.message);
        exit(1);
    }
    const int cols = r.c.H * r.c.E;
    for (int t = 0; t < r.cb.limits.max_tokens; t++)
        for (int i = 0; i < r.out_ld; i++) {
            const float *x = r.out + size_t(t) * r.out_ld + i;
            if (t < rows && i < cols)
                out->push_back(*x);
            else if (memcmp(x, &UNTOUCHED, 4) != 0)
                return false;
        }
    return true;
}

/* --- reference --- */

/* Largest error of one head of one row as a part of what rounding allows: with weights and values
 * p, v of sum(p) = 1 that is d sum(p |v|), where d is 2^-8 for weights rounded to bf16 (8 bits), and for f32
 * sums of E and of n terms as many times 2^-24, of a score as large as sum |q k|. */
static double head_error(const layout &c, const content &d, int pos, int h, const float *got)
{
    const int E = c.E, g = h / (c.H / c.G);
    const bool mma = attention_has_mma(E, c.kv);
    const int lo = c.window > 0 ? std::max(0, pos + 1 - c.window) : 0;
    const double scale = double(float(1 / std::sqrt(double(E))));
    std::vector<double> p(pos + 1), o(E, 0.0), size(E, 0.0);
    double top = -1e300, sum = 0, largest = 0;
    for (int j = lo; j <= pos; j++) {
        double s = 0, magnitude = 0;
        for (int e = 0; e < E; e++) {
            const float q = d.q[(size_t(pos) * c.H + h) * E + e];
            const double x =
                double(mma ? bf16_value(q) : q) * double(d.k[(size_t(j) * c.G + g) * E + e]);
            s += x;
            magnitude += std::fabs(x);
        }
        p[j] = s * scale;
        top = std::max(top, p[j]);
        largest = std::max(largest, magnitude * scale);
    }
    for (int j = lo; j <= pos; j++) sum += p[j] = std::exp(p[j] - top);
    for (int j = lo; j <= pos; j++)
        for (int e = 0; e < E; e++) {
            const double v = double(d.v[(size_t(j) * c.G + g) * E + e]);
            o[e] += p[j] / sum * v;
            size[e] += p[j] / sum * std::fabs(v);
        }
    const double f32 = std::ldexp(1.0, -24);
    const double delta =
        (mma ? std::ldexp(1.0, -8) : 0.0) + 2 * f32 * (E * largest + (pos + 1 - lo) + 64);
    double worst = 0;
    for (int e = 0; e < E; e++) {
        const double error = std::fabs(double(got[e]) - o[e]) / (delta * size[e] + 1e-30);
        worst = error <= worst ? worst : error != error ? 1e9 : error; /* NaN is a failure */
    }
    return worst;
}

static void check_errors(const layout &c, const std::vector<content> &data,
                         const std::vector<part> &parts, const std::vector<float> &out,
                         const std::string &what)
{
    const float *got = out.data();
    double worst = 0;
    char where[100] = "";
    for (const part &p : parts)
        for (int t = p.from; t < p.to; t++)
            for (int h = 0; h < c.H; h++, got += c.E) {
                const double error = head_error(c, data[p.id], t, h, got);
                if (error <= worst) continue;
                worst = error;
                snprintf(where, sizeof where,
                         " sequence %d position %d head %d: %.3g of the "
                         "allowed error",
                         p.id, t, h, error);
            }
    check(worst <= 1.0, what + where);
    largest_error = std::max(largest_error, worst);
}

/* --- runs --- */

static std::vector<float> run(const layout &c, const machine &m, const std::vector<content> &data,
                              const std::vector<part> &parts, const std::string &what)
{
    int n_rows = c.pad, len = 1, n_blocks = 1;
    for (const part &p : parts) {
        n_rows += p.to - p.from;
        len = std::max(len, p.to);
        n_blocks += (p.to + c.block - 1) / c.block;
    }
    rig r = make_rig(c, m, n_rows, int(parts.size()), len, n_blocks);
    std::vector<float> out;
    clear_out(r);
    const int rows = upload(r, data, parts);
    attend(r, rows + c.pad);
    check(collect(r, rows, &out), what + ": wrote outside of its rows");
    close_rig(r);
    return out;
}

static const machine machines[] = {{9, 0, 1}, {8, 9, 2}, {9, 0, 132}};

/* All sequences in one step; then each alone and cut in pieces, on other machines: the same bits. */
static void run_case(const layout &c, const std::vector<seq> &seqs, bool alone)
{
    const std::string what = name_of(c, seqs);
    std::vector<content> data;
    std::vector<part> parts;
    for (size_t i = 0; i < seqs.size(); i++) {
        data.push_back(make_content(c, seqs[i]));
        parts.push_back({int(i), seqs[i].len - seqs[i].n_q, seqs[i].len});
    }
    const std::vector<float> out = run(c, machines[0], data, parts, what);
    check_errors(c, data, parts, out, what);
    if (!alone) return;
    const float *expected = out.data();
    int turn = 0;
    for (const part &p : parts) {
        for (int from = p.from, to; from < p.to; from = to) {
            to = std::min(p.to, from + (turn % 3 == 0 ? p.to - p.from : 1 + int(rnd() % 40)));
            layout one = c;
            one.pad = 0;
            const std::vector<float> piece =
                run(one, machines[turn++ % 3], data, {{p.id, from, to}}, what);
            const size_t n = size_t(to - from) * c.H * c.E;
            check(piece.size() == n && memcmp(piece.data(), expected, n * sizeof(float)) == 0,
                  what + ": other bits alone");
            expected += n;
        }
    }
}

/* A captured launch serves steps of other lengths, again and again. */
static void run_replay(const layout &c)
{
    const std::vector<std::vector<seq>> steps = {
        {{1, 1}, {40, 40}}, {{700, 1}, {0, 0}, {33, 1}}, {}, {{300, 39}, {512, 2}}, {{700, 1}}};
    std::vector<std::vector<content>> data;
    for (const auto &s : steps) {
        data.emplace_back();
        for (const seq &q : s) data.back().push_back(make_content(c, q));
    }
    rig r = make_rig(c, machines[0], 41, 3, 700, 100);
    struct error err;
    device_graph *graph = nullptr;
    if (device_capture_begin(r.cb.device, &err) != STATUS_OK) abort();
    attend(r, 41);
    if (device_capture_end(r.cb.device, &graph, &err) != STATUS_OK) abort();
    for (size_t i = 0; i < steps.size(); i++) {
        std::vector<part> parts;
        for (size_t j = 0; j < steps[i].size(); j++)
            parts.push_back({int(j), steps[i][j].len - steps[i][j].n_q, steps[i][j].len});
        const std::string what = "replay of " + name_of(c, steps[i]);
        clear_out(r);
        const int rows = upload(r, data[i], parts);
        device_graph_launch(r.cb.device, graph);
        std::vector<float> out;
        check(collect(r, rows, &out), what + ": wrote outside of its rows");
        check_errors(c, data[i], parts, out, what);
    }
    device_graph_free(r.cb.device, graph);
    close_rig(r);
}

/* --- plans --- */

/* Each span of each row is done once; partial rows are written once; the pieces of a unit, and nobody
 * else, share its ticket and know how many they are. */
static void check_plan(const attn_config &c, const step &s, const attn_list *list)
{
    const int group = c.group;
    std::vector<std::vector<int>> done; /* [sequence][row][span] */
    std::vector<int> part(size_t(c.parts_max) + 1, 0);
    bool ok = list->n_tiles + list->n_units <= c.items_max;
    auto spans_of = [&](int i) { return (s.kv_len[i] + ATTN_SPAN - 1) / ATTN_SPAN; };
    for (int i = 0; i < s.n_seqs; i++)
        done.emplace_back(size_t(s.q_start[i + 1] - s.q_start[i]) * group * spans_of(i), 0);
    struct unit {
        int seq, row, n_rows, part0, n_pieces, seen;
    };
    std::vector<unit> units; /* by ticket */
    for (int i = 0; i < list->n_tiles + list->n_units; i++) {
        const attn_item &it = list->items[i];
        const int rows = (s.q_start[it.seq + 1] - s.q_start[it.seq]) * group;
        const int limit = i < list->n_tiles ? c.tile_rows : ATTN_UNIT;
        ok = ok && it.n_rows >= 1 && it.n_rows <= limit && it.row + it.n_rows <= rows;
        ok = ok && it.q0 == s.q_start[it.seq] && it.pos0 == s.kv_len[it.seq] - rows / group;
        ok = ok && it.span + it.n_spans <= spans_of(it.seq);
        for (int k = 0; k < it.n_rows * it.n_spans && ok; k++) {
            const int row = it.row + k % it.n_rows, span = it.span + k / it.n_rows;
            done[it.seq][size_t(row) * spans_of(it.seq) + span]++;
            if (it.part < 0) continue;
            ok = it.part + k < c.parts_max;
            if (ok) part[it.part + k]++;
        }
        if (it.part < 0) continue;
        const unit u = {it.seq, it.row, it.n_rows, it.part - it.span * it.n_rows, it.n_pieces, 0};
        ok = ok && it.ticket >= 0 && it.ticket < c.units_max && it.ticket <= int(units.size());
        if (!ok) break;
        if (it.ticket == int(units.size())) units.push_back(u);
        unit &first = units[it.ticket];
        ok = first.seq == u.seq && first.row == u.row && first.n_rows == u.n_rows &&
             first.part0 == u.part0 && first.n_pieces == u.n_pieces;
        first.seen++;
    }
    for (const unit &u : units) ok = ok && u.seen == u.n_pieces;
    for (int i = 0; i < s.n_seqs; i++)
        for (size_t k = 0; k < done[i].size(); k++) {
            const int row = int(k) / spans_of(i), span = int(k) % spans_of(i);
            const int pos = s.kv_len[i] - (s.q_start[i + 1] - s.q_start[i]) + row / group;
            ok = ok && (done[i][k] == 1 || (done[i][k] == 0 && span * ATTN_SPAN > pos));
        }
    for (int x : part) ok = ok && x <= 1;
    check(ok, "plan: a span of a row is missing or done twice");
}

static void run_plans(int n)
{
    for (int i = 0; i < n; i++) {
        backend_limits l{};
        l.max_tokens = 1 + int(rnd() % 600);
        l.max_seqs = 1 + int(rnd() % 12);
        attn_config c{};
        c.group = 1 + int(rnd() % 9);
        c.n_kv_heads = 1 + int(rnd() % 8);
        c.tile_rows = int(rnd() % 4) * 64;
        c.n_blocks = 1 + int(rnd() % 132);
        c.n_warps = c.n_blocks * 8;
        c.parts_max = 16 * c.group + int(rnd() % 1000);
        c.units_max = attention_units_max(&l, &c);
        c.items_max = attention_items_max(&l, &c);
        std::vector<int32_t> q_start(1, 0), kv_len;
        for (int left = l.max_tokens, s = 0; s < l.max_seqs; s++) {
            const int n_q =
                rnd() % 3 ? std::min(left, int(rnd() % 3)) : std::min(left, int(rnd() % 300));
            left -= n_q;
            q_start.push_back(q_start.back() + n_q);
            kv_len.push_back(n_q + int(rnd() % (rnd() % 2 ? 300 : 4000)) % (4096 - n_q));
        }
        step s{};
        s.n_seqs = int(kv_len.size());
        s.q_start = q_start.data();
        s.kv_len = kv_len.data();
        void *room = malloc(sizeof(attn_list) + size_t(c.items_max) * sizeof(attn_item));
        attn_list *list = static_cast<attn_list *>(room);
        attention_plan(&c, &s, list);
        check_plan(c, s, list);
        free(room);
    }
}

static void run_cost()
{
    backend_limits l{};
    l.n_heads = 32;
    l.n_kv_heads = 8;
    l.head_dim = 128;
    l.kv_dtype = DT_BF16;
    const int32_t q_start[] = {0, 1, 4}, kv_len[] = {1000, 10};
    step s{};
    s.n_seqs = 2;
    s.q_start = q_start;
    s.kv_len = kv_len;
    attn_cost full = attention_cost(&l, 0, &s);
    check(full.bytes == 1010.0 * 8 * 2 * 256 + 4 * 8.0 * 4096, "cost: bytes");
    check(full.ops == 4.0 * 4096 * (1000 + 8 + 9 + 10), "cost: operations");
    check(full.seconds == full.bytes / 4.3e12, "cost: seconds");
    l.kv_dtype = DT_I8;
    attn_cost window = attention_cost(&l, 4, &s);
    check(window.bytes == (4.0 + 6) * 8 * 2 * 132 + 4 * 8.0 * 4096, "cost: bytes of a window");
    check(window.ops == 4.0 * 4096 * (4 * 4), "cost: operations of a window");
}

/* --- the table --- */

static void run_all(bool quick)
{
    static const int mma_heads[][2] = {{1, 1}, {4, 2}, {3, 1},  {8, 2},
                                       {5, 1}, {6, 1}, {14, 2}, {8, 1}};
    static const int blocks[] = {16, 32, 48, 64, 128}, windows[] = {0, 0, 1, 70, 300};
    static const std::vector<std::vector<seq>> steps = {
        {{1, 1}, {63, 1}, {64, 1}, {65, 1}, {0, 0}, {1000, 1}}, /* decodes */
        {{64, 64}, {257, 2}, {31, 31}},                         /* and chunks */
        {{300, 100}, {512, 1}, {33, 17}},
        {{520, 9}, {256, 255}, {700, 0}},
    };
    int i = 0;
    for (int E : {64, 80, 96, 128, 256})
        for (enum dtype kv : {DT_BF16, DT_I8})
            for (size_t s = 0; s < steps.size(); s++, i++) {
                if (quick && (i + s) % 4 != 0) continue;
                const layout c = {E,    mma_heads[i % 8][0], mma_heads[i % 8][1],
                                  kv,   blocks[i % 5],       windows[(i / 2 + s) % 5],
                                  i % 3};
                run_case(c, steps[s], i % 2 == 0);
            }
    for (int E : {1, 8, 40, 64, 200, 512})
        for (enum dtype kv : {DT_F32, DT_BF16, DT_I8}) {
            const std::vector<std::vector<seq>> few = {{{1, 1}, {63, 1}, {65, 3}, {0, 0}, {600, 1}},
                                                       {{20, 20}, {530, 18}}};
            if (attention_has_mma(E, kv) || (quick && i++ % 4 != 0)) continue;
            const layout c = {E,    mma_heads[i % 8][0], mma_heads[i % 8][1],
                              kv,   blocks[i % 5],       windows[i / 2 % 5],
                              i % 3};
            run_case(c, few[i++ % 2], true);
        }
    if (!quick) run_case({64, 2, 1, DT_BF16, 128, 0, 0}, {{32 * ATTN_SPAN + 300, 1}}, false);
    if (!quick) /* pieces of several spans */
        run_case({64, 8, 8, DT_BF16, 64, 0, 0}, {{1900, 1}}, false);
    if (!quick) run_case({8, 8, 8, DT_F32, 64, 0, 0}, {{1500, 1}, {1400, 1}, {1300, 2}}, false);
    run_replay({64, 4, 2, DT_BF16, 16, 0, 0});
    if (!quick) run_replay({128, 4, 1, DT_I8, 48, 100, 0});
    if (!quick) run_replay({24, 2, 1, DT_F32, 16, 0, 0});
}

int main(int argc, char **argv)
{
    std::vector<std::string> schedules = {"f", "r", "1", "2", "3"};
    const bool quick = argc > 1 && !strcmp(argv[argc - 1], "quick");
    if (argc - quick > 1) schedules = {argv[1]};
    run_cost();
    run_plans(quick ? 200 : 2000);
    for (const std::string &s : schedules) {
#ifdef INFERD_HOST_SHIM
        ih::set_schedule(s[0] == 'f'   ? ih::FORWARD
                         : s[0] == 'r' ? ih::REVERSE
                                       : ih::RANDOM,
                         strtoull(s.c_str(), nullptr, 10));
#endif
        run_all(quick || s != schedules[0]);
    }
    printf("at most %.2f of the allowed error\n%d passed, %d failed\n", largest_error,
           n_cases - n_failed, n_failed);
    return n_failed != 0;
}
