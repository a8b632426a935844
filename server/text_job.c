#include "server/text_job.h"

#include "config/base/clock.h"
#include "config/base/list.h"
#include "server/api_prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- the pool -------------------------------------------------------------------------------- */

enum { POOL_MAX = 16 }; /* beyond that, memory bandwidth and not cores is what is short */

/* Half of the processors, so that a storm of long prompts leaves the rest alone; two at least, so
 * that a very long prompt does not hold up the others. */
void pool_configure(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN) / 2;
    char text[16];

    n = n < 2 ? 2 : n > POOL_MAX ? POOL_MAX : n;
    snprintf(text, sizeof(text), "%ld", n);
    setenv("UV_THREADPOOL_SIZE", text, 0);
}

/* --- a job ----------------------------------------------------------------------------------- */

struct text_job {
    struct app *app;
    struct http_exchange *x; /* NULL after on_closed */
    text_fn *fn;
    int refs; /* the exchange, the work */
    bool answered;
    struct list node; /* in `state.jobs` while it is on the pool */
    uv_work_t work;
    struct text_request request;
    char *body; /* the pool's own; NULL: the exchange has it */
    enum status status;
    struct error err;
    struct strbuf answer;
};

/* The loop thread's; there is one in a process. */
static struct {
    struct list jobs;
    bool ready;
    int n;
} state;

static void release(struct text_job *j)
{
    if (--j->refs > 0) return;
    strbuf_free(&j->answer);
    free(j->body);
    free(j);
}

static void run(struct text_job *j)
{
    j->status = j->fn(&j->request, &j->answer, &j->err);
    if (j->status == STATUS_OK && j->answer.failed)
        j->status = j->answer.limit_size && j->answer.len > j->answer.limit_size / 2
                        ? error_set(&j->err, STATUS_TOO_LARGE,
                                    "The answer would be larger than %u bytes; send less at once.",
                                    LIMIT_ANSWER_SIZE)
                        : error_set(&j->err, STATUS_NO_MEMORY, "out of memory writing the answer");
}

static void answer(struct text_job *j)
{
    if (!j->x || j->answered) return;
    j->answered = true;
    if (j->status == STATUS_OK)
        http_respond_buf(j->x, 200, "application/json", &j->answer);
    else
        respond_error(j->x, &j->err);
}

static void on_closed(void *user, bool gone)
{
    struct text_job *j = user;

    j->x = NULL;
    if (gone && j->work.data) uv_cancel((uv_req_t *)&j->work);
    release(j);
}

static void work_run(uv_work_t *w)
{
    struct text_job *j = w->data;

    run(j);
    free(j->body);
    j->body = NULL;
}

static void work_done(uv_work_t *w, int status)
{
    struct text_job *j = w->data;

    w->data = NULL;
    list_remove(&j->node);
    state.n--;
    if (status == 0) answer(j);
    release(j);
}

static void start_on_pool(struct text_job *j)
{
    j->body = http_take_body(j->x);
    j->request.body.data = j->body;
    j->work.data = j;
    j->refs++;
    if (uv_queue_work(j->app->loop, &j->work, work_run, work_done) == 0) {
        if (!state.ready) list_init(&state.jobs);
        state.ready = true;
        list_push_back(&state.jobs, &j->node);
        state.n++;
        return;
    }
    j->work.data = NULL;
    j->refs--;
    j->status = error_set(&j->err, STATUS_INTERNAL, "The server cannot take up the request.");
    answer(j);
}

int text_jobs_n_active(void)
{
    return state.n;
}

void text_jobs_cancel(void)
{
    struct error err = {0};

    if (!state.ready) return;
    error_set(&err, STATUS_UNAVAILABLE, "The request was cancelled: the server is shutting down.");
    list_for_each (node, &state.jobs) {
        struct text_job *j = list_entry(node, struct text_job, node);
        uv_cancel((uv_req_t *)&j->work);
        if (!j->x || j->answered) continue;
        j->answered = true;
        respond_error(j->x, &err); /* not j->err, which is the pool's */
    }
}

void text_job_start(struct app *a, struct http_exchange *x, text_fn *fn)
{
    struct text_job *j = calloc(1, sizeof(*j));

    if (!j) {
        struct error err = {0};
        error_set(&err, STATUS_NO_MEMORY, "out of memory");
        respond_error(x, &err);
        return;
    }
    j->app = a;
    j->x = x;
    j->fn = fn;
    j->refs = 2; /* the exchange and this call */
    j->request = (struct text_request){a, http_body(x), clock_unix_s()};
    strbuf_init(&j->answer, LIMIT_ANSWER_SIZE);
    http_set_closed(x, on_closed, j);
    if (j->request.body.len > API_INLINE_BODY_SIZE) {
        start_on_pool(j);
    } else {
        run(j);
        answer(j);
    }
    release(j);
}
