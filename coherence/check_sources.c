/* check_sources.c - stat identities against the files themselves. A file that has the identity that is
 * remembered, and other bytes than its digest says, was written without its time stamps moving: through a
 * shared mapping, or by restoring a disk image. Nothing else can find that (DESIGN 2, outside I3). */
#include "coherence/admin.h"

struct source_scan {
    struct tier__check *k;
    tier_cache *cache;      /* memory only, over the workspace's root */
    struct tier__buf stale; /* key, record, in turn */
};

static bool is_stale(tier_cache *c, const char *key_path, const struct tier__stat_record *s)
{
    struct tier__statid id;
    tier_digest d;
    char kind;
    int rc;
    if (!tier__statid_settled(&s->id, s->observed_at))
        return false; /* no session trusts it */
    struct tier__path *p = tier__path_of(c, key_path, &rc);
    if (!p || tier__path_stat(c, p, false, &id, &kind) || kind != 'f' || !tier__statid_equal(&id, &s->id))
        return false;
    if (tier__path_digest(c, p, &d) || tier__digest_equal(&d, &s->digest))
        return false;
    return tier__path_stat(c, p, false, &id, &kind) == 0 && tier__statid_equal(&id, &s->id);
}

static int look_at_file(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct source_scan *s = user;
    struct tier__stat_record st;
    struct tier__check *k = s->k;
    const unsigned char *at = key;
    char path[TIER__KEY_MAX + 1];
    if (key_size <= TIER__WORKSPACE_KEY || memcmp(key, s->cache->workspace.byte, TIER__WORKSPACE_KEY) != 0 ||
        !tier__get_stat(data, size, &st) || at[TIER__WORKSPACE_KEY] == 0)
        return 0; /* a path too long for a key is known by its digest alone */
    size_t n = key_size - TIER__WORKSPACE_KEY;
    memcpy(path, at + TIER__WORKSPACE_KEY, n);
    path[n] = 0;
    if (k->stop_at && tier__monotonic_ms() >= k->stop_at)
        return TIER_ETIMEOUT;
    if (++k->report->files % 64 == 0) {
        int rc = tier__admin_progress(k->a, "reading files", k->report->files, 0);
        if (rc)
            return rc;
    }
    if (is_stale(s->cache, path, &st)) {
        tier__buf_bytes(&s->stale, key, key_size);
        tier__buf_bytes(&s->stale, data, size);
    }
    return s->stale.failed ? TIER_ENOMEM : 0;
}

static int tell_stale(struct tier__check *k, struct tier__reader *r, const char *root)
{
    struct tier__buf record;
    char where[600];
    size_t key_size, size;
    const unsigned char *key = tier__read_bytes(r, &key_size);
    const void *data = tier__read_bytes(r, &size);
    if (r->failed)
        return TIER_EDAMAGE;
    int n = (int)(key_size - TIER__WORKSPACE_KEY);
    const char *path = (const char *)key + TIER__WORKSPACE_KEY;
    snprintf(where, sizeof where, "%.*s", n, path);
    tier__buf_init(&record, k->a->base);
    tier__buf_put(&record, data, size);
    int rc = record.failed ? TIER_ENOMEM : 0;
    if (!rc && k->repairing)
        rc = tier__mend_stat(k, key, key_size, &record);
    tier__buf_fini(&record);
    tier__check_tell(k, tier__problem_of("stale-stat-identity"), where, root, k->repairing && !rc);
    return rc;
}

struct roots {
    struct tier__check *k;
    struct tier__buf list; /* digest, path, in turn */
};

static int met_root(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct roots *r = user;
    if (key_size != sizeof(tier_digest) || !size)
        return 0;
    tier__buf_put(&r->list, key, key_size);
    tier__buf_bytes(&r->list, data, size);
    tier__buf_u8(&r->list, 0);
    return r->list.failed ? TIER_ENOMEM : 0;
}

/* Of the root, if it is still the directory that it was. */
static int one_root(struct tier__check *k, const unsigned char *workspace, const char *path)
{
    tier_options o = TIER_INIT(tier_options);
    tier_root root = {"", path};
    struct source_scan s = {.k = k};
    o.app = "tiercheck";
    o.app_version = "1";
    o.dir = "";
    o.profile = k->a->profile->name;
    o.roots = &root;
    o.root_count = 1;
    int rc = tier_open(&o, &s.cache);
    if (rc)
        return rc == TIER_EINVAL ? 0 : rc; /* it is gone */
    tier__buf_init(&s.stale, k->a->base);
    if (memcmp(s.cache->workspace.byte, workspace, sizeof s.cache->workspace.byte) == 0)
        rc = tier__store_each(k->a->store, TIER__STAT, look_at_file, &s);
    if (rc == TIER_ETIMEOUT) {
        k->report->complete = 0;
        rc = 0;
    }
    tier_close(&s.cache);
    struct tier__reader r = tier__reader_of(s.stale.data, s.stale.size);
    while (!rc && r.at < r.end)
        rc = tell_stale(k, &r, path);
    tier__buf_fini(&s.stale);
    return rc;
}

int tier__check_sources(struct tier__check *k)
{
    struct roots roots = {.k = k};
    tier__buf_init(&roots.list, k->a->base);
    int rc = tier__store_each(k->a->store, TIER__WORKSPACE, met_root, &roots);
    struct tier__reader r = tier__reader_of(roots.list.data, roots.list.size);
    while (!rc && r.at < r.end && k->report->complete) {
        size_t n;
        const unsigned char *workspace = tier__read_raw(&r, sizeof(tier_digest));
        const char *path = tier__read_bytes(&r, &n);
        tier__read_u8(&r);
        rc = r.failed ? TIER_EDAMAGE : one_root(k, workspace, path);
    }
    tier__buf_fini(&roots.list);
    return rc;
}
