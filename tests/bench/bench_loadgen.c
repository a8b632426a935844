/* How many events a second the load generator can take in from one core: it must never measure
 * itself.  A forked process is the source: it answers every request with a stream of small events
 * in the form of a server's, as fast as the sockets take them.  The figure is events by the
 * generator's own CPU time, so that it does not depend on what else the machine does.
 *
 *   bench_loadgen [CONCURRENCY [TOKENS [REQUESTS]]]      exit status 1: below the target */
#include "config/base/clock.h"
#include "config/base/str.h"
#include "server/bench/report.h"
#include "server/bench/run.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TARGET_EVENTS_PER_S 60000.0
#define CONNECTIONS_MAX     16384

/* --- the source ------------------------------------------------------------------------------ */

struct peer {
    int fd;
    size_t in_len, want; /* bytes of the request; `want` 0: the head is not whole */
    char in[4096];
    bool models;
    int64_t left; /* events to send; -1: none running */
    char out[8192];
    size_t out_len, out_at;
};

static struct peer *peers[CONNECTIONS_MAX];
static int per_write; /* events in one write(2) */

static size_t put_chunk(char *out, size_t size, const char *data)
{
    return (size_t)snprintf(out, size, "%zx\r\n%s\r\n", strlen(data), data);
}

static void fill(struct peer *p)
{
    static const char event[] =
        "data: {\"id\":\"cmpl-0123456789abcdef01234567\",\"object\":\"text_completion\","
        "\"created\":1700000000,\"model\":\"source\",\"choices\":[{\"index\":0,\"text\":\" word\","
        "\"logprobs\":null,\"finish_reason\":null}]}\n\n";
    static const char last[] =
        "data: "
        "{\"id\":\"cmpl-0123456789abcdef01234567\",\"choices\":[],\"usage\":{\"prompt_tokens\":8,"
        "\"completion_tokens\":0,\"total_tokens\":8}}\n\n";
    p->out_len = p->out_at = 0;
    for (int i = 0; i < per_write && p->left > 0; i++, p->left--)
        p->out_len += put_chunk(p->out + p->out_len, sizeof(p->out) - p->out_len, event);
    if (p->left > 0) return;
    p->out_len += put_chunk(p->out + p->out_len, sizeof(p->out) - p->out_len, last);
    p->out_len += put_chunk(p->out + p->out_len, sizeof(p->out) - p->out_len, "data: [DONE]\n\n");
    p->out_len += (size_t)snprintf(p->out + p->out_len, sizeof(p->out) - p->out_len, "0\r\n\r\n");
    p->left = -1;
}

