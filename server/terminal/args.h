#ifndef SERVER_TERMINAL_ARGS_H
#define SERVER_TERMINAL_ARGS_H

/* args.h - the words behind `inferd chat`.  What is an option of `inferd serve` is for the server
 * that chat starts, and goes on as it is; the rest is in the table of args.c or is a sampling
 * parameter (sampling_params.h). */

#include "config/base/status.h"
#include "server/terminal/sampling_params.h"

#include <stdbool.h>
#include <stdio.h>

enum { CHAT_API_KEY_MAX = 256 };

struct chat_args {
    const char *model; /* directory or name, as `inferd serve` takes it; NULL = its own choice */
    const char *url;   /* a running server instead */
    const char *name;  /* what to ask that server for; NULL = the first of its models */
    const char *api_key_file;
    const char *api_key; /* of --api-key, or the environment's, or the file's; NULL = none */
    const char *system, *prompt, *load;
    bool lines, history, stats;
    bool stats_given;
    struct sampling_params params;
    char **server_words; /* for `inferd serve`; owned, the words are argv's */
    int n_server_words;
    const char *key_from; /* of api_key: a variable, an option or a file */
    char key_storage[CHAT_API_KEY_MAX];
};

/* argv without the names of program and command.  Values point into argv and into *out, which must
 * stay where it is; call chat_args_free in any case. */
enum status chat_args_parse(int argc, char **argv, struct chat_args *out, bool *help,
                            struct error *err);
void chat_args_free(struct chat_args *a);
void chat_args_print_help(FILE *f);

#endif
