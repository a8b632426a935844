#ifndef CONFIG_BASE_HASH_H
#define CONFIG_BASE_HASH_H

/* hash.h - 64-bit hashes (XXH3) and a seed that differs in every process, so that a client cannot
 * aim for collisions. */

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed);
uint64_t hash_process_seed(void); /* getrandom(2), once; any thread */

#endif
