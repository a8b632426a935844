#include "server/terminal/environment.h"

#include <string.h>
#include <unistd.h>

const char *environment_get(const char *name)
{
    size_t len = strlen(name);

    for (char **e = environ; e && *e; e++)
        if (strncmp(*e, name, len) == 0 && (*e)[len] == '=')
            return (*e)[len + 1] ? *e + len + 1 : NULL;
    return NULL;
}
