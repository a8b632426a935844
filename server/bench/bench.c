#include "server/bench/bench.h"

#include "server/bench/args.h"
#include "server/bench/engine/engine.h"
#include "server/bench/report.h"
#include "server/bench/run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static int fail(const struct error *err, int code)
{
    fprintf(stderr, "inferd bench serve: %s\n", err->message);
    return code;
}

static int serve_bench_main(int argc, char **argv)
{
    struct bench_args args;
    struct error err = {0};
    bool help;
    if (bench_args_parse(argc, argv, &args, &help, &err) != STATUS_OK) return fail(&err, 2);
    if (help) {
        bench_args_print_help(stdout);
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    struct run_result *result = malloc(sizeof(*result));
    if (!result) {
        error_set(&err, STATUS_NO_MEMORY, "out of memory");
        return fail(&err, 1);
    }
    int code = 1;
    if (bench_run(&args, result, &err) == STATUS_OK) {
        struct report report = {&args, result->model, result->seed, &result->stats};
        report_print(&report, stdout);
        code = result->stats.outcomes[OUTCOME_OK] > 0 ? 0 : 1;
        if (args.output && report_write_json(&report, args.output, &err) != STATUS_OK)
            code = fail(&err, 1);
    } else {
        code = fail(&err, err.code == STATUS_INVALID || err.code == STATUS_UNSUPPORTED ? 2 : 1);
    }
    free(result);
    return code;
}

static void print_help(FILE *f)
{
    fputs("usage: inferd bench COMMAND [options]\n\n"
          "  serve   send requests to a running server and measure; see inferd bench serve --help\n"
          "  engine  measure the engine without HTTP, beside the limits of this machine; see\n"
          "          inferd bench engine --help\n",
          f);
}

int bench_main(int argc, char **argv)
{
    if (argc > 0 && strcmp(argv[0], "serve") == 0) return serve_bench_main(argc - 1, argv + 1);
    if (argc > 0 && strcmp(argv[0], "engine") == 0) return engine_bench_main(argc - 1, argv + 1);
    if (argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
        print_help(stdout);
        return 0;
    }
    if (argc > 0) fprintf(stderr, "inferd bench: no command \"%s\"\n", argv[0]);
    print_help(stderr);
    return 2;
}
