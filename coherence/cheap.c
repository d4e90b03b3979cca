/* cheap.c - what goes to disk by cost and size: with `store.cheap = off` a value that is computed in no more
 * time than its load would take is left out. Its variant goes to disk all the same, with edges, value hash
 * and cause, so what depends on it is verified and cut off as ever (I15); the value itself is computed again
 * where somebody asks for it. Who computed it has it in memory, as any other.
 *
 * WHAT IT COSTS TO COMPUTE is what the build took, builds and loads within it included, and once more all
 * that it read, as none of that need be in memory the next time: the worst case. A value below that was left
 * out itself costs no more than its load would, or it would not have been left out, so no chain of such
 * values adds up to more than what was counted.
 *
 * WHAT A LOAD COSTS: measured with the store in the page cache, 3000 to 24 values of random bytes and of C,
 * from the store into an entry of the memory tier, on the machine of the README:
 *
 *             1 KiB   4 KiB   16 KiB   64 KiB   256 KiB   1 MiB
 *   as it is  1.9     2.9     4.8      16       45        195 us
 *   packed    6.8     11      28       72       295       1190 us
 *
 * (the store's part of it, in the bench: 1.0 and 2.5 us at 1 and 16 KiB, packed 19 us at 16 KiB). Whether
 * bytes will pack is not known before the commit. Where the settings say so, they count as packed: most
 * results do, and what does not is left out though its load would take a fifth of that. The time of a type's
 * own `load` is not in it. A file read through a session: 3.6 us, and its digest. */
#include "coherence/manager.h"
#include "tiers/codec.h"

enum {
    LOAD_US = 2,
    LOAD_BYTES = 5000, /* a microsecond */
    UNPACK_US = 5,
    UNPACK_BYTES = 900,
    READ_US = 4,
    READ_BYTES = 900,
    LOOK_US = 1
};

uint64_t tier__load_us(const tier_cache *c, uint64_t size)
{
    bool packed = size >= TIER__CODEC_MIN && tier__compresses(c);
    return packed ? UNPACK_US + size / UNPACK_BYTES : LOAD_US + size / LOAD_BYTES;
}

/* To have the value of what the view bound d to once more, in the worst case. */
static uint64_t result_us(tier_session *s, const struct tier__dep *d)
{
    const struct tier__variant *v = d->node ? tier__bound(s, d->node) : NULL;
    if (!v)
        return UINT32_MAX; /* nobody knows */
    if (v->rc || v->small)
        return LOAD_US;
    return v->form || v->cheap ? tier__load_us(s->cache, v->size) : v->cost_us;
}

static uint64_t edge_us(tier_session *s, const struct tier__dep *d)
{
    struct tier__look look;
    if (d->kind == TIER__K_RESULT)
        return result_us(s, d);
    if (d->kind != TIER__K_CONTENT && d->kind != TIER__K_TOOL)
        return d->kind == TIER__K_LISTING ? READ_US : LOOK_US;
    if (!d->path || tier__view_look(s, d->path, &look) || look.rc)
        return LOOK_US;
    return READ_US + look.id.size / READ_BYTES;
}

bool tier__cheap(tier_session *s, const tier__node *n, const struct tier__built *b)
{
    tier_cache *c = s->cache;
    const struct tier__variant *v = b->variant;
    if (tier__profile_int(c->profile, TIER__KEY_STORE_CHEAP) == TIER__ON || !tier__stores(c))
        return false;
    uint64_t size = v->form == TIER__FORM_BYTES ? b->entry->size : b->saved.size;
    if (!v->form || size <= TIER__SMALL_BLOB)
        return false;
    uint64_t most = tier__load_us(c, size), us = v->cost_us;
    if (n->content) /* no edge names what it was given */
        us += READ_US + (s->content ? s->content->size : 0) / READ_BYTES;
    for (uint32_t i = 0; i < v->edge_count && us <= most; i++)
        us += edge_us(s, tier__dep_at(c, v->edges[i].dep));
    return us <= most;
}
