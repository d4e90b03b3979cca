/* check_rows.c - the small tables: workspaces, stat identities, invalidations, lists of leaves. */
#include "coherence/admin.h"

static void judge_workspace(const void *data, size_t size, struct tier__verdict *v)
{
    const char *path = data;
    snprintf(v->where, sizeof v->where, "workspace %.*s", (int)(size < 200 ? size : 200), path ? path : "");
    if (v->key_size != sizeof(tier_digest) || !size || path[0] != '/' || memchr(path, 0, size))
        tier__blame(v, "workspace-record", -1, "%zu bytes", size);
}

/* A key of stat identities and leaves begins with half a workspace's digest: its record is the first at or
 * behind that. */
static int met_workspace(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct tier__buf *all = user;
    (void)data;
    (void)size;
    if (key_size >= TIER__WORKSPACE_KEY)
        tier__buf_put(all, key, TIER__WORKSPACE_KEY);
    return all->failed ? TIER_ENOMEM : 0;
}

int tier__check_workspaces(struct tier__check *k)
{
    tier__buf_clear(&k->workspaces);
    return tier__store_each(k->at.store, TIER__WORKSPACE, met_workspace, &k->workspaces);
}

static bool workspace_known(const struct tier__check *k, const unsigned char *key)
{
    for (size_t i = 0; i + TIER__WORKSPACE_KEY <= k->workspaces.size; i += TIER__WORKSPACE_KEY)
        if (memcmp(k->workspaces.data + i, key, TIER__WORKSPACE_KEY) == 0)
            return true;
    return false;
}

static void judge_stat(struct tier__check *k, const void *data, size_t size, struct tier__verdict *v)
{
    struct tier__stat_record s;
    int n = (int)v->key_size - TIER__WORKSPACE_KEY;
    const char *path = (const char *)v->key + TIER__WORKSPACE_KEY;
    bool is_long = n > 5 && path[0] == 0;
    snprintf(v->where, sizeof v->where, "stat identity of %.*s", n > 0 && !is_long ? n : 11,
             n > 0 && !is_long ? path : "a long path");
    if (n < 0 || !tier__get_stat(data, size, &s)) {
        tier__blame(v, "stat-record", -1, "%zu bytes", size);
        return;
    }
    if (!workspace_known(k, v->key))
        tier__blame(v, "stat-workspace", -1, "%s", "");
}

static void judge_log(const void *data, size_t size, struct tier__verdict *v)
{
    struct tier__reader r = tier__reader_of(data, size);
    uint64_t sequence = 0;
    size_t n = 0;
    for (size_t i = 0; i < v->key_size && i < 8; i++)
        sequence = sequence << 8 | v->key[i];
    snprintf(v->where, sizeof v->where, "invalidation %llu", (unsigned long long)sequence);
    uint8_t by = tier__read_u8(&r);
    const char *what = tier__read_bytes(&r, &n);
    if (v->key_size != 8 || r.failed || r.at != r.end || by > TIER__BAN_BY_MAX || (by && !n) ||
        (n && memchr(what, 0, n)))
        tier__blame(v, "log-record", -1, "%zu bytes", size);
}

/* ---- what lies below a result: the encoding is described in closure.h ---- */
enum { LEAF_SIZE = 5 * 8 + 4 + 8 };

static bool skip_name(struct tier__reader *r)
{
    size_t n;
    const char *s = tier__read_bytes(r, &n);
    if (!s || tier__read_u8(r) != 0 || memchr(s, 0, n))
        r->failed = true;
    return !r->failed;
}

static void skip_dependency(struct tier__reader *r, bool fields)
{
    size_t n;
    uint8_t kind = tier__read_u8(r);
    if (kind < TIER__K_CONTENT || kind > TIER__K_TOOL)
        r->failed = true;
    tier__read_u8(r); /* has a path */
    if (fields)
        tier__read_u32(r);
    skip_name(r);
    tier__read_bytes(r, &n);
    tier__read_raw(r, sizeof(tier_digest));
}

static bool leaves_sound(struct tier__reader *r)
{
    for (uint32_t groups = tier__read_u32(r); groups && !r->failed; groups--) {
        skip_name(r);
        uint8_t own = tier__read_u8(r);
        if (own > 1)
            r->failed = true;
        if (own)
            tier__read_raw(r, LEAF_SIZE);
        for (uint32_t leaves = tier__read_u32(r); leaves && !r->failed; leaves--) {
            tier__read_raw(r, LEAF_SIZE);
            skip_name(r);
        }
    }
    for (uint32_t generic = tier__read_u32(r); generic && !r->failed; generic--)
        skip_dependency(r, false);
    return !r->failed && r->at == r->end;
}

