#include "engine/tokenizer/internal.h"

/* GPT-2 writes each byte as one printable character: '!'..'~', U+00A1..AC and U+00AE..FF stand for
 * themselves, the other 68 bytes in order for U+0100..U+0143. */

static bool stands_for_itself(unsigned b)
{
    return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
}

int byte_level_byte(uint32_t cp)
{
    if (cp < 0x100) return stands_for_itself(cp) ? (int)cp : -1;
    if (cp < 0x121) return (int)(cp - 0x100);        /* 0x00..0x20 */
    if (cp < 0x143) return (int)(cp - 0x121 + 0x7F); /* 0x7F..0xA0 */
    return cp == 0x143 ? 0xAD : -1;
}

static unsigned character_of(unsigned b)
{
    if (stands_for_itself(b)) return b;
    if (b <= 0x20) return 0x100 + b;
    return b == 0xAD ? 0x143 : 0x121 + b - 0x7F;
}

void byte_level_add(struct strbuf *out, const char *bytes, size_t len)
{
    char chunk[512];
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned c = character_of((uint8_t)bytes[i]);
        if (c < 0x80) {
            chunk[n++] = (char)c;
        } else { /* all are below U+0800 */
            chunk[n++] = (char)(0xC0 | c >> 6);
            chunk[n++] = (char)(0x80 | (c & 0x3F));
        }
        if (n >= sizeof(chunk) - 2) {
            strbuf_add(out, chunk, n);
            n = 0;
        }
    }
    strbuf_add(out, chunk, n);
}
