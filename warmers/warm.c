/* warm.c - tier_warm: workers load and scan, the calling thread settles, reports and resolves.
 *
 * Each worker has a forked session and lives during the call only. The caller's thread walks the plan in
 * order: it waits for an item, tells progress about it, turns the names found in it into paths and adds
 * those. So progress runs on the caller's thread, in an order that does not depend on the workers, with no
 * lock held. With one job there is no thread at all. */
#include "include/tierkit.h"
#include "warmers/defaults.h"
#include "warmers/plan.h"
#include "warmers/scan.h"
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { JOBS_MAX = 64 };

struct warming {
    tier_session *session; /* the caller's */
    tier_warm_options options;
    struct tier__plan plan;
    struct tier__budget budget;
    struct tier__scanners scanners;
    struct tier__resolver resolver;
    struct tier__item *settling; /* whose names are being resolved */
    tier_warm_report report;
    int64_t until;         /* monotonic ms; 0: no limit */
    atomic_int rc;         /* what ended the call; the first one wins */
    pthread_mutex_t error; /* for text */
    char text[256];
};

struct hand { /* one worker, or the caller where there are none */
    struct warming *w;
    tier_session *session;
    struct tier__scan scan;
    pthread_t thread;
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool ends_call(int rc)
{
    return rc == TIER_ECANCELED || rc == TIER_ETIMEOUT || rc == TIER_ENOMEM;
}

static void give_up(struct warming *w, int rc, const char *text)
{
    int none = 0;

    pthread_mutex_lock(&w->error);
    if (atomic_compare_exchange_strong(&w->rc, &none, rc))
        snprintf(w->text, sizeof w->text, "%s", text);
    pthread_mutex_unlock(&w->error);
}

/* The size of the file, where it can be loaded; else false with the item's outcome set. */
static bool look(struct hand *h, struct tier__item *item, uint64_t *size)
{
    tier_stat_info info;
    int rc;

    item->outcome = TIER_WARM_OUT_OF_TIME;
    if (atomic_load(&h->w->rc) || (h->w->until && now_ms() >= h->w->until))
        return false;
    memset(&info, 0, sizeof info);
    rc = tier_cancelled(h->session);
    if (!rc)
        rc = tier_stat_fields(h->session, item->path, TIER_STAT_SIZE, &info);
    if (ends_call(rc))
        give_up(h->w, rc, tier_detail(h->session));
    item->outcome = TIER_WARM_FAILED;
    *size = info.size;
    return rc == TIER_OK && info.kind == 'f';
}

static void scan_item(struct hand *h, struct tier__item *item, const tier_value *v)
{
    int rc = tier__scan(&h->scan, item->language, (const char *)v->data, v->size, &item->names);

    item->cut_short = rc == TIER_EINVAL;
    if (rc == TIER_ENOMEM)
        give_up(h->w, rc, "tier_warm: out of memory");
}

/* Builds the type's result for the file. *known is cleared where that was work. */
static int build_item(struct hand *h, const struct tier__item *item, bool *known)
{
    tier_query q = {h->w->options.type, item->path, NULL, 0};
    tier_value v;
    int rc;

    if (!q.type)
        return TIER_OK;
    memset(&v, 0, sizeof v);
    rc = tier_get(h->session, &q, &v);
    if (rc)
        return rc;
    *known = *known && (v.from == TIER_HIT || v.from == TIER_VERIFIED);
    tier_release(h->session, &v);
    return TIER_OK;
}

/* Loads a file for which `size` bytes are reserved. Returns the bytes that it holds of them: none for a file
 * that was in memory before, that cost the budget nothing. */
static uint64_t load(struct hand *h, struct tier__item *item, uint64_t size)
{
    uint64_t keep;
    tier_value v;
    bool known;
    int rc;

    memset(&v, 0, sizeof v);
    rc = tier_file(h->session, item->path, &v);
    if (rc) {
        item->outcome = TIER_WARM_FAILED;
        if (ends_call(rc))
            give_up(h->w, rc, tier_detail(h->session));
        return 0;
    }
    if (v.size > size) { /* it grew since it was looked at */
        tier_release(h->session, &v);
        item->outcome = TIER_WARM_OVER_BUDGET;
        return 0;
    }
    known = v.from == TIER_HIT || v.from == TIER_VERIFIED;
    keep = known ? 0 : v.size;
    item->bytes = v.size;
    scan_item(h, item, &v);
    rc = build_item(h, item, &known);
    if (ends_call(rc))
        give_up(h->w, rc, tier_detail(h->session));
    item->outcome = rc ? TIER_WARM_FAILED : known ? TIER_WARM_KNOWN : TIER_WARM_DONE;
    tier_release(h->session, &v);
    return keep;
}

static void warm_item(struct hand *h, struct tier__item *item, uint64_t turn)
{
    uint64_t size = 0;

    if (!look(h, item, &size)) {
        tier__budget_pass(&h->w->budget, turn);
        return;
    }
    if (!tier__budget_reserve(&h->w->budget, turn, size)) {
        item->outcome = TIER_WARM_OVER_BUDGET;
        return;
    }
    tier__budget_settle(&h->w->budget, size, load(h, item, size));
}

static void *work(void *arg)
{
    struct hand *h = arg;
    struct tier__item *item;
    uint64_t turn;

    while ((item = tier__plan_take(&h->w->plan, true, &turn)) != NULL) {
        warm_item(h, item, turn);
        tier__plan_finish(&h->w->plan, item);
    }
    return NULL;
}

/* resolve.h: a name led to this path. */
static int found(void *user, const char *path)
{
    struct warming *w = user;
    const struct tier__item *from = w->settling;
    bool deeper = from->depth < w->options.depth;
    int language = tier__language_of(path);

    if (language < 0) /* <vector>, x.def: what C++ includes is C++ */
        language = from->language;
    return tier__plan_add(&w->plan, path, from->depth + 1, language, deeper ? 0 : TIER_WARM_TOO_DEEP);
}

/* resolve.h: a file that resolution itself reads. */
static int read_aside(void *user, const char *path, tier_value *v)
{
    struct warming *w = user;
    tier_stat_info info;
    uint64_t keep = 0;
    int rc;

    memset(&info, 0, sizeof info);
    rc = tier_stat_fields(w->session, path, TIER_STAT_SIZE, &info);
    if (rc)
        return rc;
    if (!tier__budget_extra(&w->budget, info.size))
        return TIER_EABSENT;
    rc = tier_file(w->session, path, v);
    if (!rc && v->size > info.size) {
        tier_release(w->session, v);
        rc = TIER_EABSENT;
    } else if (!rc && v->from != TIER_HIT && v->from != TIER_VERIFIED) {
        keep = v->size;
    }
    tier__budget_settle(&w->budget, info.size, keep);
    return rc;
}

static void tally(struct warming *w, const struct tier__item *item)
{
    tier_warm_report *r = &w->report;

    r->warmed += item->outcome == TIER_WARM_DONE;
    r->known += item->outcome == TIER_WARM_KNOWN;
    r->over_budget += item->outcome == TIER_WARM_OVER_BUDGET;
    r->too_deep += item->outcome == TIER_WARM_TOO_DEEP;
    r->failed += item->outcome == TIER_WARM_FAILED;
    r->out_of_time += item->outcome == TIER_WARM_OUT_OF_TIME;
    r->unresolved += item->cut_short;
    if ((item->outcome == TIER_WARM_DONE || item->outcome == TIER_WARM_KNOWN) && item->depth > r->depth)
        r->depth = item->depth;
}

/* A done item: counted, told, its names resolved. */
static int settle(struct warming *w, struct tier__item *item)
{
    const struct tier__language *row = tier__language(item->language);
    const tier_warm_options *o = &w->options;
    int rc = atomic_load(&w->rc);

    if (rc)
        return rc;
    tally(w, item);
    if (o->progress && o->progress(o->user, item->path, item->depth, item->outcome, item->bytes)) {
        give_up(w, TIER_ECANCELED, "tier_warm: canceled by its progress callback");
        return TIER_ECANCELED;
    }
    w->settling = item;
    if (row && item->names.count && (rc = row->resolve(&w->resolver, item->path, &item->names)) != 0)
        give_up(w, rc, rc == TIER_ENOMEM ? "tier_warm: out of memory" : tier_detail(w->session));
    tier__imports_fini(&item->names);
    return rc;
}

static int settle_all(struct warming *w, struct hand *alone)
{
    struct tier__item *item;
    uint64_t turn;
    size_t i;
    int rc = TIER_OK;

    for (i = 0; i < w->plan.count && !rc; i++) {
        if (alone && (item = tier__plan_take(&w->plan, false, &turn)) != NULL) {
            warm_item(alone, item, turn);
            tier__plan_finish(&w->plan, item);
        }
        rc = settle(w, tier__plan_wait(&w->plan, i));
    }
    return rc;
}

static bool hire(struct warming *w, struct hand *h)
{
    sigset_t all, old;
    int rc;

    h->w = w;
    if (tier__scan_init(&h->scan, &w->scanners))
        return false;
    if (tier_fork(w->session, &h->session)) {
        tier__scan_fini(&h->scan);
        return false;
    }
    sigfillset(&all); /* the host's signals stay with the host's threads */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&h->thread, NULL, work, h);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc) {
        tier_end(&h->session);
        tier__scan_fini(&h->scan);
    }
    return rc == 0;
}

