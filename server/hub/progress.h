#ifndef SERVER_HUB_PROGRESS_H
#define SERVER_HUB_PROGRESS_H

/* progress.h - what a person sees of a download, on stderr: a line that is redrawn on a terminal, else a line for each file and one
 * every ten seconds; notes between them; a sum at the end.  One thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROGRESS_SPAN 32 /* moments of the last seconds, for the rate */

struct hub_progress {
    bool quiet, terminal, drawn;
    int64_t total_size,
        done_size;       /* of all that lacked when it began; partial files count as done */
    int64_t loaded_size; /* in this run */
    size_t n_files, n_done;
    uint64_t begun_us, shown_us, said_us;
    struct {
        uint64_t at_us;
        int64_t loaded_size;
    } moments[PROGRESS_SPAN];
    size_t n_moments;
};

void hub_progress_begin(struct hub_progress *p, bool quiet);
/* A file of `size` bytes is to be loaded. */
void hub_progress_expect(struct hub_progress *p, int64_t size);
/* Bytes that an earlier run left, or (negative) that are of no use after all. */
void hub_progress_found(struct hub_progress *p, int64_t size);
void hub_progress_loaded(struct hub_progress *p, size_t size);
void hub_progress_file(struct hub_progress *p, const char *path, int64_t size);
void hub_progress_note(struct hub_progress *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Call it often: it draws when it is time. */
void hub_progress_tick(struct hub_progress *p);
/* Takes the line away; `sum`: says what was loaded. */
void hub_progress_end(struct hub_progress *p, bool sum);

#endif
