/* A launch: its limits, the loop over its blocks, and blocks that begin before the kernels ahead end. */
#include "tests/cuda_host/runtime.h"

#include <deque>
#include <mutex>
#include <numeric>
#include <vector>

uint3 blockIdx;
dim3 blockDim, gridDim;

namespace ih
{
int nthreads, n_done;
static const std::function<void()> *body;
uint64_t n_launches, n_transfers, n_early;
static bool again;                                     /* the running block is to run once more */
[[maybe_unused]] static char launch_order, done_order; /* for TSan */

/* A kernel of which some block has begun.  One that overlaps keeps its first block at grid_wait until
 * nothing is ahead; meanwhile the next kernel may begin, if that block has said so by then. */
struct underway {
    const void *stream;
    dim3 grid, block;
    size_t shared_size;
    std::function<void()> body;
    site at;
    bool overlaps;
    int context;
    std::vector<size_t> blocks; /* in their order; the first has begun */
    bool held, again, triggered;
};
static std::deque<underway> kernels;
static underway *running; /* whose block runs now */
static struct {
    unsigned lanes[MAX_WARPS]; /* at grid_wait */
    bool any;
} all_held[CONTEXTS];
static bool holding; /* the running block is not to pass grid_wait */

/* The fibers are one set: launches of several OS threads take turns. */
static std::mutex turn;
static thread_local bool in_launch;

void run_body()
{
    IH_ACQ(&launch_order);
    (*body)();
}

void body_done()
{
    fiber_state *f = self();
    if (running->overlaps && !f->waited)
        fatal(running->at, "a thread of a kernel that overlaps ended without griddepcontrol.wait");
    copies_land(f, ~0u);
    f->done = true;
    n_done++;
    made_progress();
    IH_REL(&done_order);
    if (n_done < nthreads) return wait_here({"", 0, "exit"});
    while (bulk_land_one()) {
    }
    fiber_switch(&main_fiber);
}

/* CUDA programming guide, "Technical specifications per compute capability". */
static void check_limits(dim3 g, dim3 b, size_t shared_size, site at)
{
    const size_t n = (size_t)b.x * b.y * b.z;
    if (n == 0 || n > MAX_THREADS || b.z > 64)
        fatal(at, "launch of a block of %u x %u x %u threads", b.x, b.y, b.z);
    if (!g.x || !g.y || !g.z || g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535)
        fatal(at, "launch of a grid of %u x %u x %u blocks", g.x, g.y, g.z);
    if (shared_size > shared_limit())
        fatal(at, "launch with %zu bytes of shared memory, sm_%d has %zu", shared_size, arch(),
              shared_limit());
}

void check_launch(dim3 grid, dim3 block, size_t shared_size, site at)
{
    if (in_launch) fatal(at, "launch from inside a kernel");
    check_limits(grid, block, shared_size, at);
}

void check_arguments(const void *args, size_t size, site at)
{
    const stack_range stack = thread_stack();
    for (size_t i = 0; i + sizeof(char *) <= size; i += sizeof(char *)) {
        uintptr_t word;
        memcpy(&word, static_cast<const char *>(args) + i, sizeof word);
        if (word - (uintptr_t)stack.lowest < stack.size)
            fatal(at, "an argument points to the host's stack");
    }
}

void grid_wait(site at)
{
    fiber_state *f = self();
    f->waited = true;
    if (!holding) return;
    all_held[running->context].lanes[f->warp] |= 1u << f->lane;
    all_held[running->context].any = true;
    wait_here(at);
    IH_ACQ(&launch_order); /* with what the kernels ahead did */
}

void grid_launch_dependents()
{
    if (holding) running->triggered = true;
}

fiber_state *leave_held_block()
{
    return holding && all_held[running->context].any ? &main_fiber : nullptr;
}

/* The order of blocks: 0, 1, 2 ...; the other way round; or start + k step, step prime to n. */
static std::vector<size_t> order_blocks(size_t n)
{
    size_t start = 0, step = 1;
    if (n > 1 && scheduled == REVERSE) start = step = n - 1;
    if (n > 1 && scheduled == RANDOM) {
        start = draw() % n;
        do step = 1 + draw() % n;
        while (std::gcd(step, n) != 1);
    }
    std::vector<size_t> blocks(n);
    for (size_t k = 0; k < n; k++) blocks[k] = (start + k * step) % n;
    return blocks;
}

void run_again(site at)
{
    (void)at;
    again = true;
}

/* Block `id` of kernel k is the one that runs. */
static void enter(underway &k, size_t id)
{
    running = &k;
    again = false;
    fibers_select(k.context);
    schedule_select(k.context);
    barriers_select(k.context);
    shared_select(k.context);
    async_select(k.context);
    gridDim = k.grid;
    blockDim = k.block;
    nthreads = (int)(k.block.x * k.block.y * k.block.z);
    n_done = 0;
    body = &k.body;
    blockIdx = {(unsigned)(id % gridDim.x), (unsigned)(id / gridDim.x % gridDim.y),
                (unsigned)(id / gridDim.x / gridDim.y)};
    IH_REL(&launch_order);
}

/* From its start to its end; where it is held, to grid_wait. */
static void run_block(underway &k, size_t id)
{
    enter(k, id);
    shared_begin(k.shared_size, k.at);
    barriers_reset();
    async_begin();
    schedule_block();
    all_held[k.context] = {};
    for (int i = 0; i < nthreads; i++) {
        fiber_state &f = fibers[i];
        const unsigned u = (unsigned)i;
        fiber_make(f);
        f.tid = {u % blockDim.x, u / blockDim.x % blockDim.y, u / blockDim.x / blockDim.y};
        f.warp = i / 32;
        f.lane = i % 32;
        f.done = f.waited = false;
        f.copy_group = f.syncs = 0;
        f.n_copies = 0;
        set_ready(f.warp, 1u << f.lane);
    }
    fiber_switch(pick());
}

/* The first block goes on from grid_wait to its end. */
static void release(underway &k)
{
    enter(k, k.blocks[0]);
    for (int w = 0; w < MAX_WARPS; w++) set_ready(w, all_held[k.context].lanes[w]);
    all_held[k.context] = {};
    fiber_switch(pick());
}

static void begin(underway &k, bool hold)
{
    watch_begin();
    holding = hold;
    run_block(k, k.blocks[0]);
    holding = false;
    k.held = n_done < nthreads;
    k.again = again;
    watch_end();
}

/* All that is left of the oldest kernel. */
static void finish_one()
{
    underway &k = kernels.front();
    watch_begin();
    if (k.held) {
        release(k);
        k.again = again;
    }
    std::vector<size_t> blocks(k.blocks.begin() + 1, k.blocks.end()), waiting;
    bool progress = !k.again;
    if (k.again) waiting.push_back(k.blocks[0]);
    for (;;) {
        for (size_t id : blocks) {
            run_block(k, id);
            progress |= !again;
            if (again) waiting.push_back(id);
        }
        if (waiting.empty()) break;
        if (!progress) fatal(k.at, "every block waits for another");
        blocks.swap(waiting);
        waiting.clear();
        progress = false;
    }
    IH_ACQ(&done_order);
    watch_end();
    kernels.pop_front();
}

static void finish_all()
{
    while (!kernels.empty()) finish_one();
}

void finish_launches()
{
    if (in_launch) fatal(here("finish_launches"), "inside a kernel");
    std::lock_guard<std::mutex> lock(turn);
    in_launch = true;
    finish_all();
    in_launch = false;
}

/* How many kernels may be under way when another begins. */
static size_t may_be_ahead()
{
    return scheduled == RANDOM ? draw() % CONTEXTS : CONTEXTS - 1;
}

void launch(const void *stream, bool overlaps, dim3 grid, dim3 block, size_t shared_size,
            const std::function<void()> &fn, site at)
{
    check_launch(grid, block, shared_size, at);
    std::lock_guard<std::mutex> lock(turn);
    in_launch = true;
    const size_t most = overlaps ? may_be_ahead() : 0;
    while (kernels.size() > most) finish_one();
    if (!kernels.empty() && (kernels.back().stream != stream || !kernels.back().triggered))
        finish_all();
    n_launches++;
    n_early += !kernels.empty();
    bool taken[CONTEXTS] = {};
    for (const underway &k : kernels) taken[k.context] = true;
    int context = 0;
    while (taken[context]) context++;
    kernels.push_back({stream, grid, block, shared_size, fn, at, overlaps, context,
                       order_blocks((size_t)grid.x * grid.y * grid.z), false, false, false});
    begin(kernels.back(), overlaps);
    if (!overlaps) finish_all();
    in_launch = false;
}
} // namespace ih