/* With the workers that could be had; with none, alone. */
static int run(struct warming *w, uint32_t jobs)
{
    struct hand hand[JOBS_MAX], alone = {.w = w, .session = w->session};
    uint32_t hired = 0, i;
    int rc;

    memset(hand, 0, sizeof hand);
    while (jobs > 1 && hired < jobs && hire(w, &hand[hired]))
        hired++;
    if (hired) {
        rc = settle_all(w, NULL);
    } else {
        rc = tier__scan_init(&alone.scan, &w->scanners);
        rc = rc ? rc : settle_all(w, &alone);
        tier__scan_fini(&alone.scan);
    }
    tier__plan_close(&w->plan);
    for (i = 0; i < hired; i++) {
        pthread_join(hand[i].thread, NULL);
        tier_end(&hand[i].session); /* an input that changed is told by the caller's own tier_end */
        tier__scan_fini(&hand[i].scan);
    }
    return rc;
}

static int add_roots(struct warming *w, const char *const *paths, size_t n)
{
    struct tier__text path = {0};
    size_t i;
    int rc = TIER_OK;

    for (i = 0; i < n && !rc; i++) {
        rc = tier__text_set(&path, paths[i], strlen(paths[i]));
        if (rc)
            break;
        tier__fold(&path);
        rc = tier__plan_add(&w->plan, path.data, 0, tier__language_of(path.data), 0);
    }
    tier__text_fini(&path);
    return rc;
}

