#include "server/bench/engine/engine.h"

#include "server/bench/engine/report.h"
#include "server/cli.h"

#include <stdlib.h>

#define COMMAND "bench engine"

static void show_machine(const struct engine_run *r, void *arg)
{
    engine_report_machine(r, arg);
}

static void show_figure(const struct engine_run *r, const struct engine_figure *g, void *arg)
{
    engine_report_figure(r, g, arg);
}

static int fail(const struct error *err, int code)
{
    cli_print_error(COMMAND, err);
    return code;
}

int engine_bench_main(int argc, char **argv)
{
    struct engine_args args;
    struct error err = {0};
    bool help;
    if (engine_args_parse(argc, argv, &args, &help, &err) != STATUS_OK) return fail(&err, 2);
    if (help) {
        engine_args_print_help(stdout);
        return 0;
    }
    const struct run_events events = {show_machine, show_figure, stdout};
    struct engine_run *run = malloc(sizeof *run);
    if (!run) {
        error_set(&err, STATUS_NO_MEMORY, "out of memory");
        return fail(&err, 1);
    }
    enum status s = engine_run(&args, &events, run, &err);
    if (s == STATUS_OK) engine_report_end(run, stdout);
    if (s == STATUS_OK && args.output) s = engine_report_write_json(run, args.output, &err);
    free(run);
    if (s == STATUS_OK) return 0;
    return fail(&err, s == STATUS_INVALID || s == STATUS_UNSUPPORTED ? 2 : 1);
}
