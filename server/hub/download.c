#include "server/hub/download.h"

#include "config/base/check.h"
#include "config/base/clock.h"
#include "config/limits.h"
#include "server/hub/request.h"
#include "server/hub/sum.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    POLL_MS = 100,       /* signals, locks and the clock are looked at as often */
    LOCK_US = 100000,    /* between two looks at another process's lock */
    HASH_STEP = 8 << 20, /* bytes of a partial file that are read between two looks at the others */
    BODY_MAX = 1 << 20,  /* of an answer that is an error */
    SOON_US = 200000,    /* before going on after a cut that came behind new bytes */
    SUM_TRIES = 2,
};

/* --- another try ------------------------------------------------------------------------------ */

struct retry {
    int n_failures; /* without a new byte */
    uint64_t at_us; /* of the next try */
};

/* When the next try begins; false: no more, *err says what failed. */
static bool retry_plan(struct retry *t, const struct hub_request *r, enum hub_outcome outcome,
                       bool new_bytes, struct hub_progress *p, struct error *err)
{
    char shown[204] = "", why[sizeof(r->why)];
    const int64_t asked = r->answer.retry_after_s;
    const bool unreachable = outcome == HUB_CUT && r->unreachable; /* its words name the host */
    if (!unreachable) {
        hub_url_shown(r->url, shown, sizeof(shown) - 2);
        strcat(shown, ": ");
    }
    if (outcome == HUB_CUT)
        snprintf(why, sizeof(why), "%s", r->why);
    else if (r->answer.status >= 400)
        snprintf(why, sizeof(why), "answered %ld", r->answer.status);
    else
        snprintf(why, sizeof(why), "ended early");
    if (new_bytes) t->n_failures = 0;
    if (++t->n_failures >= LIMIT_HUB_TRIES) {
        error_set(err, STATUS_UNAVAILABLE, "%s%s; gave up after %d tries%s", shown, why,
                  t->n_failures, unreachable ? "; " HUB_WAY_OUT : "");
        return false;
    }
    uint64_t wait_us = new_bytes ? SOON_US : UINT64_C(1000000) << (t->n_failures - 1);
    if (outcome == HUB_ANSWERED && asked >= 0) wait_us = (uint64_t)asked * 1000000;
    t->at_us = clock_now_us() + wait_us;
    if (wait_us < 1000000)
        hub_progress_note(p, "%s%s; trying again", shown, why);
    else
        hub_progress_note(p, "%s%s; trying again in %d s", shown, why, (int)(wait_us / 1000000));
    return true;
}

/* --- one file --------------------------------------------------------------------------------- */

enum transfer_state { FREE, LOCKING, HASHING, REQUESTING, WAITING };

struct transfer {
    enum transfer_state state;
    const struct hub_download *d;
    const struct hub_file *file;
    struct hub_request request;
    struct retry retry;
    struct hub_sum sum;
    int lock, fd;
    int64_t at, best_at; /* bytes in the partial file; the most that it ever had */
    int64_t hashed;
    int64_t discarded;
    int n_wrong_sums;
    bool checked, said;   /* the answer's head; that another process is waited for */
    struct error problem; /* of the sink; code OK: none */
};

static void transfer_free(struct transfer *t)
{
    hub_request_end(&t->request);
    hub_sum_free(&t->sum);
    if (t->fd >= 0) close(t->fd);
    if (t->lock >= 0) close(t->lock);
    t->fd = t->lock = -1;
    t->state = FREE;
}

/* Begins the file anew. */
static bool start_over(struct transfer *t)
{
    hub_progress_found(t->d->progress, -t->at);
    t->at = 0;
    t->request.range_from = 0;
    return ftruncate(t->fd, 0) == 0 && hub_sum_begin(&t->sum, t->file);
}

static bool sink_problem(struct transfer *t, const char *what)
{
    error_set(&t->problem, STATUS_UNAVAILABLE, "%.200s: %s", t->file->path, what);
    return false;
}

