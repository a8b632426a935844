#include "config/base/hash.h"

#include "config/base/check.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>
#include <xxhash.h>

static uint64_t process_seed;
static pthread_once_t process_seed_once = PTHREAD_ONCE_INIT;

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

static void make_process_seed(void)
{
    ssize_t n;
    do n = getrandom(&process_seed, sizeof(process_seed), 0);
    while (n < 0 && errno == EINTR);
    /* Linux has it since 3.17; a guessable seed would be worse than no start. */
    CHECK(n == (ssize_t)sizeof(process_seed));
}

uint64_t hash_process_seed(void)
{
    pthread_once(&process_seed_once, make_process_seed);
    return process_seed;
}
