#include "engine/cpu/topology.h"

#include "config/base/check.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool topology_parse_list(const char *text, bool *out, int n)
{
    memset(out, 0, (size_t)n * sizeof *out);
    for (;;) {
        char *end;
        const long first = strtol(text, &end, 10);
        if (end == text || first < 0) return false;
        long last = first;
        if (*end == '-') {
            text = end + 1;
            last = strtol(text, &end, 10);
            if (end == text || last < first) return false;
        }
        for (long i = first; i <= last && i < n; i++) out[i] = true;
        if (*end == '\n' || *end == '\0') return true;
        if (*end != ',') return false;
        text = end + 1;
    }
}

static bool read_list(const char *sysfs, const char *path, bool *out, int n)
{
    char name[512], line[8192];
    if (snprintf(name, sizeof name, "%s/devices/system/%s", sysfs, path) >= (int)sizeof name)
        return false;
    FILE *f = fopen(name, "re");
    if (!f) return false;
    const bool ok = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    return ok && topology_parse_list(line, out, n);
}

/* How many siblings of `cpu` come before it, of those that the process may use. */
static int sibling_rank(const char *sysfs, int cpu, const bool *allowed)
{
    char path[64];
    bool siblings[TOPOLOGY_CPUS];
    snprintf(path, sizeof path, "cpu/cpu%d/topology/thread_siblings_list", cpu);
    if (!read_list(sysfs, path, siblings, TOPOLOGY_CPUS)) return 0;
    int rank = 0;
    for (int i = 0; i < cpu; i++) rank += siblings[i] && allowed[i];
    return rank;
}

static void read_nodes(struct topology *t, const char *sysfs, const bool *allowed)
{
    bool with_memory[TOPOLOGY_NODES], cpus[TOPOLOGY_CPUS];
    t->n_nodes = 0;
    memset(t->nodes, 0, sizeof t->nodes);
    if (read_list(sysfs, "node/has_memory", with_memory, TOPOLOGY_NODES)) {
        for (int node = 0; node < TOPOLOGY_NODES; node++) {
            char path[64];
            snprintf(path, sizeof path, "node/node%d/cpulist", node);
            if (!with_memory[node] || !read_list(sysfs, path, cpus, TOPOLOGY_CPUS)) continue;
            for (int i = 0; i < TOPOLOGY_CPUS && !t->nodes[node]; i++)
                t->nodes[node] = cpus[i] && allowed[i];
            t->n_nodes += t->nodes[node];
        }
    }
    if (t->n_nodes == 0) t->n_nodes = 1;
}

void topology_read(struct topology *t, const char *sysfs, const bool allowed[TOPOLOGY_CPUS])
{
    bool online[TOPOLOGY_CPUS];
    if (!read_list(sysfs, "cpu/online", online, TOPOLOGY_CPUS))
        memcpy(online, allowed, sizeof online);
    t->n_online = t->n_cpus = t->n_cores = 0;
    int rank[TOPOLOGY_CPUS], rank_max = 0;
    for (int i = 0; i < TOPOLOGY_CPUS; i++) {
        t->n_online += online[i];
        rank[i] = allowed[i] ? sibling_rank(sysfs, i, allowed) : -1;
        if (rank[i] > rank_max) rank_max = rank[i];
        t->n_cores += rank[i] == 0;
    }
    for (int r = 0; r <= rank_max; r++)
        for (int i = 0; i < TOPOLOGY_CPUS; i++)
            if (rank[i] == r) t->cpus[t->n_cpus++] = i;
    read_nodes(t, sysfs, allowed);
}

void topology_of_process(struct topology *t)
{
    bool allowed[TOPOLOGY_CPUS] = {false};
    /* The kernel refuses a set that is smaller than its own: 65,536 CPUs are more than any has. */
    const int n_max = 65536;
    const size_t size = CPU_ALLOC_SIZE(n_max);
    cpu_set_t *set = CPU_ALLOC(n_max);
    if (set && sched_getaffinity(0, size, set) == 0)
        for (int i = 0; i < TOPOLOGY_CPUS; i++) allowed[i] = CPU_ISSET_S(i, size, set);
    else
        allowed[0] = true;
    CPU_FREE(set);
    topology_read(t, "/sys", allowed);
}

bool topology_suggests_pinning(const struct topology *t, int quota_cpus, int n_threads)
{
    const bool fills = n_threads == t->n_cpus || n_threads == t->n_cores;
    return t->n_cpus < t->n_online && quota_cpus >= t->n_cpus && fills && n_threads > 1;
}
