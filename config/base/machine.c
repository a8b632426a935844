#include "config/base/machine.h"

#include "config/base/cgroup.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t machine_available_memory(void)
{
    const long pages = sysconf(_SC_AVPHYS_PAGES), page_size = sysconf(_SC_PAGESIZE);
    uint64_t size = pages > 0 && page_size > 0 ? (uint64_t)pages * (uint64_t)page_size : 0;
    FILE *f = fopen("/proc/meminfo", "re");
    char line[128];
    unsigned long long kib;
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "MemAvailable: %llu kB", &kib) != 1) continue;
        size = (uint64_t)kib << 10;
        break;
    }
    if (f) fclose(f);
    return cgroup_limit_memory(size);
}

static bool read_line(const char *path, char *line, int size)
{
    FILE *f = fopen(path, "re");
    if (!f) return false;
    const bool ok = fgets(line, size, f) != NULL;
    fclose(f);
    return ok;
}

int machine_count_cpus(const char *list)
{
    int n = 0;
    for (const char *at = list; *at && *at != '\n';) {
        char *end;
        const long first = strtol(at, &end, 10);
        if (end == at || first < 0) return 0;
        long last = first;
        if (*end == '-') {
            at = end + 1;
            last = strtol(at, &end, 10);
            if (end == at || last < first) return 0;
        }
        if (last > 1 << 20) return 0;
        n += (int)(last - first) + 1;
        if (*end == ',') end++;
        at = end;
    }
    return n;
}

/* The largest level of the first CPU's caches, times how often the machine has it. */
uint64_t machine_cache_size(void)
{
    uint64_t size = 0;
    int sharing = 0, best_level = 0;
    char path[96], line[256];
    for (int i = 0; i < 8; i++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/level", i);
        if (!read_line(path, line, sizeof line)) break;
        const int level = atoi(line);
        if (level <= best_level) continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        unsigned long long kib; /* "32768K" */
        if (!read_line(path, line, sizeof line) || sscanf(line, "%lluK", &kib) != 1) continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/shared_cpu_list",
                 i);
        if (!read_line(path, line, sizeof line)) continue;
        best_level = level;
        size = (uint64_t)kib << 10;
        sharing = machine_count_cpus(line);
    }
    if (sharing < 1 || !read_line("/sys/devices/system/cpu/online", line, sizeof line)) return size;
    const int n_caches = (machine_count_cpus(line) + sharing - 1) / sharing;
    return size * (uint64_t)(n_caches > 1 ? n_caches : 1);
}
