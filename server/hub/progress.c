#include "server/hub/progress.h"

#include "config/base/clock.h"
#include "server/hub/store.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DRAW_US   100000   /* at most ten lines a second */
#define SAY_US    10000000 /* without a terminal */
#define MOMENT_US 250000   /* 32 of them: the rate of the last eight seconds */
#define WIDTH_MAX 200

void hub_progress_begin(struct hub_progress *p, bool quiet)
{
    const uint64_t now = clock_now_us();
    *p = (struct hub_progress){
        .quiet = quiet, .terminal = isatty(STDERR_FILENO) == 1, .begun_us = now, .said_us = now};
}

void hub_progress_expect(struct hub_progress *p, int64_t size)
{
    p->total_size += size;
    p->n_files++;
}

void hub_progress_found(struct hub_progress *p, int64_t size)
{
    p->done_size += size;
}

void hub_progress_loaded(struct hub_progress *p, size_t size)
{
    p->done_size += (int64_t)size;
    p->loaded_size += (int64_t)size;
}

/* --- drawing ---------------------------------------------------------------------------------- */

static size_t screen_width(void)
{
    struct winsize w = {.ws_col = 0};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col < 20) return 79;
    return w.ws_col - 1 < WIDTH_MAX ? (size_t)w.ws_col - 1 : WIDTH_MAX;
}

/* Bytes per second over the last moments. */
static double rate(struct hub_progress *p, uint64_t now)
{
    const size_t newest = (p->n_moments + PROGRESS_SPAN - 1) % PROGRESS_SPAN;
    if (p->n_moments == 0 || now - p->moments[newest].at_us >= MOMENT_US) {
        p->moments[p->n_moments % PROGRESS_SPAN].at_us = now;
        p->moments[p->n_moments++ % PROGRESS_SPAN].loaded_size = p->loaded_size;
    }
    const size_t oldest = p->n_moments > PROGRESS_SPAN ? p->n_moments % PROGRESS_SPAN : 0;
    const uint64_t from = p->n_moments > 1 ? p->moments[oldest].at_us : p->begun_us;
    const int64_t size = p->n_moments > 1 ? p->moments[oldest].loaded_size : 0;
    return now > from ? (double)(p->loaded_size - size) * 1e6 / (double)(now - from) : 0;
}

static void time_left(const struct hub_progress *p, double per_s, char out[32])
{
    const double left = per_s > 0 ? (double)(p->total_size - p->done_size) / per_s : -1;
    if (left < 0 || left > 359999)
        snprintf(out, 32, "-:-- left");
    else if (left < 3600)
        snprintf(out, 32, "%d:%02d left", (int)left / 60, (int)left % 60);
    else
        snprintf(out, 32, "%d:%02d:%02d left", (int)left / 3600, (int)left / 60 % 60,
                 (int)left % 60);
}

/* As much as fits: percent and sizes first, then rate, time, files; the bar takes what is over. */
static void compose(struct hub_progress *p, uint64_t now, size_t width, char *out, size_t out_size)
{
    char done[24], total[24], speed[24], left[32], parts[4][80];
    const double per_s = rate(p, now);
    const int percent =
        p->total_size > 0 ? (int)(100.0 * (double)p->done_size / (double)p->total_size) : 0;
    hub_size_shown(p->done_size, done);
    hub_size_shown(p->total_size, total);
    hub_size_shown((int64_t)per_s, speed);
    time_left(p, per_s, left);
    snprintf(parts[0], sizeof(parts[0]), "%3d %%  %s / %s", percent, done, total);
    snprintf(parts[1], sizeof(parts[1]), "  %s/s", speed);
    snprintf(parts[2], sizeof(parts[2]), "  %s", left);
    snprintf(parts[3], sizeof(parts[3]), "  %zu/%zu file%s", p->n_done, p->n_files,
             p->n_files == 1 ? "" : "s");

    size_t len = 0, n_parts = 0, bar = 0;
    for (; n_parts < 4 && len + strlen(parts[n_parts]) <= width; n_parts++)
        len += strlen(parts[n_parts]);
    if (width >= len + 14) bar = width - len - 4 < 30 ? width - len - 4 : 30;
    const size_t full = bar * (size_t)percent / 100;
    size_t n = 0;
    if (bar > 0) {
        out[n++] = '[';
        for (size_t i = 0; i < bar; i++) out[n++] = i < full ? '=' : i == full ? '>' : ' ';
        out[n++] = ']';
        out[n++] = ' ';
    }
    out[n] = '\0';
    for (size_t i = 0; i < n_parts; i++) {
        const size_t room = out_size - n - 1, part = strlen(parts[i]);
        memcpy(out + n, parts[i], part < room ? part : room);
        n += part < room ? part : room;
        out[n] = '\0';
    }
}

void hub_progress_tick(struct hub_progress *p)
{
    char line[WIDTH_MAX + 100];
    const uint64_t now = clock_now_us();
    if (p->quiet || p->n_files == 0) return;
    if (p->terminal && now - p->shown_us >= DRAW_US) {
        compose(p, now, screen_width(), line, sizeof(line));
        fprintf(stderr, "\r%s\x1b[K", line);
        fflush(stderr);
        p->drawn = true;
        p->shown_us = now;
    } else if (!p->terminal && now - p->said_us >= SAY_US) {
        compose(p, now, 79, line, sizeof(line));
        const char *bar_end = strchr(line, ']');
        fprintf(stderr, "%s\n", bar_end ? bar_end + 1 + strspn(bar_end + 1, " ") : line);
        p->said_us = now;
    }
}

static void take_away(struct hub_progress *p)
{
    if (p->drawn) fputs("\r\x1b[K", stderr);
    p->drawn = false;
    p->shown_us = 0;
}

void hub_progress_file(struct hub_progress *p, const char *path, int64_t size)
{
    char shown[24];
    p->n_done++;
    p->said_us = clock_now_us();
    if (p->quiet || p->terminal) return;
    hub_size_shown(size, shown);
    fprintf(stderr, "%s  %s\n", path, shown);
}

void hub_progress_note(struct hub_progress *p, const char *fmt, ...)
{
    char text[600];
    va_list ap;
    if (p->quiet) return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    take_away(p);
    fprintf(stderr, "%s\n", text);
    fflush(stderr);
}

void hub_progress_end(struct hub_progress *p, bool sum)
{
    char size[24], speed[24];
    const double seconds = (double)(clock_now_us() - p->begun_us) * 1e-6;
    if (p->quiet) return;
    take_away(p);
    if (!sum) return;
    if (p->loaded_size == 0) { /* at most what earlier or other runs left was checked */
        fputs("already complete\n", stderr);
        return;
    }
    hub_size_shown(p->loaded_size, size);
    hub_size_shown(seconds > 0 ? (int64_t)((double)p->loaded_size / seconds) : 0, speed);
    fprintf(stderr, "%zu file%s, %s in %.1f s, %s/s\n", p->n_done, p->n_done == 1 ? "" : "s", size,
            seconds, speed);
}
