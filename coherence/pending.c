/* pending.c - results that wait for the next commit (flush.c), visible in this process: a list in the order
 * of their coming, and by content key for those who ask for their bytes. Guarded by world_lock. */
#include "coherence/manager.h"

enum {
    GROUP_COUNT = 16384, /* a commit costs a sync: 24,000 puts/s in groups of 1000, 499 one by one */
    GROUP_BYTES = 64 * 1024 * 1024
};

static struct tier__pending **bucket_of(tier_cache *c, const tier_digest *key)
{
    return &c->pending_by_key[tier__digest_word(key) % TIER__PENDING_BUCKETS];
}

bool tier__pending_enough(const tier_cache *c)
{
    return c->pending_count >= GROUP_COUNT || c->pending_bytes >= GROUP_BYTES;
}

bool tier__pending_add(tier_cache *c, tier__node *n, struct tier__built *b)
{
    if (!tier__stores(c))
        return false;
    struct tier__pending *p = tier__zalloc(&c->base, 1, sizeof *p);
    if (!p)
        return false; /* it stays in memory: no error of the cache is an error of the caller */
    p->node = n;
    p->variant = tier__variant_ref(b->variant);
    p->drop = b->instead ? b->instead->key : b->variant->key;
    tier__buf_init(&p->saved, &c->base);
    if (!b->variant->small) {
        p->saved = b->saved;
        tier__buf_init(&b->saved, &c->base);
    }
    if (b->variant->form == TIER__FORM_BYTES && b->entry && !b->variant->blob_stored && !b->variant->small)
        p->blob = tier__entry_ref(b->entry);
    if (b->variant->cheap && !b->variant->blob_stored)
        tier__count(&c->base, TIER__STORE_CHEAP, 1);
    pthread_mutex_lock(&c->world_lock);
    if (!c->pending) {
        c->pending_tail = &c->pending;
        c->pending_since = tier__monotonic_ms();
    }
    struct tier__pending **bucket = bucket_of(c, &p->variant->key);
    p->same = *bucket;
    *bucket = p;
    *c->pending_tail = p;
    c->pending_tail = &p->next;
    c->pending_count++;
    c->pending_bytes += p->saved.size + (p->blob ? p->blob->size : 0);
    bool enough = tier__pending_enough(c);
    pthread_mutex_unlock(&c->world_lock);
    if (enough)
        tier__pending_flush(c, true);
    return true;
}

bool tier__pending_has(tier_cache *c, const struct tier__variant *v)
{
    pthread_mutex_lock(&c->world_lock);
    const struct tier__pending *p = *bucket_of(c, &v->key);
    while (p && p->variant != v)
        p = p->same;
    pthread_mutex_unlock(&c->world_lock);
    return p != NULL;
}

tier__entry *tier__pending_blob(tier_cache *c, const tier_digest *key, struct tier__buf *saved)
{
    tier__entry *e = NULL;
    pthread_mutex_lock(&c->world_lock);
    for (struct tier__pending *p = *bucket_of(c, key); p; p = p->same)
        if (tier__digest_equal(&p->variant->key, key) && (p->blob || p->saved.size)) {
            if (p->blob)
                e = tier__entry_ref(p->blob);
            else
                tier__buf_put(saved, p->saved.data, p->saved.size);
            break;
        }
    pthread_mutex_unlock(&c->world_lock);
    return e;
}

static void pending_free(tier_cache *c, struct tier__pending *p)
{
    while (p) {
        struct tier__pending *next = p->next;
        tier__variant_unref(c, p->variant);
        tier__entry_unref(p->blob);
        tier__buf_fini(&p->saved);
        tier__free(&c->base, p);
        p = next;
    }
}

void tier__pending_drop(tier_cache *c)
{
    pending_free(c, c->pending);
    c->pending = NULL;
    memset(c->pending_by_key, 0, sizeof c->pending_by_key);
    c->pending_count = 0;
    c->pending_bytes = 0;
}

void tier__pending_done(tier_cache *c, struct tier__pending *list, struct tier__pending *last, size_t count)
{
    pthread_mutex_lock(&c->world_lock);
    if (last) {
        c->pending = last->next;
        last->next = NULL;
        c->pending_count -= count;
        for (struct tier__pending *p = list; p; p = p->next) {
            struct tier__pending **at = bucket_of(c, &p->variant->key);
            while (*at != p)
                at = &(*at)->same;
            *at = p->same;
            c->pending_bytes -= p->saved.size + (p->blob ? p->blob->size : 0);
        }
        if (!c->pending)
            c->pending_tail = &c->pending;
        c->pending_since = tier__monotonic_ms();
    }
    pthread_mutex_unlock(&c->world_lock);
    pending_free(c, list);
}
