#include "config/base/check.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* No stdio buffering and no allocation: the heap may be what is broken. */
static void complain(const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, text, len);
        if (n <= 0) return;
        text += n;
        len -= (size_t)n;
    }
}

void check_failed(const char *file, int line, const char *expr)
{
    char text[512];
    snprintf(text, sizeof(text), "fatal: %s:%d: check failed: %s\n", file, line, expr);
    complain(text);
    abort();
}

#if INFERD_DEBUG_CHECKS

static _Thread_local int guard_depth;

void step_guard_enter(void)
{
    guard_depth++;
}

void step_guard_leave(void)
{
    CHECK(guard_depth > 0);
    guard_depth--;
}

static void guard_check(const char *what)
{
    if (guard_depth == 0) return;
    guard_depth = 0; /* abort handlers and sanitizers may allocate */
    char text[128];
    snprintf(text, sizeof(text), "fatal: %s() inside a step (see config/base/check.h)\n", what);
    complain(text);
    abort();
}

/* The linker's --wrap=malloc sends every call in our objects to __wrap_malloc and gives
 * __real_malloc the C library's.  Weak, so that a program linked without --wrap links too. */
void *__real_malloc(size_t size) __attribute__((weak));
void *__real_calloc(size_t n, size_t size) __attribute__((weak));
void *__real_realloc(void *p, size_t size) __attribute__((weak));
void __real_free(void *p) __attribute__((weak));
int __real_posix_memalign(void **out, size_t align, size_t size) __attribute__((weak));
void *__real_aligned_alloc(size_t align, size_t size) __attribute__((weak));

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);
int __wrap_posix_memalign(void **out, size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);

void *__wrap_malloc(size_t size)
{
    guard_check("malloc");
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    guard_check("calloc");
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    guard_check("realloc");
    return __real_realloc(p, size);
}

void __wrap_free(void *p)
{
    if (p) guard_check("free");
    __real_free(p);
}

int __wrap_posix_memalign(void **out, size_t align, size_t size)
{
    guard_check("posix_memalign");
    return __real_posix_memalign(out, align, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
    guard_check("aligned_alloc");
    return __real_aligned_alloc(align, size);
}

#endif
