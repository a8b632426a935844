#ifndef TESTS_PACKED_MODELS_H
#define TESTS_PACKED_MODELS_H

/* packed_models.h - for tests of packed weights: folders, a copy of a model, its weights with and
 * without a packed file, compared byte by byte. */

#include "engine/load/load.h"
#include "engine/load/packed_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct loaded {
    struct backend *be;
    struct model_config config;
    struct model_weights weights;
};

struct load_how {
    const char *dir, *isa, *packed_dir;
    int dtype; /* enum dtype, or -1 */
    enum quant_scheme quant;
};

/* False when the CPU lacks the instruction set. */
static inline bool load_model_weights(struct loaded *m, const struct load_how *how)
{
    struct error err = {0};
    const struct load_options o = {
        .quant = how->quant, .packed_dir = how->packed_dir, .packed_label = how->dir};
    *m = (struct loaded){0};
    if (cpu_backend_open(&m->be, 2, how->isa, &err) != STATUS_OK) return false;
    if (model_config_load(how->dir, &m->config, &err) != STATUS_OK) fail_msg("%s", err.message);
    if (how->dtype >= 0) m->config.stored_dtype = (enum dtype)how->dtype;
    if (model_weights_load(m->be, how->dir, &m->config, &o, &m->weights, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return true;
}

static inline void unload(struct loaded *m)
{
    model_weights_free(m->be, &m->config, &m->weights);
    m->be->ops->close(m->be);
}

/* The weights lie in a packed file. */
static inline bool is_mapped(const struct loaded *m)
{
    return m->weights.packed && m->weights.packed->data;
}

static inline void wait_for_file(struct loaded *m)
{
    if (m->weights.packed) packed_cache_wait(m->weights.packed);
}

static inline int weights_of(const struct loaded *m, struct weight **out)
{
    int n = 0;
    out[n++] = m->weights.embed;
    out[n++] = m->weights.final_norm;
    out[n++] = m->weights.lm_head;
    for (int i = 0; i < m->config.n_layers; i++) {
        const struct layer_weights *l = &m->weights.layers[i];
        struct weight *const all[] = {l->attn_norm, l->wqkv,   l->wo,     l->ffn_norm,
                                      l->w_gate_up, l->w_down, l->q_norm, l->k_norm};
        for (size_t k = 0; k < 8; k++)
            if (all[k]) out[n++] = all[k];
    }
    return n;
}

static inline void assert_same_weights(const struct loaded *a, const struct loaded *b)
{
    struct weight *x[512], *y[512];
    const int n = weights_of(a, x);
    assert_int_equal(n, weights_of(b, y));
    assert_true(n < 512);
    assert_int_equal(a->be->weight_size, b->be->weight_size);
    for (int i = 0; i < n; i++) {
        struct weight_arrays p, q;
        a->be->ops->weight_arrays(a->be, x[i], &p);
        b->be->ops->weight_arrays(b->be, y[i], &q);
        assert_int_equal(p.n, q.n);
        for (int k = 0; k < p.n; k++) {
            assert_int_equal(p.items[k].size, q.items[k].size);
            assert_memory_equal(p.items[k].data, q.items[k].data, p.items[k].size);
        }
        assert_int_equal(a->be->ops->activation_dtype(a->be, x[i]),
                         b->be->ops->activation_dtype(b->be, y[i]));
    }
}

/* --- folders --- */

static inline void make_temp(char out[64])
{
    snprintf(out, 64, "/tmp/inferd-packed-XXXXXX");
    assert_non_null(mkdtemp(out));
}

/* Files whose name ends so; *name (or NULL) gets the path of one of them. */
static inline int count_files(const char *dir, const char *end, char name[512])
{
    int n = 0;
    DIR *d = opendir(dir);
    if (!d) return 0;
    for (const struct dirent *e; (e = readdir(d));) {
        const size_t len = strlen(e->d_name), end_len = strlen(end);
        if (len < end_len || strcmp(e->d_name + len - end_len, end) != 0) continue;
        if (e->d_name[0] == '.') continue;
        if (name) snprintf(name, 512, "%s/%s", dir, e->d_name);
        n++;
    }
    closedir(d);
    return n;
}

/* The folder and the files in it; a folder below is removed before. */
static inline void remove_folder(const char *dir)
{
    DIR *d = opendir(dir);
    for (const struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    if (d) closedir(d);
    rmdir(dir);
}

static inline void copy_file(const char *from_dir, const char *to_dir, const char *name)
{
    char from[512], to[512], data[65536];
    snprintf(from, sizeof from, "%s/%s", from_dir, name);
    snprintf(to, sizeof to, "%s/%s", to_dir, name);
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    for (size_t n; (n = fread(data, 1, sizeof data, in)) > 0;)
        assert_int_equal(fwrite(data, 1, n, out), n);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

/* Turns the bits of one byte around and puts the time of modification back. */
static inline void change_byte(const char *path, off_t at, bool keep_time)
{
    struct stat info;
    uint8_t byte;
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &info) == 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0xff;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    const struct timespec times[2] = {info.st_atim, info.st_mtim};
    if (keep_time) assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

#endif
