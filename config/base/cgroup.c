#include "config/base/cgroup.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Called with the folder of one group: below /sys/fs/cgroup in version 2, below the controller's
 * own folder there in version 1. */
typedef void group_fn(const char *dir, bool v2, void *arg);

static bool read_value(const char *dir, const char *controller, const char *name, char *line,
                       int size)
{
    char path[1400];
    snprintf(path, sizeof path, "/sys/fs/cgroup%s%s/%s", controller, dir, name);
    FILE *f = fopen(path, "re");
    if (!f) return false;
    const bool ok = fgets(line, size, f) != NULL;
    fclose(f);
    return ok;
}

/* The group of one line of /proc/self/cgroup, then those above it. */
static void walk_up(char *dir, bool v2, group_fn *fn, void *arg)
{
    for (;;) {
        fn(dir, v2, arg);
        char *slash = strrchr(dir, '/');
        if (!slash) return;
        *slash = '\0';
    }
}

static void walk(const char *controller, group_fn *fn, void *arg)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f) return;
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
        if (v2 || strstr(controllers, controller)) walk_up(path, v2, fn, arg);
    }
    fclose(f);
}

static void lower_cpus(const char *dir, bool v2, void *arg)
{
    int *n = arg;
    char line[128], period_line[64];
    double quota, period;
    if (v2) { /* "max 100000" or "QUOTA PERIOD" */
        if (!read_value(dir, "", "cpu.max", line, sizeof line)) return;
        char *end;
        quota = strtod(line, &end);
        if (end == line) return;
        period = strtod(end, NULL);
    } else {
        if (!read_value(dir, "/cpu", "cpu.cfs_quota_us", line, sizeof line)) return;
        if (!read_value(dir, "/cpu", "cpu.cfs_period_us", period_line, sizeof period_line)) return;
        quota = strtod(line, NULL);
        period = strtod(period_line, NULL);
    }
    if (quota <= 0 || period <= 0 || quota / period >= *n) return;
    const int whole = (int)(quota / period);
    *n = whole < quota / period ? whole + 1 : whole; /* half a CPU is one thread */
}

static void lower_memory(const char *dir, bool v2, void *arg)
{
    uint64_t *size = arg;
    char line[64], *end;
    if (!read_value(dir, v2 ? "" : "/memory", v2 ? "memory.max" : "memory.limit_in_bytes", line,
                    sizeof line))
        return;
    const unsigned long long limit = strtoull(line, &end, 10); /* "max" has no digits */
    if (end != line && limit > 0 && limit < *size) *size = limit;
}

int cgroup_limit_cpus(int n)
{
    walk("cpu", lower_cpus, &n);
    return n;
}

uint64_t cgroup_limit_memory(uint64_t size)
{
    walk("memory", lower_memory, &size);
    return size;
}
