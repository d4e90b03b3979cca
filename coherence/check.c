/* check.c - tier_check and tier_repair: the store's own check, then what records say of each other. */
#include "coherence/admin.h"
#include "tiers/store_mark.h"

enum { PASSES = 5 /* what a repair lays bare is repaired by the next pass; two have always been enough */ };

void tier__check_tell(struct tier__check *k, const struct tier__problem *p, const char *where,
                      const char *detail, bool repaired)
{
    tier_check_report *r = k->report;
    bool damage = p->severity == TIER__DAMAGE;
    if (!damage && k->pass > 0)
        return; /* told by the first pass */
    r->damage += damage;
    r->notices += !damage;
    r->repaired += damage && repaired;
    r->left += damage && !repaired;
    tier_problem t = {.struct_size = sizeof t,
                      .severity = damage ? TIER_DAMAGE : TIER_NOTICE,
                      .repaired = repaired,
                      .code = p->code,
                      .what = p->what,
                      .repair = p->repair,
                      .where = where,
                      .detail = detail};
    if (k->o->found)
        k->o->found(k->o->user, &t);
}

static void tell_verdict(struct tier__check *k, const struct tier__verdict *v, bool repaired)
{
    for (unsigned i = 0; i < v->count; i++)
        tier__check_tell(k, v->blame[i].problem, v->where, v->blame[i].detail,
                         repaired && v->blame[i].problem->severity == TIER__DAMAGE);
}

void tier_problem_list(void (*each)(void *user, const tier_problem *p), void *user)
{
    static const struct tier__problem all[] = {
#define TIER__PROBLEM_LIST(id, code, severity, what, repair) {code, TIER__##severity, what, repair},
        TIER__PROBLEMS(TIER__PROBLEM_LIST)
#undef TIER__PROBLEM_LIST
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        tier_problem t = {.struct_size = sizeof t,
                          .severity = all[i].severity == TIER__DAMAGE ? TIER_DAMAGE : TIER_NOTICE,
                          .code = all[i].code,
                          .what = all[i].what,
                          .repair = all[i].repair,
                          .where = "",
                          .detail = ""};
        each(user, &t);
    }
}

/* ---- the store itself ---- */
struct store_look {
    struct tier__check *k;
    bool whole;
    bool mending; /* tell later, when it is done */
    struct tier__buf later;
};

static void store_where(const struct tier__store_problem *p, char *text, size_t size)
{
    size_t n = p->key && size > 80 ? (p->key_size < 32 ? p->key_size : 32) : 0;
    int at = snprintf(text, size, "%s%s", p->table ? p->table : p->key ? "record" : "", n ? " " : "");
    for (size_t i = 0; i < n; i++)
        at += snprintf(text + at, size - (size_t)at, "%02x", ((const unsigned char *)p->key)[i]);
}

static void tell_aside(void *user, const char *name, uint64_t bytes, const char *other)
{
    struct tier__check *k = user;
    char detail[160];
    if (other)
        return;
    snprintf(detail, sizeof detail, "%.1f KiB", (double)bytes / 1024);
    tier__check_tell(k, tier__problem_of("store-quarantined"), name, detail, false);
}

static void store_found(void *user, const struct tier__store_problem *p)
{
    struct store_look *s = user;
    char where[128];
    const struct tier__problem *known = tier__problem_of(p->code);
    if (!known)
        return;
    if (strcmp(p->code, "store-quarantined") == 0) { /* told one by one, with what each takes */
        tier__aside_each(s->k->a, false, tell_aside, s->k);
        return;
    }
    store_where(p, where, sizeof where);
    const char *detail = p->key ? "" : p->detail; /* of a record it only says what the problem is once more */
    if (!p->key && known->severity == TIER__DAMAGE)
        s->whole = true;
    if (!s->mending || known->severity == TIER__NOTICE) {
        tier__check_tell(s->k, known, where, detail, false);
        return;
    }
    tier__buf_str(&s->later, p->code);
    tier__buf_u8(&s->later, 0);
    tier__buf_str(&s->later, where);
    tier__buf_u8(&s->later, 0);
    tier__buf_str(&s->later, detail);
    tier__buf_u8(&s->later, 0);
}

static void tell_later(struct store_look *s, bool repaired)
{
    struct tier__reader r = tier__reader_of(s->later.data, s->later.size);
    while (r.at < r.end && !r.failed) {
        const char *text[3];
        for (int i = 0; i < 3; i++) {
            size_t n;
            text[i] = tier__read_bytes(&r, &n);
            tier__read_u8(&r);
        }
        if (!r.failed)
            tier__check_tell(s->k, tier__problem_of(text[0]), text[1], text[2], repaired);
    }
}

