/* repair.c - what is done about each problem (I13): records are deleted, variants dropped from theirs, rows
 * that follow from others written anew. All inside the store, all in the transaction that judged them. */
#include "coherence/admin.h"

static bool has(const struct tier__verdict *v, const char *code, int variant)
{
    for (unsigned i = 0; i < v->count; i++)
        if (strcmp(v->blame[i].problem->code, code) == 0 && v->blame[i].variant == variant)
            return true;
    return false;
}

static bool any_damage(const struct tier__verdict *v)
{
    for (unsigned i = 0; i < v->count; i++)
        if (v->blame[i].problem->severity == TIER__DAMAGE)
            return true;
    return false;
}

/* The record without the variants that are damaged, in b; a wrong value goes, its variant stays. */
static int rewrite(struct tier__check *k, const struct tier__verdict *v, const struct tier__buf *old,
                   struct tier__buf *b, int *left)
{
    struct tier__reader r = tier__reader_of(old->data, old->size);
    struct tier__request_record q;
    struct tier__variant_record d;
    int rc = tier__get_node(&r, &q) ? 0 : TIER_EDAMAGE;
    tier__buf_put(b, old->data, (size_t)(r.at - old->data));
    size_t count_at = b->size;
    tier__buf_u8(b, 0);
    int count = tier__read_u8(&r);
    *left = 0;
    for (int i = 0; !rc && i < count && tier__get_variant(&r, &d); i++) {
        bool drop = has(v, "variant-edge", i) || has(v, "variant-sum", i);
        if (has(v, "blob-hash", i))
            rc = tier__write_del(k->at.write, TIER__BLOB, d.key.byte, sizeof d.key.byte);
        if (!drop) {
            tier__buf_put(b, d.begin, d.size_on_disk);
            ++*left;
        }
    }
    if (!rc && b->failed)
        rc = TIER_ENOMEM;
    if (!rc)
        b->data[count_at] = (unsigned char)*left;
    return rc;
}

static int mend_variants(struct tier__check *k, const struct tier__verdict *v)
{
    struct tier__buf old, b;
    int left = 0, rc = 0;
    if (has(v, "variant-record", -1) || has(v, "variant-identity", -1))
        return tier__write_del(k->at.write, TIER__VARIANT, v->key, v->key_size);
    tier__buf_init(&old, k->a->base);
    tier__buf_init(&b, k->a->base);
    rc = tier__write_get(k->at.write, TIER__VARIANT, v->key, v->key_size, &old);
    if (!rc)
        rc = rewrite(k, v, &old, &b, &left);
    if (!rc && left == 0)
        rc = tier__write_del(k->at.write, TIER__VARIANT, v->key, v->key_size);
    else if (!rc && (b.size != old.size))
        rc = tier__write_put(k->at.write, TIER__VARIANT, v->key, v->key_size, b.data, b.size, 0);
    tier__buf_fini(&old);
    tier__buf_fini(&b);
    return rc;
}

static int mend_name(struct tier__check *k, const struct tier__verdict *v)
{
    struct tier__name_record n;
    tier_digest key;
    bool doomed;
    uint32_t id = tier__id_of_key(v->key, v->key_size);
    if (!has(v, "name-unlisted", -1))
        return tier__write_del(k->at.write, TIER__NAME, v->key, v->key_size);
    if (!tier__check_name(k, id, &n, &doomed))
        return 0;
    tier__name_key(&n, &key);
    struct tier__buf b;
    tier__buf_init(&b, k->a->base);
    tier__buf_u32(&b, id);
    int rc = b.failed ? TIER_ENOMEM
                      : tier__write_put(k->at.write, TIER__ID, key.byte, sizeof key.byte, b.data, b.size, 0);
    tier__buf_fini(&b);
    return rc;
}

/* A row of the log that invalidates everything born before it: the only safe reading of a lost one. */
static int put_everything(struct tier__check *k, const void *key)
{
    struct tier__buf b;
    tier__buf_init(&b, k->a->base);
    tier__buf_u8(&b, 0);
    tier__buf_str(&b, "");
    int rc = b.failed ? TIER_ENOMEM : tier__write_put(k->at.write, TIER__LOG, key, 8, b.data, b.size, 0);
    tier__buf_fini(&b);
    return rc;
}

