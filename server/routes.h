#ifndef SERVER_ROUTES_H
#define SERVER_ROUTES_H

/* routes.h - which request goes where, and who may ask.  The one table of routes is in routes.c;
 * these are the hooks that serve.c gives to http.h, each with a struct app as arg. */

#include "server/app.h"

void routes_on_headers(void *app, struct http_exchange *x);
void routes_on_request(void *app, struct http_exchange *x);
void routes_on_error(void *app, struct http_exchange *x, const struct error *err);
void routes_on_answer(void *app, struct http_exchange *x, int status);

/* NULL when requests can be served now, else why not: a word ("loading", "draining",
 * "engine_failed", "engine_hangs") for /health/ready, and a sentence. */
const char *app_not_ready(const struct app *a, const char **sentence);

#endif
