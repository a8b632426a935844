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
/* What a download can leave in a file's place: CORRUPT, with the way out, for a Git LFS pointer and
 * for a web page; OK for anything else. */
enum status file_check_download(const char *path, const char *data, size_t len, struct error *err);
/* "dir/name" into a fixed buffer; INVALID when it does not fit. */
enum status path_join(char *out, size_t out_size, const char *dir, const char *name,
                      struct error *err);

#endif