int tier__mend(struct tier__check *k, const struct tier__verdict *v)
{
    if (!any_damage(v))
        return 0;
    switch (v->table) {
    case TIER__VARIANT:
        return mend_variants(k, v);
    case TIER__NAME:
        return mend_name(k, v);
    case TIER__LOG:
        return v->key_size == 8 ? put_everything(k, v->key)
                                : tier__write_del(k->at.write, TIER__LOG, v->key, v->key_size);
    default:
        return tier__write_del(k->at.write, v->table, v->key, v->key_size);
    }
}

/* ---- what concerns all records ---- */
static int raise(struct tier__check *k, const char *name, size_t size, uint64_t least)
{
    bool there;
    struct tier__buf b;
    uint64_t now = tier__check_counter(k, name, size, &there);
    if (there && now >= least)
        return 0;
    tier__buf_init(&b, k->a->base);
    if (size == 8)
        tier__buf_u64(&b, least);
    else
        tier__buf_u32(&b, (uint32_t)least);
    int rc = b.failed ? TIER_ENOMEM
                      : tier__write_put(k->at.write, TIER__META, name, strlen(name), b.data, b.size, 0);
    tier__buf_fini(&b);
    return rc;
}

static int mend_gaps(struct tier__check *k)
{
    struct tier__reader r = tier__reader_of(k->gaps.data, k->gaps.size);
    int rc = 0;
    while (!rc && r.at < r.end) {
        unsigned char key[8];
        uint64_t sequence = tier__read_u64(&r);
        for (int i = 0; i < 8; i++)
            key[i] = (unsigned char)(sequence >> (56 - 8 * i));
        if (!tier__at_has(k->a, &k->at, TIER__LOG, key, sizeof key))
            rc = put_everything(k, key);
    }
    return rc;
}

int tier__mend_meta(struct tier__check *k, uint32_t max_id, uint64_t sequence)
{
    int rc = tier__write_begin(k->a->store, &k->at.write);
    if (!rc && max_id)
        rc = raise(k, "next_id", 4, (uint64_t)max_id + 1);
    if (!rc && max_id) /* says that there were names, should the counter be lost */
        rc = tier__write_put(k->at.write, TIER__META, "names", 5, "1", 1, 0);
    if (!rc && sequence)
        rc = raise(k, "sequence", 8, sequence);
    if (!rc)
        rc = mend_gaps(k);
    if (rc)
        tier__write_abort(&k->at.write);
    else
        rc = tier__write_commit(&k->at.write);
    return rc;
}

/* ---- stat identities that vouch for bytes that are gone ---- */
struct leaf_keys {
    const void *workspace;
    struct tier__buf keys;
};

static int leaf_key(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct leaf_keys *l = user;
    (void)data;
    (void)size;
    if (key_size >= TIER__WORKSPACE_KEY && memcmp(key, l->workspace, TIER__WORKSPACE_KEY) == 0)
        tier__buf_bytes(&l->keys, key, key_size);
    return l->keys.failed ? TIER_ENOMEM : 0;
}

int tier__mend_stat(struct tier__check *k, const void *key, size_t key_size, const struct tier__buf *record)
{
    struct leaf_keys l = {.workspace = key};
    struct tier__buf now;
    tier__buf_init(&l.keys, k->a->base);
    tier__buf_init(&now, k->a->base);
    int rc = tier__store_each(k->a->store, TIER__CLOSURE, leaf_key, &l);
    if (!rc)
        rc = tier__write_begin(k->a->store, &k->at.write);
    struct tier__reader r = tier__reader_of(l.keys.data, l.keys.size);
    while (!rc && r.at < r.end) {
        size_t n;
        const void *leaves = tier__read_bytes(&r, &n);
        rc = tier__write_del(k->at.write, TIER__CLOSURE, leaves, n);
    }
    if (!rc && tier__write_get(k->at.write, TIER__STAT, key, key_size, &now) == 0 &&
        now.size == record->size && memcmp(now.data, record->data, now.size) == 0)
        rc = tier__write_del(k->at.write, TIER__STAT, key, key_size);
    if (!rc)
        rc = tier__write_commit(&k->at.write);
    else
        tier__write_abort(&k->at.write);
    tier__buf_fini(&l.keys);
    tier__buf_fini(&now);
    return rc;
}
