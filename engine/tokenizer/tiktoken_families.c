#include "config/base/check.h"
#include "engine/tokenizer/tiktoken.h"

#include <string.h>

/* Sources: PyPI tiktoken (openai_public.py), the tokenization files that the models were published
 * with (Qwen, Kimi, GLM-4), and Meta's llama-models.  Patterns are spelled as they were published,
 * but for Kimi's: its classes "[..&&[^\p{Han}]]" are written as look-aheads. */

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORD         "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define TAIL         "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SYMBOLS      " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define UPPER        "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define NO_HAN(set)  "(?:(?!\\p{Han})" set ")"

#define R50K \
    "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s"
/* "{1,3}" stands for tiktoken's possessive "{1,3}+", which means something else in Oniguruma. */
#define CL100K                                                                                  \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[" \
    "\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s"
#define O200K                                                                                  \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTIONS "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER \
    "+" LOWER "*" CONTRACTIONS "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" TAIL
#define LLAMA3 CONTRACTIONS "|" WORD "|\\p{N}{1,3}|" SYMBOLS "|" TAIL
#define QWEN   CONTRACTIONS "|" WORD "|\\p{N}|" SYMBOLS "|" TAIL
#define KIMI                                                                                       \
    "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?" NO_HAN(UPPER) "*" NO_HAN(                                 \
        LOWER) "+" CONTRACTIONS                                                                    \
               "?|[^\\r\\n\\p{L}\\p{N}]?" NO_HAN(UPPER) "+" NO_HAN(LOWER) "*" CONTRACTIONS         \
                                                                          "?|\\p{N}{1,3}|" SYMBOLS \
                                                                          "|" TAIL

static const struct tiktoken_special r50k[] = {{50256, "<|endoftext|>", 0, 0, ""}};
static const struct tiktoken_special cl100k[] = {{100257, "<|endoftext|>", 0, 0, ""},
                                                 {100258, "<|fim_prefix|>", 0, 0, ""},
                                                 {100259, "<|fim_middle|>", 0, 0, ""},
                                                 {100260, "<|fim_suffix|>", 0, 0, ""},
                                                 {100276, "<|endofprompt|>", 0, 0, ""}};
static const struct tiktoken_special o200k[] = {{199999, "<|endoftext|>", 0, 0, ""},
                                                {200018, "<|endofprompt|>", 0, 0, ""}};
static const struct tiktoken_special harmony[] = {{199998, "<|startoftext|>", 0, 0, ""},
                                                  {199999, "<|endoftext|>", 0, 0, ""},
                                                  {200000, "<|reserved_", 200000, 2, "|>"},
                                                  {200002, "<|return|>", 0, 0, ""},
                                                  {200003, "<|constrain|>", 0, 0, ""},
                                                  {200004, "<|reserved_", 200004, 1, "|>"},
                                                  {200005, "<|channel|>", 0, 0, ""},
                                                  {200006, "<|start|>", 0, 0, ""},
                                                  {200007, "<|end|>", 0, 0, ""},
                                                  {200008, "<|message|>", 0, 0, ""},
                                                  {200009, "<|reserved_", 200009, 3, "|>"},
                                                  {200012, "<|call|>", 0, 0, ""},
                                                  {200013, "<|reserved_", 200013, 5, "|>"},
                                                  {200018, "<|endofprompt|>", 0, 0, ""},
                                                  {200019, "<|reserved_", 200019, 1069, "|>"}};
static const struct tiktoken_special llama3[] = {{0, "<|begin_of_text|>", 0, 0, ""},
                                                 {1, "<|end_of_text|>", 0, 0, ""},
                                                 {2, "<|reserved_special_token_", 0, 2, "|>"},
                                                 {4, "<|finetune_right_pad_id|>", 0, 0, ""},
                                                 {5, "<|reserved_special_token_", 2, 1, "|>"},
                                                 {6, "<|start_header_id|>", 0, 0, ""},
                                                 {7, "<|end_header_id|>", 0, 0, ""},
                                                 {8, "<|eom_id|>", 0, 0, ""},
                                                 {9, "<|eot_id|>", 0, 0, ""},
                                                 {10, "<|python_tag|>", 0, 0, ""},
                                                 {11, "<|reserved_special_token_", 3, 245, "|>"}};
static const struct tiktoken_special qwen[] = {{0, "<|endoftext|>", 0, 0, ""},
                                               {1, "<|im_start|>", 0, 0, ""},
                                               {2, "<|im_end|>", 0, 0, ""},
                                               {3, "<|extra_", 0, 205, "|>"}};

