#ifndef SERVER_DEMO_MODEL_H
#define SERVER_DEMO_MODEL_H

/* demo_model.h - where the model is that comes with inferd and is used when none is named.  Any
 * thread. */

#include "config/base/status.h"

#include <stddef.h>

/* The directory, from the first of these that has a config.json: the variable INFERD_DEMO_MODEL
 * (where it is set, the others are not looked at); ../share/inferd/models/demo seen from the
 * executable, where `make install` puts it; models/demo of the source tree that the executable was
 * built in (BUILD/CONFIG/inferd).  NOT_FOUND names the places. */
enum status demo_model_find(char *out, size_t size, struct error *err);

#endif
