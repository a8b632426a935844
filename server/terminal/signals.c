#include "server/terminal/signals.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum status signals_open(struct signals *s, struct error *err)
{
    static const int watched[] = {SIGINT, SIGTSTP, SIGWINCH, SIGHUP, SIGTERM, SIGQUIT};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++) sigaddset(&set, watched[i]);
    s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->fd < 0) return error_set(err, STATUS_IO, "signalfd: %s", strerror(errno));
    pthread_sigmask(SIG_BLOCK, &set, &s->before);
    return STATUS_OK;
}

void signals_close(struct signals *s)
{
    if (s->fd < 0) return;
    close(s->fd);
    s->fd = -1;
    pthread_sigmask(SIG_SETMASK, &s->before, NULL);
}

int signals_next(struct signals *s)
{
    struct signalfd_siginfo info;
    ssize_t n;

    do n = read(s->fd, &info, sizeof(info));
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

int signals_is_end(int signum)
{
    return signum == SIGHUP || signum == SIGTERM || signum == SIGQUIT;
}

void signals_suspend(void)
{
    raise(SIGSTOP); /* the shell sees its job stopped; SIGTSTP itself is blocked */
}
