/* stream_queue.c - see stream_queue.h. */
#include "tiers/stream_queue.h"

#define NIL UINT32_MAX
enum { FIRST_ROOM = 16 };

struct tier__node {
    struct tier__happening *event;
    struct tier__loss before; /* lost between the event before this one and this one */
    uint32_t prev, next;      /* next also links free nodes */
    uint32_t chain;           /* in its bucket */
};

static uint64_t hash_of(uint32_t kind, const char *path, const tier_type *type)
{
    uint64_t h = 14695981039346656037u ^ kind ^ (uint64_t)(uintptr_t)type; /* FNV-1a, salted */
    for (; *path; path++)
        h = (h ^ (unsigned char)*path) * 1099511628211u;
    return h ^ h >> 32;
}

struct tier__happening *tier__happening_new(struct tier__base *base, uint32_t kind, const char *path,
                                            const tier_type *type, tier__entry *entry)
{
    size_t size = path ? strlen(path) + 1 : 1;
    struct tier__happening *h = tier__alloc(base, sizeof *h + size);
    if (!h)
        return NULL;
    *h = (struct tier__happening){.kind = kind, .type = type, .has_path = path != NULL};
    atomic_init(&h->refs, 1);
    memcpy(h->path, path ? path : "", size);
    h->hash = hash_of(kind, h->path, type);
    h->entry = entry ? tier__entry_ref(entry) : NULL;
    return h;
}

void tier__happening_drop(struct tier__happening *h, struct tier__happening **dead)
{
    if (h && atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) == 1) {
        h->next_dead = *dead;
        *dead = h;
    }
}

void tier__happening_bury(struct tier__base *base, struct tier__happening *dead)
{
    while (dead) {
        struct tier__happening *next = dead->next_dead;
        tier__entry_unref(dead->entry);
        tier__free(base, dead);
        dead = next;
    }
}

static void merge_loss(struct tier__loss *into, struct tier__loss loss)
{
    if (!tier__loss_any(&loss))
        return;
    if (__builtin_add_overflow(into->lost, loss.lost, &into->lost))
        into->lost = UINT32_MAX;
    into->unknown |= loss.unknown;
    if (loss.sequence > into->sequence)
        into->sequence = loss.sequence;
}

void tier__queue_init(struct tier__queue *q, struct tier__base *base, uint32_t capacity, uint32_t policy)
{
    *q = (struct tier__queue){
        .base = base, .capacity = capacity, .policy = policy, .free = NIL, .head = NIL, .tail = NIL};
}

void tier__queue_fini(struct tier__queue *q, struct tier__happening **dead)
{
    for (uint32_t i = q->head; i != NIL; i = q->nodes[i].next)
        tier__happening_drop(q->nodes[i].event, dead);
    tier__free(q->base, q->nodes);
    tier__free(q->base, q->buckets);
    tier__queue_init(q, q->base, q->capacity, q->policy);
}

bool tier__queue_empty(const struct tier__queue *q)
{
    return !q->count && !tier__loss_any(&q->end_loss);
}

/* ---- the index of waiting paths ---- */
static bool is_indexed(const struct tier__queue *q, const struct tier__happening *h)
{
    return q->policy == TIER_COALESCE && h->has_path;
}

static void index_add(struct tier__queue *q, uint32_t node)
{
    uint32_t *bucket = &q->buckets[q->nodes[node].event->hash % q->room];
    q->nodes[node].chain = *bucket;
    *bucket = node;
}

static void index_remove(struct tier__queue *q, uint32_t node)
{
    uint32_t *link = &q->buckets[q->nodes[node].event->hash % q->room];
    while (*link != node)
        link = &q->nodes[*link].chain;
    *link = q->nodes[node].chain;
}

static uint32_t index_find(const struct tier__queue *q, const struct tier__happening *h)
{
    if (!q->room || !is_indexed(q, h))
        return NIL;
    uint32_t i = q->buckets[h->hash % q->room];
    for (; i != NIL; i = q->nodes[i].chain) {
        const struct tier__happening *e = q->nodes[i].event;
        if (e->hash == h->hash && e->kind == h->kind && e->type == h->type && !strcmp(e->path, h->path))
            break;
    }
    return i;
}

