#include "server/terminal/server_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STOP_MS = 5000, OWN_WORDS = 16 };

/* --- the start --------------------------------------------------------------------------------- */

static enum status make_key(struct server_child *c, struct error *err)
{
    unsigned char bytes[(sizeof(c->key) - 1) / 2];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return error_set(err, STATUS_IO, "getrandom: %s", strerror(errno));
    for (size_t i = 0; i < sizeof(bytes); i++) snprintf(c->key + 2 * i, 3, "%02x", bytes[i]);
    return STATUS_OK;
}

/* What it is started with: the user's words may raise the log's level, and no more. */
static char **make_argv(const char *model, char **words, int n_words, const char *ready_fd)
{
    static const char *const before[] = {"--log-level=warning", "--no-log-requests"};
    static const char *const behind[] = {"--host=127.0.0.1", "--port=0"};
    const char **argv = calloc((size_t)n_words + OWN_WORDS, sizeof(*argv));
    int n = 0;

    if (!argv) return NULL;
    argv[n++] = program_invocation_name; /* it shows how it is called */
    argv[n++] = "serve";
    if (model) argv[n++] = model;
    for (int i = 0; i < 2; i++) argv[n++] = before[i];
    for (int i = 0; i < n_words; i++) argv[n++] = words[i];
    for (int i = 0; i < 2; i++) argv[n++] = behind[i];
    argv[n] = ready_fd;
    return (char **)argv;
}

/* In the child.  Does not return. */
static void become_server(const struct server_child *c, pid_t parent, int ready_fd, char **argv)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR);

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(1); /* it died before it could matter */
    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0) _exit(1);
    if (null > STDERR_FILENO) close(null);
    fcntl(ready_fd, F_SETFD, 0);
    if (setenv("INFERD_API_KEY", c->key, 1) != 0) _exit(1);
    execv("/proc/self/exe", argv);
    dprintf(STDERR_FILENO, "inferd chat: cannot start the server: /proc/self/exe: %s\n",
            strerror(errno));
    _exit(1);
}

static enum status start(struct server_child *c, int ready_fd, char **argv, struct error *err)
{
    pid_t parent = getpid(), pid = fork();

    if (pid < 0) return error_set(err, STATUS_IO, "cannot start the server: %s", strerror(errno));
    if (pid == 0) become_server(c, parent, ready_fd, argv);
    c->pid = pid;
    /* Not by the C library's function, which is younger than some that this is built with. */
    c->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (c->pid_fd >= 0) return STATUS_OK;
    error_set(err, STATUS_IO, "pidfd_open: %s", strerror(errno));
    server_child_stop(c);
    return err->code;
}

enum status server_child_start(struct server_child *c, const char *model, char **words, int n_words,
                               struct error *err)
{
    int fds[2];
    char option[32];

    *c = (struct server_child){.pid_fd = -1, .ready_fd = -1};
    if (make_key(c, err) != STATUS_OK) return err->code;
    if (pipe2(fds, O_CLOEXEC) != 0)
        return error_set(err, STATUS_IO, "cannot start the server: %s", strerror(errno));
    snprintf(option, sizeof(option), "--ready-fd=%d", fds[1]);
    char **argv = make_argv(model, words, n_words, option);
    enum status st = argv ? start(c, fds[1], argv, err)
                          : error_set(err, STATUS_NO_MEMORY, "no memory to start the server");
    free(argv);
    close(fds[1]);
    if (st == STATUS_OK)
        c->ready_fd = fds[0];
    else
        close(fds[0]);
    return st;
}

/* --- until it is ready ------------------------------------------------------------------------- */

/* More of its line; false at the end of it, or of the server. */
static bool read_some(struct server_child *c, size_t *len)
{
    ssize_t n;

    do n = read(c->ready_fd, c->url + *len, sizeof(c->url) - 1 - *len);
    while (n < 0 && errno == EINTR);
    if (n > 0) *len += (size_t)n;
    c->url[*len] = '\0';
    return n > 0 && !strchr(c->url, '\n');
}

enum status server_child_wait_ready(struct server_child *c, const struct http_watch *watch,
                                    struct error *err)
{
    struct pollfd fds[] = {{.fd = c->ready_fd, .events = POLLIN},
                           {.fd = watch->fd, .events = POLLIN}};
    size_t len = 0;
    bool more = true;

    while (more) {
        int n = poll(fds, 2, -1);
        if (n < 0 && errno != EINTR) return error_set(err, STATUS_IO, "poll: %s", strerror(errno));
        if (n > 0 && fds[1].revents && watch->should_stop(watch->arg))
            return error_set(err, STATUS_CANCELLED, "stopped");
        if (n > 0 && fds[0].revents) more = read_some(c, &len);
    }
    close(c->ready_fd);
    c->ready_fd = -1;
    char *end = strchr(c->url, '\n');
    if (end && strncmp(c->url, "http://", 7) == 0) {
        *end = '\0';
        return STATUS_OK;
    }
    enum status st = server_child_check(c, -1, err);
    if (st == STATUS_OK) st = error_set(err, STATUS_INTERNAL, "the server tells no address");
    return st;
}

/* --- the end ----------------------------------------------------------------------------------- */

static void forget(struct server_child *c)
{
    if (c->pid_fd >= 0) close(c->pid_fd);
    if (c->ready_fd >= 0) close(c->ready_fd);
    c->pid_fd = c->ready_fd = -1;
    c->pid = 0;
}

/* True when it has ended, within so many milliseconds (-1: however long it takes). */
static bool has_ended(struct server_child *c, int wait_ms, int *status)
{
    struct pollfd end = {.fd = c->pid_fd, .events = POLLIN};
    int n;

    do n = c->pid_fd >= 0 ? poll(&end, 1, wait_ms) : 1;
    while (n < 0 && errno == EINTR);
    if (n == 0) return false;
    pid_t got;
    do got = waitpid(c->pid, status, 0);
    while (got < 0 && errno == EINTR);
    return true;
}

enum status server_child_check(struct server_child *c, int wait_ms, struct error *err)
{
    int status = 0;

    if (c->pid > 0 && !has_ended(c, wait_ms, &status)) return STATUS_OK;
    if (c->pid > 0) {
        c->exit_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        forget(c);
    }
    if (c->exit_status > 128)
        return error_set(err, STATUS_UNAVAILABLE, "the server was ended by signal %d",
                         c->exit_status - 128);
    return error_set(err, STATUS_UNAVAILABLE, "the server has ended with exit status %d",
                     c->exit_status);
}

void server_child_stop(struct server_child *c)
{
    int status;

    if (c->pid <= 0) return;
    kill(c->pid, c->pid_fd >= 0 ? SIGTERM : SIGKILL);
    if (!has_ended(c, STOP_MS, &status)) {
        kill(c->pid, SIGKILL);
        has_ended(c, -1, &status);
    }
    forget(c);
}
