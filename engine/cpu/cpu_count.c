/* How many CPUs this process may use. */
#include "engine/cpu/pool.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static bool read_line(const char *path, char *line, int size)
{
    FILE *f = fopen(path, "re");
    if (!f) return false;
    const bool ok = fgets(line, size, f) != NULL;
    fclose(f);
    return ok;
}

static int quota_cpus(double quota_us, double period_us, int n)
{
    if (quota_us <= 0 || period_us <= 0) return n;
    const double cpus = quota_us / period_us;
    if (cpus >= n) return n;
    const int whole = (int)cpus;
    return whole < cpus ? whole + 1 : whole; /* half a CPU is one thread */
}

/* cgroup v2: cpu.max is "max 100000" or "QUOTA PERIOD". */
static int limit_v2(const char *dir, int n)
{
    char path[1200], line[128];
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", dir);
    if (!read_line(path, line, sizeof line)) return n;
    char *end;
    const double quota = strtod(line, &end);
    return end == line ? n : quota_cpus(quota, strtod(end, NULL), n);
}

static int limit_v1(const char *dir, int n)
{
    char path[1200], quota[64], period[64];
    snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", dir);
    if (!read_line(path, quota, sizeof quota)) return n;
    snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", dir);
    if (!read_line(path, period, sizeof period)) return n;
    return quota_cpus(strtod(quota, NULL), strtod(period, NULL), n);
}

/* The group's own limit and those of all its parents. */
static int limit_path(char *dir, bool v2, int n)
{
    for (;;) {
        n = v2 ? limit_v2(dir, n) : limit_v1(dir, n);
        char *slash = strrchr(dir, '/');
        if (!slash) return n;
        *slash = '\0';
    }
}

static int cgroup_limit(int n)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f) return n;
    char line[1024];
    while (fgets(line, sizeof line, f)) { /* "0::/path" or "4:cpu,cpuacct:/path" */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        *path++ = '\0';
        controllers++;
        const bool v2 = controllers[0] == '\0';
        const size_t len = strlen(path);
        if (len > 0 && path[len - 1] == '/') path[len - 1] = '\0';
        if (v2 || strstr(controllers, "cpu")) n = limit_path(path, v2, n);
    }
    fclose(f);
    return n;
}

int pool_default_threads(void)
{
    const int n = cgroup_limit(affinity_count());
    return n < 1 ? 1 : n;
}
