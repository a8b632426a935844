/* Packed weights: the file's format with every field wrong in turn, and what becomes of folders, files
 * and models that are not as they should be. */

#include "config/base/hash.h"
#include "config/limits.h"
#include "tests/unit/packed_models.h"

#include <sched.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY "layout test\nfile a size=1\n"

/* --- the format ------------------------------------------------------------------------------ */

enum { N_ARRAYS = 3 };

struct made {
    uint8_t *data; /* aligned */
    size_t size, front_size;
};

static struct made make_packed(void)
{
    static const size_t sizes[N_ARRAYS] = {100, 64, 7};
    struct packed_entry entries[N_ARRAYS] = {{0}};
    struct error err = {0};
    uint64_t size;
    struct made m;
    for (int i = 0; i < N_ARRAYS; i++) entries[i] = (struct packed_entry){.size = sizes[i]};
    assert_int_equal(packed_file_plan(strlen(KEY), entries, N_ARRAYS, &m.front_size, &size, &err),
                     STATUS_OK);
    m.size = size;
    m.data = aligned_alloc(64, (size + 63) / 64 * 64);
    assert_non_null(m.data);
    memset(m.data, 0x5a, m.size);
    for (int i = 0; i < N_ARRAYS; i++)
        entries[i].sum = packed_sum(m.data + entries[i].at, entries[i].size);
    packed_file_front(KEY, strlen(KEY), entries, N_ARRAYS, m.front_size, size, m.data);
    return m;
}

static enum status check_made(const struct made *m, size_t size, const char *key, struct error *err)
{
    const struct packed_entry *entries;
    int n;
    *err = (struct error){0};
    return packed_file_check(m->data, size, key, strlen(key), &entries, &n, err);
}

/* The sum of the front, made right again after a change: so that the check behind it is tested. */
static void mend_sum(struct made *m)
{
    struct packed_head h;
    memcpy(&h, m->data, sizeof h);
    h.sum = 0;
    h.sum = hash_bytes(m->data + sizeof h, m->front_size - sizeof h, packed_sum(&h, sizeof h));
    memcpy(m->data, &h, sizeof h);
}

static void test_valid(void **state)
{
    (void)state;
    struct made m = make_packed();
    struct error err = {0};
    const struct packed_entry *entries;
    int n;
    assert_int_equal(packed_file_check(m.data, m.size, KEY, strlen(KEY), &entries, &n, &err),
                     STATUS_OK);
    assert_int_equal(n, N_ARRAYS);
    for (int i = 0; i < n; i++) {
        assert_int_equal(entries[i].at % PACKED_ALIGN, 0);
        assert_true(entries[i].sum == packed_sum(m.data + entries[i].at, entries[i].size));
    }
    free(m.data);
}

static void test_any_changed_byte_of_the_front(void **state)
{
    (void)state;
    struct made m = make_packed();
    struct error err;
    for (size_t i = 0; i < m.front_size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            m.data[i] ^= (uint8_t)(1 << bit);
            assert_int_not_equal(check_made(&m, m.size, KEY, &err), STATUS_OK);
            assert_string_not_equal(err.message, "");
            m.data[i] ^= (uint8_t)(1 << bit);
        }
    }
    assert_int_equal(check_made(&m, m.size, KEY, &err), STATUS_OK);
    free(m.data);
}

static void test_any_length(void **state)
{
    (void)state;
    struct made m = make_packed();
    struct error err;
    for (size_t size = 0; size < m.size; size++)
        assert_int_not_equal(check_made(&m, size, KEY, &err), STATUS_OK);
    free(m.data);
}

static void test_another_key(void **state)
{
    (void)state;
    struct made m = make_packed();
    struct error err;
    assert_int_equal(check_made(&m, m.size, "layout test\nfile a size=2\n", &err), STATUS_INVALID);
    assert_int_equal(check_made(&m, m.size, "layout", &err), STATUS_INVALID);
    free(m.data);
}

#define FIELD(f) #f, offsetof(struct packed_head, f), sizeof(((struct packed_head *)0)->f)

