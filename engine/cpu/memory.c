/* The backend's memory: mappings that start at a huge page's border and are asked for in huge pages. */
#include "engine/cpu/cpu.h"

#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define GIB(size) ((double)(size) / (double)(1u << 30))

static size_t page_round(size_t size)
{
    return (size + 4095) / 4096 * 4096;
}

void *cpu_memory_map(size_t size)
{
    if (size > SIZE_MAX / 2) return NULL;
    const size_t len = page_round(size ? size : 1);
    const bool huge = len >= 2 * HUGE_PAGE;
    const size_t extra = huge ? HUGE_PAGE : 0; /* to start at a huge page's border */
    char *p = mmap(NULL, len + extra, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    if (!huge) return p;
    const size_t skip = (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
    if (skip) munmap(p, skip);
    if (extra - skip) munmap(p + skip + len, extra - skip);
    madvise(p + skip, len, MADV_HUGEPAGE);
    cpu_numa_interleave(p + skip, len);
    return p + skip;
}

void cpu_memory_unmap(void *p, size_t size)
{
    if (p) munmap(p, page_round(size ? size : 1));
}

enum status cpu_memory_own(struct cpu_backend *cb, void *data, size_t size, struct error *err)
{
    struct cpu_block *b = malloc(sizeof *b);
    if (!b) {
        cpu_memory_unmap(data, size);
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    *b = (struct cpu_block){.next = cb->blocks, .data = data, .size = size};
    cb->blocks = b;
    return STATUS_OK;
}

enum status cpu_memory_alloc(struct cpu_backend *cb, void **out, size_t n, size_t item_size,
                             const char *what, struct error *err)
{
    size_t size;
    if (__builtin_mul_overflow(n, item_size, &size))
        return error_set(err, STATUS_NO_MEMORY, "the size of %s overflows: lower the limits", what);
    void *p = cpu_memory_map(size);
    if (!p)
        return error_set(err, STATUS_NO_MEMORY,
                         "cannot map %.2f GiB for %s: lower --max-num-batched-tokens or "
                         "--max-model-len",
                         GIB(size), what);
    const enum status s = cpu_memory_own(cb, p, size, err);
    if (s == STATUS_OK) *out = p;
    return s;
}

void cpu_memory_release(struct cpu_backend *cb)
{
    for (struct cpu_block *b = cb->blocks, *next; b; b = next) {
        next = b->next;
        cpu_memory_unmap(b->data, b->size);
        free(b);
    }
    cb->blocks = NULL;
}
