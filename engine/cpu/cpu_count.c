/* How many CPUs this process may use. */
#include "config/base/cgroup.h"
#include "engine/cpu/pool.h"

#include <sched.h>

static int affinity_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    /* More CPUs than a cpu_set_t holds (1,024): ask with a larger set. */
    const int n_max = 65536;
    cpu_set_t *big = CPU_ALLOC(n_max);
    if (!big) return 1;
    const size_t size = CPU_ALLOC_SIZE(n_max);
    const int n = sched_getaffinity(0, size, big) == 0 ? CPU_COUNT_S(size, big) : 1;
    CPU_FREE(big);
    return n;
}

int pool_default_threads(void)
{
    const int n = cgroup_limit_cpus(affinity_count());
    return n < 1 ? 1 : n;
}