static void answer(struct peer *p, int64_t tokens)
{
    static const char models[] = "{\"data\":[{\"id\":\"source\"}]}";
    if (p->models) {
        p->out_len = (size_t)snprintf(p->out, sizeof(p->out),
                                      "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
                                      strlen(models), models);
        p->left = -1;
    } else {
        p->out_len = (size_t)snprintf(p->out, sizeof(p->out),
                                      "HTTP/1.1 200 OK\r\nContent-Type: "
                                      "text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        p->left = tokens;
    }
    p->out_at = 0;
}

/* True when the peer is gone. */
static bool take_request(struct peer *p, int64_t tokens)
{
    ssize_t n = read(p->fd, p->in + p->in_len, sizeof(p->in) - 1 - p->in_len);
    if (n == 0 || (n < 0 && errno != EAGAIN)) return true;
    if (n < 0) return false;
    p->in_len += (size_t)n;
    p->in[p->in_len] = '\0';
    const char *head_end = strstr(p->in, "\r\n\r\n");
    if (!head_end) return p->in_len == sizeof(p->in) - 1;
    const char *length = strstr(p->in, "Content-Length: ");
    size_t body = length && length < head_end ? (size_t)atol(length + 16) : 0;
    size_t want = (size_t)(head_end - p->in) + 4 + body;
    if (want > sizeof(p->in) - 1) return true;
    if (p->in_len < want) return false;
    p->models = strncmp(p->in, "GET ", 4) == 0;
    p->in_len = 0;
    answer(p, tokens);
    return false;
}

/* Writes what the socket takes, at most one piece, so that the streams take turns. */
static bool push(struct peer *p)
{
    if (p->out_at == p->out_len && p->left >= 0) fill(p);
    if (p->out_at == p->out_len) return false;
    ssize_t n = send(p->fd, p->out + p->out_at, p->out_len - p->out_at, MSG_NOSIGNAL);
    if (n < 0) return errno != EAGAIN;
    p->out_at += (size_t)n;
    return false;
}

_Noreturn static void run_source(int listener, int64_t tokens)
{
    struct epoll_event events[1024], ev = {.events = EPOLLIN, .data.fd = listener};
    int ep = epoll_create1(0);
    int n_peers = 0;
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
    for (;;) {
        bool busy = false;
        for (int i = 0; i < CONNECTIONS_MAX && n_peers > 0; i++) {
            struct peer *p = peers[i];
            if (!p || (p->left < 0 && p->out_at == p->out_len)) continue;
            busy = true;
            push(p);
        }
        int n = epoll_wait(ep, events, 1024, busy ? 0 : -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (accepted < 0 || accepted >= CONNECTIONS_MAX) continue;
                peers[accepted] = calloc(1, sizeof(struct peer));
                if (!peers[accepted]) _exit(1);
                *peers[accepted] = (struct peer){.fd = accepted, .left = -1};
                ev.data.fd = accepted;
                epoll_ctl(ep, EPOLL_CTL_ADD, accepted, &ev);
                n_peers++;
            } else if (take_request(peers[fd], tokens)) {
                free(peers[fd]);
                peers[fd] = NULL;
                n_peers--;
                close(fd);
            }
        }
    }
}

/* --- the measurement ------------------------------------------------------------------------- */

static int listen_anywhere(int *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        return -1;
    *port = ntohs(a.sin_port);
    return fd;
}

static bool measure(int events_per_write, const char *concurrency, const char *tokens,
                    const char *requests)
{
    int port, listener = listen_anywhere(&port);
    int64_t n_tokens;
    if (listener < 0 || !parse_i64(tokens, &n_tokens)) return false;
    per_write = events_per_write;
    pid_t source = fork();
    if (source == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run_source(listener, n_tokens);
    }
    close(listener);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", port);
    char *argv[] = {"--url",          url,
                    "--concurrency",  (char *)(uintptr_t)concurrency,
                    "--num-requests", (char *)(uintptr_t)requests,
                    "--output-len",   (char *)(uintptr_t)tokens,
                    "--prompt",       "x",
                    "--no-progress"};
    struct bench_args args;
    struct error err = {0};
    bool help, ok = false;
    struct run_result *result = calloc(1, sizeof(*result));
    if (result &&
        bench_args_parse((int)(sizeof(argv) / sizeof(argv[0])), argv, &args, &help, &err) ==
            STATUS_OK &&
        bench_run(&args, result, &err) == STATUS_OK) {
        const struct stats *s = &result->stats;
        double rate = (double)s->n_events / s->cpu_s;
        uint64_t want = s->n_sent * (uint64_t)(n_tokens + 1);
        ok = s->n_events == want && s->outcomes[OUTCOME_OK] == s->n_sent &&
             rate >= TARGET_EVENTS_PER_S;
        printf("%2d events a write, %s streams: %.0f events per CPU second, %.0f events/s by the "
               "clock, %.2f us of CPU an event, %llu events%s\n",
               events_per_write, concurrency, rate,
               (double)s->n_events / ((double)(s->end_ns - s->start_ns) * 1e-9),
               1e6 * s->cpu_s / (double)s->n_events, (unsigned long long)s->n_events,
               ok ? "" : "  FAILED");
    } else {
        fprintf(stderr, "%s\n", err.message);
    }
    free(result);
    kill(source, SIGKILL);
    waitpid(source, NULL, 0);
    return ok;
}

int main(int argc, char **argv)
{
    const char *concurrency = argc > 1 ? argv[1] : "64", *tokens = argc > 2 ? argv[2] : "500",
               *requests = argc > 3 ? argv[3] : "1000";
    bool one = measure(1, concurrency, tokens, requests);
    bool many = measure(16, concurrency, tokens, requests);
    return one && many ? 0 : 1;
}
