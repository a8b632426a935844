#ifndef SERVER_AUTH_H
#define SERVER_AUTH_H

/* auth.h - API keys.  Immutable once loaded. */

#include "config/options.h"

struct auth;

/* Keys of --api-key and --api-key-file; *out is NULL when neither names one.  Empty keys, keys
 * with white space and a file without keys are refused. */
enum status auth_load(const struct options *o, struct auth **out, struct error *err);
void auth_free(struct auth *a);
/* Index of the key in an Authorization header ("Bearer KEY"; NULL = the client sent none), or -1.
 * Takes as long for a wrong key as for a right one. */
int auth_find(const struct auth *a, const char *authorization);

#endif