static int look_at_store(struct tier__check *k, bool *whole)
{
    tier_admin *a = k->a;
    struct store_look s = {.k = k, .mending = k->repairing};
    uint64_t records = 0, deleted = 0;
    bool quarantined = false;
    tier__buf_init(&s.later, a->base);
    int rc =
        tier__store_check(a->base, a->profile->dir, k->flags & TIER_CHECK_DATA, store_found, &s, &records);
    if (!rc && k->repairing && s.later.size) {
        rc = tier__store_repair(a->base, a->profile->dir, &deleted, &quarantined);
        k->report->anew |= quarantined;
        tell_later(&s, rc == 0);
    }
    tier__buf_fini(&s.later);
    *whole = s.whole && !k->repairing;
    struct tier__why why = {a->detail, sizeof a->detail};
    bool store;
    if (rc == TIER_EKIND && tier__place_look(a->profile->dir, true, &store, &why) == rc)
        return rc; /* with its sentence */
    if (rc)
        tier__admin_fail(a, rc, "%s: %s", a->profile->dir,
                         rc == TIER_EBUSY ? "other programs hold its locks; try again" : tier_strerror(rc));
    return rc;
}

/* ---- suspects are judged again where nothing moves ---- */
static int judge_again(struct tier__check *k, enum tier__table t, const void *key, size_t key_size,
                       struct tier__verdict *v)
{
    struct tier__buf b;
    v->count = 0;
    tier__buf_init(&b, k->a->base);
    int rc = tier__at_get(&k->at, t, key, key_size, &b);
    if (!rc)
        tier__judge(k, t, key, key_size, b.data, b.size, v);
    tier__buf_fini(&b);
    return rc == TIER_EABSENT ? 0 : k->out_of_memory ? TIER_ENOMEM : rc;
}

static int confirm(struct tier__check *k)
{
    struct tier__reader r = tier__reader_of(k->suspects.data, k->suspects.size);
    struct tier__verdict *v = tier__zalloc(k->a->base, 1, sizeof *v);
    int rc = v ? 0 : TIER_ENOMEM;
    while (!rc && r.at < r.end) {
        size_t n;
        enum tier__table t = (enum tier__table)tier__read_u8(&r);
        const void *key = tier__read_bytes(&r, &n);
        rc = tier__read_begin(k->a->store, &k->at.read);
        if (!rc)
            rc = judge_again(k, t, key, n, v);
        tier__read_end(&k->at.read);
        if (!rc)
            tell_verdict(k, v, false);
    }
    tier__free(k->a->base, v);
    return rc;
}

enum { BATCH = 64 };

/* One transaction of at most BATCH suspects of table t, from r on. */
static int mend_batch(struct tier__check *k, struct tier__reader *r, enum tier__table t,
                      struct tier__verdict *v, unsigned *count)
{
    *count = 0;
    int rc = tier__write_begin(k->a->store, &k->at.write);
    while (!rc && r->at < r->end && *count < BATCH) {
        size_t n;
        enum tier__table of = (enum tier__table)tier__read_u8(r);
        const void *key = tier__read_bytes(r, &n);
        if (of != t)
            continue;
        rc = judge_again(k, t, key, n, &v[*count]);
        if (!rc && v[*count].count)
            rc = tier__mend(k, &v[(*count)++]);
    }
    if (rc)
        tier__write_abort(&k->at.write);
    else
        rc = tier__write_commit(&k->at.write);
    return rc;
}

/* Dependents first, so that a stop between two commits leaves nothing that points at what is gone. */
static int mend(struct tier__check *k)
{
    static const enum tier__table order[] = {TIER__CLOSURE,   TIER__VARIANT, TIER__BLOB, TIER__STAT,
                                             TIER__WORKSPACE, TIER__LOG,     TIER__NAME, TIER__ID};
    struct tier__verdict *v = tier__zalloc(k->a->base, BATCH, sizeof *v);
    int rc = v ? 0 : TIER_ENOMEM;
    for (size_t i = 0; !rc && i < sizeof order / sizeof *order && k->suspects.size; i++) {
        struct tier__reader r = tier__reader_of(k->suspects.data, k->suspects.size);
        while (!rc && r.at < r.end) {
            unsigned count;
            rc = mend_batch(k, &r, order[i], v, &count);
            for (unsigned n = 0; n < count; n++)
                tell_verdict(k, &v[n], rc == 0);
            if (!rc)
                rc = tier__admin_progress(k->a, "repairing", k->done, 0);
        }
    }
    tier__free(k->a->base, v);
    return rc;
}

/* ---- what concerns all records: counters, missing rows ---- */
static void tell_meta(struct tier__check *k, bool next_id, bool sequence, bool repaired)
{
    char where[64];
    if (next_id)
        tier__check_tell(k, tier__problem_of("meta-next-id"), "meta next_id", "", repaired);
    if (sequence)
        tier__check_tell(k, tier__problem_of("meta-sequence"), "meta sequence", "", repaired);
    struct tier__reader r = tier__reader_of(k->gaps.data, k->gaps.size);
    while (r.at < r.end) {
        snprintf(where, sizeof where, "invalidation %llu", (unsigned long long)tier__read_u64(&r));
        tier__check_tell(k, tier__problem_of("log-gap"), where, "", repaired);
    }
}

