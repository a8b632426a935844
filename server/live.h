#ifndef SERVER_LIVE_H
#define SERVER_LIVE_H

/* live.h - GET /live: what the server does just now, as server-sent events for the web page
 * (docs/api.md has the protocol).  Viewers are few (LIMIT_VIEWERS), and come after everything else:
 * without one nothing runs, one that reads slowly is left out until it has caught up, and none of
 * them holds up a shutdown.  The loop thread's. */

#include "server/app.h"

struct live;
/* NULL: no memory.  Uses a->loop; the statistics are a->live_stats. */
struct live *live_new(struct app *a);
void live_free(struct live *l); /* after its handle has closed, see live_close */

void live_serve(struct app *a, struct http_exchange *x);
/* engine_loop's on_view. */
void live_on_view(void *app);
/* The model has been loaded: viewers get what they could not be told before. */
void live_on_ready(struct app *a);
/* The server shuts down: each viewer gets a last state and its stream ends. */
void live_on_drain(struct app *a);
/* Exchanges of viewers that are still open: nobody waits for them. */
int live_n_viewers(const struct app *a);
/* Closes the timer; viewers are gone by then (http_close). */
void live_close(struct app *a);

#endif
