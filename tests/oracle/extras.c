/* extras.c - warming, explaining, and the hints that a memoryless cache never has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/oracle/oracle.h"

int tier_previous(tier_session *s, const tier_query *q, tier_value *old, tier_digest *content)
{
    int rc = o_enter(s, 0);

    if (old)
        memset(old, 0, sizeof *old);
    if (content)
        memset(content, 0, sizeof *content);
    if (rc)
        return rc;
    if (!q || !q->type || !old)
        return o_error(s, TIER_EINVAL, "tier_previous: bad argument");
    return o_error(s, TIER_EABSENT, "no object is remembered");
}

int tier_edits(tier_session *s, const char *path, const tier_digest *from, const tier_edit **e, size_t *n)
{
    int rc = o_enter(s, O_READS);

    if (e)
        *e = NULL;
    if (n)
        *n = 0;
    if (rc)
        return rc;
    if (!path || !from || !e || !n)
        return o_error(s, TIER_EINVAL, "tier_edits: bad argument");
    return o_error(s, TIER_EABSENT, "%s: no version is remembered", path);
}

/* ---- warming: the given paths, in order, on this thread ---- */

struct warming {
    tier_session *s;
    const tier_warm_options *o;
    tier_warm_report report;
    int64_t until; /* 0: never */
};

static bool fits(struct warming *w, const char *path)
{
    tier_stat_info info;

    if (!w->o->byte_budget || tier_stat_fields(w->s, path, TIER_STAT_SIZE, &info))
        return true; /* what cannot be looked at fails when it is read */
    return info.size <= w->o->byte_budget - w->report.bytes;
}

static bool stops(int rc)
{
    return rc == TIER_ECANCELED || rc == TIER_ETIMEOUT || rc == TIER_ENOMEM;
}

static int warm_one(struct warming *w, const char *path, int *outcome, uint64_t *bytes)
{
    tier_query q = {.type = w->o->type, .path = path};
    tier_value v;
    int rc;

    *bytes = 0;
    *outcome = TIER_WARM_OUT_OF_TIME;
    if (w->until && o_now_ms() >= w->until)
        return 0;
    *outcome = TIER_WARM_OVER_BUDGET;
    if (!fits(w, path))
        return 0;
    *outcome = TIER_WARM_FAILED;
    rc = tier_file(w->s, path, &v);
    if (rc)
        return stops(rc) ? rc : 0;
    *outcome = v.from == TIER_HIT ? TIER_WARM_KNOWN : TIER_WARM_DONE;
    *bytes = v.size;
    tier_release(w->s, &v);
    rc = q.type ? tier_get(w->s, &q, &v) : 0;
    if (q.type && !rc)
        tier_release(w->s, &v);
    if (rc)
        *outcome = TIER_WARM_FAILED;
    return stops(rc) ? rc : 0;
}

static void count_one(tier_warm_report *r, int outcome, uint64_t bytes)
{
    r->warmed += outcome == TIER_WARM_DONE;
    r->known += outcome == TIER_WARM_KNOWN;
    r->over_budget += outcome == TIER_WARM_OVER_BUDGET;
    r->failed += outcome == TIER_WARM_FAILED;
    r->out_of_time += outcome == TIER_WARM_OUT_OF_TIME;
    r->bytes += bytes;
}

int tier_warm(tier_session *s, const tier_warm_options *o, const char *const *paths, size_t n,
              tier_warm_report *report)
{
    tier_warm_options own = TIER_INIT(tier_warm_options);
    struct warming w = {.s = s, .o = &own, .report = TIER_INIT(tier_warm_report)};
    size_t size;
    int rc = o_enter(s, O_READS);

    if (rc)
        return rc;
    if ((o && o->struct_size < sizeof(size_t)) || (n && !paths) ||
        (report && report->struct_size < sizeof(size_t)))
        return o_error(s, TIER_EINVAL, "tier_warm: bad argument");
    if (o)
        memcpy(&own, o, o->struct_size < sizeof own ? o->struct_size : sizeof own);
    if (own.time_limit_ms)
        w.until = o_now_ms() + own.time_limit_ms;
    for (size_t i = 0; i < n && !rc; i++) {
        uint64_t bytes;
        int outcome;

        rc = warm_one(&w, paths[i], &outcome, &bytes);
        count_one(&w.report, outcome, bytes);
        if (!rc && own.progress && own.progress(own.user, paths[i], 0, outcome, bytes))
            rc = o_error(s, TIER_ECANCELED, "canceled by its progress callback");
    }
    if (report) {
        size = report->struct_size;
        w.report.struct_size = size;
        memcpy(report, &w.report, size < sizeof w.report ? size : sizeof w.report);
    }
    return rc;
}

/* ---- explaining: one line ---- */

int tier_explain(tier_session *s, const tier_query *q, const char *format, tier_sink *sink, void *user)
{
    const struct o_request *r;
    const char *state;
    char *line;
    int rc;

    if (!format)
        format = "text";
    if (!s)
        return TIER_EINVAL;
    if (!sink || (strcmp(format, "text") && strcmp(format, "json") && strcmp(format, "dot")))
        return o_error(s, TIER_EINVAL, "tier_explain: bad argument");
    r = o_known(s, q, &rc);
    if (rc)
        return rc;
    state = !r || !r->done ? "unknown" : r->rc ? "failed" : "built";
    if (!strcmp(format, "json"))
        line = o_text("{\"schema\": 1, \"type\": \"%s\", \"state\": \"%s\"}\n", q->type->def.name, state);
    else if (!strcmp(format, "dot"))
        line = o_text("digraph tierkit { \"%s\" [label=\"%s\"]; }\n", q->type->def.name, state);
    else
        line = o_text("%s(%s): %s in this view\n", q->type->def.name, q->path ? q->path : "", state);
    rc = sink(user, line, strlen(line));
    free(line);
    return rc;
}
