/* Lines of a descriptor: whatever the pieces that they arrive in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/base/check.h"
#include "server/cli.h"

/* The other side: writes its next piece just before the reader would wait for it. */
struct writer {
    int fd;
    const char *const *pieces; /* NULL ends them, and closes */
    int n_asked;
};

static enum status write_piece(void *arg, struct error *err)
{
    struct writer *w = arg;
    (void)err;
    w->n_asked++;
    if (w->fd < 0) return STATUS_OK;
    if (*w->pieces) {
        size_t n = strlen(*w->pieces);
        CHECK(write(w->fd, *w->pieces++, n) == (ssize_t)n);
    } else {
        close(w->fd);
        w->fd = -1;
    }
    return STATUS_OK;
}

static void lines_are(const char *const *pieces, const char *const *expected)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct writer w = {.fd = fds[1], .pieces = pieces};
    struct cli_lines l;
    struct str line;
    struct error err = {0};
    bool end = false;

    cli_lines_init(&l, fds[0], 100);
    l.before_read = write_piece;
    l.arg = &w;
    for (uint64_t n = 1; *expected; expected++, n++) {
        assert_int_equal(cli_lines_next(&l, &line, &end, &err), STATUS_OK);
        assert_false(end);
        assert_int_equal(line.len, strlen(*expected));
        assert_memory_equal(line.data, *expected, line.len);
        assert_int_equal(l.n_taken, n);
    }
    assert_int_equal(cli_lines_next(&l, &line, &end, &err), STATUS_OK);
    assert_true(end);
    assert_int_equal(cli_lines_next(&l, &line, &end, &err), STATUS_OK);
    assert_true(end);
    cli_lines_free(&l);
    close(fds[0]);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void lines_in_pieces(void **state)
{
    (void)state;
    lines_are(LIST(NULL), LIST(NULL));
    lines_are(LIST("a\nb\nc\n"), LIST("a", "b", "c"));
    lines_are(LIST("a\nb"), LIST("a", "b"));
    lines_are(LIST("a", "b", "\n", "c", "\nd\ne"), LIST("ab", "c", "d", "e"));
    lines_are(LIST("\n\n", "\n"), LIST("", "", ""));
}

/* A line that is there is given out before anything more is read. */
static void lines_before_reads(void **state)
{
    int fds[2];
    struct writer w;
    struct cli_lines l;
    struct str line;
    struct error err = {0};
    bool end;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    w = (struct writer){.fd = fds[1], .pieces = LIST("a\nb\nc", "d\n")};
    cli_lines_init(&l, fds[0], 100);
    l.before_read = write_piece;
    l.arg = &w;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cli_lines_next(&l, &line, &end, &err), STATUS_OK);
        assert_int_equal(w.n_asked, 1);
    }
    assert_int_equal(cli_lines_next(&l, &line, &end, &err), STATUS_OK);
    assert_int_equal(w.n_asked, 2);
    assert_memory_equal(line.data, "cd", 2);
    cli_lines_free(&l);
    close(fds[0]);
    close(fds[1]);
}

static void too_long(void **state)
{
    int fds[2];
    char text[400];
    struct cli_lines l;
    struct str line;
    struct strbuf all;
    struct error err = {0};
    bool end;

    (void)state;
    memset(text, 'x', sizeof(text));
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], text, sizeof(text)), sizeof(text));
    cli_lines_init(&l, fds[0], 100);
    assert_int_equal(cli_lines_next(&l, &line, &end, &err), STATUS_TOO_LARGE);
    assert_non_null(strstr(err.message, "100 bytes"));
    cli_lines_free(&l);

    assert_int_equal(write(fds[1], text, sizeof(text)), sizeof(text));
    strbuf_init(&all, 0);
    assert_int_equal(cli_read_all(fds[0], 399, &all, &err), STATUS_TOO_LARGE);
    strbuf_free(&all);
    assert_int_equal(write(fds[1], text, sizeof(text)), sizeof(text));
    close(fds[1]);
    assert_int_equal(cli_read_all(fds[0], 400, &all, &err), STATUS_OK);
    assert_int_equal(all.len, 400);
    strbuf_free(&all);
    close(fds[0]);
    assert_int_equal(cli_read_all(fds[0], 400, &all, &err), STATUS_IO);
    strbuf_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_in_pieces),
        cmocka_unit_test(lines_before_reads),
        cmocka_unit_test(too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
