#include "server/bench/engine/args.h"

#include "config/base/check.h"
#include "config/base/str.h"
#include "config/limits.h"
#include "server/bench/arg_table.h"

#include <string.h>

#define ROW(name_, section_, value_, kind_, field, preset_, min_, max_, help_)               \
    {                                                                                        \
        .name = (name_), .section = (section_), .value_name = (value_), .kind = ARG_##kind_, \
        .offset = offsetof(struct engine_args, field), .preset = (preset_), .min = (min_),   \
        .max = (max_), .help = (help_)                                                       \
    }
#define MODEL  "Model"
#define WORK   "Work"
#define REPORT "Report"

#define BATCHES  "1,4,8,16,32"
#define CONTEXTS "128,4096"

static const struct arg_def arg_defs[] = {
    ROW("model", MODEL, "MODEL", TEXT, model, NULL, 0, 0,
        "Model directory, or ORG/NAME as inferd pull has loaded it; also accepted without "
        "--model. One with no more than a config.json gets random weights. None: the demo model."),
    ROW("quantization", MODEL, "LIST", TEXT, quantization, "none", 0, 0,
        "How the linears hold their weights, one after the other: none (as stored), float32, "
        "bfloat16 (or bf16), int8, int8-w8a16, int4; all: bfloat16,int8,int8-w8a16,int4."),
    ROW("kv-cache-dtype", MODEL, "TYPE", TEXT, kv_cache_dtype, "auto", 0, 0,
        "auto, float32, bfloat16 or int8; auto follows the stored weights, whatever "
        "--quantization says."),
    ROW("device", MODEL, "DEVICE", TEXT, device, "cpu", 0, 0,
        "cpu or cuda. A GPU's limits are not measured: they are its clocks times its widths."),
    ROW("cuda-plugin", MODEL, "FILE", TEXT, cuda_plugin, NULL, 0, 0,
        "The plug-in for --device cuda. Default: libinferd-cuda.so beside the binary."),
    ROW("enforce-eager", MODEL, NULL, FLAG, enforce_eager, NULL, 0, 0,
        "On a GPU: launch every kernel of a step instead of replaying captured steps."),
    ROW("async-scheduling", MODEL, NULL, FLAG, async_scheduling, "true", 0, 0,
        "On a GPU: start a step while the one before it runs."),
    ROW("kernel-overlap", MODEL, NULL, FLAG, kernel_overlap, "true", 0, 0,
        "On a GPU: a kernel begins while the one ahead of it ends, as for inferd serve."),
    ROW("cpu-isa", MODEL, "ISA", TEXT, isa, "auto", 0, 0,
        "Instruction set, as for inferd serve; the limits are those of the same instructions."),
    ROW("threads", MODEL, "N", INT, threads, "0", 0, 1024,
        "CPU threads. 0: one for each core that the process may use."),
    ROW("cpu-pinning", MODEL, "WHEN", TEXT, cpu_pinning, "auto", 0, 0,
        "auto, on or off, as for inferd serve."),
    ROW("block-size", MODEL, "N", INT, block_size, "16", 16, 128,
        "Tokens in a KV-cache block: 16, 32, 64 or 128."),
    ROW("prompt-len", WORK, "LIST", TEXT, prompt_len, "512", 0, 0,
        "Tokens of the prefills, each in one step."),
    ROW("batch", WORK, "LIST", TEXT, batch, NULL, 0, 0,
        "Sequences of the decode steps (default: " BATCHES ")."),
    ROW("context", WORK, "LIST", TEXT, context, NULL, 0, 0,
        "Tokens in the cache of each sequence of a decode, the new one included (default: " CONTEXTS
        ", where it fits the memory). Longer than the model's: the model's."),
    ROW("repeat", WORK, "N", INT, repeat, "5", 1, 1000,
        "Measurements of each figure: the median is its value, the fastest and the slowest are "
        "shown beside it. Each is one step, or as many as take 50 ms."),
    ROW("seed", WORK, "N", INT, seed, "1", 0, 1e15, "Seed of token ids and random weights."),
    ROW("profile", REPORT, NULL, FLAG, profile, NULL, 0, 0,
        "Measure again with every operator timed, and show where the time of the fastest "
        "repetition "
        "goes."),
    ROW("output", REPORT, "FILE", TEXT, output, NULL, 0, 0, "Write the report as JSON too."),
    ROW("progress", REPORT, NULL, FLAG, progress, "true", 0, 0,
        "Say on standard error what is being done."),
};
static const struct arg_table arg_table = {"bench engine", arg_defs, ARRAY_LEN(arg_defs)};

