#ifndef SERVER_BENCH_ENGINE_ENGINE_H
#define SERVER_BENCH_ENGINE_ENGINE_H

/* engine.h - `inferd bench engine`: the engine without HTTP, beside the limits of the machine.
 *
 *   args -> run (the probe; for each precision: load, fill the cache, measure steps) -> report
 *
 * limit.h is the arithmetic, steps.h makes what is executed. */

/* argv without the names of program and commands.  Exit status: 0, 1 when it failed, 2 for wrong
 * options. */
int engine_bench_main(int argc, char **argv);

#endif
