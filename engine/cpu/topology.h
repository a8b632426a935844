#ifndef ENGINE_CPU_TOPOLOGY_H
#define ENGINE_CPU_TOPOLOGY_H

/* topology.h - the CPUs that this process may use, and what they have in common.
 * Source: the kernel's Documentation/admin-guide/cputopology.rst and ABI/stable/sysfs-devices-node.
 * Threads: any; reads files.  A file that is absent or makes no sense counts as: no siblings, one
 * node. */

#include <stdbool.h>

#define TOPOLOGY_CPUS  4096 /* CPUs with higher numbers are left out */
#define TOPOLOGY_NODES 1024

struct topology {
    int n_online; /* CPUs of the machine */
    int n_cpus;   /* those that the process may use */
    int n_cores;  /* physical cores among them */
    /* [n_cpus] in the order in which threads should take them: one of each core first, by number,
     * then their siblings. */
    int cpus[TOPOLOGY_CPUS];
    int n_nodes; /* nodes with memory that those CPUs are on; at least 1 */
    bool nodes[TOPOLOGY_NODES];
};

/* sysfs: "/sys", or a folder that looks like it.  allowed[i]: the process may use CPU i. */
void topology_read(struct topology *t, const char *sysfs, const bool allowed[TOPOLOGY_CPUS]);
/* Of this process on this machine. */
void topology_of_process(struct topology *t);

/* A list such as "0-3,8,10-11" into out[n], the rest false; numbers from n on are left out.
 * False when it is no such list. */
bool topology_parse_list(const char *text, bool *out, int n);

/* Whether the threads should have a CPU each, when the user has not said so.  They should when the
 * CPUs seem to be the process's own: a part of the machine was assigned to it, without a quota, and
 * the threads fill it.  With fewer threads than cores two servers on the same cores would choose
 * the same ones; with a quota, or more threads than CPUs, a thread that cannot move waits. */
bool topology_suggests_pinning(const struct topology *t, int quota_cpus, int n_threads);

#endif