static bool graph_sound(struct tier__reader *r)
{
    uint32_t dependencies = tier__read_u32(r);
    for (uint32_t i = 0; i < dependencies && !r->failed; i++) {
        skip_dependency(r, true);
        tier__read_raw(r, (size_t)tier__read_u32(r) * 4);
    }
    uint32_t results = tier__read_u32(r);
    for (uint32_t i = 0; i < results && !r->failed; i++) {
        tier__read_raw(r, 3 * sizeof(tier_digest));
        for (uint32_t edges = tier__read_u32(r); edges && !r->failed; edges--) {
            uint32_t e = tier__read_u32(r);
            if ((e & ~TIER__LEAF_EDGE) >= (e & TIER__LEAF_EDGE ? dependencies : results))
                r->failed = true;
        }
    }
    return results && !r->failed && r->at == r->end;
}

enum tier__below tier__closure_read(char part, const void *data, size_t size, tier_digest *key)
{
    struct tier__reader r = tier__reader_of(data, size);
    uint8_t format = tier__read_u8(&r);
    const void *digest = tier__read_raw(&r, sizeof key->byte);
    if (!r.failed && format < TIER__CLOSURE_FORMAT)
        return TIER__BELOW_OLD;
    size_t types = 0;
    if (part == 'l') {
        tier__read_raw(&r, 24); /* sequence of bans, number of replacements, expiry */
        tier__read_bytes(&r, &types);
    }
    bool sound = !r.failed && format == TIER__CLOSURE_FORMAT && types % sizeof key->byte == 0 &&
                 (part == 'l' ? leaves_sound(&r) : part == 'g' && graph_sound(&r));
    if (!sound)
        return TIER__BELOW_BAD;
    memcpy(key->byte, digest, sizeof key->byte);
    return TIER__BELOW_SOUND;
}

/* Whether the request still has the variant with that content key. */
bool tier__closure_used(struct tier__check *k, const unsigned char *identity, const tier_digest *key)
{
    struct tier__request_record q;
    struct tier__variant_record d;
    bool found = false;
    if (tier__at_get(&k->at, TIER__VARIANT, identity, sizeof key->byte, &k->scratch))
        return false;
    struct tier__reader r = tier__reader_of(k->scratch.data, k->scratch.size);
    if (tier__get_node(&r, &q))
        for (uint8_t left = tier__read_u8(&r); left && !found && tier__get_variant(&r, &d); left--)
            found = tier__digest_equal(&d.key, key);
    return found;
}

void tier__judge_closure(struct tier__check *k, const void *data, size_t size, struct tier__verdict *v)
{
    tier_digest key;
    struct tier__buf text;
    const unsigned char *identity = v->key + TIER__WORKSPACE_KEY;
    bool is_key = v->key_size == TIER__CLOSURE_KEY;
    enum tier__below below =
        tier__closure_read(is_key ? (char)v->key[TIER__CLOSURE_KEY - 1] : 0, data, size, &key);
    tier__buf_init(&text, k->a->base);
    tier__hex(identity, 8, &text);
    snprintf(v->where, sizeof v->where, "below request %s", text.failed ? "" : (char *)text.data);
    tier__buf_fini(&text);
    if (below == TIER__BELOW_BAD)
        tier__blame(v, "closure-record", -1, "%zu bytes", size);
    else if (below == TIER__BELOW_OLD)
        tier__blame(v, "closure-idle", -1, "of an older format");
    else if (!tier__closure_used(k, identity, &key))
        tier__blame(v, "closure-idle", -1, "%s", "");
}

/* ---- any record ---- */
void tier__judge(struct tier__check *k, enum tier__table t, const void *key, size_t key_size,
                 const void *data, size_t size, struct tier__verdict *v)
{
    memset(v, 0, offsetof(struct tier__verdict, blame));
    v->table = t;
    v->key_size = key_size < sizeof v->key ? key_size : sizeof v->key;
    memcpy(v->key, key, v->key_size);
    switch (t) {
    case TIER__WORKSPACE:
        judge_workspace(data, size, v);
        break;
    case TIER__STAT:
        judge_stat(k, data, size, v);
        break;
    case TIER__ID:
        tier__judge_id(k, data, size, v);
        break;
    case TIER__NAME:
        tier__judge_name(k, data, size, v);
        break;
    case TIER__VARIANT:
        tier__judge_variants(k, data, size, v);
        break;
    case TIER__CLOSURE:
        tier__judge_closure(k, data, size, v);
        break;
    case TIER__LOG:
        judge_log(data, size, v);
        break;
    case TIER__BLOB:
        snprintf(v->where, sizeof v->where, "value");
        if (key_size != sizeof(tier_digest) || size < sizeof(tier_digest))
            tier__blame(v, "blob-record", -1, "%zu bytes", size);
        break;
    default: /* meta is judged as a whole; access and history hold nothing that others rely on */
        break;
    }
}
