/* inferd: which command. */

#include "config/base/check.h"
#include "config/base/str.h"
#include "server/bench/bench.h"
#include "server/hub/pull.h"
#include "server/render.h"
#include "server/serve.h"
#include "server/terminal/terminal.h"
#include "server/tokenize.h"
#include "server/version.h"

#include <stdio.h>
#include <string.h>

static int version_main(int argc, char **argv);
static int help_main(int argc, char **argv);

static const struct command {
    const char *name, *alias, *help;
    int (*run)(int argc, char **argv); /* argv without the names of program and command */
} commands[] = {
    {"serve", NULL, "serve a model directory over HTTP; see inferd serve --help", serve_main},
    {"chat", NULL, "talk with a model on the terminal; see inferd chat --help", chat_main},
    {"pull", NULL, "download a model from a hub; see inferd pull --help", pull_main},
    {"render-server", NULL, "serve the token ids of requests; see inferd render-server --help",
     render_server_main},
    {"render", NULL, "print the prompt of a chat request; see inferd render --help", render_main},
    {"tokenize", NULL, "turn text into token ids, or back; see inferd tokenize --help",
     tokenize_main},
    {"bench", NULL, "measure a running server, or the engine; see inferd bench --help", bench_main},
    {"version", "--version", "print version and revision", version_main},
    {"help", "--help", "print this, or the help of a COMMAND", help_main},
};

static int version_main(int argc, char **argv)
{
    (void)argc, (void)argv;
    printf("inferd %s (%s)\n", inferd_version(), inferd_revision());
    return 0;
}

static void print_help(FILE *f)
{
    fprintf(f, "inferd %s: an LLM inference server\n\nusage: inferd COMMAND [OPTION...]\n\n",
            inferd_version());
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(f, "  %-13s %s\n", commands[i].name, commands[i].help);
}

static int unknown_command(const char *name)
{
    const char *nearest = NULL;
    int best = 3; /* edits that are still a slip of the finger */
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        int d = str_distance(name, commands[i].name, best);
        if (d >= best) continue;
        best = d;
        nearest = commands[i].name;
    }
    if (nearest)
        fprintf(stderr, "inferd: no command \"%s\"; did you mean \"%s\"?\n", name, nearest);
    else
        fprintf(stderr, "inferd: no command \"%s\"; see inferd help\n", name);
    return 2;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        const struct command *c = &commands[i];
        if (strcmp(name, c->name) == 0 || (c->alias && strcmp(name, c->alias) == 0)) return c;
    }
    return NULL;
}

static int help_main(int argc, char **argv)
{
    static char word[] = "--help";
    char *help[] = {word, NULL};
    const struct command *c = argc > 0 ? find_command(argv[0]) : NULL;
    if (argc > 0 && !c) return unknown_command(argv[0]);
    if (c && c->run != help_main) return c->run(1, help);
    print_help(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    const struct command *c = find_command(argv[1]);
    if (c) return c->run(argc - 2, argv + 2);
    if (strcmp(argv[1], "-h") == 0) return help_main(0, NULL);
    if (strcmp(argv[1], "-V") == 0) return version_main(0, NULL);
    return unknown_command(argv[1]);
}
