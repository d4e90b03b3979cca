/* Work ahead of the report: the results of single files, on several threads.
 *
 * Each thread has a fork of the session, so all see the same view, and what one has built the others and the
 * report find ready. Which files there are is found out on the way: a file's links name the next ones. The
 * report asks for everything again and so records its dependencies itself; nothing here decides an answer. */
#include "tools/tierlint/cli.h"
#include "tools/tierlint/links.h"

#include <stdlib.h>

typedef struct ahead {
    cli *c;
    pthread_mutex_t lock;
    pthread_cond_t more;
    lint_map files;      /* found so far; guarded by lock, like all below */
    size_t next, listed; /* the next to take; the first so many are to be analyzed, not only read */
    uint32_t busy;
    int rc;
} ahead;

/* The next file, copied to path; false: no more will come. */
static bool take(ahead *a, lint_buf *path, bool *listed)
{
    pthread_mutex_lock(&a->lock);
    while (a->next == a->files.start.count && a->busy && !a->rc) {
        pthread_cond_wait(&a->more, &a->lock);
    }
    bool got = a->next < a->files.start.count && !a->rc;
    if (got) {
        path->size = 0;
        lint_buf_str(path, lint_map_text(&a->files, (uint32_t)a->next));
        *listed = a->next++ < a->listed;
        a->busy++;
        got = !path->failed;
        a->rc = got ? a->rc : TIER_ENOMEM;
    }
    pthread_mutex_unlock(&a->lock);
    return got;
}

/* Says that a file is done, and which files it includes. */
static void done(ahead *a, int rc, const tier_value *links)
{
    pthread_mutex_lock(&a->lock);
    lint_reader r = lint_read(links ? links->data : NULL, links ? links->size : 0);
    lint_link link;
    while (links && lint_link_next(&r, &link)) {
        if (link.path[0]) {
            lint_map_add(&a->files, link.path);
        }
    }
    a->rc = a->rc ? a->rc : a->files.failed ? TIER_ENOMEM : rc;
    a->busy--;
    pthread_cond_broadcast(&a->more);
    pthread_mutex_unlock(&a->lock);
}

static void work(ahead *a, tier_session *s)
{
    const lint *l = &a->c->lint;
    lint_buf path = {0};
    bool listed;
    while (take(a, &path, &listed)) {
        tier_value v, links;
        int rc = listed ? lint_get(s, l, LINT_TYPE_LOCAL, path.data, NULL, &v) : TIER_OK;
        if (listed && rc == TIER_OK) {
            tier_release(s, &v);
        }
        rc = rc ? rc : lint_get(s, l, LINT_TYPE_NAMES, path.data, NULL, &v);
        if (rc == TIER_OK) {
            tier_release(s, &v);
            rc = lint_get(s, l, LINT_TYPE_LINKS, path.data, NULL, &links);
        }
        done(a, lint_absent(rc) ? TIER_OK : rc, rc ? NULL : &links);
        if (rc == TIER_OK) {
            tier_release(s, &links);
        }
    }
    lint_buf_free(&path);
}

typedef struct worker {
    ahead *a;
    tier_session *s;
    pthread_t thread;
} worker;

static void *run(void *user)
{
    worker *w = user;
    work(w->a, w->s);
    return NULL;
}

static int run_all(ahead *a, tier_session *s, uint32_t jobs)
{
    worker *w = calloc(jobs, sizeof *w);
    if (!w) {
        return TIER_ENOMEM;
    }
    uint32_t started = 0;
    while (started < jobs) {
        w[started].a = a;
        if (tier_fork(s, &w[started].s)) {
            break;
        }
        if (pthread_create(&w[started].thread, NULL, run, &w[started])) {
            tier_end(&w[started].s);
            break;
        }
        started++;
    }
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(w[i].thread, NULL);
        tier_end(&w[i].s);
    }
    free(w);
    return a->rc; /* no thread at all is no trouble: the report does the work */
}

int cli_ahead(cli *c, tier_session *s, uint32_t jobs)
{
    ahead a = {.c = c, .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};
    tier_value v;
    int rc = lint_get(s, &c->lint, LINT_TYPE_FILES, NULL, &c->request, &v);
    if (rc) {
        return rc;
    }
    lint_reader r = lint_read(v.data, v.size);
    while (r.at < r.end) {
        lint_map_add(&a.files, lint_read_str(&r));
    }
    a.listed = a.files.start.count;
    rc = a.files.failed ? TIER_ENOMEM : run_all(&a, s, jobs);
    lint_map_free(&a.files);
    tier_release(s, &v);
    return rc;
}
