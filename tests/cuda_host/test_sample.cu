/* Sampling on the device against the CPU's, which it has to follow token by token. */
#include "cuda/sample_block.cuh"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

extern "C" {
#include "config/base/rng.h"
#include "engine/cpu/sample.h"
}

namespace
{

const float INF = std::numeric_limits<float>::infinity();
const float NOT_A_NUMBER = std::numeric_limits<float>::quiet_NaN();
int n_failed, n_cases;
struct rng source = {20};

void expect(bool ok, const char *what, int sample, double got, double want)
{
    if (ok) return;
    if (n_failed++ < 20)
        printf("FAIL case %d sample %d, %s: %.9g, not %.9g\n", n_cases, sample, what, got, want);
}

int below(int n)
{
    return (int)rng_below(&source, (uint64_t)n);
}

/* --- one backend's part --- */

struct rig {
    struct cuda_backend cb = {};
    int V, R;

    rig(int vocab_size, int max_samples, int context) : V(vocab_size), R(max_samples)
    {
        struct error err;
        bool ok = device_open(&cb.device, 0, &err) == STATUS_OK;
        /* Not under the thread sanitizer, whose clocks grow with every block that runs ahead: there
         * whole steps (test_fused) have these kernels overlap. */
#ifndef __SANITIZE_THREAD__
        if (ok) device_set_overlap(cb.device, true);
#endif
        cb.limits.vocab_size = V;
        cb.limits.max_samples = cb.limits.max_seqs = R;
        cb.limits.block_size = 16;
        cb.limits.max_blocks_per_seq = (context + 15) / 16;
        ok = ok && device_alloc_shared(cb.device, (void **)&cb.at.drawn, R * 4, "tokens", &err) ==
                       STATUS_OK;
        if (!ok || cuda_sample_reserve(&cb, &err) != STATUS_OK) {
            printf("%s\n", err.message);
            exit(1);
        }
    }
    ~rig()
    {
        cuda_sample_release(&cb);
        device_close(cb.device);
    }
};

/* A step: rows of logits, samples on them, and what they point to. */
struct batch {
    std::vector<std::vector<float>> rows;
    std::vector<struct step_sample> samples;
    std::vector<struct sampling_params *> params;
    std::vector<std::vector<int32_t> *> ids;
    std::vector<std::vector<struct logit_bias> *> biases;