static const struct {
    const char *name, *alias;
} precisions[PRECISION_COUNT] = {
    [PRECISION_STORED] = {"none", NULL},           [PRECISION_F32] = {"float32", "f32"},
    [PRECISION_BF16] = {"bfloat16", "bf16"},       [PRECISION_INT8] = {"int8", NULL},
    [PRECISION_INT8_W8A16] = {"int8-w8a16", NULL}, [PRECISION_INT4] = {"int4", NULL},
};

const char *precision_name(enum precision p)
{
    CHECK(p >= 0 && p < PRECISION_COUNT);
    return precisions[p].name;
}

/* --- lists --- */

/* The next item of "a,b,c"; false at the end.  An empty one is "". */
static bool next_item(const char **at, char *item, size_t size)
{
    if (!*at) return false;
    const size_t len = strcspn(*at, ",");
    snprintf(item, size, "%.*s", (int)(len < size ? len : size), *at);
    *at = (*at)[len] == ',' ? *at + len + 1 : NULL;
    return true;
}

static void add_precision(struct engine_args *a, enum precision p)
{
    for (int i = 0; i < a->n_precisions; i++)
        if (a->precisions[i] == p) return;
    a->precisions[a->n_precisions++] = p;
}

static enum status read_precisions(struct engine_args *a, struct error *err)
{
    char item[32];
    for (const char *at = a->quantization; next_item(&at, item, sizeof item);) {
        if (strcmp(item, "all") == 0) {
            for (int p = PRECISION_BF16; p < PRECISION_COUNT; p++) add_precision(a, p);
            continue;
        }
        int found = -1;
        for (int p = 0; p < PRECISION_COUNT; p++) {
            const char *alias = precisions[p].alias;
            if (strcmp(item, precisions[p].name) == 0 || (alias && strcmp(item, alias) == 0))
                found = p;
        }
        if (found < 0)
            return error_set_param(err, STATUS_INVALID, "quantization",
                                   "--quantization: \"%s\" is none of none, float32, bfloat16, "
                                   "int8, int8-w8a16, int4, all",
                                   item);
        add_precision(a, (enum precision)found);
    }
    return STATUS_OK;
}

static enum status read_ints(const char *name, const char *list, int max, struct int_list *out,
                             struct error *err)
{
    char item[32];
    for (const char *at = list; next_item(&at, item, sizeof item);) {
        int64_t value = 0;
        if (!parse_i64(item, &value) || value < 1 || value > max)
            return error_set_param(err, STATUS_INVALID, name,
                                   "--%s: \"%s\" is no whole number from 1 to %d", name, item, max);
        bool known = false;
        for (int i = 0; i < out->n; i++) known = known || out->items[i] == (int)value;
        if (known) continue;
        if (out->n == ENGINE_ARGS_LIST)
            return error_set_param(err, STATUS_INVALID, name, "--%s: more than %d values", name,
                                   ENGINE_ARGS_LIST);
        out->items[out->n++] = (int)value;
    }
    return STATUS_OK;
}

/* --- the whole --- */

