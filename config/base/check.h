#ifndef CONFIG_BASE_CHECK_H
#define CONFIG_BASE_CHECK_H

/* check.h - programmer errors.  CHECK is always on; DCHECK in debug and sanitizer builds.
 * Nothing that a client or a file says may reach either.
 *
 * The step guard: between step_guard_enter() and step_guard_leave() the calling thread must not
 * allocate.  Debug and sanitizer builds wrap malloc and friends (linker --wrap) and abort with a
 * message when it does; release builds compile the guard to nothing. */

#include <stdint.h>

_Noreturn void check_failed(const char *file, int line, const char *expr);

#define CHECK(expr) ((expr) ? (void)0 : check_failed(__FILE__, __LINE__, #expr))
#if INFERD_DEBUG_CHECKS
#define DCHECK(expr) CHECK(expr)
void step_guard_enter(void);
void step_guard_leave(void);
#else
#define DCHECK(expr) ((void)sizeof(!(expr)))
static inline void step_guard_enter(void) {}
static inline void step_guard_leave(void) {}
#endif

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
