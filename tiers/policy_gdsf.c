/* policy_gdsf.c - GreedyDual-Size-Frequency (Cherkasova, HP Labs 1998): what costs most to compute again per
 * byte and hit stays. Cost is the measured microseconds. A binary heap by priority; hits are applied when an
 * entry comes to the top, so that a hit writes one counter here too. */
#include "tiers/policy.h"

enum { FIRST_CAPACITY = 16 };

struct item {
    double priority;
    tier__entry *entry; /* whose position is this item's index */
    uint32_t uses;      /* hits that priority knows of */
};

struct state {
    struct item *heap;
    size_t count, capacity;
    double floor; /* priority of the last evicted: ages what is not hit */
};

static struct item weigh(const struct state *s, tier__entry *e)
{
    uint32_t us = tier__entry_cost(e);
    double cost = us > 0 ? us : 1;
    return (struct item){s->floor + cost * (e->uses + 1) / (double)tier__entry_charge(e), e, e->uses};
}

static void place(struct state *s, size_t at, struct item item)
{
    s->heap[at] = item;
    item.entry->position = (uint32_t)at;
}

/* Puts item where the heap's order wants it, starting from the hole at. */
static void settle(struct state *s, size_t at, struct item item)
{
    while (at > 0 && item.priority < s->heap[(at - 1) / 2].priority) {
        place(s, at, s->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < s->count && s->heap[child + 1].priority < s->heap[child].priority)
            child++;
        if (child >= s->count || s->heap[child].priority >= item.priority)
            break;
        place(s, at, s->heap[child]);
        at = child;
    }
    place(s, at, item);
}

static bool enter(struct tier__base *base, void *state, tier__entry *e)
{
    struct state *s = state;
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : FIRST_CAPACITY;
        struct item *heap = tier__resize(base, s->heap, capacity * sizeof *heap);
        if (!heap)
            return false;
        s->heap = heap;
        s->capacity = capacity;
    }
    settle(s, s->count++, weigh(s, e));
    return true;
}

static void leave(void *state, tier__entry *e)
{
    struct state *s = state;
    struct item last = s->heap[--s->count];
    if (last.entry != e)
        settle(s, e->position, last);
}

static tier__entry *victim(void *state)
{
    struct state *s = state;
    while (s->count > 0) {
        struct item top = s->heap[0];
        if (top.uses == top.entry->uses) {
            s->floor = top.priority;
            leave(s, top.entry);
            return top.entry;
        }
        settle(s, 0, weigh(s, top.entry));
    }
    return NULL;
}

static void fini(struct tier__base *base, void *state)
{
    struct state *s = state;
    tier__free(base, s->heap);
}

const struct tier__policy tier__policy_gdsf = {
    .name = "gdsf",
    .state_size = sizeof(struct state),
    .fini = fini,
    .enter = enter,
    .leave = leave,
    .victim = victim,
};