    ~batch()
    {
        for (auto *p : params) delete p;
        for (auto *p : ids) delete p;
        for (auto *p : biases) delete p;
    }
    struct sampling_params *add(int row)
    {
        auto *p = new sampling_params();
        params.push_back(p);
        p->temperature = p->top_p = p->repetition_penalty = 1.0f;
        p->seed = rng_next(&source);
        p->n_logprobs = -1;
        struct step_sample s = {};
        s.row = row;
        s.target = -1;
        s.params = p;
        samples.push_back(s);
        return p;
    }
    std::vector<int32_t> *add_ids()
    {
        ids.push_back(new std::vector<int32_t>());
        return ids.back();
    }
};

/* Rows `ld` apart with huge values between them, the last one without: a buffer of exact size. */
struct tensor place_logits(rig &r, const batch &b)
{
    const int ld = r.V + (r.V % 3), n = (int)b.rows.size();
    struct tensor t = {};
    struct error err;
    const size_t size = (size_t)(n - 1) * ld + r.V;
    if (device_alloc_shared(r.cb.device, &t.data, size * 4, "logits", &err) != STATUS_OK) exit(1);
    float *to = static_cast<float *>(t.data);
    for (size_t i = 0; i < size; i++) to[i] = 1e30f;
    for (int i = 0; i < n; i++) memcpy(to + (size_t)i * ld, b.rows[i].data(), r.V * sizeof(float));
    t.dtype = DT_F32;
    t.rows = n;
    t.cols = r.V;
    t.ld = ld;
    return t;
}

bool near_logprob(float got, float want)
{
    if (want != want) return got != got;
    if (std::fabs(want) == INF) return got == want;
    /* two units of expf in the sum, one rounding of the result */
    return std::fabs((double)got - want) <= 4.8e-7 + 1.2e-7 * std::fabs(want);
}

/* --- scores that only the last bits of a logarithm tell apart --- */

bool is_in(const int32_t *ids, int n, int id)
{
    for (int i = 0; i < n; i++)
        if (ids[i] == id) return true;
    return false;
}

/* A token's logit over temperature, plus noise. */
double score_of(const std::vector<float> &logits, const struct step_sample &s, int id)
{
    const struct sampling_params *p = s.params;
    const bool early = s.n_output < p->min_tokens;
    float x = logits[id];
    if (early && ((!p->ignore_eos && is_in(p->eos_ids, p->n_eos_ids, id)) ||
                  is_in(p->stop_ids, p->n_stop_ids, id)))
        x = -INF;
    for (int i = 0; i < p->n_bias; i++)
        if (p->bias[i].token == id) x += p->bias[i].bias;
    int n_output = 0;
    if (sampling_needs_history(p) && is_in(s.history, s.n_history, id)) {
        x = x > 0 ? x / p->repetition_penalty : x * p->repetition_penalty;
        for (int i = s.n_prompt; i < s.n_history; i++) n_output += s.history[i] == id;
        if (n_output > 0) x -= p->frequency_penalty * n_output + p->presence_penalty;
    }
    uint32_t word[4];
    rng_philox(p->seed ^ ((uint64_t)(uint32_t)s.choice << 40), (uint32_t)s.n_output,
               (uint64_t)id / 4, word);
    return (double)x / p->temperature - std::log(-std::log((double)rng_open01(word[id % 4])));
}

int n_undecided; /* never on the host, whose logarithms are the CPU's */

bool is_undecided(const std::vector<float> &logits, const struct step_sample &s, int a, int b)
{
    if (s.mode == SAMPLE_SCORE || s.params->temperature <= 0) return false;
    if (a < 0 || a >= (int)logits.size()) return false;
    /* three roundings of at most 2^-23 of a score below 64 */
    const double apart = std::fabs(score_of(logits, s, a) - score_of(logits, s, b));
    return apart <= 2e-5 && ++n_undecided <= 5;
}

void compare(const std::vector<float> &logits, const struct step_sample &s, int i,
             const struct sample_out &got, const struct sample_out &want)
{
    if (got.token != want.token && is_undecided(logits, s, got.token, want.token)) return;
    expect(got.token == want.token, "token", i, got.token, want.token);
    expect(got.rank == want.rank, "rank", i, got.rank, want.rank);
    expect(near_logprob(got.logprob, want.logprob), "logprob", i, got.logprob, want.logprob);
    expect(got.n_top == want.n_top, "n_top", i, got.n_top, want.n_top);
    for (int j = 0; j < want.n_top && j < got.n_top; j++) {
        expect(got.top[j].token == want.top[j].token, "top token", i, got.top[j].token,
               want.top[j].token);
        expect(near_logprob(got.top[j].logprob, want.top[j].logprob), "top logprob", i,
               got.top[j].logprob, want.top[j].logprob);
    }
}

/* --- a step --- */

void begin(rig &r, const batch &b, struct step *step)
{
    *step = {};
    step->n_samples = (int)b.samples.size();
    step->samples = b.samples.data();
    r.cb.step = *step;
    for (int i = 0; i < r.R; i++) r.cb.at.drawn[i] = -77;
    cuda_sample_upload(&r.cb, step);
}

void finish(rig &r, const batch &b)
{
    struct error err;
    std::vector<struct sample_out> out(b.samples.size());
    void *scratch = aligned_alloc(64, cpu_sample_scratch_size(r.V));
    cuda_sample_return(&r.cb);
    expect(device_wait(r.cb.device, &err) == STATUS_OK, "status", 0, 1, 0);
    r.cb.flights[r.cb.turn].step = r.cb.step;
    cuda_sample_read(&r.cb, r.cb.turn, out.data());
    for (size_t i = 0; i < out.size(); i++) {
        struct sample_out want;
        const struct step_sample &s = b.samples[i];
        cpu_sample_row(b.rows[s.row].data(), r.V, &s, scratch, &want);
        compare(b.rows[s.row], s, (int)i, out[i], want);
        expect(r.cb.at.drawn[i] == out[i].token, "kept token", (int)i, r.cb.at.drawn[i],
               out[i].token);
    }
    for (int i = (int)out.size(); i < r.R; i++)
        expect(r.cb.at.drawn[i] == -77, "token that nobody drew", i, r.cb.at.drawn[i], -77);
    free(scratch);
    n_cases++;
}

void check(rig &r, const batch &b)
{
    struct step step;
    const struct tensor logits = place_logits(r, b);
    begin(r, b, &step);
    cuda_sample(&r.cb.base, logits);
    finish(r, b);
    device_free(r.cb.device, logits.data);
}

/* --- logits --- */

enum logits_kind {
    NORMAL,
    PEAKED,
    EQUAL,
    TIES,
    WITH_INF,
    WITH_NAN,
    ALL_INF,
    ALL_NAN,
    INF_AND_NAN,
    PLUS_INF,
    HUGE_VALUES,
    RISING,
    ZEROS,
    NARROW,
    FAR,
    N_KINDS
};

std::vector<float> make_logits(int kind, int V)
{
    std::vector<float> x(V);
    for (int i = 0; i < V; i++) {
        const float n = (float)rng_normal(&source);
        switch (kind) {
        case NORMAL:
            x[i] = 3 * n - 2;
            break;
        case PEAKED:
            x[i] = n + (below(50) == 0 ? 12.0f : 0.0f);
            break;
        case EQUAL:
            x[i] = 1.25f;
            break;
        case TIES:
            x[i] = (float)below(4) - 1.5f;
            break;
        case WITH_INF:
            x[i] = below(3) ? 2 * n : -INF;
            break;
        case WITH_NAN:
            x[i] = below(3) ? 2 * n : NOT_A_NUMBER;
            break;
        case ALL_INF:
            x[i] = -INF;
            break;
        case ALL_NAN:
            x[i] = NOT_A_NUMBER;
            break;
        case INF_AND_NAN:
            x[i] = below(2) ? -INF : NOT_A_NUMBER;
            break;
        case PLUS_INF:
            x[i] = i == V / 2 ? INF : n;
            break;
        case HUGE_VALUES:
            x[i] = n * 1e37f;
            break;
        case RISING:
            x[i] = (float)i * 0.01f;
            break;
        case ZEROS:
            x[i] = below(2) ? 0.0f : -0.0f;
            break;
        case NARROW:
            x[i] = 20 + 0.002f * n;
            break;
        default:
            x[i] = below(4) ? -60 + n : 4 * n;
            break; /* much beyond the last bin */
        }
    }
    return x;
}

/* --- parameters --- */

template <size_t N> float one_of(const float (&from)[N])
{
    return from[below(N)];
}

/* The likeliest token: to take it away matters. */
int best_of(const batch &b, const struct step_sample &s)
{
    const std::vector<float> &x = b.rows[s.row];
    int best = 0;
    for (int i = 0; i < (int)x.size(); i++)
        if (!(x[i] <= x[best])) best = i;
    return best;
}

void add_lists(batch &b, struct step_sample &s, struct sampling_params *p, int V)
{
    auto *eos = b.add_ids(), *stop = b.add_ids();
    if (below(2)) (below(2) ? eos : stop)->push_back(best_of(b, s));
    for (int i = below(4); i > 0; i--) eos->push_back(below(V + 2) - 1); /* some outside */
    for (int i = below(8); i > 0; i--) stop->push_back(below(V + 2) - 1);
    p->eos_ids = eos->data();
    p->n_eos_ids = (int)eos->size();
    p->stop_ids = stop->data();
    p->n_stop_ids = (int)stop->size();
    p->ignore_eos = below(2);
    s.n_output = below(6);
    p->min_tokens = below(2) ? below(6) : 0;
}

void add_bias(batch &b, const struct step_sample &s, struct sampling_params *p, int V)
{
    auto *bias = new std::vector<struct logit_bias>();
    b.biases.push_back(bias);
    if (below(2)) bias->push_back({best_of(b, s), -3.0f});
    const int n = below(4) == 0 ? LIMIT_LOGIT_BIAS - 1 : below(20), span = below(2) ? V + 2 : 3;
    for (int i = 0; i < n; i++)
        bias->push_back({below(span) - 1, below(3) ? 3 * (float)rng_normal(&source) : -100.0f});
    p->bias = bias->data();
    p->n_bias = n;
}

void add_history(batch &b, struct step_sample &s, struct sampling_params *p, int V, int context)
{
    auto *history = b.add_ids();
    const int n = below(context + 1), span = below(2) ? V : V < 9 ? V : 9;
    const int best = best_of(b, s);
    for (int i = 0; i < n; i++) history->push_back(below(9) ? below(span) : best);
    s.history = history->data();
    s.n_history = n;
    s.n_prompt = n > 0 ? below(n + 1) : 0;
    p->repetition_penalty = one_of({1.0f, 1.3f, 0.7f});
    p->presence_penalty = one_of({0.0f, 0.5f, -0.9f});
    p->frequency_penalty = one_of({0.0f, 0.2f, -0.4f});
}

void add_random(batch &b, int row, int V, int context)
{
    struct sampling_params *p = b.add(row);
    struct step_sample &s = b.samples.back();
    p->temperature = one_of({0.0f, 0.0f, 1e-40f, 0.3f, 0.7f, 1.0f, 1.0f, 1.9f});
    p->top_p = one_of({1.0f, 1.0f, 0.95f, 0.5f, 0.1f, 1e-6f, 0.99999994f});
    p->min_p = one_of({0.0f, 0.0f, 0.05f, 0.5f, 1.0f});
    const int ks[] = {0, 0, -1, 1, 2, 5, 50, V / 2, V - 1, V, V + 5};
    p->top_k = ks[below(11)];
    s.choice = below(3);
    s.n_output = below(1000);
    if (below(3) == 0) add_lists(b, s, p, V);
    if (below(3) == 0) add_bias(b, s, p, V);
    if (below(3) == 0) add_history(b, s, p, V, context);
    if (below(3) == 0) p->n_logprobs = below(LIMIT_LOGPROBS + 1);
    if (below(8) == 0) {
        s.mode = SAMPLE_SCORE;
        s.target = below(V);
        p->n_logprobs = below(LIMIT_LOGPROBS + 1);
    }
}

/* --- cases --- */

const int CONTEXT = 320;

void test_random(int n, int v_max)
{
    const int sizes[] = {1, 2, 3, 31, 40, 255, 1000, 4096, 4099, 9001, 32000};
    for (int done = 0; done < n;) {
        const int V = sizes[below(11)];
        if (V > v_max) continue;
        rig r(V, 8, CONTEXT);
        for (int step = 0; step < 4; step++) {
            batch b;
            const int n_rows = 1 + below(3);
            for (int i = 0; i < n_rows; i++) {
                b.rows.push_back(make_logits(below(N_KINDS), V));
                for (int j = 1 + (below(3) == 0 ? below(2) + 1 : 0); j > 0 && b.samples.size() < 8;
                     j--)
                    add_random(b, i, V, CONTEXT);
            }
            if (b.samples.back().row != n_rows - 1) b.rows.resize(b.samples.back().row + 1);
            done += (int)b.samples.size();
            check(r, b);
        }
    }
}

/* Each kind of logits with each filter, alone and together. */
void test_filters(int V)
{
    rig r(V, 16, CONTEXT);
    const float temperatures[] = {0, 0.5f, 1}, top_ps[] = {1, 0.9f, 0.3f}, min_ps[] = {0, 0.1f};
    const int top_ks[] = {0, 1, 7, 3000};
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int i = 0; i < 3; i++) {
            batch b;
            b.rows.push_back(make_logits(kind, V));
            for (float t : temperatures)
                for (int k : top_ks) {
                    struct sampling_params *p = b.add(0);
                    p->temperature = t;
                    p->top_p = top_ps[i];
                    p->min_p = min_ps[below(2)];
                    p->top_k = k;
                    p->n_logprobs = below(2) ? below(LIMIT_LOGPROBS + 1) : -1;
                    b.samples.back().n_output = below(100);
                }
            check(r, b);
        }
}

