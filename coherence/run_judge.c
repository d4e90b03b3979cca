/* run_judge.c - one recorded answer: does what its session saw still lead to it in the store? */
#include <stdlib.h>
#include "coherence/run_replay.h"

static int by_place(const void *a, const void *b)
{
    const struct tier__run_place *x = a, *y = b;
    if (x->view != y->view)
        return x->view < y->view ? -1 : 1;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static uint32_t id_of(struct tier__replay *p, const struct tier__run_item *i)
{
    tier_digest key;
    struct tier__name_record n = {.kind = (uint8_t)i->kind,
                                  .fields = i->fields,
                                  .has_path = i->flags & TIER__RUN_HAS_PATH,
                                  .path = i->path.at,
                                  .name = i->name.at,
                                  .name_size = i->name.size};
    tier__name_key(&n, &key);
    tier__buf_clear(&p->record);
    if (tier__store_get(p->t.a->store, NULL, TIER__ID, key.byte, sizeof key.byte, &p->record))
        return 0;
    struct tier__reader r = tier__reader_of(p->record.data, p->record.size);
    return tier__read_u32(&r);
}

int tier__replay_places(struct tier__replay *p)
{
    struct tier__run_list *seen = &p->run.seen;
    int rc = 0;
    if (!(p->place = tier__zalloc(p->t.a->base, seen->count + 1, sizeof *p->place)))
        return TIER_ENOMEM;
    for (size_t i = 0; i < seen->count && !rc; i++) {
        struct tier__run_item *at = &seen->item[i];
        at->id = id_of(p, at);
        if (at->id)
            p->place[p->place_count++] = (struct tier__run_place){at->view, at->id, i};
        if (i % TIER__PROGRESS_EVERY == 0)
            rc = tier__admin_progress(p->t.a, "names", i, seen->count);
    }
    qsort(p->place, p->place_count, sizeof *p->place, by_place);
    return rc;
}

const struct tier__run_item *tier__replay_seen(const struct tier__replay *p, uint32_t view, uint32_t id)
{
    size_t low = 0, high = p->place_count;
    struct tier__run_place key = {view, id, 0};
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (by_place(&p->place[mid], &key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == p->place_count || p->place[low].view != view || p->place[low].id != id)
        return NULL;
    return &p->run.seen.item[p->place[low].at];
}

/* ---- one variant */
enum { HOLDS, DIFFERS, UNREADABLE };

static int compare(struct tier__replay *p, uint32_t view, const struct tier__variant_record *d,
                   struct tier__judged *out)
{
    struct tier__reader r = tier__reader_of(d->edges, (size_t)d->edge_count * 8);
    struct tier__name_record n;
    uint64_t sum = 0;
    bool differs = false;
    for (uint32_t e = 0; e < d->edge_count; e++) {
        uint32_t id = tier__read_u32(&r), version = tier__read_u32(&r);
        if (!tier__names_get(&p->t.names, id, &n) || version < n.first || version - n.first >= n.count)
            return UNREADABLE;
        const unsigned char *value = n.values + (size_t)(version - n.first) * sizeof(tier_digest);
        sum = tier__edge_sum_add(sum, tier__name_stable(&n), value);
        const struct tier__run_item *seen = differs ? NULL : tier__replay_seen(p, view, id);
        if (differs || (seen && memcmp(seen->value.byte, value, sizeof seen->value.byte) == 0))
            continue;
        differs = true;
        out->dep = id;
        out->seen = seen != NULL;
        if (seen)
            out->then = seen->value;
        memcpy(out->kept.byte, value, sizeof out->kept.byte);
    }
    if (sum != d->edge_sum)
        return UNREADABLE; /* names have changed their meaning: no session would take it either */
    return differs ? DIFFERS : HOLDS;
}

static void judge_own(struct tier__replay *p, const struct tier__run_item *i,
                      const struct tier__variant_record *d, struct tier__judged *out)
{
    int how = compare(p, i->view, d, out);
    bool equal = tier__digest_equal(&d->hash, &i->value);
    *out = (struct tier__judged){.outcome = how == UNREADABLE       ? TIER__GONE
                                            : how == HOLDS && equal ? TIER__SAME
                                                                    : TIER__DIFFERENT,
                                 .what = how == UNREADABLE ? "its record names dependencies that are gone"
                                         : how == DIFFERS  ? "the stored result has read something else"
                                         : equal           ? ""
                                                           : "the same dependencies, another value",
                                 .dep = how == DIFFERS ? out->dep : 0,
                                 .seen = out->seen,
                                 .then = out->then,
                                 .kept = out->kept};
}

void tier__replay_judge(struct tier__replay *p, const struct tier__run_item *i, struct tier__judged *out)
{
    struct tier__request_record q;
    struct tier__variant_record d;
    struct tier__judged other = {.outcome = TIER__GONE};
    bool known = false, instead = false;
    *out = (struct tier__judged){.outcome = TIER__UNKEPT, .what = ""};
    if (!(i->flags & TIER__RUN_KEPT))
        return;
    tier__buf_clear(&p->record);
    known = tier__store_get(p->t.a->store, NULL, TIER__VARIANT, i->name.at, i->name.size, &p->record) == 0;
    struct tier__reader r = tier__reader_of(p->record.data, p->record.size);
    known = known && tier__get_node(&r, &q);
    for (uint8_t left = known ? tier__read_u8(&r) : 0; left && tier__get_variant(&r, &d); left--) {
        if (tier__digest_equal(&d.key, &i->key)) {
            judge_own(p, i, &d, out);
            return;
        }
        bool expired = d.expires_ms && d.expires_ms <= p->run.view[i->view].clock_ms;
        instead |= !expired && compare(p, i->view, &d, &other) == HOLDS;
    }
    out->outcome = instead ? TIER__DIFFERENT : TIER__GONE;
    out->what = !known    ? "nothing is remembered of the request"
                : instead ? "another result holds for what was seen"
                          : "only other results of the request are remembered";
}