/* Is this the part that was asked for? */
static bool check_head(struct transfer *t, const struct hub_answer *a)
{
    if (a->status == 206 && (t->request.range_from == 0 ||
                             !hub_content_range_fits(a->content_range, t->at, t->file->size)))
        return sink_problem(t, "the server sends another part than was asked for");
    if (a->status == 200 && t->at > 0 && !start_over(t))
        return sink_problem(t, "cannot start anew");
    t->checked = true;
    return true;
}

static bool take_bytes(void *arg, const struct hub_answer *a, const void *data, size_t len)
{
    struct transfer *t = arg;
    if (a->status != 200 && a->status != 206) return (t->discarded += (int64_t)len) < BODY_MAX;
    if (!t->checked && !check_head(t, a)) return false;
    if ((int64_t)len > t->file->size - t->at)
        return sink_problem(t, "more bytes came than the hub's listing says");
    for (size_t done = 0; done < len;) {
        ssize_t n =
            pwrite(t->fd, (const char *)data + done, len - done, (off_t)(t->at + (int64_t)done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            error_set(&t->problem, STATUS_IO, "cannot write %.200s: %s", t->file->path,
                      strerror(errno));
            return false;
        }
        done += (size_t)n;
    }
    hub_sum_add(&t->sum, data, len);
    t->at += (int64_t)len;
    hub_progress_loaded(t->d->progress, len);
    return true;
}

static enum status send_request(struct transfer *t, struct error *err)
{
    char *url = hub_remote_file_url(t->d->remote, t->d->name->repo, t->d->sha, t->file->path);
    if (!url) return error_set(err, STATUS_NO_MEMORY, "no memory for an address");
    t->checked = false;
    t->discarded = 0;
    t->problem = (struct error){.code = STATUS_OK};
    t->state = REQUESTING;
    enum status st = hub_request_begin(&t->request, url, t->at, err);
    free(url);
    return st;
}

/* All bytes are there: checked, then visible. */
static enum status finish_file(struct transfer *t, struct error *err)
{
    char found[HUB_ETAG_LEN + 1];
    if (!hub_sum_end(&t->sum, found))
        return error_set(err, STATUS_NO_MEMORY, "no memory for a sum");
    if (strcmp(found, t->file->etag) == 0) {
        enum status st = hub_store_publish(t->d->store, t->file, t->fd, err);
        transfer_free(t);
        return st;
    }
    if (++t->n_wrong_sums < SUM_TRIES) {
        hub_progress_note(t->d->progress, "%s: its sum is wrong; loading it anew", t->file->path);
        if (!start_over(t))
            return error_set(err, STATUS_IO, "cannot start %.200s anew", t->file->path);
        t->best_at = 0;
        return send_request(t, err);
    }
    hub_store_drop_partial(t->d->store, t->file);
    return error_set(err, STATUS_CORRUPT,
                     "%.200s: its sum is %s, and the hub says %s: something on the way changes it",
                     t->file->path, found, t->file->etag);
}

static enum status open_partial(struct transfer *t, struct error *err)
{
    enum status st = hub_store_open_partial(t->d->store, t->file, &t->fd, err);
    if (st != STATUS_OK) return st;
    if (!hub_sum_begin(&t->sum, t->file)) return error_set(err, STATUS_NO_MEMORY, "no memory");
    int64_t size = (int64_t)lseek(t->fd, 0, SEEK_END);
    if (size > t->file->size && ftruncate(t->fd, 0) == 0) size = 0;
    if (size < 0 || size > t->file->size)
        return error_set(err, STATUS_IO, "cannot go on with %.200s", t->file->path);
    t->at = size;
    t->best_at = size;
    t->hashed = 0;
    hub_progress_found(t->d->progress, size);
    t->state = HASHING;
    return STATUS_OK;
}

static enum status try_lock(struct transfer *t, struct error *err)
{
    if (clock_now_us() < t->retry.at_us) return STATUS_OK;
    enum status st = hub_store_lock(t->d->store, t->file, &t->lock, err);
    if (st == STATUS_UNAVAILABLE) {
        if (!t->said)
            hub_progress_note(t->d->progress, "waiting for another process that loads %s",
                              t->file->path);
        t->said = true;
        t->retry.at_us = clock_now_us() + LOCK_US;
        return STATUS_OK;
    }
    if (st != STATUS_OK) return st;
    t->retry.at_us = 0;
    if (!hub_store_has_blob(t->d->store, t->file)) return open_partial(t, err);
    hub_progress_found(t->d->progress, t->file->size); /* the other one was faster */
    transfer_free(t);
    return STATUS_OK;
}

/* The sum of what an earlier run left, a piece at a time. */
static enum status hash_some(struct transfer *t, struct error *err)
{
    static char piece[256 << 10];
    for (size_t done = 0; done < HASH_STEP && t->hashed < t->at;) {
        const int64_t left = t->at - t->hashed;
        const size_t want = left < (int64_t)sizeof(piece) ? (size_t)left : sizeof(piece);
        ssize_t n = pread(t->fd, piece, want, (off_t)t->hashed);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return error_set(err, STATUS_IO, "cannot read what came of %.200s", t->file->path);
        hub_sum_add(&t->sum, piece, (size_t)n);
        t->hashed += n;
        done += (size_t)n;
    }
    if (t->hashed < t->at) return STATUS_OK;
    /* An empty file is asked for all the same: the answer may say that it is not there. */
    if (t->at == t->file->size && t->at > 0) return finish_file(t, err);
    return send_request(t, err);
}

static enum status advance(struct transfer *t, struct error *err)
{
    if (t->state == LOCKING) return try_lock(t, err);
    if (t->state == HASHING) return hash_some(t, err);
    if (t->state == WAITING && clock_now_us() >= t->retry.at_us) return send_request(t, err);
    return STATUS_OK;
}

/* libcurl has said that the hop is over. */
static enum status on_done(struct transfer *t, CURLcode code, struct error *err)
{
    const enum hub_outcome outcome = hub_request_step(&t->request, code, err);
    const long status = t->request.answer.status;
    if (outcome == HUB_GOES_ON) return STATUS_OK;
    if (outcome == HUB_REFUSED) return error_prepend(err, "%.200s", t->file->path);
    if (t->problem.code != STATUS_OK) {
        *err = t->problem;
        return err->code;
    }
    const bool content = status == 200 || status == 206;
    if (outcome == HUB_ANSWERED && content && t->at == t->file->size) return finish_file(t, err);
    if (outcome == HUB_ANSWERED && status == 416 && !start_over(t))
        return error_set(err, STATUS_IO, "cannot start %.200s anew", t->file->path);
    if (outcome == HUB_ANSWERED && !content && status != 416 && !hub_worth_another_try(status))
        return hub_refusal(t->d->remote, &t->request.answer, t->d->name, t->file->path,
                           t->request.url, err);
    const bool new_bytes = t->at > t->best_at;
    if (new_bytes) t->best_at = t->at;
    if (!retry_plan(&t->retry, &t->request, outcome, new_bytes, t->d->progress, err))
        return error_prepend(err, "%.200s", t->file->path);
    t->state = WAITING;
    return STATUS_OK;
}

/* --- all files -------------------------------------------------------------------------------- */

struct batch {
    const struct hub_download *d;
    CURLM *multi;
    struct transfer *transfers; /* [n_jobs] */
    const struct hub_file *files;
    size_t n_files, next;
};

static bool same_blob(const struct hub_file *a, const struct hub_file *b)
{
    return strcmp(a->etag, b->etag) == 0;
}

/* Two names with the same content are one blob: the first of them that lacks loads it. */
static bool needs_transfer(const struct batch *b, size_t i)
{
    const struct hub_file *f = &b->files[i];
    if (hub_store_has_file(b->d->store, f) || hub_store_has_blob(b->d->store, f)) return false;
    for (size_t k = 0; k < i; k++)
        if (same_blob(&b->files[k], f) && !hub_store_has_file(b->d->store, &b->files[k]))
            return false;
    return true;
}

static void begin_transfer(struct batch *b, struct transfer *t, const struct hub_file *f)
{
    *t = (struct transfer){.state = LOCKING, .d = b->d, .file = f, .lock = -1, .fd = -1};
    t->request = (struct hub_request){
        .remote = b->d->remote, .multi = b->multi, .sink = take_bytes, .arg = t};
}

static enum status run_transfers(struct batch *b, size_t *n_active, bool *busy, struct error *err)
{
    *n_active = 0;
    *busy = false;
    for (int i = 0; i < b->d->n_jobs; i++) {
        struct transfer *t = &b->transfers[i];
        while (t->state == FREE && b->next < b->n_files) {
            const size_t k = b->next++;
            if (needs_transfer(b, k)) begin_transfer(b, t, &b->files[k]);
        }
        if (t->state == FREE) continue;
        const struct hub_file *f = t->file;
        enum status st = advance(t, err);
        if (st != STATUS_OK) return st;
        if (t->state == FREE) hub_progress_file(b->d->progress, f->path, f->size);
        *n_active += t->state != FREE;
        *busy = *busy || t->state == HASHING || (t->state == FREE && b->next < b->n_files);
    }
    return STATUS_OK;
}

static enum status end_hop(struct batch *b, struct transfer *t, CURLcode code, struct error *err)
{
    const struct hub_file *f = t->file;
    enum status st = on_done(t, code, err);
    if (st == STATUS_OK && t->state == FREE) hub_progress_file(b->d->progress, f->path, f->size);
    return st;
}

static enum status run_requests(struct batch *b, bool *busy, struct error *err)
{
    int n = 0;
    enum status st = STATUS_OK;
    curl_multi_perform(b->multi, &n);
    for (CURLMsg *m; st == STATUS_OK && (m = curl_multi_info_read(b->multi, &n));) {
        struct hub_request *r = NULL;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &r);
        st = end_hop(b, r->arg, m->data.result, err);
        *busy = true;
    }
    for (int i = 0; i < b->d->n_jobs && st == STATUS_OK; i++) {
        struct transfer *t = &b->transfers[i];
        if (t->state == REQUESTING && hub_request_stalled(&t->request))
            st = end_hop(b, t, CURLE_OPERATION_TIMEDOUT, err);
    }
    return st;
}