/* Logprobs 0 to 20 of one row, drawn and scored. */
void test_logprobs(int V)
{
    rig r(V, 2 * (LIMIT_LOGPROBS + 1), CONTEXT);
    for (int kind = 0; kind < N_KINDS; kind++) {
        batch b;
        b.rows.push_back(make_logits(kind, V));
        for (int n = 0; n <= LIMIT_LOGPROBS; n++)
            for (int score = 0; score < 2; score++) {
                b.add(0)->n_logprobs = n;
                struct step_sample &s = b.samples.back();
                s.mode = score ? SAMPLE_SCORE : SAMPLE_DRAW;
                s.target = score ? below(V) : -1;
            }
        check(r, b);
    }
}

/* Vocabularies of many blocks, and of more than a block has threads. */
void test_large(int V)
{
    rig r(V, 4, CONTEXT);
    batch b;
    b.rows.push_back(make_logits(NORMAL, V));
    for (int i = 0; i < 4; i++) {
        struct sampling_params *p = b.add(0);
        p->temperature = i == 0 ? 0.0f : 1.0f;
        p->top_p = i == 2 ? 0.9f : 1.0f;
        p->top_k = i == 3 ? 100 : 0;
        p->n_logprobs = i < 2 ? LIMIT_LOGPROBS : -1;
    }
    check(r, b);
}

