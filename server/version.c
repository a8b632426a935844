#include "server/version.h"

#ifndef INFERD_VERSION
#define INFERD_VERSION "unknown"
#endif
#ifndef INFERD_REVISION
#define INFERD_REVISION "unknown"
#endif

const char *inferd_version(void)
{
    return INFERD_VERSION;
}

const char *inferd_revision(void)
{
    return INFERD_REVISION;
}
