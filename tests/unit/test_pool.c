/* Worker threads: every chunk once, on the CPUs that were asked for, and asleep when idle. */

#include "engine/backend.h"
#include "engine/cpu/pool.h"
#include "engine/cpu/topology.h"

#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { CHUNKS = 500 };
#define LONG_WORK 1e9 /* ns: worth waking the others */

static struct topology topology;

static int set_up(void **state)
{
    (void)state;
    topology_of_process(&topology);
    return 0;
}

struct job {
    atomic_int times[CHUNKS];
};

static void count_chunk(void *ctx, int worker, int chunk)
{
    struct job *j = ctx;
    (void)worker;
    atomic_fetch_add(&j->times[chunk], 1);
}

static void check_job(struct pool *p)
{
    struct job j;
    memset(&j, 0, sizeof j);
    pool_run(p, count_chunk, &j, CHUNKS, LONG_WORK);
    for (int i = 0; i < CHUNKS; i++) assert_int_equal(j.times[i], 1);
}

static void test_every_chunk_once(void **state)
{
    (void)state;
    struct error err;
    for (int n = 1; n <= 5; n++) { /* more threads than CPUs, on most machines */
        struct pool *p;
        assert_int_equal(pool_open(&p, n, NULL, &err), STATUS_OK);
        for (int round = 0; round < 50; round++) check_job(p);
        pool_close(p);
    }
}

/* Calls fn for each worker thread of this process. */
static int each_worker(void (*fn)(int tid, void *arg), void *arg)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", d->d_name);
        FILE *f = fopen(path, "r");
        if (!f) continue;
        if (fgets(name, sizeof name, f) && strcmp(name, "inferd-cpu\n") == 0) {
            fn(atoi(d->d_name), arg);
            n++;
        }
        fclose(f);
    }
    closedir(dir);
    return n;
}

static int only_cpu(int tid)
{
    cpu_set_t set[TOPOLOGY_CPUS / CPU_SETSIZE];
    assert_int_equal(sched_getaffinity(tid, sizeof set, set), 0);
    if (CPU_COUNT_S(sizeof set, set) != 1) return -1;
    for (int i = 0;; i++)
        if (CPU_ISSET_S(i, sizeof set, set)) return i;
}

static void mark_cpu(int tid, void *seen)
{
    const int cpu = only_cpu(tid);
    assert_true(cpu >= 0);
    ((int *)seen)[cpu]++;
}

static void test_each_thread_has_its_cpu(void **state)
{
    (void)state;
    const int n = topology.n_cpus < 8 ? topology.n_cpus : 8, before = only_cpu(0);
    static int seen[TOPOLOGY_CPUS];
    struct pool *p;
    struct error err;
    assert_int_equal(pool_open(&p, n, topology.cpus, &err), STATUS_OK);
    assert_int_equal(each_worker(mark_cpu, seen), n - 1);
    assert_int_equal(only_cpu(0), before); /* jobs before the steps leave the caller alone */
    check_job(p);
    assert_int_equal(only_cpu(0), before);
    pool_place_caller(p);
    assert_int_equal(only_cpu(0), topology.cpus[0]);
    seen[topology.cpus[0]]++;
    for (int i = 0; i < n; i++) assert_int_equal(seen[topology.cpus[i]], 1);
    check_job(p);
    pool_close(p);
    assert_int_equal(only_cpu(0), before);
}

static void mark_free(int tid, void *arg)
{
    *(bool *)arg = *(bool *)arg || only_cpu(tid) < 0;
}

static void test_pinning_of_a_backend(void **state)
{
    (void)state;
    struct backend *be = NULL;
    struct error err;
    assert_int_equal(
        cpu_backend_open_pinned(&be, topology.n_cpus + 1, "auto", CPU_PINNING_ON, &err),
        STATUS_INVALID);
    assert_string_equal(err.param, "cpu-pinning");
    assert_null(be);
    assert_int_equal(cpu_backend_open_pinned(&be, topology.n_cpus, "auto", CPU_PINNING_ON, &err),
                     STATUS_OK);
    assert_true(be->pinned);
    bool any_free = false;
    assert_int_equal(each_worker(mark_free, &any_free), topology.n_cpus - 1);
    assert_false(any_free);
    be->ops->close(be);
    if (topology.n_cpus == 1) return; /* any thread has one CPU there */
    assert_int_equal(cpu_backend_open(&be, topology.n_cpus, "auto", &err), STATUS_OK);
    assert_false(be->pinned);
    any_free = false;
    each_worker(mark_free, &any_free);
    assert_true(any_free);
    be->ops->close(be);
}

static void test_words(void **state)
{
    (void)state;
    enum cpu_pinning p = CPU_PINNING_OFF;
    assert_true(cpu_pinning_parse("on", &p) && p == CPU_PINNING_ON);
    assert_true(cpu_pinning_parse("off", &p) && p == CPU_PINNING_OFF);
    assert_true(cpu_pinning_parse("auto", &p) && p == CPU_PINNING_AUTO);
    assert_false(cpu_pinning_parse("On", &p));
}

static void add_switches(int tid, void *sum)
{
    char path[64], line[128];
    snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    long n;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1) *(long *)sum += n;
    fclose(f);
}

static void test_idle_workers_sleep(void **state)
{
    (void)state;
    struct pool *p;
    struct error err;
    const int n = topology.n_cpus < 4 ? topology.n_cpus : 4;
    assert_int_equal(pool_open(&p, n, topology.cpus, &err), STATUS_OK);
    check_job(p);
    long before, after = -1;
    do { /* until they have gone to sleep */
        before = after;
        usleep(50000);
        after = 0;
        each_worker(add_switches, &after);
    } while (after != before);
    usleep(500000);
    after = 0;
    each_worker(add_switches, &after);
    assert_int_equal(after, before);
    pool_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_chunk_once),     cmocka_unit_test(test_each_thread_has_its_cpu),
        cmocka_unit_test(test_pinning_of_a_backend), cmocka_unit_test(test_words),
        cmocka_unit_test(test_idle_workers_sleep),
    };
    return cmocka_run_group_tests_name("pool", tests, set_up, NULL);
}