static enum status run_batch(struct batch *b, struct error *err)
{
    size_t n_active = 1;
    bool busy = false;
    while (n_active > 0 || b->next < b->n_files) {
        if (*b->d->stop) return error_set(err, STATUS_CANCELLED, "interrupted");
        enum status st = run_transfers(b, &n_active, &busy, err);
        if (st == STATUS_OK) st = run_requests(b, &busy, err);
        if (st != STATUS_OK) return st;
        hub_progress_tick(b->d->progress);
        if (n_active > 0 && !busy) curl_multi_poll(b->multi, NULL, 0, POLL_MS, NULL);
    }
    return STATUS_OK;
}

static enum status link_files(const struct hub_download *d, const struct hub_file *files, size_t n,
                              struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (hub_store_has_file(d->store, &files[i])) continue;
        if (!hub_store_has_blob(d->store, &files[i])) /* another process removes what comes */
            return error_set(err, STATUS_IO, "%.200s has gone from the cache: pull it again",
                             files[i].path);
        enum status st = hub_store_link(d->store, &files[i], err);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

enum status hub_download_files(const struct hub_download *d, const struct hub_file *files, size_t n,
                               struct error *err)
{
    struct batch b = {.d = d, .files = files, .n_files = n};
    int64_t missing = 0;
    enum status st = STATUS_OK;

    for (size_t i = 0; i < n; i++) {
        if (!needs_transfer(&b, i)) continue;
        hub_progress_expect(d->progress, files[i].size);
        int64_t there = hub_store_partial_size(d->store, &files[i]);
        missing += there < files[i].size ? files[i].size - there : files[i].size;
    }
    if (missing > 0) st = hub_store_check_room(d->store, missing, err);
    if (st != STATUS_OK) return st;
    b.multi = curl_multi_init();
    b.transfers = calloc((size_t)d->n_jobs, sizeof(*b.transfers));
    if (!b.multi || !b.transfers) {
        st = error_set(err, STATUS_NO_MEMORY, "no memory for the download");
        goto out;
    }
    for (int i = 0; i < d->n_jobs; i++) b.transfers[i].fd = b.transfers[i].lock = -1;
    curl_multi_setopt(b.multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    st = run_batch(&b, err);
    if (st == STATUS_OK) st = link_files(d, files, n, err);
out:
    for (int i = 0; b.transfers && i < d->n_jobs; i++) transfer_free(&b.transfers[i]);
    free(b.transfers);
    if (b.multi) curl_multi_cleanup(b.multi);
    return st;
}

/* --- into memory ------------------------------------------------------------------------------ */

struct text_fetch {
    struct strbuf *out;
    int64_t discarded;
    bool too_large;
};

static bool take_text(void *arg, const struct hub_answer *a, const void *data, size_t len)
{
    struct text_fetch *f = arg;
    if (a->status != 200) return (f->discarded += (int64_t)len) < BODY_MAX;
    strbuf_add(f->out, data, len);
    f->too_large = f->out->failed;
    return !f->too_large;
}

/* Waits for the hop's end, or for a moment; CANCELLED when the user has had enough. */
static enum status wait_hop(const struct hub_download *d, struct hub_request *r, uint64_t until_us,
                            CURLcode *code, struct error *err)
{
    for (;;) {
        int n = 0;
        if (*d->stop) return error_set(err, STATUS_CANCELLED, "interrupted");
        if (until_us > 0 && clock_now_us() >= until_us) return STATUS_OK;
        curl_multi_perform(r->multi, &n);
        CURLMsg *m = curl_multi_info_read(r->multi, &n);
        *code = m ? m->data.result : CURLE_OPERATION_TIMEDOUT;
        if (m || (until_us == 0 && hub_request_stalled(r))) return STATUS_OK;
        curl_multi_poll(r->multi, NULL, 0, POLL_MS, NULL);
    }
}

static enum status fetch_text(const struct hub_download *d, struct hub_request *r, const char *url,
                              const char *file, struct text_fetch *f, struct error *err)
{
    struct retry retry = {0};
    CURLcode code = CURLE_OK;
    enum status st = hub_request_begin(r, url, 0, err);
    while (st == STATUS_OK) {
        st = wait_hop(d, r, 0, &code, err);
        if (st != STATUS_OK) return st;
        const enum hub_outcome outcome = hub_request_step(r, code, err);
        const long status = r->answer.status;
        if (outcome == HUB_GOES_ON) continue;
        if (outcome == HUB_REFUSED) return err->code;
        if (f->too_large)
            return error_set(err, STATUS_TOO_LARGE, "%.200s: the answer is larger than %zu MB", url,
                             f->out->limit_size >> 20);
        if (outcome == HUB_ANSWERED && status == 200) return STATUS_OK;
        if (outcome == HUB_ANSWERED && !hub_worth_another_try(status))
            return hub_refusal(d->remote, &r->answer, d->name, file, r->url, err);
        if (!retry_plan(&retry, r, outcome, false, d->progress, err)) return err->code;
        hub_request_end(r); /* nothing runs while it waits */
        st = wait_hop(d, r, retry.at_us, &code, err);
        strbuf_clear(f->out);
        f->discarded = 0;
        if (st == STATUS_OK) st = hub_request_begin(r, url, 0, err);
    }
    return st;
}

enum status hub_download_text(const struct hub_download *d, const char *url, const char *file,
                              size_t max_size, struct strbuf *out, struct error *err)
{
    struct text_fetch f = {.out = out};
    struct hub_request r = {.remote = d->remote,
                            .multi = curl_multi_init(),
                            .own_origin_only = !file,
                            .sink = take_text,
                            .arg = &f};
    strbuf_init(out, max_size);
    if (!r.multi) return error_set(err, STATUS_NO_MEMORY, "no memory");
    enum status st = fetch_text(d, &r, url, file, &f, err);
    hub_request_end(&r);
    curl_multi_cleanup(r.multi);
    return st;
}
