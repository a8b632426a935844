#include "engine/tokenizer/unicode.h"

#include "config/base/check.h"

#include <pthread.h>

/* --- the tables ------------------------------------------------------------------------------- */

struct unicode_tables unicode_tables;

/* Hands out pages: one for each value that fills a whole page, one for each page of several. */
struct table_builder {
    struct unicode_table *table;
    size_t n_pages;
    uint16_t page_of_value[2048]; /* page + 1 */
};

static uint16_t *new_page(struct table_builder *b, size_t *index)
{
    CHECK(b->n_pages < UNICODE_PAGES);
    *index = b->n_pages++;
    return b->table->pages[*index];
}

static size_t page_of_value(struct table_builder *b, uint16_t value)
{
    size_t index = b->page_of_value[value];
    if (index > 0) return index - 1;
    uint16_t *page = new_page(b, &index);
    for (int i = 0; i < 256; i++) page[i] = value;
    b->page_of_value[value] = (uint16_t)(index + 1);
    return index;
}

static void build(struct unicode_table *t, const uint32_t *changes, size_t n, unsigned shift)
{
    struct table_builder b = {.table = t};
    uint32_t mask = (UINT32_C(1) << shift) - 1;
    uint16_t value = 0;
    size_t next = 0;
    for (uint32_t block = 0; block < 0x1100; block++) {
        uint32_t from = block << 8, until = from + 256;
        if (next < n && changes[next] >> shift == from) value = (uint16_t)(changes[next++] & mask);
        if (next == n || changes[next] >> shift >= until) {
            t->page_of[block] = (uint16_t)page_of_value(&b, value);
            continue;
        }
        size_t index = 0;
        uint16_t *page = new_page(&b, &index);
        t->page_of[block] = (uint16_t)index;
        for (uint32_t cp = from; cp < until; cp++) {
            if (next < n && changes[next] >> shift == cp)
                value = (uint16_t)(changes[next++] & mask);
            page[cp & 0xFF] = value;
        }
    }
}

/* Lower case: what to add to the character, modulo 2^16, for those of one plane that stay in it;
 * LOWER_FAR: look it up in the list. */
#define LOWER_FAR 0x8000u

static void build_lower(struct unicode_table *t)
{
    struct table_builder b = {.table = t};
    size_t zeros = page_of_value(&b, 0);
    for (size_t i = 0; i < 0x1100; i++) t->page_of[i] = (uint16_t)zeros;
    for (size_t i = 0; i < n_unicode_lower; i++) {
        const struct unicode_case_range *r = &unicode_lower[i];
        for (uint32_t cp = r->first; cp <= r->last; cp += r->step) {
            size_t index = t->page_of[cp >> 8];
            if (index == zeros) (void)new_page(&b, &index);
            t->page_of[cp >> 8] = (uint16_t)index;
            bool fits = r->offset > -0x4000 && r->offset < 0x4000;
            t->pages[index][cp & 0xFF] = fits ? (uint16_t)(r->offset & 0x7FFF) : LOWER_FAR;
        }
    }
    /* The one character whose lower case is two. */
    t->pages[t->page_of[1]][0x30] = LOWER_FAR;
}

static void build_all(void)
{
    build(&unicode_tables.flags, unicode_flag_changes, n_unicode_flag_changes, 11);
    build(&unicode_tables.ccc, unicode_ccc_changes, n_unicode_ccc_changes, 8);
    build(&unicode_tables.grapheme, unicode_grapheme_changes, n_unicode_grapheme_changes, 8);
    build(&unicode_tables.script, unicode_script_changes, n_unicode_script_changes, 8);
    build_lower(&unicode_tables.lower);
    atomic_store_explicit(&unicode_tables.ready, true, memory_order_release);
}

void unicode_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    CHECK(pthread_once(&once, build_all) == 0);
}

unsigned unicode_script(uint32_t cp)
{
    unicode_ready();
    return unicode_look_up(&unicode_tables.script, cp);
}

/* --- lower case ------------------------------------------------------------------------------- */

