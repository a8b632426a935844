/* A launch: its limits, and the loop over its blocks. */
#include "tests/cuda_host/runtime.h"

#include <mutex>
#include <numeric>
#include <vector>

uint3 blockIdx;
dim3 blockDim, gridDim;

namespace ih
{
int nthreads, n_done;
static const std::function<void()> *body;
uint64_t n_launches, n_transfers;
static bool again;                                     /* the running block is to run once more */
[[maybe_unused]] static char launch_order, done_order; /* for TSan */

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

/* The order of blocks: 0, 1, 2 ...; the other way round; or start + k step, step prime to n. */
struct block_order {
    size_t n, start, step;
};
static block_order order_blocks(size_t n)
{
    if (n == 1 || scheduled == FORWARD) return {n, 0, 1};
    if (scheduled == REVERSE) return {n, n - 1, n - 1};
    block_order o = {n, draw() % n, 1};
    do o.step = 1 + draw() % n;
    while (std::gcd(o.step, n) != 1);
    return o;
}

void run_again(site at)
{
    (void)at;
    again = true;
}

static void run_block(size_t id, size_t shared_size, site at)
{
    again = false;
    blockIdx = {(unsigned)(id % gridDim.x), (unsigned)(id / gridDim.x % gridDim.y),
                (unsigned)(id / gridDim.x / gridDim.y)};
    shared_begin(shared_size, at);
    barriers_reset();
    async_begin();
    schedule_block();
    n_done = 0;
    for (int i = 0; i < nthreads; i++) {
        fiber_state &f = fibers[i];
        const unsigned u = (unsigned)i;
        f.tid = {u % blockDim.x, u / blockDim.x % blockDim.y, u / blockDim.x / blockDim.y};
        f.warp = i / 32;
        f.lane = i % 32;
        f.done = false;
        f.copy_group = f.syncs = 0;
        f.n_copies = 0;
        set_ready(f.warp, 1u << f.lane);
    }
    IH_REL(&launch_order);
    fiber_switch(pick());
}

void launch(dim3 grid, dim3 block, size_t shared_size, const std::function<void()> &fn, site at)
{
    check_launch(grid, block, shared_size, at);
    std::lock_guard<std::mutex> lock(turn);
    in_launch = true;
    watch_begin();
    gridDim = grid;
    blockDim = block;
    nthreads = (int)(block.x * block.y * block.z);
    body = &fn;
    for (int i = 0; i < nthreads; i++) fiber_make(fibers[i]);
    n_launches++;
    const block_order o = order_blocks((size_t)grid.x * grid.y * grid.z);
    std::vector<size_t> blocks(o.n), waiting;
    for (size_t k = 0; k < o.n; k++) blocks[k] = (o.start + k * o.step) % o.n;
    for (; !blocks.empty(); blocks.swap(waiting), waiting.clear()) {
        for (size_t id : blocks) {
            run_block(id, shared_size, at);
            if (again) waiting.push_back(id);
        }
        if (waiting.size() == blocks.size()) fatal(at, "every block waits for another");
    }
    IH_ACQ(&done_order);
    watch_end();
    in_launch = false;
}
} // namespace ih
