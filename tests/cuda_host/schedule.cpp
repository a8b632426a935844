/* Who runs next.  The ready threads are a bit each; the three schedules differ in how they choose. */
#include "tests/cuda_host/runtime.h"

namespace ih
{
/* Yields of a block in which nothing else happens: a tenth of a second, some with a sanitizer. */
constexpr unsigned MAX_IDLE_YIELDS = 1u << 22;

struct turns {
    unsigned ready[MAX_WARPS], ready_warps, starved;
    unsigned idle_yields;
};
static turns all_turns[CONTEXTS], *own = all_turns;
schedule scheduled = FORWARD;
static uint64_t state;

void schedule_select(int context)
{
    own = &all_turns[context];
}

uint32_t draw() /* xorshift64 */
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 20);
}

void set_schedule(schedule s, uint64_t seed)
{
    scheduled = s;
    state = seed * 0x9e3779b97f4a7c15ull + 88172645463325252ull; /* never 0 for small seeds */
}

bool copy_lands_at_once()
{
    return scheduled == REVERSE || (scheduled == RANDOM && (draw() & 1));
}

void set_ready(int warp, unsigned lanes)
{
    own->ready[warp] |= lanes;
    if (lanes) own->ready_warps |= 1u << warp;
}

void schedule_block()
{
    own->ready_warps = 0;
    memset(own->ready, 0, sizeof own->ready);
    own->starved = scheduled == RANDOM ? draw() & draw() : 0;
    own->idle_yields = 0;
}

static int lowest(unsigned set)
{
    return __builtin_ctz(set);
}
static int highest(unsigned set)
{
    return 31 - __builtin_clz(set);
}
static unsigned above(unsigned set, int bit)
{
    return bit >= 31 ? 0 : set >> (bit + 1) << (bit + 1);
}

static fiber_state *take(int warp, int lane)
{
    own->ready[warp] &= ~(1u << lane);
    if (!own->ready[warp]) own->ready_warps &= ~(1u << warp);
    return &fibers[warp * 32 + lane];
}

/* Stays in the warp, or draws another; a starved one only where there is no other. */
static fiber_state *pick_random()
{
    int w = cur->warp;
    const uint32_t r = draw();
    if ((r & 255) == 0) own->starved = draw() & draw();
    if (!own->ready[w] || (r & 0xf00) == 0 || (own->starved >> w & 1)) {
        unsigned set = own->ready_warps & ~own->starved;
        if (!set) set = own->ready_warps;
        for (int skip = (int)(draw() % (unsigned)__builtin_popcount(set)); skip; skip--)
            set &= set - 1;
        w = lowest(set);
    }
    const unsigned turn = r >> 12 & 31, set = own->ready[w];
    const unsigned turned = turn ? set >> turn | set << (32 - turn) : set;
    return take(w, (lowest(turned) + (int)turn) & 31);
}

fiber_state *pick()
{
    if (!own->ready_warps) return nullptr;
    if (scheduled == RANDOM) return pick_random();
    if (scheduled == REVERSE) {
        const int w = highest(own->ready_warps);
        return take(w, highest(own->ready[w]));
    }
    int w = cur->warp; /* FORWARD: a warp runs as far as it can */
    if (!own->ready[w]) {
        const unsigned up = above(own->ready_warps, w);
        w = lowest(up ? up : own->ready_warps);
    }
    return take(w, lowest(own->ready[w]));
}

/* After a yield everybody gets a turn, or two spinning threads would keep a third away. */
static fiber_state *pick_next_in_turn()
{
    if (scheduled == RANDOM) return pick_random();
    int w = cur->warp;
    unsigned set = above(own->ready[w], cur->lane);
    if (!set) {
        const unsigned up = above(own->ready_warps, w);
        w = lowest(up ? up : own->ready_warps);
        set = own->ready[w];
    }
    return take(w, lowest(set));
}

void wait_here(site at)
{
    self()->at = at;
    fiber_state *next;
    while (!(next = pick())) {
        if (bulk_land_one()) continue;
        next = leave_held_block();
        if (!next) report_deadlock();
        break;
    }
    fiber_switch(next);
}

void yield(site at)
{
    self()->at = at;
    set_ready(cur->warp, 1u << cur->lane);
    own->idle_yields++;
    if (own->idle_yields % 4096 == 0) bulk_land_one(); /* copies land in the end, whoever polls */
    if (own->idle_yields > MAX_IDLE_YIELDS)
        fatal(at, "the block waits for something outside it: blocks run one after the other");
    fiber_switch(pick_next_in_turn());
}

void made_progress()
{
    own->idle_yields = 0;
}

void report_deadlock()
{
    fprintf(stderr, "host-shim deadlock: block (%u,%u,%u), %d of %d threads exited\n", blockIdx.x,
            blockIdx.y, blockIdx.z, n_done, nthreads);
    for (int i = 0, j; i < nthreads; i = j) { /* runs of threads that stand at the same place */
        const fiber_state &f = fibers[i];
        for (j = i + 1; j < nthreads && fibers[j].done == f.done; j++)
            if (!f.done && fibers[j].at.line != f.at.line) break;
        if (f.done)
            fprintf(stderr, "  threads %d..%d exited\n", i, j - 1);
        else
            fprintf(stderr, "  threads %d..%d wait at %s %s:%d\n", i, j - 1, f.at.what, f.at.file,
                    f.at.line);
    }
    print_pending_collectives();
    abort();
}
} // namespace ih
