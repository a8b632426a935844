/* safetensors.c - the container format: an 8-byte little-endian header size, a JSON header
 * {"name": {"dtype", "shape", "data_offsets": [begin, end]}, ..., "__metadata__": {...}}, and the
 * tensors' bytes, row-major, without gaps. */

#include "engine/load/safetensors.h"

#include "config/base/arena.h"
#include "config/base/check.h"
#include "config/base/file.h"
#include "config/base/hash.h"
#include "config/base/json.h"
#include "config/limits.h"
#include "engine/load/safetensors_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Longer names are no tensor of any model; they would only make messages unreadable. */
#define MAX_NAME_LEN 512
/* The largest published checkpoints have a few hundred. */
#define MAX_SHARDS 1024

static const struct stored_dtype {
    const char *text;
    int bits;
    enum dtype dtype; /* DT_COUNT: known to the format, not to us */
} dtype_table[] = {
    {"F32", 32, DT_F32},      {"F16", 16, DT_F16},      {"BF16", 16, DT_BF16},
    {"I8", 8, DT_I8},         {"I32", 32, DT_I32},      {"F64", 64, DT_COUNT},
    {"I64", 64, DT_COUNT},    {"I16", 16, DT_COUNT},    {"U64", 64, DT_COUNT},
    {"U32", 32, DT_COUNT},    {"U16", 16, DT_COUNT},    {"U8", 8, DT_COUNT},
    {"BOOL", 8, DT_COUNT},    {"F8_E4M3", 8, DT_COUNT}, {"F8_E5M2", 8, DT_COUNT},
    {"F8_E8M0", 8, DT_COUNT}, {"C64", 64, DT_COUNT},    {"F6_E2M3", 6, DT_COUNT},
    {"F6_E3M2", 6, DT_COUNT}, {"F4", 4, DT_COUNT},
};

struct safetensors {
    struct arena arena; /* names */
    struct safetensors_file *files;
    int n_files, cap_files;
    struct stored_tensor *tensors;
    int n_tensors, cap_tensors;
    int32_t *table; /* open addressing: index into tensors, or -1 */
    uint32_t mask;
    size_t total_size;
    uint64_t hash_seed;
};

/* --- the table of names --------------------------------------------------------------------- */

static uint32_t slot_of(const struct safetensors *st, const char *name)
{
    uint32_t i = (uint32_t)hash_bytes(name, strlen(name), st->hash_seed) & st->mask;
    while (st->table[i] >= 0 && strcmp(st->tensors[st->table[i]].name, name) != 0)
        i = (i + 1) & st->mask;
    return i;
}

/* Enters tensors [first, n_tensors); at most half of the slots are ever taken. */
static enum status table_enter(struct safetensors *st, int first, struct error *err)
{
    uint32_t want = 64;
    while (want < 2 * (uint32_t)st->n_tensors + 2) want *= 2;
    if (!st->table || want > st->mask + 1) {
        free(st->table);
        st->table = malloc((size_t)want * sizeof *st->table);
        if (!st->table) return error_set(err, STATUS_NO_MEMORY, "out of memory");
        memset(st->table, 0xff, (size_t)want * sizeof *st->table);
        st->mask = want - 1;
        first = 0;
    }
    for (int i = first; i < st->n_tensors; i++) {
        const uint32_t slot = slot_of(st, st->tensors[i].name);
        if (st->table[slot] >= 0)
            return error_set_param(err, STATUS_CORRUPT, st->tensors[i].name,
                                   "tensor \"%s\" is in %s and again in %s", st->tensors[i].name,
                                   st->tensors[st->table[slot]].file, st->tensors[i].file);
        st->table[slot] = i;
    }
    return STATUS_OK;
}

/* --- one header ----------------------------------------------------------------------------- */

static const struct stored_dtype *find_dtype(const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(dtype_table); i++) {
        if (strcmp(dtype_table[i].text, text) == 0) return &dtype_table[i];
    }
    return NULL;
}