static const struct tiktoken_family families[] = {
    {.name = "GPT-2 (r50k_base)",
     .files = {"r50k_base.tiktoken", "gpt2.tiktoken"},
     .n_ranks = 50256,
     .pattern = R50K,
     .specials = r50k,
     .n_specials = ARRAY_LEN(r50k)},
    {.name = "p50k_base",
     .files = {"p50k_base.tiktoken"},
     .n_ranks = 50280,
     .pattern = R50K,
     .specials = r50k,
     .n_specials = ARRAY_LEN(r50k)},
    {.name = "cl100k_base",
     .files = {"cl100k_base.tiktoken"},
     .n_ranks = 100256,
     .pattern = CL100K,
     .specials = cl100k,
     .n_specials = ARRAY_LEN(cl100k)},
    {.name = "o200k_base",
     .files = {"o200k_base.tiktoken"},
     .n_ranks = 199998,
     .pattern = O200K,
     .specials = o200k,
     .n_specials = ARRAY_LEN(o200k)},
    {.name = "o200k_harmony",
     .files = {"o200k_harmony.tiktoken"},
     .n_ranks = 199998, /* by the count alone o200k_base comes first */
     .pattern = O200K,
     .specials = harmony,
     .n_specials = ARRAY_LEN(harmony)},
    {.name = "Llama 3",
     .n_ranks = 128000,
     .pattern = LLAMA3,
     .relative = true,
     .specials = llama3,
     .n_specials = ARRAY_LEN(llama3)},
    {.name = "Llama 4", .n_ranks = 200000, .pattern = O200K},
    {.name = "Qwen",
     .files = {"qwen.tiktoken"},
     .classes = {"QWenTokenizer"},
     .n_ranks = 151643,
     .pattern = QWEN,
     .nfc = true,
     .relative = true,
     .specials = qwen,
     .n_specials = ARRAY_LEN(qwen)},
    {.name = "Kimi",
     .classes = {"TikTokenTokenizer"},
     .module = "tokenization_kimi.",
     .n_ranks = 163584,
     .pattern = KIMI,
     .n_reserved = 256},
    {.name = "GLM-4",
     .classes = {"ChatGLM4Tokenizer", "GLM4Tokenizer"},
     .n_ranks = 151329,
     .pattern = LLAMA3,
     .before = {"[gMASK]", "<sop>"}},
};

static bool is_listed(const char *const list[3], const char *name)
{
    for (int i = 0; name && i < 3 && list[i]; i++)
        if (!strcmp(list[i], name)) return true;
    return false;
}

/* The class, and where its name is a common one the module too. */
static bool is_class_of(const struct tiktoken_family *f, const char *class, const cJSON *config)
{
    if (!is_listed(f->classes, class)) return false;
    const cJSON *list = json_get(json_get(config, "auto_map"), "AutoTokenizer");
    const char *path = cJSON_GetStringValue(cJSON_IsArray(list) ? list->child : NULL);
    return !f->module || (path && !strncmp(path, f->module, strlen(f->module)));
}

/* Classes that add nothing of their own to what the configuration says. */
static bool is_general_class(const char *class)
{
    static const char *const general[] = {
        "PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend", "LlamaTokenizer",
        "LlamaTokenizerFast",      "GPT2Tokenizer",       "GPT2TokenizerFast"};
    for (size_t i = 0; i < ARRAY_LEN(general); i++)
        if (!strcmp(general[i], class)) return true;
    return false;
}

/* Missing ranks would move relative special tokens and cut every long word differently. */
enum status tiktoken_family_check_count(const struct tiktoken_family *f, size_t n_ranks,
                                        struct error *err)
{
    if (n_ranks == f->n_ranks) return STATUS_OK;
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        if (families[i].n_ranks == n_ranks)
            return error_set(
                err, STATUS_CORRUPT,
                "the file has %zu ranks like %s, but its name or tokenizer_class is of "
                "%s, which has %zu: give it the right one",
                n_ranks, families[i].name, f->name, f->n_ranks);
    return error_set(err, STATUS_CORRUPT, "the file has %zu ranks, %s has %zu: %s", n_ranks,
                     f->name, f->n_ranks,
                     n_ranks < f->n_ranks ? "cut short? Download it again"
                                          : "it is another tokenizer's, give the directory a "
                                            "tokenizer.json");
}

enum status tiktoken_family_find(const char *file_name, size_t n_ranks, const cJSON *config,
                                 const struct tiktoken_family **out, struct error *err)
{
    const char *class = cJSON_GetStringValue(json_get(config, "tokenizer_class"));
    bool has_tokens = cJSON_IsObject(json_get(config, "added_tokens_decoder"));
    const struct tiktoken_family *by_class = NULL, *by_file = NULL, *by_count = NULL;
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        const struct tiktoken_family *f = &families[i];
        if (!by_class && is_class_of(f, class, config)) by_class = f;
        if (!by_file && is_listed(f->files, file_name)) by_file = f;
        if (!by_count && f->n_ranks == n_ranks) by_count = f;
    }
    *out = by_class ? by_class : by_file ? by_file : by_count;
    if (!*out)
        return error_set(err, STATUS_UNSUPPORTED,
                         "the rank file does not say how text is cut, and neither its name, its "
                         "%zu ranks nor the tokenizer_class is of a known family (GPT-2, p50k, "
                         "cl100k, o200k, Llama 3 and 4, Qwen, Kimi, GLM-4); if it is not cut "
                         "short, give the directory a tokenizer.json",
                         n_ranks);
    if (!has_tokens && class && !by_class &&
        !(is_listed((*out)->classes, class) || is_general_class(class)))
        return error_set(err, STATUS_UNSUPPORTED,
                         "the special tokens of the tokenizer_class \"%.80s\" are not known; "
                         "tokenizer_config.json must have them as \"added_tokens_decoder\"",
                         class);
    if (!has_tokens && !(*out)->specials)
        return error_set(err, STATUS_UNSUPPORTED,
                         "%s files need \"added_tokens_decoder\" in tokenizer_config.json for the "
                         "special tokens",
                         (*out)->name);
    return STATUS_OK;
}
