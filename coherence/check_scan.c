/* check_scan.c - one pass over every record: suspects are gathered while others may be writing; see admin.h.
 */
#include "coherence/admin.h"
#include "coherence/sweep.h"

static int tick(struct tier__check *k)
{
    if (++k->done % TIER__PROGRESS_EVERY)
        return 0;
    if (k->stop_at && tier__monotonic_ms() >= k->stop_at)
        return TIER_ETIMEOUT;
    return tier__admin_progress(k->a, k->what, k->done, 0);
}

static int suspect(struct tier__check *k, enum tier__table t, const void *key, size_t key_size)
{
    tier__buf_u8(&k->suspects, (uint8_t)t);
    tier__buf_bytes(&k->suspects, key, key_size);
    return k->suspects.failed ? TIER_ENOMEM : 0;
}

struct scan {
    struct tier__check *k;
    enum tier__table t;
    struct tier__verdict v;
};

static int scan_record(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct scan *s = user;
    struct tier__check *k = s->k;
    int rc = tick(k);
    if (rc)
        return rc;
    k->report->records++;
    tier__judge(k, s->t, key, key_size, data, size, &s->v);
    if (k->out_of_memory)
        return TIER_ENOMEM;
    return s->v.count ? suspect(k, s->t, key, key_size) : 0;
}

/* ---- values ---- */
static int blobs_grow(struct tier__check *k)
{
    size_t old_size = k->blob_size;
    struct tier__blob_slot *old = k->blob;
    size_t n = old_size ? old_size * 2 : 1024;
    struct tier__blob_slot *grown = tier__zalloc(k->a->base, n, sizeof *grown);
    if (!grown)
        return TIER_ENOMEM;
    k->blob = grown;
    k->blob_size = n;
    for (size_t i = 0; i < old_size; i++)
        if (old[i].taken)
            *tier__check_blob(k, &old[i].key) = old[i];
    tier__free(k->a->base, old);
    return 0;
}

static int scan_blob(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct scan *s = user;
    struct tier__check *k = s->k;
    tier_digest d;
    int rc = scan_record(user, key, key_size, data, size);
    if (rc || s->v.count)
        return rc;
    if (2 * k->blob_count >= k->blob_size && (rc = blobs_grow(k)))
        return rc;
    memcpy(d.byte, key, sizeof d.byte);
    struct tier__blob_slot *slot = tier__check_blob(k, &d);
    k->blob_count += !slot->taken;
    *slot = (struct tier__blob_slot){.key = d, .taken = true};
    memcpy(slot->hash.byte, (const char *)data + size - sizeof d.byte, sizeof d.byte);
    return 0;
}

/* ---- invalidations: rows 1 to the counter, all of them ---- */
static uint64_t counter(const struct tier__at *at, tier_admin *a, const char *name, size_t want, bool *there)
{
    struct tier__buf b;
    uint64_t value = 0;
    tier__buf_init(&b, a->base);
    *there = tier__at_get(at, TIER__META, name, strlen(name), &b) == 0 && b.size == want;
    if (*there) {
        struct tier__reader r = tier__reader_of(b.data, b.size);
        value = want == 8 ? tier__read_u64(&r) : tier__read_u32(&r);
    }
    tier__buf_fini(&b);
    return value;
}

uint64_t tier__check_counter(const struct tier__check *k, const char *name, size_t size, bool *there)
{
    return counter(&k->at, k->a, name, size, there);
}

static int scan_log(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct scan *s = user;
    struct tier__check *k = s->k;
    uint64_t sequence = 0;
    int rc = scan_record(user, key, key_size, data, size);
    if (rc || key_size != 8)
        return rc;
    for (size_t i = 0; i < 8; i++)
        sequence = sequence << 8 | ((const unsigned char *)key)[i];
    for (uint64_t at = k->log_last + 1; at < sequence && at - k->log_last <= TIER__GAPS_MAX; at++)
        tier__buf_u64(&k->gaps, at);
    if (sequence > k->log_last)
        k->log_last = sequence;
    return k->gaps.failed ? TIER_ENOMEM : 0;
}

static int scan_table(struct tier__check *k, enum tier__table t, const char *what,
                      int (*each)(void *user, const void *key, size_t key_size, const void *data,
                                  size_t size))
{
    struct scan *s = tier__zalloc(k->a->base, 1, sizeof *s);
    if (!s)
        return TIER_ENOMEM;
    s->k = k;
    s->t = t;
    k->what = what;
    int rc = tier__store_each(k->at.store, t, each, s);
    tier__free(k->a->base, s);
    return rc;
}

static int scan_names(struct tier__check *k)
{
    struct scan *s = tier__zalloc(k->a->base, 1, sizeof *s);
    unsigned char key[4];
    int rc = s ? 0 : TIER_ENOMEM;
    k->what = "reading names";
    for (size_t i = 0; !rc && i < k->names.count; i++) {
        struct tier__name_entry *e = &k->names.entry[i];
        s->k = k;
        s->t = TIER__NAME;
        rc = scan_record(s, key, tier__id_key(e->id, key), k->names.raw.data + e->at, e->size);
        for (unsigned n = 0; !rc && n < s->v.count; n++)
            e->doomed |= strcmp(s->v.blame[n].problem->code, "name-unlisted") != 0;
        k->max_id = e->id;
    }
    tier__free(k->a->base, s);
    return rc;
}

int tier__check_scan(struct tier__check *k)
{
    bool there;
    k->from_index = true;
    k->at = (struct tier__at){.store = k->a->store};
    int rc = tier__names_load(k->a, &k->names);
    if (!rc)
        rc = tier__check_workspaces(k);
    if (!rc)
        rc = scan_names(k);
    if (!rc)
        rc = scan_table(k, TIER__ID, "reading ids", scan_record);
    if (!rc)
        rc = scan_table(k, TIER__WORKSPACE, "reading workspaces", scan_record);
    if (!rc)
        rc = scan_table(k, TIER__STAT, "reading stat identities", scan_record);
    uint64_t sequence = tier__check_counter(k, "sequence", 8, &there);
    k->log_last = tier__log_tail(k->a->store, k->a->base);
    if (!rc)
        rc = scan_table(k, TIER__LOG, "reading invalidations", scan_log);
    for (uint64_t at = k->log_last + 1; !rc && at <= sequence && at - k->log_last <= TIER__GAPS_MAX; at++)
        tier__buf_u64(&k->gaps, at);
    /* Values first: one whose variant comes later only goes unnoticed; the other way it would seem orphaned.
     */
    if (!rc && (k->flags & TIER_CHECK_DATA))
        rc = scan_table(k, TIER__BLOB, "reading values", scan_blob);
    if (!rc)
        rc = scan_table(k, TIER__VARIANT, "reading what is remembered", scan_record);
    if (!rc)
        rc = scan_table(k, TIER__CLOSURE, "reading lists of leaves", scan_record);
    k->from_index = false;
    return rc;
}