/* A captured launch serves steps of other parameters and other numbers of samples. */
void test_captured(void)
{
    const int V = 1000;
    rig r(V, 8, CONTEXT);
    struct error err;
    struct device_graph *graph = nullptr;
    batch shape;
    for (int i = 0; i < 2; i++) shape.rows.push_back(make_logits(NORMAL, V));
    const struct tensor logits = place_logits(r, shape);
    device_capture_begin(r.cb.device, &err);
    cuda_sample(&r.cb.base, logits);
    expect(device_capture_end(r.cb.device, &graph, &err) == STATUS_OK, "capture", 0, 1, 0);
    for (int i = 0; i < 12; i++) {
        batch b;
        b.rows = shape.rows;
        const int n = 1 + below(8);
        for (int j = 0; j < n; j++) add_random(b, 2 * j / n, V, CONTEXT);
        struct step step;
        begin(r, b, &step);
        device_graph_launch(r.cb.device, graph);
        finish(r, b);
    }
    device_graph_free(r.cb.device, graph);
}

/* --- randomness --- */

__global__ void k_uniforms(struct sample_row row, float *out)
{
    const struct noise n = noise_of(row, (int)threadIdx.x);
    for (int i = 0; i < 4; i++) out[4 * threadIdx.x + i] = open01(noise_word(n, i));
}

