/* Barriers of the block and collectives of a warp: rendezvous of fibers. */
#include "tests/cuda_host/runtime.h"

namespace ih
{
struct block_barrier {
    int arrived, expect, n_true;
    unsigned came[MAX_WARPS]; /* lanes, in this phase */
    unsigned wait[MAX_WARPS];
    site at[MAX_WARPS];
    unsigned phase;
    int result[2]; /* of the phase's parity, as `order` */
    char order[2]; /* for TSan: one who wakes late must not see what comes before the next phase */
};
struct collective {
    unsigned mask, arrived;
    lanes_fn fn;
    site at;
    void *arg[32];
};
struct warp_state {
    collective pending[32]; /* at most one for each lane, with distinct masks */
    int n;
    char order[2];
};

constexpr int N_BARRIERS = 16;
struct meetings {
    block_barrier barriers[N_BARRIERS];
    warp_state warps[MAX_WARPS];
};
static meetings all_meetings[CONTEXTS], *own = all_meetings;
uint64_t n_collective, n_barrier;
char fence_order;

void barriers_select(int context)
{
    own = &all_meetings[context];
}

static bool same_place(site a, site b)
{
    return a.line == b.line && (a.file == b.file || strcmp(a.file, b.file) == 0);
}
static unsigned lanes_of(int warp)
{
    const int n = nthreads - 32 * warp;
    return n >= 32 ? ~0u : (1u << n) - 1;
}

void barriers_reset()
{
    for (block_barrier &b : own->barriers) {
        b.arrived = b.n_true = 0;
        memset(b.wait, 0, sizeof b.wait);
        memset(b.came, 0, sizeof b.came);
    }
    for (warp_state &w : own->warps) w.n = 0;
}

static void check_arrival(block_barrier &b, int id, int count, site at)
{
    const unsigned bit = 1u << cur->lane, came = b.came[cur->warp];
    const bool whole_block = count == nthreads;
    if (count < 1 || (count % 32 && !whole_block))
        fatal(at, "barrier %d: %d threads is not a multiple of the warp size", id, count);
    if (count > nthreads)
        fatal(at, "barrier %d waits for %d threads, the block has %d", id, count, nthreads);
    if (b.arrived && b.expect != count)
        fatal(at, "barrier %d: count %d, others said %d", id, count, b.expect);
    if (came & bit) fatal(at, "barrier %d: this thread arrived twice in one phase", id);
    const site other = b.at[cur->warp];
    if (came && !same_place(other, at))
        fatal(at, "barrier %d: the warp diverged, other lanes are at %s %s:%d", id, other.what,
              other.file, other.line);
}

/* bar.sync is for whole warps; hardware that meets half of one does what it likes. */
static void complete(block_barrier &b, int id, site at)
{
    for (int w = 0; w < (nthreads + 31) / 32; w++) {
        if (b.came[w] && b.came[w] != lanes_of(w))
            fatal(at, "barrier %d: of warp %d only lanes %08x came", id, w, b.came[w]);
        set_ready(w, b.wait[w]);
        b.wait[w] = b.came[w] = 0;
    }
    b.result[b.phase & 1] = b.n_true;
    b.arrived = b.n_true = 0;
    b.phase++;
    made_progress();
}

static int arrive(int id, int count, bool wait, bool p, site at)
{
    if (id < 0 || id >= N_BARRIERS) fatal(at, "barrier %d: there are %d", id, N_BARRIERS);
    block_barrier &b = own->barriers[id];
    check_arrival(b, id, count, at);
    const unsigned parity = b.phase & 1, bit = 1u << cur->lane;
    IH_REL(&b.order[parity]);
    n_barrier++;
    b.expect = count;
    b.at[cur->warp] = at;
    b.came[cur->warp] |= bit;
    if (wait) b.wait[cur->warp] |= bit;
    b.n_true += p;
    if (++b.arrived == b.expect) complete(b, id, at);
    if (!wait) return 0;
    wait_here(
        at); /* the last one too: the schedule says who goes first, not the order of arrival */
    IH_ACQ(&b.order[parity]);
    return b.result[parity];
}

void barrier(int id, int count, bool wait, site at)
{
    arrive(id, count, wait, false, at);
}

int barrier_count(bool p, site at)
{
    return arrive(0, nthreads, true, p, at);
}

/* --- warps --- */

static collective *find_collective(warp_state &w, unsigned mask, lanes_fn fn, site at)
{
    for (int i = 0; i < w.n; i++)
        if (w.pending[i].mask == mask) return &w.pending[i];
    collective *c = &w.pending[w.n++];
    c->mask = mask;
    c->arrived = 0;
    c->fn = fn;
    c->at = at;
    return c;
}

/* It reads and writes what lies on the other lanes' stacks, which wait for it. */
static void perform(collective *c)
{
    ignore_accesses_begin();
    c->fn(c->arg, c->mask);
    ignore_accesses_end();
}

void warp_op(unsigned mask, void *arg, lanes_fn fn, site at, bool aligned)
{
    warp_state &w = own->warps[cur->warp];
    const unsigned bit = 1u << cur->lane;
    if (!(mask & bit)) fatal(at, "lane is not in its own mask %08x", mask);
    if (mask & ~lanes_of(cur->warp) && mask != ~0u)
        fatal(at, "mask %08x names lanes that the block does not have", mask);
    if (mask == ~0u) mask = lanes_of(cur->warp);
    if (aligned && mask != ~0u) fatal(at, "the instruction needs a full warp");
    collective *c = find_collective(w, mask, fn, at);
    if (c->fn != fn || (aligned && !same_place(c->at, at)))
        fatal(at, "the warp diverged: other lanes are at %s %s:%d", c->at.what, c->at.file,
              c->at.line);
    c->arg[cur->lane] = arg;
    c->arrived |= bit;
    if (c->arrived != mask) return wait_here(at);
    n_collective++;
    perform(c);
    if (c != &w.pending[--w.n]) *c = w.pending[w.n];
    set_ready(cur->warp, mask & ~bit);
    made_progress();
}

void warp_fence(unsigned mask, site at)
{
    char *order = &own->warps[cur->warp].order[self()->syncs++ & 1];
    IH_REL(order);
    warp_op(
        mask, nullptr, [](void **, unsigned) {}, at);
    IH_ACQ(order);
}

struct match {
    uint64_t value;
    unsigned lanes;
};
unsigned match_any(unsigned mask, uint64_t v, site at)
{
    match m{v, 0};
    warp_op(
        mask, &m,
        [](void **a, unsigned lanes) {
            each_lane(lanes, [&](int l) {
                auto *x = static_cast<match *>(a[l]);
                each_lane(lanes, [&](int o) {
                    x->lanes |= (unsigned)(static_cast<match *>(a[o])->value == x->value) << o;
                });
            });
        },
        at);
    return m.lanes;
}

void print_pending_collectives()
{
    for (int w = 0; w < (nthreads + 31) / 32; w++)
        for (int i = 0; i < own->warps[w].n; i++) {
            const collective &c = own->warps[w].pending[i];
            fprintf(stderr, "  warp %d %s:%d mask %08x, missing lanes %08x\n", w, c.at.file,
                    c.at.line, c.mask, c.mask & ~c.arrived);
        }
}
} // namespace ih
