#ifndef TESTS_CUDA_HOST_RUNTIME_H
#define TESTS_CUDA_HOST_RUNTIME_H

/* runtime.h - what the runtime's files share; kernels never see it.
 *
 *   fiber.cpp     stacks and switches, faults and the watchdog      schedule.cpp  who runs next
 *   launch.cpp    limits, blocks, kernels that begin early          barrier.cpp   barriers, collectives
 *   shared.cpp    shared memory       async.cpp  copies, mbarriers  matrix.cpp    mma, ldmatrix
 *   device_host.cpp  cuda/device.h
 *
 * A block that began ahead of its turn keeps what it has, while others run, in a context: each file's
 * own state is there as many times, and <file>_select() says which one is meant.
 *
 * No file here is compiled with a sanitizer, and none allocates while a kernel runs: fixed tables,
 * whose ends are errors.  x86-64 only. */

#include "tests/cuda_host/cuda_host.h"

#if IH_TSAN
extern "C" {
void AnnotateIgnoreReadsBegin(const char *, int);
void AnnotateIgnoreReadsEnd(const char *, int);
void AnnotateIgnoreWritesBegin(const char *, int);
void AnnotateIgnoreWritesEnd(const char *, int);
}
#endif

namespace ih
{
/* What ThreadSanitizer is not to see of the running fiber. */
inline void ignore_accesses_begin()
{
#if IH_TSAN
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
}
inline void ignore_accesses_end()
{
#if IH_TSAN
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
}

constexpr int MAX_THREADS = 1024, MAX_WARPS = 32, MAX_COPIES = 512;
/* Blocks that may be under way at one time: of as many kernels, all but one of which wait at grid_wait. */
constexpr int CONTEXTS = 3;

template <class T, int N> struct table {
    T v[N];
    int n = 0;
    void add(T x)
    {
        if (n == N) fatal(here("runtime"), "more than %d %s", N, what);
        v[n++] = x;
    }
    void remove(int i) { v[i] = v[--n]; }
    const char *what;
};

struct copy16 {
    char *dst;
    const char *src;
    int size;
    unsigned group;
};

struct fiber_state : fiber {
    void *sp;
    bool done, waited; /* waited: by grid_wait */
    site at;           /* where it waits */
    char *stack;
    void *fake_stack, *tsan; /* of the sanitizers */
    unsigned syncs;          /* warp fences so far */
    copy16 *copies; /* [MAX_COPIES], elsewhere: neighbours of this struct are in use all the time */
    int n_copies;
    unsigned copy_group; /* the open one */
};

extern fiber_state *fibers, main_fiber; /* fibers: [MAX_THREADS] of the context */
extern int n_done;
inline fiber_state *self()
{
    return static_cast<fiber_state *>(cur);
}

/* --- fiber.cpp --- */
void fibers_select(int context);
void fiber_make(fiber_state &f); /* its stack, once */
void fiber_switch(fiber_state *to);
struct stack_range {
    char *lowest;
    size_t size;
};
stack_range thread_stack();
void watch_begin(); /* around a launch */
void watch_end();
/* What a fiber does: the kernel's body once a launch, between these (launch.cpp). */
void run_body();
void body_done();

/* --- schedule.cpp --- */
uint32_t draw();
extern schedule scheduled;
bool copy_lands_at_once();
void set_ready(int warp, unsigned lanes);
void schedule_select(int context);
void schedule_block(); /* nobody is ready; called before a block's threads are made ready */
fiber_state *pick();
void wait_here(site at); /* the caller has put itself on some list */
void made_progress();    /* a rendezvous was completed: the block is not stuck */
[[noreturn]] void report_deadlock();

/* --- launch.cpp --- */
/* Nobody of the block can go on: who runs then, where some wait for the kernels ahead; else nullptr. */
fiber_state *leave_held_block();

/* --- barrier.cpp --- */
void barriers_select(int context);
void barriers_reset();
void print_pending_collectives();

/* --- shared.cpp --- */
void shared_select(int context);
size_t shared_limit();
void shared_begin(size_t dynamic_size, site at); /* a new block's */

/* --- async.cpp --- */
void async_select(int context);
void async_begin();
void copies_land(fiber_state *f, unsigned before_group);
bool bulk_land_one(); /* false: none is under way */
} // namespace ih

#endif
