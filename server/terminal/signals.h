#ifndef SERVER_TERMINAL_SIGNALS_H
#define SERVER_TERMINAL_SIGNALS_H

/* signals.h - the signals of a terminal as something to be read, never as an interruption: while
 * they are open here, SIGINT, SIGTSTP, SIGWINCH, SIGHUP, SIGTERM and SIGQUIT are blocked and wait
 * in a descriptor (signalfd(2)) that is polled beside the others.  One thread; threads that start
 * meanwhile have them blocked too. */

#include "config/base/status.h"

#include <signal.h>

struct signals {
    int fd;
    sigset_t before;
};

enum status signals_open(struct signals *s, struct error *err);
void signals_close(struct signals *s);
/* The next one that has come, 0 when there is none. */
int signals_next(struct signals *s);
/* One that ends the program: SIGHUP, SIGTERM, SIGQUIT. */
int signals_is_end(int signum);
/* Stops this process as Ctrl-Z wants it; returns when it goes on. */
void signals_suspend(void);

#endif
