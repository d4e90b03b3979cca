/* budget.c - the governor's one promise: used <= limit at every instant, whatever threads do (I12). */
#include "tiers/memory_private.h"

bool tier__budget_take(struct tier__budget *b, uint64_t bytes)
{
    uint_fast64_t used = atomic_load_explicit(&b->used, memory_order_relaxed);
    do {
        if (bytes > b->limit || used > b->limit - bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&b->used, &used, used + bytes, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return true;
}

void tier__budget_give(struct tier__budget *b, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&b->used, bytes, memory_order_acq_rel);
}
