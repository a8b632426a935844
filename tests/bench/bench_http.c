/* bench_http - how many SSE events a second server/http.c moves, and what an event costs.
 *
 *   bench_http [--streams 4000] [--rate 20] [--seconds 5] [--size 200]
 *
 * One thread runs the server's loop; a timer writes one event to every stream `rate` times a
 * second, as the engine's steps would (rate 0: as fast as the loop takes them).  Another thread
 * is the client: it opens the streams and counts the events.  Printed: events/s received, the
 * loop thread's CPU share and CPU microseconds per event. */

#include "config/base/check.h"
#include "config/base/clock.h"
#include "server/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int n_streams = 4000, rate = 20, seconds = 5, event_size = 200;
static uv_loop_t loop;
static uv_timer_t tick;
static uv_idle_t spin;
static uv_async_t stop;
static struct http_server *server;
static struct http_exchange **open_streams;
static int n_open;
static char *event;
static atomic_ullong n_received;
static atomic_bool done;
static uint64_t n_written, n_skipped;

static void on_closed(void *user, bool gone)
{
    (void)gone;
    size_t at = (size_t)(uintptr_t)user;
    open_streams[at] = NULL;
}

static void on_request(void *arg, struct http_exchange *x)
{
    (void)arg;
    CHECK(n_open < n_streams);
    http_set_closed(x, on_closed, (void *)(uintptr_t)n_open);
    open_streams[n_open++] = x;
    http_stream_begin(x, 200, "text/event-stream");
}

static void on_error(void *arg, struct http_exchange *x, const struct error *err)
{
    (void)arg;
    http_respond(x, status_http(err->code), "text/plain", err->message, strlen(err->message));
}

static void write_all(void)
{
    if (n_open < n_streams) return;
    for (int i = 0; i < n_open; i++) {
        struct http_exchange *x = open_streams[i];
        if (!x) continue;
        if (http_stream_backlog(x) > 65536) {
            n_skipped++;
            continue;
        }
        http_stream_write(x, event, (size_t)event_size);
        http_stream_flush(x);
        n_written++;
    }
}

static void on_tick(uv_timer_t *t)
{
    (void)t;
    write_all();
}

static void on_spin(uv_idle_t *i)
{
    (void)i;
    write_all();
}

static void on_stop(uv_async_t *a)
{
    uv_close((uv_handle_t *)&tick, NULL);
    uv_close((uv_handle_t *)&spin, NULL);
    uv_close((uv_handle_t *)a, NULL);
    http_close(server);
}

static uint64_t count_events(const char *data, ssize_t n, char *last)
{
    uint64_t found = 0;
    for (const char *p = data; (p = memchr(p, '\n', (size_t)(data + n - p))); p++)
        found += (p > data ? p[-1] : *last) == '\n';
    *last = data[n - 1];
    return found;
}

static double thread_cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *client(void *arg)
{
    int port = *(int *)arg;
    static char buf[256 << 10];
    int ep = epoll_create1(0);
    int *fds = calloc((size_t)n_streams, sizeof(*fds));
    char *last = calloc((size_t)n_streams, 1);
    CHECK(fds && last && ep >= 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < n_streams; i++) {
        static const char request[] = "GET /stream HTTP/1.1\r\nHost: bench\r\n\r\n";
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        CHECK(fds[i] >= 0 && connect(fds[i], (struct sockaddr *)&sa, sizeof(sa)) == 0);
        CHECK(write(fds[i], request, sizeof(request) - 1) == (ssize_t)sizeof(request) - 1);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
        struct epoll_event ev = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &ev) == 0);
    }
    uint64_t until = 0;
    for (;;) {
        struct epoll_event evs[512];
        int n = epoll_wait(ep, evs, 512, 100);
        for (int k = 0; k < n; k++) {
            uint32_t i = evs[k].data.u32;
            ssize_t got = read(fds[i], buf, sizeof(buf));
            if (got <= 0) continue;
            if (!until) until = clock_now_us() + (uint64_t)seconds * 1000000;
            atomic_fetch_add(&n_received, count_events(buf, got, &last[i]));
        }
        if (until && clock_now_us() > until) break;
    }
    printf("client: %.0f %% of a core\n", thread_cpu_s() / seconds * 100);
    atomic_store(&done, true);
    for (int i = 0; i < n_streams; i++) close(fds[i]);
    close(ep);
    free(fds);
    free(last);
    uv_async_send(&stop);
    return NULL;
}

static int parse_args(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        int v = atoi(argv[i + 1]);
        if (strcmp(argv[i], "--streams") == 0)
            n_streams = v;
        else if (strcmp(argv[i], "--rate") == 0)
            rate = v;
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = v;
        else if (strcmp(argv[i], "--size") == 0)
            event_size = v;
        else
            return 0;
    }
    return argc % 2 == 1 && n_streams > 0 && seconds > 0 && event_size > 2;
}

int main(int argc, char **argv)
{
    if (!parse_args(argc, argv)) {
        fprintf(stderr, "usage: bench_http [--streams N] [--rate R] [--seconds S] [--size B]\n");
        return 2;
    }
    struct rlimit rl;
    getrlimit(RLIMIT_NOFILE, &rl);
    rl.rlim_cur = rl.rlim_max;
    setrlimit(RLIMIT_NOFILE, &rl);
    event = malloc((size_t)event_size);
    open_streams = calloc((size_t)n_streams, sizeof(struct http_exchange *));
    CHECK(event && open_streams);
    memset(event, 'x', (size_t)event_size);
    memcpy(event + event_size - 2, "\n\n", 2);

    uv_loop_init(&loop);
    struct http_options o = {.host = "127.0.0.1",
                             .max_connections = n_streams + 16,
                             .max_body_size = 1 << 20,
                             .max_header_size = 16384,
                             .idle_timeout = 60,
                             .header_timeout = 60,
                             .on_request = on_request,
                             .on_error = on_error};
    struct error err;
    if (http_open(&server, &loop, &o, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    uv_async_init(&loop, &stop, on_stop);
    uv_timer_init(&loop, &tick);
    uv_idle_init(&loop, &spin);
    if (rate > 0)
        uv_timer_start(&tick, on_tick, (uint64_t)(1000 / rate), (uint64_t)(1000 / rate));
    else
        uv_idle_start(&spin, on_spin);
    int port = http_port(server);
    pthread_t t;
    uint64_t t0 = clock_now_us();
    CHECK(pthread_create(&t, NULL, client, &port) == 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    pthread_join(t, NULL);
    double cpu = thread_cpu_s(), wall = (double)(clock_now_us() - t0) / 1e6;
    unsigned long long n = atomic_load(&n_received);
    printf("streams %d, event %d bytes: %.0f events/s received (%llu written, %llu held back), "
           "loop %.0f %% of a core, %.2f us CPU per event\n",
           n_streams, event_size, (double)n / seconds, (unsigned long long)n_written,
           (unsigned long long)n_skipped, cpu / wall * 100, cpu * 1e6 / (double)(n ? n : 1));
    uv_loop_close(&loop);
    free(event);
    free(open_streams);
    return n > 0 ? 0 : 1;
}
