#ifndef SERVER_BENCH_ARG_TABLE_H
#define SERVER_BENCH_ARG_TABLE_H

/* arg_table.h - options of a bench, from one table each: --name value, --name=value, --flag and
 * --no-flag; an underscore counts as a hyphen.  Values are left where argv has them. */

#include "config/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum arg_kind {
    ARG_TEXT, /* const char *, not empty */
    ARG_INT,  /* int64_t in [min, max] */
    ARG_REAL, /* double in [min, max] */
    ARG_FLAG, /* bool */
};

struct arg_def {
    const char *name, *section, *value_name;
    enum arg_kind kind;
    size_t offset;      /* of the field in the caller's struct */
    const char *preset; /* NULL = none */
    double min, max;
    const char *help;
};

struct arg_table {
    const char *command; /* "bench serve" */
    const struct arg_def *defs;
    size_t n_defs;
};

/* Sets the fields that have a preset. */
enum status arg_table_presets(const struct arg_table *t, void *out, struct error *err);
/* The option at argv[*at], and its value; moves *at behind them.  INVALID says what is wrong. */
enum status arg_table_take(const struct arg_table *t, void *out, int argc, char **argv, int *at,
                           struct error *err);
/* Options by section, in the table's order. */
void arg_table_print(const struct arg_table *t, FILE *f);

#endif