static uint32_t lower_from_list(uint32_t cp)
{
    size_t lo = 0, hi = n_unicode_lower;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (cp > unicode_lower[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    return (uint32_t)((int64_t)cp + unicode_lower[lo].offset);
}

static void add_lower(struct strbuf *out, uint32_t cp, unsigned offset)
{
    if (cp == 0x130)
        strbuf_add_str(out, "i\xCC\x87"); /* i + dot above */
    else if (offset == LOWER_FAR)
        strbuf_add_utf8(out, lower_from_list(cp));
    else /* 15 bits, sign-extended */
        strbuf_add_utf8(out, cp + offset - ((offset & 0x4000) << 1));
}

static void add_lower_ascii(struct strbuf *out, const char *s, size_t len)
{
    char chunk[512];
    while (len > 0) {
        size_t n = len < sizeof(chunk) ? len : sizeof(chunk);
        for (size_t i = 0; i < n; i++)
            chunk[i] = (char)(s[i] | (s[i] >= 'A' && s[i] <= 'Z' ? 0x20 : 0));
        strbuf_add(out, chunk, n);
        s += n;
        len -= n;
    }
}

size_t unicode_lower_prefix(const char *s, size_t len)
{
    unicode_ready();
    const char *p = s, *end = s + len;
    while (p < end) {
        const char *from = p;
        if (unicode_look_up(&unicode_tables.lower, unicode_next(&p)) != 0)
            return (size_t)(from - s);
    }
    return len;
}

void unicode_lowercase(const char *s, size_t len, struct strbuf *out)
{
    unicode_ready();
    for (const char *p = s, *end = s + len; p < end;) {
        const char *ascii = unicode_ascii_end(p, end);
        add_lower_ascii(out, p, (size_t)(ascii - p));
        const char *run = ascii;
        for (p = run; p < end && (uint8_t)*p >= 0x80;) {
            const char *from = p;
            uint32_t cp = unicode_next(&p);
            unsigned offset = unicode_look_up(&unicode_tables.lower, cp);
            if (offset == 0) continue;
            strbuf_add(out, run, (size_t)(from - run));
            add_lower(out, cp, offset);
            run = p;
        }
        strbuf_add(out, run, (size_t)(p - run));
    }
}

/* --- grapheme clusters (UAX 29) --------------------------------------------------------------- */

enum grapheme_class { /* the generator's numbers */
                      GRAPHEME_ANY,
                      GRAPHEME_CR,
                      GRAPHEME_LF,
                      GRAPHEME_CONTROL,
                      GRAPHEME_EXTEND,
                      GRAPHEME_ZWJ,
                      GRAPHEME_SPACING,
                      GRAPHEME_PREPEND,
                      GRAPHEME_L,
                      GRAPHEME_V,
                      GRAPHEME_T,
                      GRAPHEME_LV,
                      GRAPHEME_LVT,
                      GRAPHEME_REGIONAL,
                      GRAPHEME_PICTOGRAPH,
                      GRAPHEME_CONSONANT,
                      GRAPHEME_CLASS = 15, /* mask */
                      GRAPHEME_LINKER = 16,
                      GRAPHEME_CONJOINS = 32
};

static unsigned grapheme_of(uint32_t cp)
{
    if (cp >= 0xAC00 && cp <= 0xD7A3) return (cp - 0xAC00) % 28 ? GRAPHEME_LVT : GRAPHEME_LV;
    return unicode_look_up(&unicode_tables.grapheme, cp);
}

/* What of the cluster so far decides besides its last character. */
struct cluster {
    unsigned last;              /* class */
    bool regional_odd;          /* it ends in an odd number of regional indicators */
    bool pictograph, joiner;    /* it ends in: pictograph Extend*, and then one ZWJ */
    bool consonant, has_linker; /* it ends in: consonant (Extend | Linker)*, one of them a linker */
};

static void cluster_add(struct cluster *c, unsigned value)
{
    unsigned class = value & GRAPHEME_CLASS;
    c->last = class;
    c->regional_odd = class == GRAPHEME_REGIONAL && !c->regional_odd;
    c->joiner = class == GRAPHEME_ZWJ && c->pictograph;
    c->pictograph = class == GRAPHEME_PICTOGRAPH || (class == GRAPHEME_EXTEND && c->pictograph);
    if (class == GRAPHEME_CONSONANT) {
        c->consonant = true;
        c->has_linker = false;
    } else if (!(value & (GRAPHEME_LINKER | GRAPHEME_CONJOINS))) {
        c->consonant = false;
    } else if (value & GRAPHEME_LINKER) {
        c->has_linker = true;
    }
}

static bool cluster_continues(const struct cluster *c, unsigned class)
{
    static const uint16_t hangul_after[] = {[GRAPHEME_L] = 1 << GRAPHEME_L | 1 << GRAPHEME_V |
                                                           1 << GRAPHEME_LV | 1 << GRAPHEME_LVT,
                                            [GRAPHEME_V] = 1 << GRAPHEME_V | 1 << GRAPHEME_T,
                                            [GRAPHEME_LV] = 1 << GRAPHEME_V | 1 << GRAPHEME_T,
                                            [GRAPHEME_T] = 1 << GRAPHEME_T,
                                            [GRAPHEME_LVT] = 1 << GRAPHEME_T,
                                            [GRAPHEME_CONSONANT] = 0};
    if (c->last == GRAPHEME_CR && class == GRAPHEME_LF) return true;
    if (c->last >= GRAPHEME_CR && c->last <= GRAPHEME_CONTROL) return false;
    if (class >= GRAPHEME_CR && class <= GRAPHEME_CONTROL) return false;
    if (hangul_after[c->last] >> class & 1) return true;
    if (class >= GRAPHEME_EXTEND && class <= GRAPHEME_SPACING) return true;
    if (c->last == GRAPHEME_PREPEND) return true;
    if (class == GRAPHEME_CONSONANT) return c->consonant && c->has_linker;
    if (class == GRAPHEME_PICTOGRAPH) return c->joiner;
    return class == GRAPHEME_REGIONAL && c->regional_odd;
}

size_t unicode_grapheme(const char *s, size_t len)
{
    unicode_ready();
    struct cluster c = {0};
    const char *p = s, *end = s + len;
    cluster_add(&c, grapheme_of(unicode_next(&p)));
    while (p < end) {
        const char *next = p;
        unsigned value = grapheme_of(unicode_next(&next));
        if (!cluster_continues(&c, value & GRAPHEME_CLASS)) break;
        cluster_add(&c, value);
        p = next;
    }
    return (size_t)(p - s);
}