static int run_all(struct warming *w, const char *const *paths, size_t n)
{
    struct tier__warm_defaults defaults;
    uint32_t jobs;
    int rc;

    tier__warm_defaults(w->session, &defaults);
    jobs = w->options.jobs ? w->options.jobs : defaults.jobs;
    rc = tier__budget_init(&w->budget, w->options.byte_budget ? w->options.byte_budget : defaults.free_bytes);
    if (rc)
        return rc;
    rc = tier__plan_init(&w->plan);
    if (rc) {
        tier__budget_fini(&w->budget);
        return rc;
    }
    rc = tier__scanners_init(&w->scanners);
    if (!rc)
        rc = add_roots(w, paths, n);
    if (!rc)
        rc = run(w, jobs < JOBS_MAX ? jobs : JOBS_MAX);
    w->report.bytes = w->budget.held;
    w->report.unresolved += w->resolver.unresolved;
    tier__scanners_fini(&w->scanners);
    tier__resolver_fini(&w->resolver);
    tier__plan_fini(&w->plan);
    tier__budget_fini(&w->budget);
    return rc;
}

static bool good_arguments(const tier_warm_options *o, const char *const *paths, size_t n,
                           const tier_warm_report *report)
{
    size_t i;

    if ((o && o->struct_size < sizeof(size_t)) || (report && report->struct_size < sizeof(size_t)) ||
        (n && !paths))
        return false;
    for (i = 0; i < n; i++)
        if (!paths[i])
            return false;
    return true;
}

int tier_warm(tier_session *s, const tier_warm_options *o, const char *const *paths, size_t n,
              tier_warm_report *report)
{
    struct warming w;
    size_t i;
    int rc;

    if (!s)
        return TIER_EINVAL;
    if (!good_arguments(o, paths, n, report))
        return tier_fail(s, TIER_EINVAL, "tier_warm: bad argument");
    memset(&w, 0, sizeof w);
    w.session = s;
    if (o)
        memcpy(&w.options, o, o->struct_size < sizeof *o ? o->struct_size : sizeof *o);
    for (i = 0; i < w.options.search_count; i++)
        if (!w.options.search || !w.options.search[i])
            return tier_fail(s, TIER_EINVAL, "tier_warm: a search directory is NULL");
    if (pthread_mutex_init(&w.error, NULL))
        return tier_fail(s, TIER_ENOMEM, "tier_warm: out of memory");
    w.until = w.options.time_limit_ms > 0 ? now_ms() + w.options.time_limit_ms : 0;
    w.resolver = (struct tier__resolver){.session = s,
                                         .search = w.options.search,
                                         .search_count = w.options.search_count,
                                         .found = found,
                                         .read = read_aside,
                                         .user = &w};
    rc = run_all(&w, paths, n);
    pthread_mutex_destroy(&w.error);
    if (report) {
        w.report.struct_size = report->struct_size;
        memcpy(report, &w.report,
               report->struct_size < sizeof *report ? report->struct_size : sizeof *report);
    }
    return rc ? tier_fail(s, rc, w.text[0] ? w.text : "tier_warm: out of memory") : TIER_OK;
}
