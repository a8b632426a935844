#ifndef CONFIG_BASE_LOG_H
#define CONFIG_BASE_LOG_H

/* log.h - one line per event on stderr: `level time event key=value ...`, or one JSON object per
 * line with --log-format json.  Values are escaped: no client bytes reach a terminal raw.
 * Where stderr takes nothing (a pipe whose reader hangs), lines are lost rather than waited for, and
 * `log_lines_lost n=` tells how many once it takes some again.
 * Threads: any; each line of up to PIPE_BUF bytes is one write(2).  Not for use inside a step. */

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_setup(enum log_level min, bool json);
bool log_enabled(enum log_level level);

/* log_event(LOG_INFO, "request_done", "id=%s tokens=%d", id, n): the format is a list of
 * `key=value` pairs separated by single spaces; %s values may hold anything and are quoted and
 * escaped as needed.  Only %s %d %u %ld %lu %lld %llu %zu %zd %.Nf %f are understood.  A pair whose
 * value is NULL or not a number (NaN) is left out. */
void log_event(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
