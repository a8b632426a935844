#ifndef ENGINE_LOAD_PROGRESS_H
#define ENGINE_LOAD_PROGRESS_H

/* progress.h - what a person sees while a model loads: on a terminal one line that is redrawn, with
 * bar, rate and time left; elsewhere a log line each 10 s and one at the end.
 *
 * `now_us` is a monotonic clock in microseconds (clock_now_us; tests give their own). */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct load_progress {
    FILE *out; /* stderr */
    bool terminal;
    uint64_t (*now_us)(void);
    uint64_t start_us, last_us; /* last_us 0: nothing shown yet */
    uint64_t done, total;
};

/* terminal: isatty of `out`, found by the caller or forced by a test. */
void load_progress_start(struct load_progress *p, FILE *out, bool terminal,
                         uint64_t (*now_us)(void));
/* A load_progress_fn; arg is the struct load_progress. */
void load_progress_report(void *arg, const char *what, uint64_t done, uint64_t total);
/* After loading, successful or not: ends the terminal's line, or logs the last line. */
void load_progress_finish(struct load_progress *p, bool ok);

/* The text of the terminal's line, without the carriage return. */
void load_progress_format(char *out, size_t size, uint64_t done, uint64_t total,
                          uint64_t elapsed_us);

#endif
