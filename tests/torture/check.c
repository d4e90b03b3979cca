/* check.c - one session's answers and observations, held against the tree and against a run from scratch. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "coherence/manager.h"
#include "tests/torture/torture.h"

static void say(struct process *p, const char *text)
{
    struct shared *sh = p->w->sh;
    if (!atomic_exchange(&sh->failed, true)) {
        fprintf(stderr, "TIER_SEED=%llu, worker %d: %s\n", (unsigned long long)p->w->set.seed, p->index,
                text);
        fflush(stderr);
    }
    atomic_fetch_add(&sh->sum.failures, 1);
    atomic_store(&sh->stop, true);
}

void complain(struct process *p, const char *format, ...)
{
    char text[2000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(p, text);
}

static void wrong(struct naive *n, const struct answer *a, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void wrong(struct naive *n, const struct answer *a, const char *format, ...)
{
    struct text t = {NULL, 0, 0};
    char line[3000];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (a)
        text_add(&t, "%s(%s%s%s), served as %u: ", type_names[a->q.type], a->q.path ? a->q.path : "",
                 *a->q.args ? ", " : "", a->q.args, a->from);
    text_put(&t, line, strlen(line));
    text_add(&t, "\n");
    naive_account(n, &t);
    say(n->k->p, t.data);
    free(t.data);
}

/* ---- what no read declares */
/* It was so at some time from the begin of the session: an invalidation was over before, or is not yet. */
static void check_tagged(struct naive *n, const struct answer *a)
{
    unsigned long is = strtoul(strchr(a->text, '\n') + 1, NULL, 10);
    for (size_t i = 0; i < n->versions; i++)
        if (n->version[i].outside == is)
            return;
    wrong(n, a, "%lu was no value of the session's time: it was %u, and invalidated", is,
          n->version[0].outside);
}

static void check_time(struct naive *n, const struct answer *a)
{
    long long is = strtoll(strchr(a->text, '\n') + 1, NULL, 10);
    long long oldest = n->k->begin_ms - (a->q.type == T_ONCE ? 0 : FADE_MS);
    if (is < oldest)
        wrong(n, a, "made %lld ms before the session began: too old", n->k->begin_ms - is);
}

/* ---- one answer */
static bool excused(const struct naive *n, int rc)
{
    return (rc == TIER_ECANCELED && n->k->may_cancel) || (rc == TIER_ETIMEOUT && n->k->may_time_out);
}

static void check_answer(struct naive *n, const struct answer *a)
{
    const char *text = "";
    struct figures *sum = &n->k->p->w->sh->sum;
    if (a->rc == TIER_ECHANGED || excused(n, a->rc)) {
        atomic_fetch_add(&sum->withdrawn, 1);
        if (a->rc == TIER_ECHANGED && !n->changed)
            wrong(n, a, "says that an input changed under way, and none did: %.*s", (int)a->size,
                  a->text ? a->text : "");
        return;
    }
    atomic_fetch_add(&sum->answers, 1);
    atomic_fetch_add(&sum->served[a->from % FROM_MAX], 1);
    if (a->q.type >= T_TAGGED) {
        if (a->rc)
            wrong(n, a, "gives %s", tier_errname(a->rc));
        else if (a->q.type == T_TAGGED)
            check_tagged(n, a);
        else
            check_time(n, a);
        return;
    }
    int rc = naive_get(n, a->q.type, a->q.path, a->q.args, &text);
    if (n->gave_up) {
        atomic_fetch_add(&sum->unchecked, 1);
        return;
    }
    if (rc != a->rc)
        wrong(n, a, "gives %s (%.*s), a run from scratch %s", tier_errname(a->rc), (int)a->size,
              a->text ? a->text : "", tier_errname(rc));
    else if (a->text && (rc == 0 || rc == TIER_EBUILD) &&
             (strlen(text) != a->size || memcmp(text, a->text, a->size) != 0))
        wrong(n, a, "is\n--\n%.*s\n-- and from scratch\n--\n%.1200s\n--",
              a->size > 1200 ? 1200 : (int)a->size, a->text, text);
}

void check_session(struct check *k)
{
    struct naive n;
    struct figures *sum = &k->p->w->sh->sum;
    bool whole = naive_init(&n, k) && !k->lost;
    if (whole && naive_dump(&n))
        complain(k->p, "no memory for the observations");
    if (whole) {
        atomic_fetch_add(&sum->observations, n.count);
        atomic_fetch_add(&sum->versions, n.versions - 1);
    }
    for (size_t i = 0; whole && i < n.count; i++)
        if (!n.seen[i].found) {
            wrong(&n, NULL, "%s %s %s was observed, and was never so", tier__kind_name(n.seen[i].kind),
                  n.seen[i].path, n.seen[i].name);
            whole = false;
        }
    for (size_t i = 0; i < k->count && !atomic_load(&k->p->w->sh->stop); i++) {
        if (whole)
            check_answer(&n, &k->answer[i]);
        else
            atomic_fetch_add(&sum->unchecked, 1);
        n.made_count = n.gave_up ? 0 : n.made_count; /* what is half known is known to be wrong */
        n.gave_up = false;
    }
    for (size_t i = 0; whole && i < n.count; i++) /* late looks too */
        if (!n.seen[i].found)
            wrong(&n, NULL, "%s %s %s was observed late, and was never so", tier__kind_name(n.seen[i].kind),
                  n.seen[i].path, n.seen[i].name);
    if (n.account.data)
        wrong(&n, NULL, "%s", n.account.data);
    naive_fini(&n);
    atomic_fetch_add(&sum->sessions, 1);
}
