#ifndef SERVER_TERMINAL_ENVIRONMENT_H
#define SERVER_TERMINAL_ENVIRONMENT_H

/* environment.h - variables of the process's environment, which nothing here changes: any thread
 * may ask. */

/* The value, or NULL when it is not set or empty. */
const char *environment_get(const char *name);

#endif
