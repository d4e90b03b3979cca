/* prune.c - tier_prune: what was not used for long goes, variants before whole requests; then what nothing
 * refers to.
 *
 * Values are listed before variants: a value that is listed and that no variant names afterwards is an
 * orphan, and one that comes meanwhile is not listed. Should another process store the same value again just
 * then, it loses it, which is a miss. Names and ids stay: a running program may be about to refer to them. */
#include "coherence/admin.h"
#include "coherence/sweep.h"
#include <stdlib.h>

enum { BATCH = 64 };

struct candidate { /* a variant on disk */
    tier_digest identity, key;
    int64_t used_ms;
    uint64_t size;
    bool newest, drop;
};
struct prune {
    tier_admin *a;
    const tier_prune_options *o;
    tier_prune_report *report;
    struct candidate *at;
    size_t count, capacity;
    struct tier__buf blobs; /* key, u64 size, in turn */
    struct tier__uses uses;
    uint64_t done;
};

static int step(struct prune *p, const char *what)
{
    return ++p->done % TIER__PROGRESS_EVERY ? 0 : tier__admin_progress(p->a, what, p->done, 0);
}

static int list_blob(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct prune *p = user;
    (void)data;
    if (key_size == sizeof(tier_digest)) {
        tier__buf_put(&p->blobs, key, key_size);
        tier__buf_u64(&p->blobs, size);
    }
    return p->blobs.failed ? TIER_ENOMEM : step(p, "listing values");
}

static int list_variants(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct prune *p = user;
    struct tier__request_record q;
    struct tier__variant_record d;
    struct tier__reader r = tier__reader_of(data, size);
    if (key_size != sizeof(tier_digest) || !tier__get_node(&r, &q))
        return 0;
    bool first = true;
    for (uint8_t left = tier__read_u8(&r); left && tier__get_variant(&r, &d); left--) {
        if (p->count == p->capacity) {
            size_t n = p->capacity ? p->capacity * 2 : 1024;
            struct candidate *grown = tier__resize(p->a->base, p->at, n * sizeof *grown);
            if (!grown)
                return TIER_ENOMEM;
            p->at = grown;
            p->capacity = n;
        }
        struct candidate *c = &p->at[p->count++];
        *c = (struct candidate){
            .key = d.key, .used_ms = tier__uses_of(&p->uses, &d.key), .size = d.small_size, .newest = first};
        if (c->used_ms < d.created_ms)
            c->used_ms = d.created_ms;
        memcpy(c->identity.byte, key, sizeof c->identity.byte);
        first = false;
    }
    return step(p, "listing results");
}

/* ---- which ones ---- */
static int by_key(const void *x, const void *y)
{
    return memcmp(((const struct candidate *)x)->key.byte, ((const struct candidate *)y)->key.byte, 32);
}
static int by_worth(const void *x, const void *y)
{
    const struct candidate *a = x, *b = y;
    if (a->newest != b->newest)
        return a->newest ? 1 : -1;
    return a->used_ms < b->used_ms ? -1 : a->used_ms > b->used_ms;
}
static int by_identity(const void *x, const void *y)
{
    const struct candidate *a = x, *b = y;
    int order = memcmp(a->identity.byte, b->identity.byte, sizeof a->identity.byte);
    return order ? order : by_key(x, y);
}

