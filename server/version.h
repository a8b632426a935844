#ifndef SERVER_VERSION_H
#define SERVER_VERSION_H

/* version.h - what this binary is, as the Makefile knew it. */

const char *inferd_version(void);  /* "0.1.0" */
const char *inferd_revision(void); /* of the source: "a1b2c3d", "a1b2c3d-dirty" */

#endif
