/* Memory policy on machines with several NUMA nodes, by the kernel's own calls (mbind(2)). */
#include "config/base/log.h"
#include "engine/cpu/cpu.h"
#include "engine/cpu/topology.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BITS (8 * sizeof(unsigned long))
#define PAGE 4096ul

/* Read once: the CPUs of a process seldom change, and its memory does not move. */
static struct {
    pthread_once_t once;
    int n;
    unsigned long mask[TOPOLOGY_NODES / BITS];
} nodes = {.once = PTHREAD_ONCE_INIT};

static void read_nodes(void)
{
    struct topology *t = malloc(sizeof *t);
    if (!t) return;
    topology_of_process(t);
    for (size_t i = 0; i < TOPOLOGY_NODES; i++)
        if (t->nodes[i]) nodes.mask[i / BITS] |= 1ul << i % BITS;
    nodes.n = t->n_nodes;
    free(t);
    if (nodes.n < 2) return;
    /* Containers often forbid the call: said once, for it costs a part of the speed only. */
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return;
    const long rc =
        syscall(SYS_mbind, page, PAGE, MPOL_INTERLEAVE, nodes.mask, TOPOLOGY_NODES + 1ul, 0u);
    if (rc == 0)
        log_event(LOG_INFO, "numa", "nodes=%d memory=interleaved", nodes.n);
    else
        log_event(LOG_WARN, "numa", "nodes=%d reason=%s hint=%s", nodes.n, strerror(errno),
                  "weights and KV-cache may lie on one node; allow mbind, or start the server by "
                  "numactl --interleave");
    munmap(page, PAGE);
    if (rc != 0) nodes.n = 1;
}

void cpu_numa_interleave(void *p, size_t size)
{
    pthread_once(&nodes.once, read_nodes);
    if (nodes.n >= 2)
        syscall(SYS_mbind, p, size, MPOL_INTERLEAVE, nodes.mask, TOPOLOGY_NODES + 1ul, 0u);
}