static enum status check_args(struct engine_args *a, struct error *err)
{
    if (strcmp(a->kv_cache_dtype, "auto") != 0 && strcmp(a->kv_cache_dtype, "float32") != 0 &&
        strcmp(a->kv_cache_dtype, "bfloat16") != 0 && strcmp(a->kv_cache_dtype, "int8") != 0)
        return error_set_param(err, STATUS_INVALID, "kv-cache-dtype",
                               "--kv-cache-dtype must be auto, float32, bfloat16 or int8, not "
                               "\"%.40s\"",
                               a->kv_cache_dtype);
    if (!cpu_pinning_parse(a->cpu_pinning, &a->pinning))
        return error_set_param(err, STATUS_INVALID, "cpu-pinning",
                               "--cpu-pinning must be auto, on or off, not \"%.40s\"",
                               a->cpu_pinning);
    if ((a->block_size & (a->block_size - 1)) != 0)
        return error_set_param(err, STATUS_INVALID, "block-size",
                               "--block-size must be 16, 32, 64 or 128, not %lld",
                               (long long)a->block_size);
    a->on_gpu = strcmp(a->device, "cuda") == 0;
    if (!a->on_gpu && strcmp(a->device, "cpu") != 0)
        return error_set_param(err, STATUS_INVALID, "device",
                               "--device must be cpu or cuda, not \"%.40s\"", a->device);
    if (a->on_gpu && a->profile)
        return error_set_param(err, STATUS_INVALID, "profile",
                               "--profile goes with --device cpu: a GPU runs operators after "
                               "their calls");
    a->lists_given = a->batch || a->context;
    enum status st = read_precisions(a, err);
    if (st == STATUS_OK)
        st = read_ints("prompt-len", a->prompt_len, LIMIT_CONTEXT, &a->prompts, err);
    if (st == STATUS_OK)
        st = read_ints("batch", a->batch ? a->batch : BATCHES, 8192, &a->batches, err);
    if (st == STATUS_OK)
        st = read_ints("context", a->context ? a->context : CONTEXTS, LIMIT_CONTEXT, &a->contexts,
                       err);
    return st;
}

enum status engine_args_parse(int argc, char **argv, struct engine_args *out, bool *help,
                              struct error *err)
{
    *out = (struct engine_args){0};
    *help = false;
    enum status st = arg_table_presets(&arg_table, out, err);
    for (int at = 0; at < argc && st == STATUS_OK;) {
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
            *help = true;
            return STATUS_OK;
        }
        if (argv[at][0] != '-' && !out->model)
            out->model = argv[at++];
        else
            st = arg_table_take(&arg_table, out, argc, argv, &at, err);
    }
    return st == STATUS_OK ? check_args(out, err) : st;
}

void engine_args_print_help(FILE *f)
{
    fputs(
        "usage: inferd bench engine [MODEL] [options]\n\n"
        "Measures the engine without HTTP: prefills, and decode steps of several batches and\n"
        "contexts, each beside the limit of this machine. A CPU's is measured first with the same\n"
        "threads: bytes/s read from memory (a buffer much larger than the last-level cache), and\n"
        "int8, bfloat16 and float32 operations/s (the raw instructions in a loop). A GPU's is\n"
        "what its clocks and widths give; where they are not known, there is none.\n",
        f);
    arg_table_print(&arg_table, f);
    fputs(
        "\nthe limit of a step:\n"
        "  time = max(bytes / memory rate, sum of operations / their rate)\n"
        "  bytes: the weights of all linears once, as they are held, lm_head too; keys and values\n"
        "    that are read and written. Not counted where all of it fits the last-level cache.\n"
        "  operations: 2 for each weight and row (lm_head: rows that are sampled), 4 for each\n"
        "    row, key it sees, and element of all query heads (attention). int8 and int4 weights\n"
        "    count against the int8 rate, int8-w8a16 against that of bfloat16, others and "
        "attention\n"
        "    against the rate of their type.\n"
        "A share is that time by the measured one. Keys and values of a decode are one computed\n"
        "block, copied all over the cache: the work is that of a cache that was really filled.\n"
        "\nexamples:\n"
        "  inferd bench engine ./Llama-3.2-1B-Instruct --quantization all --output r.json\n"
        "  inferd bench engine --model shapes/llama-1.1b --quantization int8 --batch 1,16 \\\n"
        "    --context 1024 --profile\n"
        "  inferd bench engine shapes/llama-3.1-8b --device cuda --prompt-len 512,2048 --batch "
        "1,64\n",
        f);
}