static bool grow(struct tier__queue *q)
{
    uint32_t room = q->room ? (q->room > q->capacity / 2 ? q->capacity : q->room * 2) : FIRST_ROOM;
    if (room > q->capacity)
        room = q->capacity;
    struct tier__node *nodes = tier__resize(q->base, q->nodes, (size_t)room * sizeof *nodes);
    if (!nodes)
        return false;
    q->nodes = nodes; /* longer than room says, should the next step fail */
    if (q->policy == TIER_COALESCE) {
        uint32_t *buckets = tier__resize(q->base, q->buckets, (size_t)room * sizeof *buckets);
        if (!buckets)
            return false;
        q->buckets = buckets;
    }
    for (uint32_t i = room; i-- > q->room;) {
        nodes[i].next = q->free;
        q->free = i;
    }
    q->room = room;
    if (q->policy == TIER_COALESCE) {
        memset(q->buckets, 0xff, (size_t)room * sizeof *q->buckets); /* NIL */
        for (uint32_t i = q->head; i != NIL; i = nodes[i].next) {
            if (nodes[i].event->has_path)
                index_add(q, i);
        }
    }
    return true;
}

/* Takes a node out; what was lost before it is now lost before the one behind it. */
static struct tier__happening *unlink_node(struct tier__queue *q, uint32_t i)
{
    struct tier__node *n = &q->nodes[i];
    struct tier__happening *h = n->event;
    if (is_indexed(q, h))
        index_remove(q, i);
    *(n->prev == NIL ? &q->head : &q->nodes[n->prev].next) = n->next;
    *(n->next == NIL ? &q->tail : &q->nodes[n->next].prev) = n->prev;
    merge_loss(n->next == NIL ? &q->end_loss : &q->nodes[n->next].before, n->before);
    n->event = NULL;
    n->next = q->free;
    q->free = i;
    q->count--;
    return h;
}

/* The same for an event that is thereby lost. */
static void lose_node(struct tier__queue *q, uint32_t i, struct tier__happening **dead)
{
    struct tier__node *n = &q->nodes[i];
    merge_loss(&n->before, (struct tier__loss){.sequence = n->event->sequence, .lost = 1});
    tier__happening_drop(unlink_node(q, i), dead);
}

enum tier__put tier__queue_put(struct tier__queue *q, struct tier__happening *h, uint32_t *overtaken,
                               struct tier__happening **dead)
{
    *overtaken = 0;
    uint32_t same = index_find(q, h);
    if (same != NIL) {
        tier__happening_drop(unlink_node(q, same), dead);
    } else if (q->count == q->capacity) {
        if (q->policy == TIER_BLOCK)
            return TIER__FULL;
        lose_node(q, q->head, dead);
        *overtaken = 1;
    }
    if (q->free == NIL && !grow(q)) {
        tier__queue_lose(q, (struct tier__loss){.sequence = h->sequence, .lost = 1});
        return TIER__LOST;
    }
    uint32_t i = q->free;
    struct tier__node *n = &q->nodes[i];
    q->free = n->next;
    *n = (struct tier__node){.event = h, .before = q->end_loss, .prev = q->tail, .next = NIL, .chain = NIL};
    q->end_loss = (struct tier__loss){0};
    atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
    *(q->tail == NIL ? &q->head : &q->nodes[q->tail].next) = i;
    q->tail = i;
    q->count++;
    if (is_indexed(q, h))
        index_add(q, i);
    return TIER__QUEUED;
}

void tier__queue_lose(struct tier__queue *q, struct tier__loss loss)
{
    merge_loss(&q->end_loss, loss);
}

struct tier__happening *tier__queue_take(struct tier__queue *q, struct tier__loss *loss)
{
    struct tier__loss *first = q->head == NIL ? &q->end_loss : &q->nodes[q->head].before;
    *loss = *first;
    *first = (struct tier__loss){0};
    return tier__loss_any(loss) || q->head == NIL ? NULL : unlink_node(q, q->head);
}

uint32_t tier__queue_drop_type(struct tier__queue *q, const tier_type *type, struct tier__happening **dead)
{
    uint32_t lost = 0;
    for (uint32_t i = q->head, next; i != NIL; i = next) {
        next = q->nodes[i].next;
        if (q->nodes[i].event->type == type) {
            lose_node(q, i, dead);
            lost++;
        }
    }
    return lost;
}