static enum status parse_shape(const cJSON *shape, int bits, struct stored_tensor *t,
                               uint64_t *size, struct error *err)
{
    if (!cJSON_IsArray(shape))
        return error_set(err, STATUS_CORRUPT, "its shape is %s, not an array",
                         shape ? json_type_name(shape) : "missing");
    uint64_t n = 1;
    const cJSON *item;
    cJSON_ArrayForEach(item, shape)
    {
        int64_t dim;
        if (t->n_dims == (int)ARRAY_LEN(t->dims))
            return error_set(err, STATUS_UNSUPPORTED, "it has more than %d dimensions",
                             (int)ARRAY_LEN(t->dims));
        if (!json_as_i64(item, 0, INT64_MAX, &dim))
            return error_set(err, STATUS_CORRUPT, "dimension %d of its shape is not a size",
                             t->n_dims);
        t->dims[t->n_dims++] = dim;
        if (__builtin_mul_overflow(n, (uint64_t)dim, &n))
            return error_set(err, STATUS_CORRUPT, "the product of its shape overflows");
    }
    if (__builtin_mul_overflow(n, (uint64_t)bits, &n) || n % 8 != 0)
        return error_set(err, STATUS_CORRUPT, "its shape is not a whole number of bytes");
    *size = n / 8;
    return STATUS_OK;
}

/* A tensor's entry, with `data` set to payload + begin once the range is known to be inside. */
static enum status parse_entry(const cJSON *entry, const uint8_t *payload, uint64_t payload_size,
                               struct stored_tensor *t, struct error *err)
{
    if (!cJSON_IsObject(entry))
        return error_set(err, STATUS_CORRUPT, "its entry is %s, not an object",
                         json_type_name(entry));
    const cJSON *dtype = json_get(entry, "dtype"), *offsets = json_get(entry, "data_offsets");
    const struct stored_dtype *known =
        cJSON_IsString(dtype) ? find_dtype(dtype->valuestring) : NULL;
    if (!known)
        return error_set(err, STATUS_UNSUPPORTED, "its dtype %.40s is not one of the format's",
                         cJSON_IsString(dtype) ? dtype->valuestring : "(missing)");
    t->dtype = known->dtype;
    t->dtype_text = known->text;

    uint64_t size = 0;
    const enum status s = parse_shape(json_get(entry, "shape"), known->bits, t, &size, err);
    if (s != STATUS_OK) return s;
    int64_t begin, end;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
        !json_as_i64(offsets->child, 0, INT64_MAX, &begin) ||
        !json_as_i64(offsets->child->next, 0, INT64_MAX, &end) || end < begin)
        return error_set(err, STATUS_CORRUPT, "its data_offsets are not [begin, end]");
    if ((uint64_t)end > payload_size)
        return error_set(err, STATUS_CORRUPT,
                         "its data ends at byte %lld of the %llu that the file has: the file is "
                         "truncated; download it again",
                         (long long)end, (unsigned long long)payload_size);
    if ((uint64_t)(end - begin) != size)
        return error_set(err, STATUS_CORRUPT,
                         "its shape and dtype need %llu bytes but its data_offsets give %lld",
                         (unsigned long long)size, (long long)(end - begin));
    t->size = (size_t)size;
    t->data = payload + begin;
    return STATUS_OK;
}

static enum status check_metadata(const cJSON *metadata, const char *file, struct error *err)
{
    const cJSON *item;
    if (!cJSON_IsObject(metadata))
        return error_set(err, STATUS_CORRUPT, "%s: __metadata__ is not an object", file);
    cJSON_ArrayForEach(item, metadata)
    {
        if (!cJSON_IsString(item))
            return error_set(err, STATUS_CORRUPT, "%s: __metadata__ holds %s, not a string", file,
                             json_type_name(item));
    }
    return STATUS_OK;
}

