/* lease.c - what another process computes right now is waited for, up to a time (`lease_ms`), instead of
 * being computed twice. Correctness never depends on it: who gets no lease, or has waited long enough,
 * computes.
 *
 *   take the lease -> [news since we looked? look again] -> build -> [wanted? commit at once] -> drop it
 *        held by another: say that it is wanted, poll -> free: read the news, look at the variants again
 *
 * Who holds a lease waits for no other process, and neither does anybody that a holder of this process waits
 * for, so processes cannot wait for each other in a circle: tier__holder_waits is asked again at every poll,
 * as a holder may begin to wait for us later. A wait that ran into the limit was for a process that is
 * stopped or slow: its session waits for nobody any more. */
#include "coherence/manager.h"
#include <time.h>

enum {
    /* A commit costs 2 ms with a sync, a lock 1 us (0.5 us to ask): below this, computing twice is cheaper.
     */
    LEASE_MIN_US = 5000,
    /* Where other processes are there, leased builds are committed when they took this many times the last
     * commit: at most a quarter more time, and who asks a moment later has them. Eight forked workers that
     * ask for the same 25 files of 6 ms each built 193 of them without, 45 to 103 at 20 times, 26 to 49 at 4.
     */
    PUBLISH_TIMES = 4,
    POLL_MOST_MS = 16
};

/* What computing n will cost, as far as somebody knows; UINT64_MAX: nobody. */
static uint64_t expected_us(tier_cache *c, const tier__node *n)
{
    uint64_t most = 0;
    pthread_mutex_lock(&c->graph);
    uint32_t count = n->variant_count;
    for (uint32_t i = 0; i < count; i++)
        most = n->variant[i]->cost_us > most ? n->variant[i]->cost_us : most;
    pthread_mutex_unlock(&c->graph);
    if (count)
        return most;
    uint64_t timed = atomic_load_explicit(&n->type->timed, memory_order_relaxed);
    return timed ? atomic_load_explicit(&n->type->cost_us, memory_order_relaxed) / timed : UINT64_MAX;
}

static uint64_t key_of(const tier__node *n)
{
    return tier__digest_word(&n->identity);
}

static void sleep_ms(int64_t ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* Until the lease is free: true. False: compute. */
static bool wait_for_it(tier_session *s, const tier__node *n, int64_t until)
{
    tier_cache *c = s->cache;
    int64_t pause = 1;
    bool free = false;
    tier__count(&c->base, TIER__LEASE_WAITED, 1);
    tier__lease_want(c->store, key_of(n), true);
    while (!(free = !tier__lease_held(c->store, key_of(n))) && !tier_cancelled(s) && !tier__holder_waits(s)) {
        int64_t left = until - tier__monotonic_ms();
        if (left <= 0) {
            atomic_store_explicit(&s->root->impatient, true, memory_order_relaxed);
            tier__count(&c->base, TIER__LEASE_EXPIRED, 1);
            break;
        }
        sleep_ms(pause < left ? pause : left);
        pause = pause * 2 < POLL_MOST_MS ? pause * 2 : POLL_MOST_MS;
    }
    tier__lease_want(c->store, key_of(n), false);
    return free;
}

static bool news_since(tier_cache *c, const tier__node *n)
{
    tier__news(c);
    pthread_mutex_lock(&c->graph);
    bool news = n->loaded_epoch != c->epoch;
    pthread_mutex_unlock(&c->graph);
    return news;
}

bool tier__lease_begin(tier_session *s, tier__node *n, struct tier__lease *l)
{
    tier_cache *c = s->cache;
    if (l->ours || !c->store || c->flags & (TIER_NO_MEMORY | TIER_READ_ONLY) || tier__forwards(n) ||
        expected_us(c, n) < LEASE_MIN_US)
        return false;
    int rc = tier__lease_take(c->store, key_of(n));
    if (!rc) {
        l->ours = true;
        tier__holds(s, 1);
        tier__count(&c->base, TIER__LEASE_TAKEN, 1);
        return news_since(c, n); /* its last owner may have ended after we looked */
    }
    int64_t limit = tier__profile_int(c->profile, TIER__KEY_LEASE_MS);
    if (rc != TIER_EBUSY || !limit || atomic_load_explicit(&s->root->impatient, memory_order_relaxed) ||
        tier__holder_waits(s))
        return false;
    if (!l->wait_until)
        l->wait_until = tier__monotonic_ms() + limit;
    if (!wait_for_it(s, n, l->wait_until))
        return false;
    tier__news(c);
    return true;
}

/* Of all that was built under leases since the last commit. */
static bool worth_a_commit(tier_cache *c, uint64_t cost_us)
{
    uint64_t all = atomic_fetch_add_explicit(&c->unpublished_us, cost_us, memory_order_relaxed) + cost_us;
    return all >= PUBLISH_TIMES * atomic_load_explicit(&c->commit_us, memory_order_relaxed);
}

void tier__lease_end(tier_session *s, tier__node *n, const struct tier__variant *built, struct tier__lease *l)
{
    tier_cache *c = s->cache;
    if (!l->ours)
        return;
    if (built && (tier__lease_wanted(c->store, key_of(n)) ||
                  (worth_a_commit(c, built->cost_us) && tier__store_shared(c->store))))
        tier__pending_flush(c, true); /* could not: who waits computes */
    tier__lease_drop(c->store, key_of(n));
    tier__holds(s, -1);
    l->ours = false;
}
