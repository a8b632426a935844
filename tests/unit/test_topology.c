/* CPUs, siblings and nodes, read from folders that look like /sys. */

#include "engine/cpu/topology.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

/* Writes root/devices/system/PATH and the folders above it. */
static void put(const char *path, const char *text)
{
    char name[256];
    snprintf(name, sizeof name, "%s/devices/system/%s", root, path);
    for (char *p = name + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        mkdir(name, 0700);
        *p = '/';
    }
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/inferd-topology-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

/* 8 CPUs: cores of two threads, (0,4) (1,5) (2,6) (3,7), the first two cores on node 0. */
static void put_machine(void)
{
    put("cpu/online", "0-7\n");
    for (int i = 0; i < 8; i++) {
        char path[64], text[16];
        snprintf(path, sizeof path, "cpu/cpu%d/topology/thread_siblings_list", i);
        snprintf(text, sizeof text, "%d,%d\n", i % 4, i % 4 + 4);
        put(path, text);
    }
    put("node/has_memory", "0,2\n");
    put("node/node0/cpulist", "0-1,4-5\n");
    put("node/node1/cpulist", "\n"); /* memory only, or neither */
    put("node/node2/cpulist", "2-3,6-7\n");
}

static void allow(bool allowed[TOPOLOGY_CPUS], const char *list)
{
    assert_true(topology_parse_list(list, allowed, TOPOLOGY_CPUS));
}

static struct topology read_for(const char *list)
{
    static struct topology t;
    bool allowed[TOPOLOGY_CPUS];
    allow(allowed, list);
    topology_read(&t, root, allowed);
    return t;
}

static void test_lists(void **state)
{
    (void)state;
    bool out[12];
    assert_true(topology_parse_list("0-2,5,7-8,40-50\n", out, 12));
    for (int i = 0; i < 12; i++) assert_int_equal(out[i], i <= 2 || i == 5 || i == 7 || i == 8);
    static const char *const bad[] = {"", "\n", "-1", "3-1", "1,", "1;2", "a", "1-", "1-2-3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(topology_parse_list(bad[i], out, 12));
    assert_true(topology_parse_list("0-999999999999999999999999", out, 12)); /* bounded */
    assert_true(out[11]);
}

static void test_cores_come_before_siblings(void **state)
{
    (void)state;
    put_machine();
    struct topology t = read_for("0-7");
    static const int all[] = {0, 1, 2, 3, 4, 5, 6, 7};
    assert_int_equal(t.n_online, 8);
    assert_int_equal(t.n_cpus, 8);
    assert_int_equal(t.n_cores, 4);
    assert_memory_equal(t.cpus, all, sizeof all);
    /* The lower sibling of 6 is not ours, so 6 is a core. */
    t = read_for("1,3,5-7");
    static const int some[] = {1, 3, 6, 5, 7};
    assert_int_equal(t.n_cpus, 5);
    assert_int_equal(t.n_cores, 3);
    assert_memory_equal(t.cpus, some, sizeof some);
}

static void test_nodes_of_the_cpus(void **state)
{
    (void)state;
    put_machine();
    struct topology t = read_for("0-7");
    assert_int_equal(t.n_nodes, 2);
    assert_true(t.nodes[0] && !t.nodes[1] && t.nodes[2]);
    t = read_for("6");
    assert_int_equal(t.n_nodes, 1);
    assert_true(!t.nodes[0] && t.nodes[2]);
    put("node/has_memory", "garbage");
    t = read_for("0-7");
    assert_int_equal(t.n_nodes, 1);
}

static void test_nothing_there(void **state)
{
    (void)state;
    const struct topology t = read_for("0,9");
    assert_int_equal(t.n_online, 2);
    assert_int_equal(t.n_cpus, 2);
    assert_int_equal(t.n_cores, 2);
    assert_int_equal(t.n_nodes, 1);
}

static void test_when_pinning_is_suggested(void **state)
{
    (void)state;
    put_machine();
    struct topology t = read_for("0-7");
    assert_false(topology_suggests_pinning(&t, 8, 8)); /* the whole machine: others may use it */
    t = read_for("0-1,4-5");
    assert_true(topology_suggests_pinning(&t, 4, 4));
    assert_true(topology_suggests_pinning(&t, 4, 2));  /* one for each core */
    assert_false(topology_suggests_pinning(&t, 4, 1)); /* two such servers would choose one core */
    assert_false(topology_suggests_pinning(&t, 4, 3));
    assert_false(topology_suggests_pinning(&t, 4, 5));
    assert_false(topology_suggests_pinning(&t, 2, 2)); /* a quota of two CPUs */
}

static void test_this_machine(void **state)
{
    (void)state;
    static struct topology t;
    topology_of_process(&t);
    assert_true(t.n_cpus >= 1 && t.n_cpus <= t.n_online);
    assert_true(t.n_cores >= 1 && t.n_cores <= t.n_cpus);
    assert_true(t.n_nodes >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test_setup_teardown(test_cores_come_before_siblings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nodes_of_the_cpus, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_when_pinning_is_suggested, set_up, tear_down),
        cmocka_unit_test(test_this_machine),
    };
    return cmocka_run_group_tests_name("topology", tests, NULL, NULL);
}
