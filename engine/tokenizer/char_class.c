#include "engine/tokenizer/char_class.h"

#include "config/base/check.h"

#include <pthread.h>
#include <string.h>

struct char_class_table char_class_table;

static uint8_t class_of(uint32_t cp, size_t *range)
{
    while (*range + 1 < n_char_class_ranges && char_class_ranges[*range + 1] >> 4 <= cp) ++*range;
    return char_class_ranges[*range] & 0xF;
}

static void build(void)
{
    size_t range = 0, n_pages = 0;
    for (uint32_t page = 0; page < ARRAY_LEN(char_class_table.page_of); page++) {
        uint8_t classes[256];
        for (uint32_t i = 0; i < 256; i++) classes[i] = class_of(page << 8 | i, &range);
        /* Neighbours alike are the long runs; other doubles are few. */
        if (n_pages == 0 || memcmp(classes, char_class_table.pages[n_pages - 1], 256) != 0) {
            CHECK(n_pages < ARRAY_LEN(char_class_table.pages));
            memcpy(char_class_table.pages[n_pages++], classes, 256);
        }
        char_class_table.page_of[page] = (uint8_t)(n_pages - 1);
    }
}

void char_class_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, build);
}