void test_uniforms(void)
{
    struct device *d;
    struct error err;
    float *out;
    if (device_open(&d, 0, &err) != STATUS_OK) exit(1);
    if (device_alloc_shared(d, (void **)&out, 1024 * sizeof(float), "uniforms", &err)) exit(1);
    for (int round = 0; round < 50; round++) {
        struct sample_row row = {};
        row.key = rng_next(&source);
        row.n_output = (uint32_t)rng_next(&source);
        LAUNCH(k_uniforms, dim3(1), dim3(256), 0, device_stream(d), row, out);
        expect(device_wait(d, &err) == STATUS_OK, "wait", 0, 1, 0);
        for (int g = 0; g < 256; g++) {
            uint32_t word[4];
            rng_philox(row.key, row.n_output, (uint64_t)g, word);
            for (int i = 0; i < 4; i++)
                expect(out[4 * g + i] == rng_open01(word[i]), "uniform", 4 * g + i, out[4 * g + i],
                       rng_open01(word[i]));
        }
        n_cases++;
    }
    device_close(d);
}

/* Draws follow the softmax of what the filters leave: Pearson's test, 6 in a million by chance. */
void test_frequencies(float top_p, int top_k, const std::vector<double> &kept, int n_steps)
{
    const int V = 8, N = 64;
    const float x[V] = {0.3f, 1.7f, -0.4f, 1.1f, 0.9f, -1.5f, 2.0f, 0.0f};
    const float T = 0.8f;
    rig r(V, N, CONTEXT);
    std::vector<double> count(V);
    double sum = 0, chi = 0;
    int dof = -1;
    for (int step = 0; step < n_steps; step++) {
        batch b;
        b.rows.push_back(std::vector<float>(x, x + V));
        for (int i = 0; i < N; i++) {
            struct sampling_params *p = b.add(0);
            p->temperature = T;
            p->top_p = top_p;
            p->top_k = top_k;
            p->seed = (uint64_t)step; /* neighbours in the counter and in the key */
            b.samples.back().choice = i % 4;
            b.samples.back().n_output = i / 4;
        }
        check(r, b);
        for (int i = 0; i < N; i++) count[r.cb.at.drawn[i]]++;
    }
    for (int i = 0; i < V; i++) sum += kept[i] * std::exp((double)x[i] / T);
    for (int i = 0; i < V; i++) {
        const double want = kept[i] * std::exp((double)x[i] / T) / sum * N * n_steps;
        if (want == 0) expect(count[i] == 0, "token that a filter took", i, count[i], 0);
        if (want == 0) continue;
        chi += (count[i] - want) * (count[i] - want) / want;
        dof++;
    }
    const double limit = dof == 7 ? 36.0 : dof == 3 ? 27.0 : 24.6; /* 4e-6 .. 8e-6 */
    expect(chi < limit, "chi-square", dof, chi, limit);
    printf("chi-square of %d draws, top_p %.2f, top_k %d: %.1f at %d degrees of freedom\n",
           N * n_steps, top_p, top_k, chi, dof);
}

