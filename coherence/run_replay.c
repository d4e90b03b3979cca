/* run_replay.c - tier_run_replay: the outcomes of a recorded run, one by one, and their sums. */
#include "coherence/run_replay.h"

static const char *const word[] = {"same", "different", "gone", "not kept"};

/* ---- text and JSON of one */
static void put(struct tier__replay *p, struct tier__run_text text)
{
    if (p->t.json)
        tier__json_string(&p->t.out, text.at, text.size);
    else
        tier__buf_put(&p->t.out, text.at, text.size);
}

static void dep_text(struct tier__replay *p, const struct tier__run_item *i, uint32_t id, struct tier__buf *b)
{
    struct tier__name_record n;
    const struct tier__run_item *seen = tier__replay_seen(p, i->view, id);
    if (seen && seen->label.size) {
        tier__buf_printf(b, "result of ");
        tier__buf_put(b, seen->label.at, seen->label.size);
    } else if (tier__names_get(&p->t.names, id, &n)) {
        tier__name_text(&n, b);
    }
}

static void tell_difference(struct tier__replay *p, const struct tier__run_item *i,
                            const struct tier__judged *j)
{
    struct tier__buf *out = &p->t.out, name, then, kept;
    tier__buf_init(&name, p->t.a->base);
    tier__buf_init(&then, p->t.a->base);
    tier__buf_init(&kept, p->t.a->base);
    dep_text(p, i, j->dep, &name);
    if (j->seen)
        tier__digest_text(&j->then, &then);
    tier__digest_text(&j->kept, &kept);
    if (p->t.json) {
        tier__buf_printf(out, ",\"dependency\":");
        tier__json_string(out, name.data, name.size);
        tier__buf_printf(out, ",\"seen\":");
        if (j->seen)
            tier__json_string(out, then.data, then.size);
        else
            tier__buf_printf(out, "null");
        tier__buf_printf(out, ",\"stored\":");
        tier__json_string(out, kept.data, kept.size);
    } else {
        tier__buf_show(&name, 0);
        tier__buf_printf(out, "             ");
        tier__buf_put(out, name.data, name.size);
        tier__buf_printf(out, ": the session %s", j->seen ? "saw " : "did not look at it");
        tier__buf_put(out, then.data, then.size);
        tier__buf_printf(out, ", the stored result %s\n", kept.data ? (char *)kept.data : "");
    }
    tier__buf_fini(&name);
    tier__buf_fini(&then);
    tier__buf_fini(&kept);
}

static void tell_json(struct tier__replay *p, const struct tier__run_item *i, const struct tier__judged *j,
                      bool asked, bool first)
{
    static const char *const from[] = {"", "hit", "verified", "loaded", "built", "stale"};
    struct tier__buf *out = &p->t.out;
    tier__buf_printf(out, "%s{\"session\":%u,\"request\":", first ? "" : ",", i->view);
    put(p, i->label);
    tier__buf_printf(out, ",\"identity\":\"");
    tier__hex(i->name.at, i->name.size, out);
    tier__buf_printf(out, "\"");
    if (asked) {
        tier__buf_printf(out, ",\"error\":%d,\"from\":\"%s\",\"cost_us\":%u,\"why\":", i->rc,
                         i->from <= TIER_STALE ? from[i->from] : "", i->cost_us);
        put(p, i->why);
    }
    if (i->flags & TIER__RUN_HAS_KEY) {
        tier__buf_printf(out, ",\"content_key\":\"");
        tier__hex(i->key.byte, sizeof i->key.byte, out);
        tier__buf_printf(out, "\",\"value_hash\":\"");
        tier__hex(i->value.byte, sizeof i->value.byte, out);
        tier__buf_printf(out, "\"");
    }
    tier__buf_printf(out, ",\"outcome\":\"%s\",\"what\":\"%s\"", word[j->outcome], j->what);
    if (j->dep)
        tell_difference(p, i, j);
    tier__buf_printf(out, "}");
}

