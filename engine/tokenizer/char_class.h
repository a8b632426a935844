#ifndef ENGINE_TOKENIZER_CHAR_CLASS_H
#define ENGINE_TOKENIZER_CHAR_CLASS_H

/* char_class.h - the general categories that pre-tokenizer patterns ask for, one look-up per
 * character.  The classes are those of the reference's regular expressions (Oniguruma, Unicode 16),
 * measured on it: tests/golden/make_char_classes.py. */

#include <stddef.h>
#include <stdint.h>

enum char_class {
    CHAR_OTHER, /* controls, format characters, unassigned */
    CHAR_LU,
    CHAR_LT,
    CHAR_LL,
    CHAR_LM,
    CHAR_LO,
    CHAR_M,
    CHAR_N,
    CHAR_P,
    CHAR_S,
    CHAR_SPACE /* \s: Zs, Zl, Zp, tab to carriage return, U+0085 */
};
/* Sets of classes. */
#define CHAR_BIT_OF(class) (1u << (class))
#define CHAR_LETTERS                                                                             \
    (CHAR_BIT_OF(CHAR_LU) | CHAR_BIT_OF(CHAR_LT) | CHAR_BIT_OF(CHAR_LL) | CHAR_BIT_OF(CHAR_LM) | \
     CHAR_BIT_OF(CHAR_LO))

extern const uint32_t char_class_ranges[]; /* first << 4 | class, ascending */
extern const size_t n_char_class_ranges;

/* Two levels: pages of 256 characters.  Built by the first call of char_class_init, which every
 * regex_compile makes; then read by any thread. */
struct char_class_table {
    uint8_t page_of[0x1100];
    uint8_t pages[256][256];
};
extern struct char_class_table char_class_table;
void char_class_init(void);

static inline unsigned char_class_of(uint32_t cp) /* below 0x110000 */
{
    return char_class_table.pages[char_class_table.page_of[cp >> 8]][cp & 0xFF];
}

#endif
