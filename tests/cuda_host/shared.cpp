/* Shared memory: one arena a block, with guard bytes between the arrays, poisoned for ASan and
 * filled with 0xff: NaN as f32, f16 and bf16, -1 as an integer, so that nothing counts on zeros. */
#include "tests/cuda_host/runtime.h"

#if IH_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace ih
{
constexpr size_t STATIC_LIMIT = 48 << 10;
constexpr size_t MAX_SHARED = 227 << 10;
constexpr size_t ALIGN = 1024; /* of dynamic memory, as cu.h asks of nvcc */
constexpr size_t GUARD = 64;
constexpr int MAX_ARRAYS = 256;
constexpr size_t ARENA = ALIGN + MAX_SHARED + MAX_ARRAYS * 2 * GUARD;

struct array {
    const void *key;
    char *p;
};
struct block_memory {
    table<array, MAX_ARRAYS> arrays = {{}, 0, "shared arrays"};
    char *arena, *dynamic;
    size_t used, dynamic_size, static_size;
};
static block_memory all_memory[CONTEXTS], *own = all_memory;
char *dynamic_shared; /* own->dynamic */
static int the_arch = 90;

/* Of one block: "Maximum amount of shared memory per thread block", CUDA programming guide. */
size_t shared_limit()
{
    return the_arch == 80 ? 163 << 10 : the_arch == 90 ? 227 << 10 : 99 << 10;
}

int arch()
{
    return the_arch;
}

void set_arch(int arch)
{
    if (arch != 80 && arch != 89 && arch != 90)
        fatal(here("set_arch"), "%d: 80, 89 and 90 are known", arch);
    the_arch = arch;
}

bool in_smem(const void *p, size_t size)
{
    const char *c = static_cast<const char *>(p);
    return own->arena && c >= own->arena && c + size <= own->arena + ARENA;
}

void shared_select(int context)
{
    own = &all_memory[context];
    dynamic_shared = own->dynamic;
}

static char *carve(size_t size, size_t align)
{
    const size_t at = (own->used + GUARD + align - 1) / align * align;
    own->used = at + size;
    if (own->used + GUARD > ARENA) fatal(here("shared memory"), "the arena is full");
    char *p = own->arena + at;
#if IH_ASAN
    __asan_unpoison_memory_region(p, size);
#endif
    ignore_accesses_begin();
    memset(p, 0xff, size);
    ignore_accesses_end();
    return p;
}

void *smem_static(const void *key, size_t size, size_t align)
{
    for (int i = 0; i < own->arrays.n; i++)
        if (own->arrays.v[i].key == key) return own->arrays.v[i].p;
    own->static_size += size;
    if (own->static_size > STATIC_LIMIT)
        fatal(here("SHARED"), "%zu bytes of SHARED, at most %zu", own->static_size, STATIC_LIMIT);
    if (own->static_size + own->dynamic_size > shared_limit())
        fatal(here("SHARED"), "%zu bytes of SHARED and %zu dynamic, sm_%d has %zu",
              own->static_size, own->dynamic_size, the_arch, shared_limit());
    /* LAUNCH asks CUDA for more than 48 KiB only where the dynamic part alone needs it. */
    if (own->dynamic_size <= STATIC_LIMIT && own->static_size + own->dynamic_size > STATIC_LIMIT)
        fatal(here("SHARED"), "%zu bytes of SHARED and %zu dynamic: together above %zu",
              own->static_size, own->dynamic_size, STATIC_LIMIT);
    char *p = carve(size, align < 16 ? 16 : align);
    own->arrays.add({key, p});
    return p;
}

void shared_begin(size_t dynamic, site at)
{
    own->dynamic_size = dynamic;
    own->static_size = 0;
    /* For TSan new memory, without a history: two blocks' shared memory has nothing to do with one
     * another, and blocks are not ordered, so that races between them in global memory show. */
    ignore_accesses_begin();
    if (IH_TSAN) {
        free(own->arena);
        own->arena = nullptr;
    }
    if (!own->arena)
        own->arena = static_cast<char *>(aligned_alloc(ALIGN, (ARENA + ALIGN - 1) / ALIGN * ALIGN));
    ignore_accesses_end();
    if (!own->arena) fatal(at, "out of memory for shared memory");
#if IH_ASAN
    __asan_poison_memory_region(own->arena, ARENA);
#endif
    own->used = 0;
    own->arrays.n = 0;
    dynamic_shared = own->dynamic = dynamic ? carve(dynamic, ALIGN) : own->arena;
}

bool addressable([[maybe_unused]] const void *p, [[maybe_unused]] size_t size)
{
#if IH_ASAN
    return !__asan_region_is_poisoned(const_cast<void *>(p), size);
#else
    return true;
#endif
}

#if IH_ASAN
extern "C" void __asan_load16(uintptr_t), __asan_store16(uintptr_t);
void touch_read16(const void *p)
{
    __asan_load16((uintptr_t)p);
}
void touch_write16(void *p)
{
    __asan_store16((uintptr_t)p);
}
#elif IH_TSAN
extern "C" void __tsan_read16(void *), __tsan_write16(void *);
void touch_read16(const void *p)
{
    __tsan_read16(const_cast<void *>(p));
}
void touch_write16(void *p)
{
    __tsan_write16(p);
}
#else
void touch_read16(const void *) {}
void touch_write16(void *) {}
#endif
} // namespace ih
