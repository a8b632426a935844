#include "engine/tokenizer/byte_level.h"
#include "engine/tokenizer/normalizer_kinds.h"

#include <string.h>

/* How much of the result's start comes from the head: as far as it is what the head gives alone (a
 * mark behind the head may have moved before one of its own), the first character in any case. */
static size_t head_after(const struct stage_io *io)
{
    size_t len = io->head_len < io->in.len ? io->head_len : io->in.len, n = 0;
    struct strbuf head;
    strbuf_init(&head, 0);
    if (io->stage->kind->run == normalizer_run_lowercase)
        unicode_lowercase(io->in.data, len, &head);
    else
        unicode_normalize(io->stage->kind->form, io->in.data, len, &head);
    if (head.failed) io->out->failed = true;
    while (n < head.len && n < io->out->len) {
        const char *next = io->out->data + n;
        (void)unicode_next(&next);
        size_t end = (size_t)(next - io->out->data);
        if (n > 0 && (end > head.len || memcmp(head.data + n, io->out->data + n, end - n) != 0))
            break;
        n = end;
    }
    strbuf_free(&head);
    return n;
}

enum status normalizer_run_form(struct stage_io *io)
{
    enum unicode_form form = io->stage->kind->form;
    size_t prefix = unicode_normal_prefix(form, io->in.data, io->in.len);
    if (prefix == io->in.len) {
        io->same = true;
        return STATUS_OK;
    }
    strbuf_add(io->out, io->in.data, prefix);
    unicode_normalize(form, io->in.data + prefix, io->in.len - prefix, io->out);
    if (prefix < io->head_len) io->head_len = head_after(io);
    return STATUS_OK;
}

enum status normalizer_run_lowercase(struct stage_io *io)
{
    size_t prefix = unicode_lower_prefix(io->in.data, io->in.len);
    if (prefix == io->in.len) {
        io->same = true;
        return STATUS_OK;
    }
    strbuf_add(io->out, io->in.data, prefix);
    unicode_lowercase(io->in.data + prefix, io->in.len - prefix, io->out);
    if (prefix < io->head_len) io->head_len = head_after(io);
    return STATUS_OK;
}

/* Removes characters or makes blanks of them, as `fate` says of each. */
enum fate { FATE_KEEP, FATE_REMOVE, FATE_BLANK };

static enum status change_characters(struct stage_io *io, enum fate (*fate_of)(uint32_t cp))
{
    const char *data = io->in.data, *end = data + io->in.len, *run = data;
    size_t head = io->head_len, head_out = 0;
    for (const char *p = data; p < end;) {
        const char *from = p;
        enum fate fate = fate_of(unicode_next(&p));
        bool in_head = (size_t)(from - data) < head;
        if (fate == FATE_KEEP && in_head) head_out += (size_t)(p - from);
        if (fate == FATE_KEEP) continue;
        strbuf_add(io->out, run, (size_t)(from - run));
        if (fate == FATE_BLANK) {
            strbuf_add_char(io->out, ' ');
            head_out += in_head;
        }
        run = p;
    }
    io->same = run == data;
    io->head_len = head_out;
    if (!io->same) strbuf_add(io->out, run, (size_t)(end - run));
    return STATUS_OK;
}

static enum fate accent_fate(uint32_t cp)
{
    return cp >= 0x300 && unicode_flags(cp) & UNICODE_MARK ? FATE_REMOVE : FATE_KEEP;
}

enum status normalizer_run_strip_accents(struct stage_io *io)
{
    return change_characters(io, accent_fate);
}

/* The rules of SentencePiece's nmt_*: controls go, other white space becomes a blank. */
static enum fate nmt_fate(uint32_t cp)
{
    static const struct {
        uint32_t first, last;
        enum fate fate;
    } rules[] = {
        {0x01, 0x08, FATE_REMOVE},    {0x09, 0x0A, FATE_BLANK},     {0x0B, 0x0B, FATE_REMOVE},
        {0x0C, 0x0D, FATE_BLANK},     {0x0E, 0x1F, FATE_REMOVE},    {0x7F, 0x7F, FATE_REMOVE},
        {0x8F, 0x8F, FATE_REMOVE},    {0x9F, 0x9F, FATE_REMOVE},    {0x1680, 0x1680, FATE_BLANK},
        {0x200B, 0x200F, FATE_BLANK}, {0x2028, 0x2029, FATE_BLANK}, {0x2581, 0x2581, FATE_BLANK},
        {0xFEFF, 0xFEFF, FATE_BLANK}, {0xFFFD, 0xFFFD, FATE_BLANK}};
    if (cp >= 0x20 && cp < 0x7F) return FATE_KEEP;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]) && cp >= rules[i].first; i++)
        if (cp <= rules[i].last) return rules[i].fate;
    return FATE_KEEP;
}

enum status normalizer_run_nmt(struct stage_io *io)
{
    return change_characters(io, nmt_fate);
}

enum status normalizer_run_byte_level(struct stage_io *io)
{
    size_t head = io->head_len < io->in.len ? io->head_len : io->in.len;
    byte_level_add(io->out, io->in.data, head);
    io->head_len = io->out->len;
    byte_level_add(io->out, io->in.data + head, io->in.len - head);
    return STATUS_OK;
}