/* With a sum that fits, so that the field itself must be found wrong. */
static void test_every_field(void **state)
{
    (void)state;
    const struct {
        const char *name;
        size_t at, size;
    } fields[] = {{FIELD(magic)},      {FIELD(byte_order)}, {FIELD(format)},
                  {FIELD(file_size)},  {FIELD(key_size)},   {FIELD(n_entries)},
                  {FIELD(entries_at)}, {FIELD(arrays_at)},  {FIELD(reserved)}};
    const uint64_t values[] = {0,
                               1,
                               2,
                               3,
                               63,
                               64,
                               65,
                               128,
                               191,
                               192,
                               256,
                               1000,
                               1 << 20,
                               0x7fffffff,
                               0x80000000,
                               0xffffffff,
                               UINT64_MAX / 2,
                               UINT64_MAX - 63,
                               UINT64_MAX};
    struct error err;
    for (size_t f = 0; f < sizeof fields / sizeof *fields; f++) {
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            struct made m = make_packed();
            if (memcmp(m.data + fields[f].at, &values[v], fields[f].size) != 0) {
                memcpy(m.data + fields[f].at, &values[v], fields[f].size);
                mend_sum(&m);
                if (check_made(&m, m.size, KEY, &err) == STATUS_OK)
                    fail_msg("%s = %llu is taken", fields[f].name, (unsigned long long)values[v]);
            }
            free(m.data);
        }
    }
}

static void test_every_entry(void **state)
{
    (void)state;
    const int64_t deltas[] = {-128, -64, -1, 1, 63, 64, 128, INT64_MAX, INT64_MIN};
    struct error err;
    for (int i = 0; i < N_ARRAYS; i++) {
        for (int field = 0; field < 2; field++) {
            for (size_t d = 0; d <= sizeof deltas / sizeof *deltas; d++) {
                struct made m = make_packed();
                struct packed_head h;
                uint64_t value;
                memcpy(&h, m.data, sizeof h);
                uint8_t *at = m.data + h.entries_at + (size_t)i * sizeof(struct packed_entry) +
                              (size_t)field * 8;
                memcpy(&value, at, 8);
                value = d < sizeof deltas / sizeof *deltas ? value + (uint64_t)deltas[d] : 0;
                memcpy(at, &value, 8);
                mend_sum(&m);
                /* Sizes within the same 64 bytes leave the places as they are: the last one's end
                 * is the file's, the others' contents have their sums. */
                const bool inner = field == 1 && i < N_ARRAYS - 1 &&
                                   (d == 2 || (d == 3 && i == 0) || (i == 0 && d == 1));
                const enum status s = check_made(&m, m.size, KEY, &err);
                if (!inner && s == STATUS_OK) fail_msg("entry %d, field %d, %zu", i, field, d);
                free(m.data);
            }
        }
    }
}

/* --- models ---------------------------------------------------------------------------------- */

static char work[64], model[80], cache[80], safetensors[128];
static struct load_how how; /* of the copied model, into the cache */

static int setup(void **state)
{
    (void)state;
    make_temp(work);
    snprintf(model, sizeof model, "%s/model", work);
    snprintf(cache, sizeof cache, "%s/cache", work);
    snprintf(safetensors, sizeof safetensors, "%s/model.safetensors", model);
    assert_int_equal(mkdir(model, 0755), 0);
    copy_file("models/demo", model, "config.json");
    copy_file("models/demo", model, "model.safetensors");
    how = (struct load_how){model, "auto", cache, -1, QUANT_INT8};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    chmod(cache, 0700);
    remove_folder(cache);
    remove_folder(model);
    remove_folder(work);
    return 0;
}

/* Loads, waits for the file, compares with the weights that no file was near. */
static bool load_and_compare(void)
{
    struct loaded plain, m;
    struct load_how without = how;
    without.packed_dir = NULL;
    assert_true(load_model_weights(&plain, &without));
    assert_true(load_model_weights(&m, &how));
    const bool mapped = is_mapped(&m);
    assert_same_weights(&plain, &m);
    wait_for_file(&m);
    unload(&m);
    unload(&plain);
    return mapped;
}

static void test_the_same_bits(void **state)
{
    (void)state;
    static const char *const isas[] = {"scalar", "avx2", "avx512"};
    const struct {
        int dtype;
        enum quant_scheme quant;
    } kinds[] = {{DT_F32, QUANT_NONE},
                 {DT_BF16, QUANT_NONE},
                 {-1, QUANT_INT8},
                 {-1, QUANT_INT8_W8A16},
                 {-1, QUANT_INT4}};
    int n = 0;
    for (size_t i = 0; i < 3; i++) {
        struct backend *be;
        struct error err;
        if (cpu_backend_open(&be, 1, isas[i], &err) != STATUS_OK) continue;
        be->ops->close(be);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++, n++) {
            how = (struct load_how){model, isas[i], cache, kinds[k].dtype, kinds[k].quant};
            assert_false(load_and_compare());
            assert_true(load_and_compare());
        }
        assert_int_equal(count_files(cache, ".packed", NULL), n); /* each has its own */
    }
    assert_int_equal(count_files(cache, ".part", NULL), 0);
}

