/* Fibers: stacks, switches, what the sanitizers have to know of them; faults and the watchdog. */
#include "tests/cuda_host/runtime.h"

#include <cstdarg>

#include <csignal>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>
#if IH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace ih
{
/* Sanitized frames are several times larger. */
constexpr size_t STACK_SIZE = (IH_ASAN || IH_TSAN) ? 512 << 10 : 128 << 10;
constexpr int PATIENCE_S = 5; /* of CPU time in one fiber without a switch */

static fiber_state fiber_sets[CONTEXTS][MAX_THREADS];
fiber_state *fibers = fiber_sets[0], main_fiber;
fiber *cur = &main_fiber;
uint64_t n_switch;
static pid_t kernel_thread; /* the OS thread that runs kernels now, or 0 */

/* --- errors --- */

void fatal(site at, const char *fmt, ...)
{
    fprintf(stderr, "host-shim error: ");
    if (cur != &main_fiber)
        fprintf(stderr, "block (%u,%u,%u) thread (%u,%u,%u) warp %d lane %d: ", blockIdx.x,
                blockIdx.y, blockIdx.z, cur->tid.x, cur->tid.y, cur->tid.z, cur->warp, cur->lane);
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, " [%s %s:%d]\n", at.what, at.file, at.line);
    abort();
}

static void on_fault(int sig, siginfo_t *info, void *)
{
    signal(sig, SIG_DFL); /* a fault elsewhere happens again, and is then nobody's */
    if (gettid() == kernel_thread && cur != &main_fiber)
        fatal(here("memory access"), "invalid memory access at %p, or stack overflow",
              info->si_addr);
}

static void on_tick(int)
{
    static uint64_t last = ~0ull;
    if (kernel_thread && cur != &main_fiber && n_switch == last)
        fatal(self()->at,
              "no progress in %d s; a spin loop needs mbar_wait or __nanosleep. Last wait",
              PATIENCE_S);
    last = n_switch;
}

static void install_handlers()
{
    static char stack[64 << 10];
    stack_t st = {}, present = {};
    st.ss_sp = stack;
    st.ss_size = sizeof stack;
    /* A sanitizer gives each thread a stack for signals and unmaps the one it finds at the thread's end:
     * that must be its own. */
    sigaltstack(nullptr, &present);
    if (present.ss_flags & SS_DISABLE) sigaltstack(&st, nullptr);
    struct sigaction a = {};
    a.sa_flags = SA_ONSTACK | SA_SIGINFO;
    a.sa_sigaction = on_fault;
    if (!IH_ASAN && !IH_TSAN) { /* they have handlers of their own */
        sigaction(SIGSEGV, &a, nullptr);
        sigaction(SIGBUS, &a, nullptr);
    }
    a.sa_flags = SA_ONSTACK | SA_RESTART;
    a.sa_handler = on_tick;
    sigaction(SIGVTALRM, &a, nullptr);
}

static void set_timer(int seconds)
{
    const struct itimerval t = {{seconds, 0}, {seconds, 0}};
    setitimer(ITIMER_VIRTUAL, &t, nullptr);
}

/* The stack of this OS thread. */
stack_range thread_stack()
{
    static thread_local stack_range r;
    if (!r.lowest) {
        pthread_attr_t a;
        void *lowest;
        pthread_getattr_np(pthread_self(), &a);
        pthread_attr_getstack(&a, &lowest, &r.size);
        pthread_attr_destroy(&a);
        r.lowest = static_cast<char *>(lowest);
    }
    return r;
}
[[maybe_unused]] static stack_range main_stack; /* of the thread that launches */

void watch_begin()
{
    static bool installed;
    if (!installed) install_handlers();
    installed = true;
    main_stack = thread_stack();
#if IH_TSAN
    main_fiber.tsan = __tsan_get_current_fiber();
#endif
    kernel_thread = gettid();
    set_timer(PATIENCE_S);
}

void watch_end()
{
    set_timer(0);
    kernel_thread = 0;
}

/* --- switches --- */

/* What the ABI has a callee keep goes on the stack; then the stacks change places. */
__attribute__((naked, noinline)) static void swap_stacks([[maybe_unused]] void **save,
                                                         [[maybe_unused]] void *to)
{
    asm("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
        "movq %rsp,(%rdi)\n movq %rsi,%rsp\n"
        "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret");
}

void fiber_switch(fiber_state *to)
{
    fiber_state *from = self();
    if (to == from) return;
    n_switch++;
    cur = to;
#if IH_ASAN
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack ? to->stack : main_stack.lowest,
                                   to->stack ? STACK_SIZE : main_stack.size);
#endif
#if IH_TSAN
    __tsan_switch_to_fiber(to->tsan, __tsan_switch_to_fiber_no_sync);
#endif
    swap_stacks(&from->sp, to->sp);
#if IH_ASAN
    __sanitizer_finish_switch_fiber(from->fake_stack, nullptr, nullptr);
#endif
}

static void fiber_main()
{
#if IH_ASAN
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
    for (;;) { /* once a block */
        run_body();
        body_done();
    }
}

void fibers_select(int context)
{
    fibers = fiber_sets[context];
}

void fiber_make(fiber_state &f)
{
    if (f.stack) return;
    const size_t page = 4096; /* below the stack, unmapped */
    void *m = mmap(nullptr, STACK_SIZE + page, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED || mprotect(m, page, PROT_NONE) != 0) {
        perror("host-shim: a fiber's stack");
        abort();
    }
    f.stack = static_cast<char *>(m) + page;
    /* Stacks that begin at different places in their pages do not meet in the same cache sets. */
    const size_t index = (size_t)(&f - fiber_sets[0]), shift = index % 64 * 64;
    void **sp = reinterpret_cast<void **>(f.stack + STACK_SIZE - shift);
    static copy16 copies[CONTEXTS * MAX_THREADS][MAX_COPIES];
    f.copies = copies[index];
    *--sp = nullptr; /* the entry sees rsp as after a call: 8 mod 16 */
    *--sp = reinterpret_cast<void *>(fiber_main);
    for (int i = 0; i < 6; i++) *--sp = nullptr; /* the registers that swap_stacks pops */
    f.sp = sp;
#if IH_TSAN
    f.tsan = __tsan_create_fiber(0);
#endif
}
} // namespace ih
