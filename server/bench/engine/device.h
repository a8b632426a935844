#ifndef SERVER_BENCH_ENGINE_DEVICE_H
#define SERVER_BENCH_ENGINE_DEVICE_H

/* device.h - what is measured: the limits of the CPU (measured) or of a GPU (its clocks times its
 * widths), and how much memory an engine may take there. */

#include "server/bench/engine/run.h"

/* Sets run's probe and device_name, and *memory in bytes. */
enum status bench_device_find(const struct engine_args *a, struct engine_run *run, double *memory,
                              struct error *err);
/* Where what there is of the memory's rate changes, it is measured again. */
enum status bench_device_again(const struct engine_args *a, struct probe *p, struct error *err);

#endif
