#ifndef CONFIG_OPTIONS_TABLE_H
#define CONFIG_OPTIONS_TABLE_H

/* options_table.h - private to config/options*.c: the table and what its readers share.
 *
 * The sources are read from the strongest to the weakest: command line, environment, YAML file,
 * defaults.  An option that a stronger source has set is left alone. */

#include "config/base/arena.h"
#include "config/options.h"

enum option_kind {
    OPTION_STRING,  /* const char * */
    OPTION_CHOICE,  /* const char *, one of `choices` */
    OPTION_INT,     /* int64_t in [min, max] */
    OPTION_SIZE,    /* int64_t in [min, max]; accepts 4G, 512M, 32k */
    OPTION_SECONDS, /* double in [min, max] */
    OPTION_SHARE,   /* double in [min / 100, max / 100] */
    OPTION_BOOL,    /* bool: --x, --no-x, --x=true|false */
    OPTION_LIST,    /* struct option_list: one or more values */
    OPTION_CONFIG,  /* --config: no member of struct options */
};

struct option_def {
    const char *name; /* with dashes, without the two in front */
    enum option_kind kind;
    size_t offset; /* in struct options */
    const char *section;
    const char *value_name; /* in the help: DIR, N */
    const char *preset;     /* the default as text; NULL = none */
    const char *choices;    /* "a|b|c" */
    const char *advice;     /* to whom asks for another choice; NULL = none */
    int64_t min, max;
    bool secret; /* never repeated in a message */
    const char *help;
};

extern const struct option_def option_table[];
extern const int option_table_len;

/* Options of vLLM and llama.cpp that people will try, and what to do instead. */
struct option_foreign {
    const char *name;
    const char *harmless; /* a value that asks for what inferd does anyway; NULL = none */
    const char *advice;
};
extern const struct option_foreign option_foreign_table[];
extern const int option_foreign_table_len;

enum option_source {
    SOURCE_NONE,
    SOURCE_DEFAULT,
    SOURCE_YAML,
    SOURCE_ENVIRONMENT,
    SOURCE_COMMAND_LINE,
};

#define OPTION_MAX 96 /* rows the table may have */

struct option_parser {
    struct options *out;
    struct arena *arena; /* strings and lists */
    const char *config_path;
    unsigned char source[OPTION_MAX];
};

/* `name` with dashes or underscores, `len` bytes; NULL when unknown. */
const struct option_def *option_find(const char *name, size_t len);
const struct option_foreign *option_find_foreign(const char *name, size_t len);
/* The nearest name, or NULL. */
const char *option_suggest(const char *name, size_t len);
/* "MAX_MODEL_LEN" for "max-model-len". */
void option_env_name(const struct option_def *d, char *out, size_t out_size);

/* Parses `text` into the option.  Lists: appends.  `where` names the source in messages. */
enum status option_set(struct option_parser *p, const struct option_def *d, const char *text,
                       enum option_source source, const char *where, struct error *err);
/* True when `source` may (still) set the option. */
bool option_is_open(const struct option_parser *p, const struct option_def *d,
                    enum option_source source);
bool option_parse_bool(const char *text, bool *out);
/* "4G" -> 4294967296; K M G T and Ki.. are powers of 1024, k m g t and KB.. powers of 1000. */
bool option_parse_size(const char *text, int64_t *out);

enum status option_unknown(const struct option_parser *p, const char *where, const char *name,
                           size_t len, struct error *err);
enum status option_foreign_check(const struct option_foreign *f, const char *value,
                                 const char *where, struct error *err);

/* A YAML mapping of option names to scalars or lists of scalars (options_yaml.c). */
enum status option_read_yaml(struct option_parser *p, const char *path, const char *text,
                             size_t len, struct error *err);
/* What no single option can check (options_check.c). */
enum status options_check(const struct options *o, struct error *err);

#endif