static void tell_text(struct tier__replay *p, const struct tier__run_item *i, const struct tier__judged *j,
                      bool asked)
{
    static const char *const from[] = {"", "a hit", "verified", "loaded", "built", "stale"};
    struct tier__buf *out = &p->t.out;
    size_t from_here = out->size;
    tier__buf_printf(out, "  %-10s ", word[j->outcome]);
    put(p, i->label);
    if (asked && i->from && i->from <= TIER_STALE)
        tier__buf_printf(out, ": %s", from[i->from]);
    if (asked && i->why.size) {
        tier__buf_printf(out, " in %u us, because: ", i->cost_us);
        put(p, i->why);
    }
    if (asked && i->rc)
        tier__buf_printf(out, "%s%s", i->from ? ", failed: " : ": ", tier_strerror(i->rc));
    if (i->flags & TIER__RUN_HAS_KEY) {
        tier__buf_printf(out, "; value hash ");
        tier__hex(i->value.byte, 8, out);
    }
    if (*j->what)
        tier__buf_printf(out, ": %s", j->what);
    tier__buf_show(out, from_here);
    tier__buf_u8(out, '\n');
    if (j->dep)
        tell_difference(p, i, j);
}

/* ---- all of them */
static void session_text(struct tier__replay *p, uint32_t view)
{
    const struct tier__run_of *v = &p->run.view[view];
    size_t from = p->t.out.size;
    tier__buf_put(&p->t.out, v->app.at, v->app.size);
    tier__buf_show(&p->t.out, from);
    tier__buf_printf(&p->t.out, ", session %llu of ", (unsigned long long)v->view);
    tier__when_text(v->clock_ms, &p->t.out);
    tier__buf_printf(&p->t.out, "%s%s:\n", v->ended ? "" : ", whose end is not recorded",
                     v->changed ? ", a file changed under it" : "");
}

/* Below requests what is the same is told in full text alone, and of the rest no more than fits a screen. */
static bool is_told(const struct tier__replay *p, bool asked, enum tier__outcome outcome, uint64_t told)
{
    if (asked || p->t.full)
        return true;
    return (outcome == TIER__DIFFERENT || outcome == TIER__GONE) && (p->t.json || told < TIER__SHOWN);
}

/* Requests, or the results below them. */
static int tell_list(struct tier__replay *p, struct tier__run_list *l, bool asked,
                     uint64_t sum[TIER__OUTCOMES])
{
    struct tier__judged j;
    uint32_t view = UINT32_MAX;
    uint64_t told = 0;
    int rc = 0;
    for (size_t n = 0; n < l->count && !rc && !p->t.out.failed; n++) {
        struct tier__run_item *i = &l->item[n];
        if (n % TIER__PROGRESS_EVERY == 0)
            rc = tier__admin_progress(p->t.a, "results", n, l->count);
        if (!asked && (i->kind != TIER__K_RESULT || !(i->flags & TIER__RUN_HAS_KEY)))
            continue;
        tier__replay_judge(p, i, &j);
        sum[j.outcome]++;
        if (!is_told(p, asked, j.outcome, told))
            continue;
        if (p->t.json) {
            tell_json(p, i, &j, asked, told == 0);
        } else {
            if (i->view != view && !asked)
                tier__buf_printf(&p->t.out, "below the requests of ");
            if (i->view != view)
                session_text(p, i->view);
            tell_text(p, i, &j, asked);
        }
        view = i->view;
        told++;
    }
    uint64_t left = sum[TIER__DIFFERENT] + sum[TIER__GONE];
    if (!asked && !p->t.full && !p->t.json && left > told)
        tier__buf_printf(&p->t.out, "  and %llu more: -v\n", (unsigned long long)(left - told));
    return rc;
}

static void sessions_json(struct tier__replay *p)
{
    struct tier__buf *out = &p->t.out;
    tier__buf_printf(out, "{\"schema\":1,\"command\":\"replay\",\"torn\":%s,\"sessions\":[",
                     p->run.torn ? "true" : "false");
    for (size_t i = 0; i < p->run.view_count; i++) {
        const struct tier__run_of *v = &p->run.view[i];
        tier__buf_printf(out, "%s{\"run\":\"%016llx\",\"session\":%llu,\"app\":", i ? "," : "",
                         (unsigned long long)v->run, (unsigned long long)v->view);
        put(p, v->app);
        tier__buf_printf(out, ",\"workspace\":\"");
        tier__hex(v->workspace.byte, sizeof v->workspace.byte, out);
        tier__buf_printf(out, "\",\"clock_ms\":%lld,\"bans\":%llu,\"ended\":%s,\"changed\":%s}",
                         (long long)v->clock_ms, (unsigned long long)v->bans, v->ended ? "true" : "false",
                         v->changed ? "true" : "false");
    }
    tier__buf_printf(out, "]");
}

