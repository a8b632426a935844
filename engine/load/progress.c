#include "engine/load/progress.h"

#include "config/base/log.h"

#include <string.h>

#define BAR_WIDTH      30
#define REDRAW_US      100000   /* ten times a second looks alive and costs nothing */
#define PLAIN_EVERY_US 10000000 /* logs are read later: few lines */

void load_progress_start(struct load_progress *p, FILE *out, bool terminal,
                         uint64_t (*now_us)(void))
{
    *p = (struct load_progress){.out = out, .terminal = terminal, .now_us = now_us};
    p->start_us = now_us();
    p->last_us = p->start_us;
}

/* "1.23 GB", "456 MB": decimal units, as file sizes are given. */
static void format_size(char *out, size_t size, double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    int unit = 0;
    while (bytes >= 999.5 && unit < 4) {
        bytes /= 1000.0;
        unit++;
    }
    snprintf(out, size, "%.*f %s", bytes < 9.995 && unit > 0 ? 2 : 0, bytes, units[unit]);
}

void load_progress_format(char *out, size_t size, uint64_t done, uint64_t total,
                          uint64_t elapsed_us)
{
    char bar[BAR_WIDTH + 1], have[32], all[32], rate[32];
    const double share = total > 0 ? (double)done / (double)total : 0.0;
    const double seconds = (double)elapsed_us * 1e-6;
    const double per_second = seconds > 0.0 ? (double)done / seconds : 0.0;
    const int full = (int)(share * BAR_WIDTH);
    for (int i = 0; i < BAR_WIDTH; i++) bar[i] = i < full ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    format_size(have, sizeof have, (double)done);
    format_size(all, sizeof all, (double)total);
    format_size(rate, sizeof rate, per_second);
    if (done > 0 && done < total)
        snprintf(out, size, "loading [%s] %3.0f%%  %s of %s  %s/s  %.0f s left", bar, 100.0 * share,
                 have, all, rate, (double)(total - done) / per_second);
    else
        snprintf(out, size, "loading [%s] %3.0f%%  %s of %s  %s/s", bar, 100.0 * share, have, all,
                 rate);
}

static void draw(struct load_progress *p, uint64_t now)
{
    char line[160];
    load_progress_format(line, sizeof line, p->done, p->total, now - p->start_us);
    /* Erase to the end of the line: the text before may have been longer. */
    fprintf(p->out, "\r%s\033[K", line);
    fflush(p->out);
}

void load_progress_report(void *arg, const char *what, uint64_t done, uint64_t total)
{
    struct load_progress *p = arg;
    const uint64_t now = p->now_us();
    (void)what;
    p->done = done;
    p->total = total;
    if (now - p->last_us < (p->terminal ? REDRAW_US : PLAIN_EVERY_US)) return;
    p->last_us = now;
    if (p->terminal)
        draw(p, now);
    else
        log_event(LOG_INFO, "loading", "bytes=%llu of=%llu seconds=%.1f", (unsigned long long)done,
                  (unsigned long long)total, (double)(now - p->start_us) * 1e-6);
}

void load_progress_finish(struct load_progress *p, bool ok)
{
    const uint64_t now = p->now_us();
    if (p->terminal) {
        if (p->total > 0) {
            draw(p, now);
            fputc('\n', p->out);
            fflush(p->out);
        }
        return;
    }
    if (ok)
        log_event(LOG_INFO, "loaded", "bytes=%llu seconds=%.1f", (unsigned long long)p->done,
                  (double)(now - p->start_us) * 1e-6);
}
