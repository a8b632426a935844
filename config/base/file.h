#ifndef CONFIG_BASE_FILE_H
#define CONFIG_BASE_FILE_H

/* file.h - whole files in, with a cap. */

#include "config/base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* *data is NUL-terminated beyond *len; free() it.  Regular files only; NOT_FOUND when absent,
 * TOO_LARGE beyond max_size. */
enum status file_read(const char *path, size_t max_size, char **data, size_t *len,
                      struct error *err);
bool file_exists(const char *path);
/* "dir/name" into a fixed buffer; INVALID when it does not fit. */
enum status path_join(char *out, size_t out_size, const char *dir, const char *name,
                      struct error *err);

#endif
