#ifndef SERVER_TERMINAL_SAMPLING_PARAMS_H
#define SERVER_TERMINAL_SAMPLING_PARAMS_H

/* sampling_params.h - the fields of a chat request that a person may set, from one table: name,
 * kind, range.  They come as /params NAME=VALUE, as options (--top-p for top_p) and from saved
 * conversations.  What is not set is not sent: then the server's own default counts.  All zeros has
 * none set. */

#include "config/base/status.h"
#include "config/base/str.h"

#include <cjson/cJSON.h>
#include <stdio.h>

enum { SAMPLING_PARAMS_MAX = 16 };

struct sampling_params {
    char *json[SAMPLING_PARAMS_MAX]; /* by row of the table; NULL = not set */
};

/* Row of a name, with _ or - between its words; -1: there is none. */
int sampling_params_find(const char *name, size_t len);
/* The nearest name, or NULL. */
const char *sampling_params_suggest(const char *name);
/* Sets row `i` from text; an empty text unsets it.  INVALID says what is accepted. */
enum status sampling_params_set(struct sampling_params *p, int i, struct str value,
                                struct error *err);
/* From a JSON value of a request; null unsets. */
enum status sampling_params_set_json(struct sampling_params *p, int i, const cJSON *value,
                                     struct error *err);
/* "temperature=0.2 stop="a b" seed=": all of them, or none when one is wrong. */
enum status sampling_params_set_line(struct sampling_params *p, const char *line,
                                     struct error *err);
/* Those that `from` has set replace those of `p`; `from` has none then. */
void sampling_params_move(struct sampling_params *p, struct sampling_params *from);
void sampling_params_free(struct sampling_params *p);

/* Appends `,"name":value` for each that is set. */
void sampling_params_add_json(const struct sampling_params *p, struct strbuf *out);
/* Longest answer that is asked for: max_completion_tokens, else max_tokens, else 0. */
int64_t sampling_params_max_tokens(const struct sampling_params *p);
/* The words that can follow /params: calls `each` with every name. */
void sampling_params_names(void (*each)(void *arg, const char *name), void *arg);
/* What the fields of `v` say that are parameters; those that cannot be, and others, are passed over. */
void sampling_params_read_defaults(struct sampling_params *p, const cJSON *v);
/* Appends a line for each: name, value, meaning.  `defaults`: what the server takes for one that is
 * not set, as far as that is known. */
void sampling_params_describe(const struct sampling_params *p,
                              const struct sampling_params *defaults, struct strbuf *out);
/* The same as options, for a help text. */
void sampling_params_print_options(FILE *f);

#endif
