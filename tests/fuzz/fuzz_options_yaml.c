/* Any bytes as a --config file: options or a message. */
#include "config/base/str.h"
#include "config/options_table.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct options options = {0};
    struct arena arena;
    struct error err = {0};
    arena_init(&arena, 0);
    struct option_parser parser = {.out = &options, .arena = &arena};
    enum status st = option_read_yaml(&parser, "f.yaml", (const char *)data, size, &err);
    if (st != STATUS_OK && (err.code != st || !utf8_valid(err.message, strlen(err.message))))
        abort();
    arena_free(&arena);
    return 0;
}
