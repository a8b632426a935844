#ifndef CONFIG_BASE_CGROUP_H
#define CONFIG_BASE_CGROUP_H

/* cgroup.h - what the control groups of this process (its own and all above it; version 1 and 2)
 * leave it of the machine.  Source: the kernel's Documentation/admin-guide/cgroup-v2.rst.
 * Threads: any; reads files. */

#include <stdint.h>

/* n lowered to the CPU quota, rounded up to whole CPUs. */
int cgroup_limit_cpus(int n);
/* size lowered to the memory limit. */
uint64_t cgroup_limit_memory(uint64_t size);

#endif
