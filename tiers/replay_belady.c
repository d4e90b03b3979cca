/* replay_belady.c - L. Belady, A study of replacement algorithms for a virtual-storage computer, IBM Systems
 * Journal 1966: what is asked for again latest goes first, and what would go at once does not come in. The
 * least misses where all entries are of one size; of sized ones a reference, as no bound is cheap to compute.
 */
#include "tiers/replay.h"

#define NEVER UINT32_MAX

struct item {
    uint32_t next, key; /* when it is asked for again */
};

struct belady {
    const struct tier__trace *trace;
    uint32_t *next;    /* by event: of its key, the next get */
    uint32_t *current; /* by key: of a resident one, the next get; else 0 */
    struct item *heap; /* the latest on top; items whose key's current is another are of the past */
    size_t count;
    uint64_t used, budget;
};

static void heap_push(struct belady *b, struct item item)
{
    size_t at = b->count++;
    for (; at > 0 && b->heap[(at - 1) / 2].next < item.next; at = (at - 1) / 2)
        b->heap[at] = b->heap[(at - 1) / 2];
    b->heap[at] = item;
}

static void heap_pop(struct belady *b)
{
    struct item last = b->heap[--b->count];
    size_t at = 0;
    for (size_t child = 1; child < b->count; child = 2 * at + 1) {
        if (child + 1 < b->count && b->heap[child + 1].next > b->heap[child].next)
            child++;
        if (b->heap[child].next <= last.next)
            break;
        b->heap[at] = b->heap[child];
        at = child;
    }
    b->heap[at] = last;
}

static bool is_get(const struct tier__trace_event *e)
{
    return e->what == TIER__TRACE_HIT || e->what == TIER__TRACE_MISS;
}

/* Backwards once. */
static void find_next(struct belady *b)
{
    const struct tier__trace *t = b->trace;
    for (uint32_t k = 0; k < t->key_count; k++)
        b->current[k] = NEVER;
    for (size_t i = t->event_count; i-- > 0;) {
        b->next[i] = b->current[t->event[i].key];
        if (is_get(&t->event[i]))
            b->current[t->event[i].key] = (uint32_t)i;
    }
    memset(b->current, 0, t->key_count * sizeof *b->current);
}

static void stay(struct belady *b, uint32_t key, uint32_t next)
{
    if (b->current[key] == next)
        return;
    b->current[key] = next;
    heap_push(b, (struct item){next, key});
}

/* The key comes in, unless it would be the first to go. */
static void come_in(struct belady *b, uint32_t key, uint32_t next, struct tier__replay_result *r)
{
    uint64_t charge = b->trace->key[key].charge;
    if (next == NEVER || charge > b->budget)
        return;
    b->used += charge;
    stay(b, key, next);
    while (b->used > b->budget) {
        struct item top = b->heap[0];
        heap_pop(b);
        if (b->current[top.key] != top.next)
            continue;
        b->current[top.key] = 0;
        b->used -= b->trace->key[top.key].charge;
        r->evicted += top.key != key;
    }
}

static void step(struct belady *b, size_t i, struct tier__replay_result *r)
{
    const struct tier__trace_event *e = &b->trace->event[i];
    const struct tier__trace_key *k = &b->trace->key[e->key];
    bool there = b->current[e->key] != 0;
    if (e->what == TIER__TRACE_PUT && !there)
        come_in(b, e->key, b->next[i], r);
    if (!is_get(e))
        return;
    if (!k->sized) {
        r->unsized++;
        return;
    }
    r->gets++;
    r->bytes += k->charge;
    r->cost_us += k->cost_us;
    if (there) {
        r->hits++;
        r->hit_bytes += k->charge;
        r->hit_cost_us += k->cost_us;
        if (b->next[i] == NEVER) {
            b->current[e->key] = 0; /* of no more use */
            b->used -= k->charge;
        } else {
            stay(b, e->key, b->next[i]);
        }
    } else if (e->what == TIER__TRACE_HIT) {
        come_in(b, e->key, b->next[i], r);
    }
}

int tier__replay_belady(const struct tier__trace *t, const struct tier__replay_options *o,
                        struct tier__replay_result *result)
{
    struct belady b = {.trace = t, .budget = o->budget};
    if (t->event_count >= NEVER)
        return TIER_ENOMEM;
    b.next = tier__zalloc(t->base, t->event_count + 1, sizeof *b.next);
    b.current = tier__zalloc(t->base, t->key_count + (size_t)1, sizeof *b.current);
    b.heap = tier__zalloc(t->base, t->event_count + 1, sizeof *b.heap);
    int rc = b.next && b.current && b.heap ? TIER_OK : TIER_ENOMEM;
    if (!rc)
        find_next(&b);
    for (size_t i = 0; i < t->event_count && !rc; i++)
        if (t->key[t->event[i].key].tier == o->tier)
            step(&b, i, result);
    tier__free(t->base, b.next);
    tier__free(t->base, b.current);
    tier__free(t->base, b.heap);
    return rc;
}
