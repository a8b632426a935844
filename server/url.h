#ifndef SERVER_URL_H
#define SERVER_URL_H

/* url.h - what libcurl's address handle does not say in one call. */

#include <curl/curl.h>
#include <stdbool.h>

/* The address has that part: a user, a query, ... */
bool url_has_part(CURLU *u, CURLUPart part);

#endif