static int compare_by_data(const void *a, const void *b)
{
    const struct stored_tensor *x = a, *y = b;
    const uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    if (p != q) return p < q ? -1 : 1;
    if (x->size != y->size) return x->size < y->size ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* The file's tensors, in order of their data, must tile the payload exactly. */
static enum status check_tiling(struct safetensors *st, int first, const char *file,
                                const uint8_t *payload, uint64_t payload_size, struct error *err)
{
    const int n = st->n_tensors - first;
    uint64_t at = 0;
    if (n > 0) qsort(&st->tensors[first], (size_t)n, sizeof *st->tensors, compare_by_data);
    for (int i = first; i < st->n_tensors; i++) {
        const struct stored_tensor *t = &st->tensors[i];
        const uint64_t begin = (uint64_t)((const uint8_t *)t->data - payload);
        if (begin != at)
            return error_set_param(err, STATUS_CORRUPT, t->name,
                                   "%s: tensor \"%s\" %s at byte %llu", file, t->name,
                                   begin < at ? "overlaps another one" : "leaves a hole before it",
                                   (unsigned long long)begin);
        at += t->size;
    }
    if (at != payload_size)
        return error_set(err, STATUS_CORRUPT,
                         "%s: the tensors take %llu bytes but the file has %llu", file,
                         (unsigned long long)at, (unsigned long long)payload_size);
    return STATUS_OK;
}

static struct stored_tensor *new_tensor(struct safetensors *st, const char *name, const char *file,
                                        struct error *err)
{
    const size_t len = strlen(name);
    if (len == 0 || len > MAX_NAME_LEN) {
        error_set(err, STATUS_CORRUPT, "%s: a tensor's name has %zu bytes", file, len);
        return NULL;
    }
    if (st->n_tensors == LIMIT_TENSORS) {
        error_set(err, STATUS_TOO_LARGE, "more than %d tensors", LIMIT_TENSORS);
        return NULL;
    }
    if (st->n_tensors == st->cap_tensors) {
        const int cap = st->cap_tensors ? 2 * st->cap_tensors : 256;
        void *grown = realloc(st->tensors, (size_t)cap * sizeof *st->tensors);
        if (!grown) goto no_memory;
        st->tensors = grown;
        st->cap_tensors = cap;
    }
    struct stored_tensor *t = &st->tensors[st->n_tensors];
    *t = (struct stored_tensor){.name = arena_strndup(&st->arena, name, len), .file = file};
    if (t->name) return t;
no_memory:
    error_set(err, STATUS_NO_MEMORY, "out of memory");
    return NULL;
}

static enum status parse_entries(struct safetensors *st, const cJSON *header,
                                 const struct safetensors_file *f, const uint8_t *payload,
                                 struct error *err)
{
    const uint64_t payload_size = (uint64_t)(f->data + f->size - payload);
    const int first = st->n_tensors;
    const cJSON *entry;
    if (!cJSON_IsObject(header))
        return error_set(err, STATUS_CORRUPT, "%s: the header is %s, not an object", f->name,
                         json_type_name(header));
    cJSON_ArrayForEach(entry, header)
    {
        enum status s;
        if (strcmp(entry->string, "__metadata__") == 0) {
            s = check_metadata(entry, f->name, err);
            if (s != STATUS_OK) return s;
            continue;
        }
        struct stored_tensor *t = new_tensor(st, entry->string, f->name, err);
        if (!t) return STATUS_CORRUPT;
        s = parse_entry(entry, payload, payload_size, t, err);
        if (s != STATUS_OK) {
            error_prepend(err, "%s: tensor \"%s\"", f->name, t->name);
            return s;
        }
        t->fd = f->fd;
        t->file_at = (uint64_t)((const uint8_t *)t->data - f->data);
        st->n_tensors++;
        st->total_size += t->size;
    }
    const enum status s = check_tiling(st, first, f->name, payload, payload_size, err);
    return s == STATUS_OK ? table_enter(st, first, err) : s;
}

static enum status parse_file(struct safetensors *st, const struct safetensors_file *f,
                              struct error *err)
{
    static const struct json_limits limits = {.max_size = LIMIT_SAFETENSORS_HEADER, .max_depth = 8};
    static const char lfs[] = "version https://git-lfs";
    if (f->size >= sizeof lfs - 1 && memcmp(f->data, lfs, sizeof lfs - 1) == 0)
        return error_set(err, STATUS_CORRUPT,
                         "%s is a git-lfs pointer, not the tensors: run `git lfs pull`", f->name);
    uint64_t header_size = 0;
    if (f->size < 8)
        return error_set(err, STATUS_CORRUPT, "%s: %zu bytes are no safetensors file", f->name,
                         f->size);
    for (int i = 0; i < 8; i++) header_size |= (uint64_t)f->data[i] << (8 * i);
    if (header_size > LIMIT_SAFETENSORS_HEADER)
        return error_set(err, STATUS_CORRUPT, "%s: a header of %llu bytes is above the format's %u",
                         f->name, (unsigned long long)header_size, LIMIT_SAFETENSORS_HEADER);
    if (header_size > f->size - 8)
        return error_set(err, STATUS_CORRUPT,
                         "%s: the header of %llu bytes is longer than the file: it is truncated; "
                         "download it again",
                         f->name, (unsigned long long)header_size);
    const char *text = (const char *)f->data + 8;
    if (header_size == 0 || text[0] != '{')
        return error_set(err, STATUS_CORRUPT, "%s: the header does not begin with {", f->name);

    cJSON *header = NULL;
    enum status s = json_parse(text, (size_t)header_size, &limits, &header, err);
    if (s != STATUS_OK) {
        error_prepend(err, "%s: header", f->name);
        return s;
    }
    s = parse_entries(st, header, f, f->data + 8 + header_size, err);
    cJSON_Delete(header);
    return s;
}

/* --- files ---------------------------------------------------------------------------------- */

static struct safetensors *new_set(struct error *err)
{
    struct safetensors *st = calloc(1, sizeof *st);
    if (!st) {
        error_set(err, STATUS_NO_MEMORY, "out of memory");
        return NULL;
    }
    arena_init(&st->arena, 0);
    st->hash_seed = hash_process_seed();
    return st;
}

/* Takes over `f`, also when it fails. */
static enum status add_file(struct safetensors *st, struct safetensors_file *f, struct error *err)
{
    if (st->n_files == st->cap_files) {
        const int cap = st->cap_files ? 2 * st->cap_files : 8;
        void *grown = realloc(st->files, (size_t)cap * sizeof *st->files);
        if (!grown) {
            safetensors_file_close(f);
            return error_set(err, STATUS_NO_MEMORY, "out of memory");
        }
        st->files = grown;
        st->cap_files = cap;
    }
    st->files[st->n_files++] = *f;
    return parse_file(st, &st->files[st->n_files - 1], err);
}

static enum status open_shard(struct safetensors *st, const char *dir, const char *name,
                              struct error *err)
{
    struct safetensors_file f = {0};
    const char *kept = arena_strndup(&st->arena, name, strlen(name));
    if (!kept) return error_set(err, STATUS_NO_MEMORY, "out of memory");
    const enum status s = safetensors_file_map(dir, kept, &f, err);
    return s == STATUS_OK ? add_file(st, &f, err) : s;
}

static bool is_open(const struct safetensors *st, const char *name)
{
    /* The index lists tensors shard by shard, more or less: the last one is the likely one. */
    for (int i = st->n_files - 1; i >= 0; i--) {
        if (strcmp(st->files[i].name, name) == 0) return true;
    }
    return false;
}

/* Opens every shard of the index, then checks that the index and the shards name the same pairs:
 * as many entries as tensors, names unique on both sides, and every entry found where it says. */
static enum status open_index(struct safetensors *st, const char *dir, const cJSON *map,
                              struct error *err)
{
    const cJSON *entry;
    int n_entries = 0;
    cJSON_ArrayForEach(entry, map)
    {
        n_entries++;
        if (is_open(st, entry->valuestring)) continue;
        if (st->n_files == MAX_SHARDS)
            return error_set(err, STATUS_TOO_LARGE, "the index names more than %d shards",
                             MAX_SHARDS);
        const enum status s = open_shard(st, dir, entry->valuestring, err);
        if (s != STATUS_OK) return s;
    }
    cJSON_ArrayForEach(entry, map)
    {
        const int32_t i = st->table ? st->table[slot_of(st, entry->string)] : -1;
        if (i < 0 || strcmp(st->tensors[i].file, entry->valuestring) != 0)
            return error_set_param(err, STATUS_CORRUPT, entry->string,
                                   "the index says that \"%.200s\" is in %s, but it is not there: "
                                   "the shards and the index do not belong together",
                                   entry->string, entry->valuestring);
    }
    if (n_entries != st->n_tensors)
        return error_set(err, STATUS_CORRUPT, "the shards hold %d tensors but the index names %d",
                         st->n_tensors, n_entries);
    return STATUS_OK;
}

enum status safetensors_open(const char *dir, struct safetensors **out, struct error *err)
{
    *out = NULL;
    struct safetensors *st = new_set(err);
    if (!st) return STATUS_NO_MEMORY;
    cJSON *index = NULL;
    const cJSON *map = NULL;
    enum status s = safetensors_index_read(dir, &index, &map, err);
    if (s != STATUS_OK) goto out;
    s = map ? open_index(st, dir, map, err) : open_shard(st, dir, SAFETENSORS_SINGLE, err);
out:
    cJSON_Delete(index);
    if (s != STATUS_OK) {
        safetensors_close(st);
        return s;
    }
    *out = st;
    return STATUS_OK;
}

enum status safetensors_open_memory(const void *data, size_t size, struct safetensors **out,
                                    struct error *err)
{
    *out = NULL;
    struct safetensors *st = new_set(err);
    if (!st) return STATUS_NO_MEMORY;
    struct safetensors_file f = {.name = SAFETENSORS_SINGLE, .data = data, .size = size};
    const enum status s = add_file(st, &f, err);
    if (s != STATUS_OK) {
        safetensors_close(st);
        return s;
    }
    *out = st;
    return STATUS_OK;
}

void safetensors_close(struct safetensors *st)
{
    if (!st) return;
    for (int i = 0; i < st->n_files; i++) safetensors_file_close(&st->files[i]);
    free(st->files);
    free(st->tensors);
    free(st->table);
    arena_free(&st->arena);
    free(st);
}

/* --- reading -------------------------------------------------------------------------------- */

struct stored_tensor *safetensors_find(struct safetensors *st, const char *name)
{
    const int32_t i = st->table ? st->table[slot_of(st, name)] : -1;
    if (i < 0) return NULL;
    st->tensors[i].used = true;
    return &st->tensors[i];
}

int safetensors_count(const struct safetensors *st)
{
    return st->n_tensors;
}

struct stored_tensor *safetensors_at(struct safetensors *st, int i)
{
    CHECK(i >= 0 && i < st->n_tensors);
    return &st->tensors[i];
}

size_t safetensors_total_size(const struct safetensors *st)
{
    return st->total_size;
}

int safetensors_n_files(const struct safetensors *st)
{
    return st->n_files;
}

#define SAMPLE ((size_t)4096)

void safetensors_file_at(const struct safetensors *st, int i, struct stored_file *out)
{
    CHECK(i >= 0 && i < st->n_files);
    const struct safetensors_file *f = &st->files[i];
    const uint8_t *payload = f->data + f->size;
    uint64_t sum = 0;
    for (int k = 0; k < st->n_tensors; k++) {
        const struct stored_tensor *t = &st->tensors[k];
        if (t->file != f->name) continue;
        const uint8_t *data = t->data;
        const size_t n = t->size < SAMPLE ? t->size : SAMPLE;
        if (data < payload) payload = data;
        sum = hash_bytes(data + (t->size - n) / 2, n, sum);
    }
    *out = (struct stored_file){.name = f->name, .size = f->size, .mtime_ns = f->mtime_ns};
    out->header_sum = hash_bytes(f->data, (size_t)(payload - f->data), 0);
    out->sample_sum = sum;
}

/* Whole pages inside [begin, end) when shrinking, touching it when not. */
static void advise(const struct safetensors *st, const struct stored_tensor *t, int advice,
                   bool shrink)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = (uintptr_t)t->data, end = begin + t->size;
    if (!st->files[0].mapped || t->size == 0) return;
    begin = (shrink ? begin + page - 1 : begin) / page * page;
    if (shrink) end = end / page * page;
    /* Only hints: a failure changes speed, never the result. */
    if (end > begin) (void)madvise((void *)begin, end - begin, advice);
}

void safetensors_will_need(const struct safetensors *st, const struct stored_tensor *t)
{
    advise(st, t, MADV_WILLNEED, false);
}

void safetensors_dont_need(const struct safetensors *st, const struct stored_tensor *t)
{
    advise(st, t, MADV_DONTNEED, true);
}
