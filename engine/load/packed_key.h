#ifndef ENGINE_LOAD_PACKED_KEY_H
#define ENGINE_LOAD_PACKED_KEY_H

/* packed_key.h - private to engine/load: what packed weights were made of, as text.
 *
 * Two loads with the same key make the same bytes.  A weight file is known by its name, size, time of
 * modification, header, and a sample of each tensor.  Times alone would not do: archives, container
 * images and some build systems set them all to one value.  Neither device, inode nor time of change
 * is in it, for they differ from start to start where containers mount the files. */

#include "config/base/str.h"
#include "engine/load/load.h"
#include "engine/load/safetensors.h"

/* layout: the backend's.  Fails as the buffer does. */
void packed_key_add(struct strbuf *out, const char *layout, const struct model_config *c,
                    enum quant_scheme quant, const struct safetensors *st);
/* "none", "int8", "int8-w8a16", "int4" */
const char *packed_quant_name(enum quant_scheme quant);

#endif