/* The first with that content key: a request by path and the one of its content share a value. */
static struct candidate *find_key(struct prune *p, const void *key)
{
    size_t low = 0, high = p->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (memcmp(p->at[mid].key.byte, key, sizeof p->at[mid].key.byte) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low < p->count && memcmp(p->at[low].key.byte, key, 32) == 0 ? &p->at[low] : NULL;
}

/* Whether any variant with that content key stays. */
static bool stays(struct prune *p, const void *key)
{
    struct candidate *c = find_key(p, key), *end = p->at + p->count;
    for (; c && c < end && memcmp(c->key.byte, key, sizeof c->key.byte) == 0; c++)
        if (!c->drop)
            return true;
    return false;
}

/* Sizes are those of the values on disk; a value that no variant names is an orphan. Sorted by key after it.
 */
static void weigh(struct prune *p, uint64_t *total)
{
    struct tier__reader r = tier__reader_of(p->blobs.data, p->blobs.size);
    if (p->count)
        qsort(p->at, p->count, sizeof *p->at, by_key);
    for (size_t i = 0; i < p->count; i++)
        *total += p->at[i].size; /* those that lie in their variant's record */
    while (r.at < r.end) {
        const void *key = tier__read_raw(&r, sizeof(tier_digest));
        uint64_t size = tier__read_u64(&r);
        struct candidate *c = find_key(p, key);
        if (c) {
            c->size = size;
            *total += size;
        } else {
            p->report->values++;
            p->report->bytes += size;
        }
    }
}

static void choose(struct prune *p)
{
    uint64_t total = 0;
    int64_t before = tier__now_ms() - p->o->older_than_ms;
    weigh(p, &total);
    for (size_t i = 0; i < p->count; i++)
        if (p->o->has_age && p->at[i].used_ms < before) {
            p->at[i].drop = true;
            total -= p->at[i].size;
        }
    if (p->count)
        qsort(p->at, p->count, sizeof *p->at, by_worth);
    for (size_t i = 0; i < p->count && p->o->max_bytes && total > p->o->max_bytes; i++)
        if (!p->at[i].drop && p->at[i].size) {
            p->at[i].drop = true;
            total -= p->at[i].size;
        }
    p->report->left_bytes = total;
    for (size_t i = 0; i < p->count; i++)
        if (p->at[i].drop) {
            p->report->variants++;
            p->report->values += p->at[i].size > 0;
            p->report->bytes += p->at[i].size;
        }
    if (p->count)
        qsort(p->at, p->count, sizeof *p->at, by_identity);
    for (size_t i = 0, end; i < p->count; i = end) {
        bool all = true;
        for (end = i; end < p->count && tier__digest_equal(&p->at[end].identity, &p->at[i].identity); end++)
            all &= p->at[end].drop;
        p->report->requests += all;
    }
}

/* ---- and away ---- */
static bool dropped(const struct candidate *c, size_t n, const tier_digest *key)
{
    for (size_t i = 0; i < n; i++)
        if (c[i].drop && tier__digest_equal(&c[i].key, key))
            return true;
    return false;
}

/* The record as it is now, without the n variants from c on that are to go. */
static int drop_variants(struct prune *p, tier__write *w, const struct candidate *c, size_t n)
{
    struct tier__buf old, b;
    struct tier__request_record q;
    struct tier__variant_record d;
    const unsigned char *id = c->identity.byte;
    uint8_t left = 0;
    tier__buf_init(&old, p->a->base);
    tier__buf_init(&b, p->a->base);
    int rc = tier__write_get(w, TIER__VARIANT, id, sizeof c->identity.byte, &old);
    struct tier__reader r = tier__reader_of(old.data, old.size);
    if (!rc && tier__get_node(&r, &q)) {
        tier__buf_put(&b, old.data, (size_t)(r.at - old.data));
        size_t count_at = b.size;
        tier__buf_u8(&b, 0);
        for (uint8_t i = tier__read_u8(&r); i && !rc && tier__get_variant(&r, &d); i--) {
            if (dropped(c, n, &d.key)) {
                rc = tier__write_del(w, TIER__ACCESS, d.key.byte, sizeof d.key.byte);
                continue;
            }
            tier__buf_put(&b, d.begin, d.size_on_disk);
            left++;
        }
        if (b.failed)
            rc = TIER_ENOMEM;
        else
            b.data[count_at] = left;
        if (!rc)
            rc = left ? tier__write_put(w, TIER__VARIANT, id, sizeof c->identity.byte, b.data, b.size, 0)
                      : tier__write_del(w, TIER__VARIANT, id, sizeof c->identity.byte);
    }
    tier__buf_fini(&old);
    tier__buf_fini(&b);
    return rc == TIER_EABSENT ? 0 : rc;
}

static int finish(tier__write **w, int rc)
{
    if (rc)
        tier__write_abort(w);
    else
        rc = tier__write_commit(w);
    return rc;
}

static int drop_all(struct prune *p)
{
    int rc = 0;
    for (size_t i = 0; i < p->count && !rc;) {
        tier__write *w;
        rc = tier__write_begin(p->a->store, &w);
        for (int batch = 0; !rc && i < p->count && batch < BATCH;) {
            size_t end = i;
            bool any = false;
            for (; end < p->count && tier__digest_equal(&p->at[end].identity, &p->at[i].identity); end++)
                any |= p->at[end].drop;
            if (any)
                rc = drop_variants(p, w, &p->at[i], end - i);
            batch += any;
            i = end;
        }
        rc = finish(&w, rc);
        if (!rc)
            rc = tier__admin_progress(p->a, "dropping results", i, p->count);
    }
    return rc;
}

static int drop_orphans(struct prune *p)
{
    struct tier__reader r = tier__reader_of(p->blobs.data, p->blobs.size);
    int rc = 0;
    if (p->count)
        qsort(p->at, p->count, sizeof *p->at, by_key);
    while (r.at < r.end && !rc) {
        tier__write *w;
        rc = tier__write_begin(p->a->store, &w);
        for (int batch = 0; !rc && r.at < r.end && batch < BATCH;) {
            const void *key = tier__read_raw(&r, sizeof(tier_digest));
            tier__read_u64(&r);
            if (stays(p, key))
                continue;
            rc = tier__write_del(w, TIER__BLOB, key, sizeof(tier_digest));
            batch++;
        }
        rc = finish(&w, rc);
    }
    return rc;
}

/* ---- lists of leaves ---- */
static int list_leaves(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct tier__buf *keys = user;
    (void)data;
    (void)size;
    tier__buf_bytes(keys, key, key_size);
    return keys->failed ? TIER_ENOMEM : 0;
}

/* Unused, unreadable, or of a variant that is going. */
static bool leaves_idle(struct prune *p, struct tier__check *k, const unsigned char *key, size_t key_size)
{
    struct tier__buf b;
    tier_digest variant;
    tier__buf_init(&b, p->a->base);
    bool idle = tier__at_get(&k->at, TIER__CLOSURE, key, key_size, &b) == 0;
    enum tier__below below =
        idle && key_size == TIER__CLOSURE_KEY
            ? tier__closure_read((char)key[TIER__CLOSURE_KEY - 1], b.data, b.size, &variant)
            : TIER__BELOW_OLD;
    if (below == TIER__BELOW_SOUND) {
        const struct candidate *c = find_key(p, variant.byte);
        idle = (c && c->drop) || !tier__closure_used(k, key + TIER__WORKSPACE_KEY, &variant);
    }
    tier__buf_fini(&b);
    return idle;
}

static int drop_leaves(struct prune *p)
{
    struct tier__buf keys;
    struct tier__check k = {.a = p->a, .at = {.store = p->a->store}};
    tier__buf_init(&keys, p->a->base);
    tier__buf_init(&k.scratch, p->a->base);
    int rc = tier__store_each(p->a->store, TIER__CLOSURE, list_leaves, &keys);
    struct tier__reader r = tier__reader_of(keys.data, keys.size);
    if (p->count)
        qsort(p->at, p->count, sizeof *p->at, by_key);
    while (r.at < r.end && !rc) {
        size_t n;
        const void *key = tier__read_bytes(&r, &n);
        if (!leaves_idle(p, &k, key, n))
            continue;
        p->report->leaf_lists++;
        if (p->o->dry_run)
            continue;
        tier__write *w;
        rc = tier__write_begin(p->a->store, &w);
        if (!rc)
            rc = tier__write_del(w, TIER__CLOSURE, key, n);
        rc = finish(&w, rc);
    }
    tier__buf_fini(&keys);
    tier__buf_fini(&k.scratch);
    return rc;
}

static int run(struct prune *p)
{
    int rc = tier__uses_load(&p->uses, p->a->base, p->a->store, NULL);
    if (!rc)
        rc = tier__store_each(p->a->store, TIER__BLOB, list_blob, p);
    if (!rc)
        rc = tier__store_each(p->a->store, TIER__VARIANT, list_variants, p);
    if (!rc) {
        choose(p);
        rc = drop_leaves(p); /* dependents first */
    }
    if (!rc && p->count)
        qsort(p->at, p->count, sizeof *p->at, by_identity);
    if (!rc && !p->o->dry_run)
        rc = drop_all(p);
    if (!rc && !p->o->dry_run)
        rc = drop_orphans(p);
    return rc;
}

static void count_aside(void *user, const char *name, uint64_t bytes, const char *other)
{
    struct prune *p = user;
    if (other) {
        tier__log(p->a->base, TIER_LOG_WARNING, "%s/%s holds %s, which is no file of ours: it stays",
                  p->a->profile->dir, name, *other ? other : "what cannot be read");
        return;
    }
    p->report->aside++;
    p->report->aside_bytes += bytes;
}

int tier_prune(tier_admin *a, const tier_prune_options *o, tier_prune_report *report)
{
    if (!a || a->magic != TIER__ADMIN_MAGIC || !o || o->struct_size < sizeof *o || !report ||
        report->struct_size < sizeof *report || o->older_than_ms < 0)
        return TIER_EINVAL;
    memset(report, 0, sizeof *report);
    report->struct_size = sizeof *report;
    struct prune p = {.a = a, .o = o, .report = report};
    tier__buf_init(&p.blobs, a->base);
    int rc = tier__admin_store(a, false); /* opened for writing, a damaged store is moved aside: repair's */
    if (!rc && !o->dry_run) {
        tier__admin_done(a);
        rc = tier__admin_store(a, true);
    }
    if (!rc)
        rc = run(&p);
    if (!rc)
        rc = tier__aside_each(a, !o->dry_run, count_aside, &p);
    report->file_bytes = a->store ? tier__store_bytes(a->store) : 0;
    tier__buf_fini(&p.blobs);
    if (p.uses.base)
        tier__uses_fini(&p.uses);
    tier__free(a->base, p.at);
    tier__admin_done(a);
    if (rc && !*a->detail)
        tier__admin_fail(a, rc, "%s: %s", a->profile->dir, tier_strerror(rc));
    return rc;
}