/* Every family: biases, norms of heads, tied and untied embeddings. */
static void test_families(void **state)
{
    (void)state;
    DIR *d = opendir("tests/golden/models");
    int n = 0;
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        char dir[320];
        if (e->d_name[0] == '.') continue;
        snprintf(dir, sizeof dir, "tests/golden/models/%s", e->d_name);
        for (enum quant_scheme q = QUANT_NONE; q <= QUANT_INT4; q++) {
            how = (struct load_how){dir, "auto", cache, -1, q};
            assert_false(load_and_compare());
            assert_true(load_and_compare());
        }
        n++;
    }
    closedir(d);
    assert_true(n >= 4);
}

static void test_modes(void **state)
{
    (void)state;
    char path[512];
    struct stat info;
    load_and_compare();
    assert_int_equal(stat(cache, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(count_files(cache, ".packed", path), 1);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void test_changed_model(void **state)
{
    (void)state;
    char first[512], second[512];
    struct stat info;
    load_and_compare();
    assert_int_equal(count_files(cache, ".packed", first), 1);
    /* Another time of modification. */
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    assert_int_equal(utimensat(AT_FDCWD, safetensors, times, 0), 0);
    assert_false(load_and_compare());
    assert_int_equal(count_files(cache, ".packed", second), 1); /* the old one is replaced */
    assert_string_not_equal(first, second);
    assert_true(load_and_compare());
    /* Other contents, the same size and time: two bytes of each 4 KiB behind the header. */
    assert_int_equal(stat(safetensors, &info), 0);
    for (off_t at = 65536; at < info.st_size; at += 2048) change_byte(safetensors, at, true);
    assert_false(load_and_compare());
    assert_int_equal(count_files(cache, ".packed", first), 1);
    assert_string_not_equal(first, second);
}

/* One byte anywhere, and every way to be too short. */
static void test_corrupt_files(void **state)
{
    (void)state;
    char path[512];
    struct stat info;
    load_and_compare();
    assert_int_equal(count_files(cache, ".packed", path), 1);
    assert_int_equal(stat(path, &info), 0);
    const off_t places[] = {0, 20, 70, 100, info.st_size / 3, info.st_size / 2, info.st_size - 1};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        change_byte(path, places[i], false);
        assert_false(load_and_compare());
        assert_true(load_and_compare()); /* it was packed anew */
    }
    const off_t lengths[] = {0, 1, 63, 64, 4096, info.st_size / 2, info.st_size - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_int_equal(truncate(path, lengths[i]), 0);
        assert_false(load_and_compare());
        assert_true(load_and_compare());
    }
    assert_int_equal(truncate(path, info.st_size + 1), 0);
    assert_false(load_and_compare());
    assert_true(load_and_compare());
}

static void test_files_of_others(void **state)
{
    (void)state;
    char path[512], elsewhere[600];
    load_and_compare();
    assert_int_equal(count_files(cache, ".packed", path), 1);
    assert_int_equal(chmod(path, 0620), 0);
    assert_false(load_and_compare());
    assert_true(load_and_compare());
    assert_int_equal(chmod(path, 0602), 0);
    assert_false(load_and_compare());
    assert_true(load_and_compare());
    /* A link, though to a good file. */
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", model);
    assert_int_equal(rename(path, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, path), 0);
    assert_false(load_and_compare());
    assert_true(load_and_compare());
    /* A FIFO must not hang the start, nor a folder. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(load_and_compare());
    assert_true(load_and_compare());
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 12345, 12345), 0);
        assert_false(load_and_compare());
        assert_true(load_and_compare());
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(load_and_compare());
    assert_false(load_and_compare()); /* a folder cannot be replaced by a file */
    assert_int_equal(rmdir(path), 0);
}

static void test_folders(void **state)
{
    (void)state;
    char path[512];
    struct stat info;
    load_and_compare();
    assert_int_equal(chmod(cache, 0770), 0); /* others may put files there */
    assert_false(load_and_compare());
    assert_int_equal(chmod(cache, 0755), 0);
    assert_true(load_and_compare());
    if (geteuid() == 0) {
        assert_int_equal(chown(cache, 12345, 12345), 0);
        assert_false(load_and_compare());
        assert_int_equal(chown(cache, 0, 0), 0);
    }
    /* A folder that cannot be, and a file in its place. */
    how.packed_dir = "/proc/inferd/packed";
    assert_false(load_and_compare());
    how.packed_dir = safetensors;
    assert_false(load_and_compare());
    how.packed_dir = "";
    assert_false(load_and_compare());
    /* Two levels, both made. */
    snprintf(path, sizeof path, "%s/a/b/", cache);
    how.packed_dir = path;
    assert_false(load_and_compare());
    assert_true(load_and_compare());
    assert_int_equal(count_files(path, ".packed", NULL), 1);
    remove_folder(path);
    snprintf(path, sizeof path, "%s/a", cache);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    remove_folder(path);
}

/* As another user where this one is root, whom modes do not stop. */
static void test_read_only_folder(void **state)
{
    (void)state;
    const bool root = geteuid() == 0;
    char path[512];
    load_and_compare();
    assert_int_equal(count_files(cache, ".packed", path), 1);
    if (root) {
        assert_int_equal(chmod(work, 0755), 0);
        assert_int_equal(chown(cache, 65534, 65534), 0);
        assert_int_equal(chown(path, 65534, 65534), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    assert_int_equal(chmod(cache, 0500), 0);
    const bool used = load_and_compare();
    how.quant = QUANT_INT4;
    const bool written = load_and_compare() || load_and_compare();
    if (root) assert_int_equal(seteuid(0), 0);
    assert_true(used);
    assert_false(written);
    assert_int_equal(count_files(cache, "ed", NULL), 1);
    assert_int_equal(count_files(cache, ".part", NULL), 0);
}

/* What root has made for others: a folder and a file that all may read. */
static void test_made_by_root(void **state)
{
    (void)state;
    char path[512];
    if (geteuid() != 0) skip();
    load_and_compare();
    assert_int_equal(count_files(cache, ".packed", path), 1);
    assert_int_equal(chmod(work, 0755), 0);
    assert_int_equal(chmod(cache, 0755), 0);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(seteuid(65534), 0);
    const bool used = load_and_compare();
    assert_int_equal(seteuid(0), 0);
    assert_true(used);
}

/* A limit of the file's size stops the writer as a full disk does. */
static void test_no_room_for_the_file(void **state)
{
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit small = {.rlim_cur = 65536, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const bool mapped = load_and_compare();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_false(mapped);
    assert_int_equal(count_files(cache, ".packed", NULL), 0);
    assert_int_equal(count_files(cache, ".part", NULL), 0);
    assert_false(load_and_compare());
    assert_true(load_and_compare());
}

static void test_full_disk(void **state)
{
    (void)state;
    assert_int_equal(mkdir(cache, 0700), 0);
    if (mount("inferd-test", cache, "tmpfs", 0, "size=4m,mode=0700") != 0) skip();
    const bool mapped = load_and_compare() || load_and_compare();
    const int n = count_files(cache, "", NULL);
    assert_int_equal(umount(cache), 0);
    assert_false(mapped);
    assert_int_equal(n, 0);
}

/* --- writers --------------------------------------------------------------------------------- */

static void touch(const char *dir, const char *name, time_t when)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    const int fd = open(path, O_WRONLY | O_CREAT, 0600);
    const struct timespec times[2] = {{.tv_sec = when}, {.tv_sec = when}};
    assert_true(fd >= 0);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static bool is_there(const char *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void test_old_files(void **state)
{
    (void)state;
    char name[64];
    assert_int_equal(mkdir(cache, 0700), 0);
    for (int i = 0; i < 2 * LIMIT_PACKED_FILES; i++) {
        snprintf(name, sizeof name, "other%d.%016x.packed", i, i);
        touch(cache, name, 1000 + i);
    }
    touch(cache, "other.0123456789abcdef.part", 1);
    touch(cache, "other.0123456789abcdeX.packed", 1); /* not of ours: left alone */
    touch(cache, "notes.packed", 1);
    touch(cache, "0123456789abcdef.part", 1);
    assert_false(load_and_compare());
    assert_true(load_and_compare());
    assert_int_equal(count_files(cache, ".packed", NULL), LIMIT_PACKED_FILES + 2);
    assert_true(is_there(cache, "other31.000000000000001f.packed"));
    assert_false(is_there(cache, "other0.0000000000000000.packed"));
    assert_false(is_there(cache, "other.0123456789abcdef.part"));
    assert_true(is_there(cache, "0123456789abcdef.part"));
}

/* The file that another process is writing, and one whose writer has died. */
static void test_locked_part(void **state)
{
    (void)state;
    char path[512], part[512];
    load_and_compare();
    assert_int_equal(count_files(cache, ".packed", path), 1);
    snprintf(part, sizeof part, "%.*s.part", (int)(strlen(path) - strlen(".packed")), path);
    assert_int_equal(unlink(path), 0);
    const int fd = open(part, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0 && flock(fd, LOCK_EX) == 0);
    assert_false(load_and_compare());
    assert_false(load_and_compare());
    assert_int_equal(count_files(cache, ".part", NULL), 1);
    close(fd);
    assert_false(load_and_compare());
    assert_true(load_and_compare());
    assert_int_equal(count_files(cache, ".part", NULL), 0);
}

static struct packed_cache *open_cache(void)
{
    struct packed_cache *c;
    struct error err = {0};
    if (packed_cache_open(&c, cache, "big", KEY, strlen(KEY), &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return c;
}

static void test_stopped_writer(void **state)
{
    (void)state;
    const size_t size = (size_t)256 << 20;
    void *zeros = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const struct packed_array array = {.data = zeros, .size = size};
    struct packed_cache *c = open_cache();
    assert_true(zeros != MAP_FAILED);
    packed_cache_write(c, &array, 1);
    packed_cache_close(c);
    assert_int_equal(count_files(cache, "", NULL), 0);
    munmap(zeros, size);
}

/* Wherever it is when its owner leaves: the file is whole or is not there. */
static void test_writers_left_at_any_time(void **state)
{
    (void)state;
    static uint8_t bytes[100000];
    const struct packed_array array = {.data = bytes, .size = sizeof bytes};
    for (int i = 0; i < 100; i++) {
        char path[512];
        struct stat info;
        struct packed_cache *c = open_cache();
        packed_cache_write(c, &array, 1);
        for (int k = 0; k < i * 20; k++) sched_yield();
        packed_cache_close(c);
        while (count_files(cache, ".part", NULL) > 0) sched_yield(); /* one that was left */
        if (count_files(cache, ".packed", path) == 0) continue;
        assert_int_equal(stat(path, &info), 0);
        assert_true(info.st_size > (off_t)sizeof bytes);
        assert_int_equal(unlink(path), 0);
    }
}

/* Many pieces of a huge page, with arrays across their borders. */
static void test_large_file(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 3 << 20, 64, (2 << 20) - 1, 33 << 20, 5};
    enum { N = sizeof sizes / sizeof *sizes };
    struct packed_array arrays[N];
    struct backend *be;
    struct error err = {0};
    const struct packed_entry *entries;
    const uint8_t *data;
    int n;
    for (int i = 0; i < N; i++) {
        uint8_t *bytes = malloc(sizes[i]);
        assert_non_null(bytes);
        for (size_t k = 0; k < sizes[i]; k++) bytes[k] = (uint8_t)(k * 31 + (size_t)i + k / 4099);
        arrays[i] = (struct packed_array){bytes, sizes[i], (uint64_t)i + 7};
    }
    struct packed_cache *c = open_cache();
    assert_int_equal(cpu_backend_open(&be, 2, "auto", &err), STATUS_OK);
    assert_int_equal(packed_cache_map(c, be, &data, &entries, &n, &err), STATUS_NOT_FOUND);
    packed_cache_write(c, arrays, N);
    packed_cache_wait(c);
    if (packed_cache_map(c, be, &data, &entries, &n, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(n, N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(entries[i].size, sizes[i]);
        assert_int_equal(entries[i].name, (uint64_t)i + 7);
        assert_memory_equal(data + entries[i].at, arrays[i].data, sizes[i]);
        free((void *)(uintptr_t)arrays[i].data);
    }
    packed_cache_close(c);
    be->ops->close(be);
}

static void test_processes_at_once(void **state)
{
    (void)state;
    enum { N = 6 };
    pid_t pids[N];
    int go[2];
    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < N; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] > 0) continue;
        char byte;
        close(go[1]);
        if (read(go[0], &byte, 1) != 0) _exit(2);       /* the end: all start now */
        for (int k = 0; k < 3; k++) load_and_compare(); /* a failed assertion ends the process */
        _exit(0);
    }
    close(go[0]);
    close(go[1]);
    for (int i = 0; i < N; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(count_files(cache, ".packed", NULL), 1);
    assert_int_equal(count_files(cache, ".part", NULL), 0);
    assert_true(load_and_compare());
}

/* --- the bytes ------------------------------------------------------------------------------- */

#define LAYOUT_MODEL "tests/golden/models/qwen2_bias"

/* Sums over all arrays of a model.  Where they change, packed files of older builds would be
 * taken for what they are not: raise CPU_LAYOUT in engine/cpu/weight.c, then write the new ones here. */
static void test_layout_is_the_numbered_one(void **state)
{
    (void)state;
    static const struct {
        const char *isa;
        int dtype;
        enum quant_scheme quant;
        uint64_t sum;
    } known[] = {
        {"scalar", DT_F32, QUANT_NONE, 0x54f0b54591314d94},
        {"scalar", DT_BF16, QUANT_NONE, 0x536042cb36d10fbc},
        {"scalar", -1, QUANT_INT8, 0x70ce84e335a78cd9},
        {"scalar", -1, QUANT_INT8_W8A16, 0x8aea4d3fd9e4fc5e},
        {"scalar", -1, QUANT_INT4, 0x16502f9bd7c2a5a1},
        {"avx2", DT_F32, QUANT_NONE, 0x54f0b54591314d94},
        {"avx2", DT_BF16, QUANT_NONE, 0x536042cb36d10fbc},
        {"avx2", -1, QUANT_INT8, 0x70ce84e335a78cd9},
        {"avx2", -1, QUANT_INT8_W8A16, 0x8aea4d3fd9e4fc5e},
        {"avx2", -1, QUANT_INT4, 0x16502f9bd7c2a5a1},
        {"avx512", DT_F32, QUANT_NONE, 0x5b55be7041d22ee1},
        {"avx512", DT_BF16, QUANT_NONE, 0x62a9d2a4d000d33d},
        {"avx512", -1, QUANT_INT8, 0xe5353ff9049e049d},
        {"avx512", -1, QUANT_INT8_W8A16, 0x8f2340ba439cac9b},
        {"avx512", -1, QUANT_INT4, 0x31b0e545dce8c363},
    };
    int n_wrong = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct loaded m;
        struct weight *all[512];
        uint64_t sum = 1; /* layout 1 */
        const struct load_how plain = {LAYOUT_MODEL, known[i].isa, NULL, known[i].dtype,
                                       known[i].quant};
        if (!load_model_weights(&m, &plain)) continue;
        assert_memory_equal(m.be->ops->weight_layout(m.be), "cpu 1 ", 6);
        const int n = weights_of(&m, all);
        for (int k = 0; k < n; k++) {
            struct weight_arrays a;
            m.be->ops->weight_arrays(m.be, all[k], &a);
            for (int j = 0; j < a.n; j++) sum = hash_bytes(a.items[j].data, a.items[j].size, sum);
        }
        unload(&m);
        n_wrong += sum != known[i].sum;
        if (sum != known[i].sum)
            print_error("%s, dtype %d, quantization %d: 0x%016llx\n", known[i].isa, known[i].dtype,
                        (int)known[i].quant, (unsigned long long)sum);
    }
    assert_int_equal(n_wrong, 0);
}

int main(int argc, char **argv)
{
#define MODEL_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_valid),
                                       cmocka_unit_test(test_any_changed_byte_of_the_front),
                                       cmocka_unit_test(test_any_length),
                                       cmocka_unit_test(test_another_key),
                                       cmocka_unit_test(test_every_field),
                                       cmocka_unit_test(test_every_entry),
                                       MODEL_TEST(test_the_same_bits),
                                       MODEL_TEST(test_families),
                                       MODEL_TEST(test_modes),
                                       MODEL_TEST(test_changed_model),
                                       MODEL_TEST(test_corrupt_files),
                                       MODEL_TEST(test_files_of_others),
                                       MODEL_TEST(test_folders),
                                       MODEL_TEST(test_read_only_folder),
                                       MODEL_TEST(test_made_by_root),
                                       MODEL_TEST(test_no_room_for_the_file),
                                       MODEL_TEST(test_full_disk),
                                       MODEL_TEST(test_old_files),
                                       MODEL_TEST(test_locked_part),
                                       MODEL_TEST(test_stopped_writer),
                                       MODEL_TEST(test_writers_left_at_any_time),
                                       MODEL_TEST(test_large_file),
                                       MODEL_TEST(test_processes_at_once),
                                       cmocka_unit_test(test_layout_is_the_numbered_one)};
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("packed", tests, NULL, NULL);
}