void test_all(bool quick)
{
    test_uniforms();
    test_captured();
    for (int V : {1, 2, 31, 40, 4099})
        if (!quick || V < 1000) test_filters(V);
    if (!quick) test_filters(32000);
    if (!quick) test_large(262144);
    if (!quick) test_large(1100001);
    for (int V : {1, 2, 40, 1000, 4099})
        if (!quick || V < 1000) test_logprobs(V);
    test_random(quick ? 200 : 2000, quick ? 4099 : 32000);
    test_frequencies(1.0f, 0, {1, 1, 1, 1, 1, 1, 1, 1}, quick ? 20 : 200);
    test_frequencies(1.0f, 4, {0, 1, 0, 1, 1, 0, 1, 0}, quick ? 20 : 100);
    test_frequencies(0.75f, 0, {0, 1, 0, 1, 0, 0, 1, 0}, quick ? 20 : 100);
}

} // namespace

/* [schedule: f, r or the seed of a random one] [quick] */
int main(int argc, char **argv)
{
#ifdef INFERD_HOST_SHIM
    const char *s = argc > 1 ? argv[1] : "f";
    ih::set_schedule(*s == 'f'   ? ih::FORWARD
                     : *s == 'r' ? ih::REVERSE
                                 : ih::RANDOM,
                     (uint64_t)atoi(s));
#endif
    test_all(argc > 2);
    if (n_undecided > 0) printf("%d draws hung on a logarithm's last bit\n", n_undecided);
    printf("%d cases, %d failed\n", n_cases, n_failed);
    return n_failed != 0;
}
