#ifndef CONFIG_BASE_MACHINE_H
#define CONFIG_BASE_MACHINE_H

/* machine.h - sizes of the machine that programs which measure must know.  Linux; reads files.
 * Threads: any. */

#include <stdint.h>

/* Bytes that can be used without swapping, lowered to the control group's limit. */
uint64_t machine_available_memory(void);
/* Bytes of all last-level caches together, as sysfs tells them; 0 = unknown. */
uint64_t machine_cache_size(void);
/* CPUs in a list of sysfs such as "0-7,96-103"; 0 for what is none. */
int machine_count_cpus(const char *list);

#endif
