/* Asynchronous copies, mbarriers, bulk copies.  A copy may land at any moment between its issue and
 * the wait for it: the schedule takes the first or the last of these moments. */
#include "tests/cuda_host/runtime.h"

namespace ih
{
static bool aligned16(const void *p)
{
    return (uintptr_t)p % 16 == 0;
}

/* --- cp.async --- */

static void land(const copy16 &c)
{
    if (c.size) touch_read16(c.src);
    touch_write16(c.dst);
    memcpy(c.dst, c.src, (size_t)c.size);
    memset(c.dst + c.size, 0, (size_t)(16 - c.size));
}

void cp_issue(void *dst, const void *src, int src_size, site at)
{
    if (!in_smem(dst, 16) || (src_size && in_smem(src)))
        fatal(at, "the destination must be shared, the source global");
    if (!aligned16(dst) || !aligned16(src)) fatal(at, "addresses must be 16-byte aligned");
    if (!addressable(dst, 16)) fatal(at, "the shared destination is out of bounds");
    if (!addressable(src, (size_t)src_size)) fatal(at, "the global source is out of bounds");
    fiber_state *f = self();
    const copy16 c = {static_cast<char *>(dst), static_cast<const char *>(src), src_size,
                      f->copy_group};
    touch_write16(dst); /* for TSan: whoever touches it from here on, without the wait, races */
    if (copy_lands_at_once()) return land(c);
    if (f->n_copies == MAX_COPIES)
        fatal(at, "more than %d copies of a thread under way", MAX_COPIES);
    f->copies[f->n_copies++] = c;
}

void copies_land(fiber_state *f, unsigned before_group)
{
    int kept = 0;
    for (int i = 0; i < f->n_copies; i++) {
        if (f->copies[i].group < before_group)
            land(f->copies[i]);
        else
            f->copies[kept++] = f->copies[i];
    }
    f->n_copies = kept;
}

void cp_commit()
{
    self()->copy_group++;
}

void cp_wait(unsigned newest)
{
    fiber_state *f = self();
    if (f->copy_group > newest) copies_land(f, f->copy_group - newest);
}

/* --- mbarriers: the state is kept in the 8 bytes themselves --- */

struct mbarrier {
    int32_t tx; /* bytes expected, less those that came */
    uint16_t pending;
    uint16_t count : 15, phase : 1;
};
static_assert(sizeof(mbarrier) == 8);
struct waiter {
    mbarrier *bar;
    fiber_state *who;
};
struct bulk_copy {
    char *dst;
    const char *src;
    unsigned size;
    mbarrier *bar;
};
struct flights {
    table<mbarrier *, 256> made = {{}, 0, "mbarriers of a block"};
    table<waiter, MAX_THREADS> waiters = {{}, 0, "threads that wait for an mbarrier"};
    table<bulk_copy, 1024> bulks = {{}, 0, "bulk copies under way"};
};
static flights all_flights[CONTEXTS], *own = all_flights;

void async_select(int context)
{
    own = &all_flights[context];
}

void async_begin()
{
    own->made.n = own->waiters.n = own->bulks.n = 0;
}

static mbarrier *known(uint64_t *bar, site at)
{
    for (int i = 0; i < own->made.n; i++)
        if (own->made.v[i] == reinterpret_cast<mbarrier *>(bar)) return own->made.v[i];
    fatal(at, "no mbarrier was initialised at %p", (void *)bar);
}

static void complete_phase(mbarrier *m)
{
    if (m->pending || m->tx) return;
    m->phase ^= 1;
    m->pending = m->count;
    made_progress();
    for (int i = own->waiters.n - 1; i >= 0; i--) {
        const waiter w = own->waiters.v[i];
        if (w.bar != m) continue;
        set_ready(w.who->warp, 1u << w.who->lane);
        own->waiters.remove(i);
    }
}

void mbar_init(uint64_t *bar, int count, site at)
{
    if (!in_smem(bar, 8) || (uintptr_t)bar % 8)
        fatal(at, "an mbarrier is 8 aligned bytes of shared memory");
    if (count < 1 || count > MAX_THREADS) fatal(at, "an mbarrier for %d arrivals", count);
    mbarrier m = {};
    m.pending = (uint16_t)count;
    m.count = (uint16_t)(count & 0x7fff);
    memcpy(bar, &m, sizeof m);
    for (int i = 0; i < own->made.n; i++)
        if (own->made.v[i] == reinterpret_cast<mbarrier *>(bar)) return;
    own->made.add(reinterpret_cast<mbarrier *>(bar));
}

void mbar_arrive(uint64_t *bar, unsigned tx_size, site at)
{
    mbarrier *m = known(bar, at);
    IH_REL(m);
    if (!m->pending) fatal(at, "more arrivals than the barrier's count, %d", m->count);
    m->tx += (int)tx_size;
    m->pending--;
    complete_phase(m);
}

void mbar_wait(uint64_t *bar, unsigned parity, site at)
{
    mbarrier *m = known(bar, at);
    if (parity > 1) fatal(at, "a parity of %u", parity);
    while (m->phase == parity) { /* until the phase of that parity is over */
        own->waiters.add({m, self()});
        wait_here(at);
    }
    IH_ACQ(m);
}

/* --- bulk copies --- */

static void land_bulk(const bulk_copy &b)
{
#if IH_TSAN
    /* The copy engine is a thread of its own, ordered after the one that issued the copy. */
    static void *engine = __tsan_create_fiber(0);
    __tsan_switch_to_fiber(engine, __tsan_switch_to_fiber_no_sync);
    IH_ACQ(reinterpret_cast<char *>(b.bar) + 4);
#endif
    memcpy(b.dst, b.src, b.size);
    IH_REL(b.bar);
#if IH_TSAN
    __tsan_switch_to_fiber(self()->tsan, __tsan_switch_to_fiber_no_sync);
#endif
    b.bar->tx -= (int)b.size;
    complete_phase(b.bar);
}

bool bulk_land_one()
{
    if (!own->bulks.n) return false;
    const int i = scheduled == RANDOM ? (int)(draw() % (unsigned)own->bulks.n) : 0;
    const bulk_copy b = own->bulks.v[i];
    own->bulks.remove(i);
    land_bulk(b);
    return true;
}

void bulk_check(const void *src, unsigned size, site at)
{
    if (!aligned16(src) || size % 16) fatal(at, "addresses and sizes are multiples of 16");
    if (in_smem(src)) fatal(at, "the source must be global");
    if (!addressable(src, size)) fatal(at, "the global source is out of bounds");
}

void bulk_issue(void *dst, const void *src, unsigned size, uint64_t *bar, site at)
{
    bulk_check(src, size, at);
    if (!aligned16(dst)) fatal(at, "addresses and sizes are multiples of 16");
    if (!in_smem(dst, size)) fatal(at, "the destination must be shared");
    if (!addressable(dst, size)) fatal(at, "the shared destination is out of bounds");
    const bulk_copy b = {static_cast<char *>(dst), static_cast<const char *>(src), size,
                         known(bar, at)};
    IH_REL(reinterpret_cast<char *>(bar) + 4);
    if (copy_lands_at_once())
        land_bulk(b);
    else
        own->bulks.add(b);
}
} // namespace ih