static int check_meta(struct tier__check *k)
{
    bool there;
    uint64_t next = tier__check_counter(k, "next_id", 4, &there);
    bool next_id = k->max_id && next <= k->max_id;
    uint64_t last = tier__check_counter(k, "sequence", 8, &there);
    uint64_t used = k->log_last > k->max_born ? k->log_last : k->max_born;
    bool sequence = last < used;
    int rc = 0;
    if (k->repairing && (next_id || sequence || k->gaps.size))
        rc = tier__mend_meta(k, next_id ? k->max_id : 0, sequence ? used : 0);
    tell_meta(k, next_id, sequence, k->repairing && !rc);
    return rc;
}

static void tell_orphans(struct tier__check *k)
{
    for (size_t i = 0; i < k->blob_size; i++) {
        struct tier__buf b;
        if (!k->blob[i].taken || k->blob[i].used)
            continue;
        tier__buf_init(&b, k->a->base);
        tier__buf_printf(&b, "value ");
        tier__hex(k->blob[i].key.byte, 8, &b);
        tier__check_tell(k, tier__problem_of("blob-orphan"), b.failed ? "" : (char *)b.data, "", false);
        tier__buf_fini(&b);
    }
}

/* ---- a pass ---- */
static void pass_init(struct tier__check *k)
{
    tier__buf_init(&k->scratch, k->a->base);
    tier__buf_init(&k->name, k->a->base);
    tier__buf_init(&k->suspects, k->a->base);
    tier__buf_init(&k->workspaces, k->a->base);
    tier__buf_init(&k->gaps, k->a->base);
}

static void pass_fini(struct tier__check *k)
{
    tier__buf_fini(&k->scratch);
    tier__buf_fini(&k->name);
    tier__buf_fini(&k->suspects);
    tier__buf_fini(&k->workspaces);
    tier__buf_fini(&k->gaps);
    tier__names_fini(k->a, &k->names);
    for (size_t i = 0; i < k->app_count; i++)
        tier__free(k->a->base, k->app[i].name);
    tier__free(k->a->base, k->app);
    tier__free(k->a->base, k->blob);
}

static int pass_rows(struct tier__check *k)
{
    k->report->records = k->report->files = 0; /* of the last pass */
    int rc = tier__check_scan(k);
    bool cut = rc == TIER_ETIMEOUT;
    if (cut)
        k->report->complete = 0;
    if (!rc || cut)
        rc = tier__check_workspaces(k); /* those that came meanwhile are known now */
    if (!rc)
        rc = k->repairing ? mend(k) : confirm(k);
    k->at = (struct tier__at){.store = k->a->store};
    if (!rc && !cut)
        rc = check_meta(k);
    if (!rc && !cut)
        tell_orphans(k);
    if (!rc && !cut && (k->flags & TIER_CHECK_SOURCES))
        rc = tier__check_sources(k);
    return rc;
}

static int pass(const struct tier__check *like, int number)
{
    struct tier__check k = *like;
    bool whole = false, empty;
    k.pass = number;
    int rc = tier__admin_begin(k.a, &empty);
    if (!rc && number == 0)
        rc = look_at_store(&k, &whole);
    if (!rc && !empty && !whole)
        rc = tier__admin_store(k.a, k.repairing);
    if (rc || empty || whole)
        return rc;
    pass_init(&k);
    rc = pass_rows(&k);
    pass_fini(&k);
    tier__admin_done(k.a);
    if (rc && rc != TIER_ECANCELED && !*k.a->detail)
        tier__admin_fail(k.a, rc, "%s: %s", k.a->profile->dir, tier_strerror(rc));
    return rc;
}

static bool begin(struct tier__check *k, tier_admin *a, const tier_check_options *o,
                  tier_check_report *report)
{
    static const tier_check_options none = TIER_INIT(tier_check_options);
    if (!a || a->magic != TIER__ADMIN_MAGIC || !report || report->struct_size < sizeof *report ||
        (o && (o->struct_size < sizeof *o || o->flags & ~3u || o->time_limit_ms < 0)))
        return false;
    memset(report, 0, sizeof *report);
    report->struct_size = sizeof *report;
    report->complete = 1;
    *k = (struct tier__check){.a = a, .report = report, .o = o ? o : &none, .flags = o ? o->flags : 0};
    if (o && o->time_limit_ms)
        k->stop_at = tier__monotonic_ms() + o->time_limit_ms;
    return true;
}

int tier_check(tier_admin *a, const tier_check_options *o, tier_check_report *report)
{
    struct tier__check k;
    return begin(&k, a, o, report) ? pass(&k, 0) : TIER_EINVAL;
}

int tier_repair(tier_admin *a, const tier_check_options *o, tier_check_report *report)
{
    struct tier__check k;
    if (!begin(&k, a, o, report))
        return TIER_EINVAL;
    k.repairing = true;
    k.flags |= TIER_CHECK_DATA;
    int rc = 0;
    uint64_t before = UINT64_MAX;
    for (int i = 0; i < PASSES && !rc && before != report->damage && report->complete; i++) {
        before = report->damage;
        rc = pass(&k, i);
    }
    return rc;
}