static void sums(struct tier__replay *p, const char *what, const uint64_t sum[TIER__OUTCOMES])
{
    uint64_t all = sum[TIER__SAME] + sum[TIER__DIFFERENT] + sum[TIER__GONE] + sum[TIER__UNKEPT];
    tier__buf_printf(&p->t.out,
                     p->t.json ? ",\"%s\":{\"all\":%llu,\"same\":%llu,\"different\":%llu,\"gone\":%llu,"
                                 "\"not_kept\":%llu}"
                               : "%s: %llu, of them %llu the same, %llu different, %llu not remembered any "
                                 "more, %llu that the run did not keep\n",
                     what, (unsigned long long)all, (unsigned long long)sum[TIER__SAME],
                     (unsigned long long)sum[TIER__DIFFERENT], (unsigned long long)sum[TIER__GONE],
                     (unsigned long long)sum[TIER__UNKEPT]);
}

static int replay(struct tier__replay *p, tier_run_report *report)
{
    uint64_t asked[TIER__OUTCOMES] = {0}, below[TIER__OUTCOMES] = {0};
    struct tier__buf *out = &p->t.out;
    if (p->t.json)
        sessions_json(p);
    tier__buf_printf(out, p->t.json ? ",\"requests\":[" : "");
    int rc = tell_list(p, &p->run.asked, true, asked);
    tier__buf_printf(out, p->t.json ? "],\"results\":[" : "");
    if (!rc)
        rc = tell_list(p, &p->run.seen, false, below);
    tier__buf_printf(out, p->t.json ? "]" : "");
    sums(p, p->t.json ? "sum" : "requests", asked);
    sums(p, p->t.json ? "sum_below" : "results below them", below);
    if (p->t.json)
        tier__buf_printf(out, "}\n");
    else if (p->run.torn)
        tier__buf_printf(out, "the log is cut off: it was read up to there\n");
    *report = (tier_run_report){.struct_size = sizeof *report,
                                .sessions = p->run.view_count,
                                .requests = p->run.asked.count,
                                .same = asked[TIER__SAME],
                                .different = asked[TIER__DIFFERENT],
                                .gone = asked[TIER__GONE],
                                .unkept = asked[TIER__UNKEPT],
                                .results_same = below[TIER__SAME],
                                .results_different = below[TIER__DIFFERENT],
                                .results_gone = below[TIER__GONE],
                                .results_unkept = below[TIER__UNKEPT],
                                .torn = p->run.torn};
    for (int i = 0; i < TIER__OUTCOMES; i++)
        report->results += below[i];
    return rc;
}

static int nowhere(void *user, const char *text, size_t size)
{
    (void)user;
    (void)text;
    (void)size;
    return 0;
}

int tier_run_replay(tier_admin *a, const char *log, const char *format, tier_run_report *report,
                    tier_sink *sink, void *user)
{
    struct tier__replay p = {.place = NULL};
    struct tier__buf data;
    tier_run_report own;
    size_t at = 0;
    if (!a || a->magic != TIER__ADMIN_MAGIC || !log || (report && report->struct_size < sizeof *report))
        return TIER_EINVAL;
    a->detail[0] = 0;
    tier__buf_init(&data, a->base);
    tier__run_init(&p.run, a->base);
    tier__buf_init(&p.record, a->base);
    int rc = tier__admin_slurp(a, log, &data);
    if (!rc && (rc = tier__run_read(&p.run, data.data, data.size, &at)) != 0)
        tier__admin_fail(a, rc,
                         rc == TIER_EDAMAGE ? "%s is no run log, or damaged, from byte %zu on"
                                            : "%s: no memory, from byte %zu on",
                         log, at);
    if (!rc) {
        rc = tier__tell_begin(&p.t, a, format);
        if (!rc)
            rc = tier__replay_places(&p);
        if (!rc)
            rc = replay(&p, report ? report : &own);
        rc = tier__tell_end(&p.t, rc, sink ? sink : nowhere, user);
    }
    tier__free(a->base, p.place);
    tier__buf_fini(&p.record);
    tier__run_fini(&p.run);
    tier__buf_fini(&data);
    return rc;
}
