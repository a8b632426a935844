#include "server/terminal/wrapper.h"

#include <string.h>
#include <utf8proc.h>

enum { COLUMNS_MIN = 20, TAB = 8 };

void wrapper_reset(struct wrapper *w)
{
    w->column = w->word_len = w->word_columns = 0;
    w->aside = false;
}

static void end_word(struct wrapper *w)
{
    w->word_len = w->word_columns = 0;
}

static bool is_one_column(uint32_t cp)
{
    return cp < 0x2e80 && utf8proc_charwidth((utf8proc_int32_t)cp) == 1;
}

/* The cursor is behind the begin of the word, or the word has not begun. */
static void break_line(struct wrapper *w, struct strbuf *out)
{
    if (w->word_columns > 0) strbuf_addf(out, "\033[%dD\033[K", w->word_columns);
    strbuf_add_char(out, '\n');
    strbuf_add(out, w->word, (size_t)w->word_len);
    w->column = w->word_columns;
}

/* A letter, or what is written like one. */
static void add_letter(struct wrapper *w, const char *bytes, int n, int width, struct strbuf *out)
{
    if (w->column == width && w->word_columns < w->column) break_line(w, out);
    w->aside = w->column == width || w->word_len + n > WRAPPER_WORD_MAX;
    strbuf_add(out, bytes, (size_t)n);
    if (w->aside) return;
    memcpy(w->word + w->word_len, bytes, (size_t)n);
    w->word_len += n;
    w->word_columns++;
    w->column++;
}

/* A blank at the end of a line is not needed: the line break is one. */
static void add_blank(struct wrapper *w, char c, int width, struct strbuf *out)
{
    int columns = c == '\t' ? TAB - w->column % TAB : 1;

    end_word(w);
    if (w->column + columns > width) {
        break_line(w, out);
        return;
    }
    strbuf_add_char(out, c);
    w->column += columns;
}

void wrapper_feed(struct wrapper *w, struct str text, int columns, struct strbuf *out)
{
    int width =
        columns - 1; /* the last column: terminals differ in where the cursor is behind it */
    uint32_t cp;

    for (size_t at = 0; at < text.len;) {
        int n = utf8_decode(text.data + at, text.len - at, &cp);
        const char *bytes = text.data + at;
        if (n == 0) n = 1, cp = 0xfffd;
        at += (size_t)n;
        if (*bytes == '\n') wrapper_reset(w);
        /* Also when the window became narrower in the middle of a line. */
        w->aside = w->aside || columns < COLUMNS_MIN || w->column > width;
        if (*bytes == '\n' || w->aside)
            strbuf_add(out, bytes, (size_t)n);
        else if (*bytes == ' ' || *bytes == '\t')
            add_blank(w, *bytes, width, out);
        else if (is_one_column(cp))
            add_letter(w, bytes, n, width, out);
        else {
            w->aside = true;
            strbuf_add(out, bytes, (size_t)n);
        }
    }
}
