/* uses.c - when what the disk holds was last used, and what may go. See sweep.h. */
#include "coherence/closure.h"
#include "coherence/sweep.h"

static uint64_t word_of(const unsigned char *key)
{
    uint64_t word;
    memcpy(&word, key, sizeof word);
    return word ? word : 1;
}

static struct tier__use *slot_of(struct tier__uses *u, uint64_t key)
{
    size_t i = (size_t)(key * 0x9e3779b97f4a7c15u) & (u->size - 1);
    while (u->at[i].key && u->at[i].key != key)
        i = (i + 1) & (u->size - 1);
    return &u->at[i];
}

static bool grow(struct tier__uses *u)
{
    struct tier__uses n = {.size = u->size ? u->size * 2 : 1024};
    if (!(n.at = tier__zalloc(u->base, n.size, sizeof *n.at)))
        return false;
    for (size_t i = 0; i < u->size; i++)
        if (u->at[i].key)
            *slot_of(&n, u->at[i].key) = u->at[i];
    tier__free(u->base, u->at);
    u->at = n.at;
    u->size = n.size;
    return true;
}

static int get(struct tier__uses *u, enum tier__table t, const void *key, size_t size)
{
    return u->w ? tier__write_get(u->w, t, key, size, &u->scratch)
                : tier__store_get(u->store, NULL, t, key, size, &u->scratch);
}

static int64_t noted(struct tier__uses *u, const unsigned char *key)
{
    if (get(u, TIER__ACCESS, key, sizeof(tier_digest)) || u->scratch.size != 8)
        return INT64_MIN;
    struct tier__reader r = tier__reader_of(u->scratch.data, u->scratch.size);
    return (int64_t)tier__read_u64(&r);
}

int64_t tier__uses_of(struct tier__uses *u, const tier_digest *key)
{
    int64_t own = noted(u, key->byte);
    const struct tier__use *above = u->size ? slot_of(u, word_of(key->byte)) : NULL;
    return above && above->key && above->used_ms > own ? above->used_ms : own;
}

/* The graph's dependencies are skipped: results follow them. */
static bool skip_dependencies(struct tier__reader *r)
{
    for (uint32_t left = tier__read_u32(r); left && !r->failed; left--) {
        size_t n;
        tier__read_raw(r, 6);
        tier__closure_name(r);
        tier__read_bytes(r, &n);
        tier__read_raw(r, sizeof(tier_digest));
        uint32_t anchors = tier__read_u32(r);
        tier__read_raw(r, (size_t)anchors * 4);
    }
    return !r->failed;
}

/* The results of a closure whose root was used: they were, then. */
static int add_results(struct tier__uses *u, struct tier__reader r, int64_t used_ms)
{
    for (uint32_t left = skip_dependencies(&r) ? tier__read_u32(&r) : 0; left && !r.failed; left--) {
        tier__read_raw(&r, sizeof(tier_digest));
        const unsigned char *key = tier__read_raw(&r, sizeof(tier_digest));
        tier__read_raw(&r, sizeof(tier_digest));
        uint32_t edges = tier__read_u32(&r);
        tier__read_raw(&r, (size_t)edges * 4);
        if (r.failed)
            break;
        if (2 * u->count >= u->size && !grow(u))
            return TIER_ENOMEM;
        struct tier__use *at = slot_of(u, word_of(key));
        u->count += !at->key;
        at->used_ms = at->key && at->used_ms > used_ms ? at->used_ms : used_ms;
        at->key = word_of(key);
    }
    return 0;
}

static int list_graphs(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct tier__buf *keys = user;
    (void)data;
    (void)size;
    if (key_size == TIER__CLOSURE_KEY && ((const char *)key)[TIER__CLOSURE_KEY - 1] == 'g')
        tier__buf_put(keys, key, key_size);
    return keys->failed ? TIER_ENOMEM : 0;
}

int tier__uses_load(struct tier__uses *u, struct tier__base *base, tier__store *store, tier__write *w)
{
    struct tier__buf keys, graph;
    *u = (struct tier__uses){.base = base, .store = store, .w = w};
    tier__buf_init(&u->scratch, base);
    tier__buf_init(&keys, base);
    int rc = tier__store_each(store, TIER__CLOSURE, list_graphs, &keys);
    for (size_t at = 0; at < keys.size && !rc; at += TIER__CLOSURE_KEY) {
        if (get(u, TIER__CLOSURE, keys.data + at, TIER__CLOSURE_KEY))
            continue; /* gone meanwhile */
        graph = u->scratch;
        tier__buf_init(&u->scratch, base);
        struct tier__reader r = tier__reader_of(graph.data, graph.size);
        uint8_t format = tier__read_u8(&r);
        const unsigned char *root = tier__read_raw(&r, sizeof(tier_digest));
        int64_t used_ms = root ? noted(u, root) : INT64_MIN;
        if (root && format == TIER__CLOSURE_FORMAT && used_ms != INT64_MIN)
            rc = add_results(u, r, used_ms);
        tier__buf_fini(&graph);
    }
    tier__buf_fini(&keys);
    return rc;
}

void tier__uses_fini(struct tier__uses *u)
{
    tier__buf_fini(&u->scratch);
    tier__free(u->base, u->at);
    memset(u, 0, sizeof *u);
}

bool tier__retained(const struct tier__retention *r, bool delta, int64_t used_ms)
{
    return used_ms >= r->unused_ms && !(delta && used_ms < r->extra_ms);
}
