#ifndef CONFIG_BASE_CLOCK_H
#define CONFIG_BASE_CLOCK_H

/* clock.h - time.  scheduler/ and engine/ take time as an argument; only server/ and tools call
 * these. */

#include <stdint.h>

uint64_t clock_now_us(void); /* monotonic, microseconds */
uint64_t clock_now_ns(void); /* monotonic, nanoseconds */
int64_t clock_unix_s(void);  /* wall clock, seconds */
uint64_t clock_cpu_ns(void); /* CPU time of the calling thread, nanoseconds */

#endif
