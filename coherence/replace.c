/* replace.c - another answer takes the place of one to equal inputs: an audit found it, or a build came again
 * to a known content key, or two processes made it at a time. A list of leaves that was made above the old
 * answer has every leaf as it was, so leaves alone cannot tell. A number does: a view begins with the one of
 * its time, what it lists bears it, and holds for views that began with the same. A replacement makes another
 * number, in memory when it is known here, and on disk in the transaction that replaces (I10).
 *
 * A number is never made twice, so one that was not committed (a crash, a failed commit) stands for nothing
 * that another process could have meant by it. On disk it is 0 from the first commit of a store on: where
 * there are names and no number, it was lost, and no list on disk holds until there is one again. */
#include <unistd.h>
#include "coherence/manager.h"
#include "tiers/checksum.h"

#define NUMBER_LOST UINT64_MAX
static const char row[] = "replaced";

/* Graph lock held. */
static uint64_t number_new(const tier_cache *c)
{
    const struct {
        uint64_t last, apart, now, pid, cache;
    } k = {atomic_load(&c->replaced), c->replaced_apart, (uint64_t)tier__now_ns(), (uint64_t)getpid(),
           (uint64_t)(uintptr_t)c};
    return tier__checksum(&k, sizeof k, 8) % (NUMBER_LOST - 1) + 1;
}

/* ---- in this process */
void tier__replace_begin(tier_cache *c)
{
    pthread_mutex_lock(&c->graph);
    c->replaced_apart++; /* until memory has what the store may get at any moment */
    pthread_mutex_unlock(&c->graph);
}

void tier__replace_end(tier_session *s, const tier__node *n, const struct tier__variant *v, bool stored)
{
    tier_cache *c = s->cache;
    tier__view *view = s->view;
    /* nothing in the view was read before, or taken over unread, that could be of the old answer */
    bool whole = !view->closure && !view->snapshot && tier__bound(s, n) == v;
    pthread_mutex_lock(&c->graph);
    uint64_t number = number_new(c);
    if (whole && view->replaced == atomic_load(&c->replaced))
        view->replaced = number;
    atomic_store(&c->replaced, number);
    if (stored) /* else what is here is never what the store has */
        c->replaced_apart--;
    pthread_mutex_unlock(&c->graph);
}

/* ---- from the store */
static int row_get(tier_cache *c, tier__read *r, tier__write *w, const char *name, struct tier__buf *b)
{
    return w ? tier__write_get(w, TIER__META, name, strlen(name), b)
             : tier__store_get(c->store, r, TIER__META, name, strlen(name), b);
}

static int number_get(tier_cache *c, tier__read *r, tier__write *w, uint64_t *number)
{
    struct tier__buf b;
    tier__buf_init(&b, &c->base);
    int rc = row_get(c, r, w, row, &b);
    struct tier__reader in = tier__reader_of(b.data, b.size);
    if (!rc && b.size == 8) {
        *number = tier__read_u64(&in);
    } else if (!rc || rc == TIER_EABSENT) {
        rc = row_get(c, r, w, "names", &b);
        *number = rc == TIER_EABSENT ? 0 : NUMBER_LOST;
    }
    tier__buf_fini(&b);
    return rc == TIER_EABSENT ? 0 : rc;
}

bool tier__replaced_read(tier_cache *c, uint64_t *number)
{
    tier__read *r;
    if (tier__read_begin(c->store, &r))
        return false;
    int rc = number_get(c, r, NULL, number);
    tier__read_end(&r);
    return rc == 0;
}

void tier__replaced_heard(tier_cache *c, uint64_t number, uint64_t at)
{
    uint64_t ours = atomic_load(&c->replaced);
    if (number == c->replaced_stored || at < c->replaced_at) /* read before a commit of ours, told after it */
        return;
    bool ahead = ours != c->replaced_stored && ours != number;
    c->replaced_stored = number;
    c->replaced_at = at;
    c->replaced_epoch = c->epoch; /* tier__node_lock */
    atomic_store(&c->replaced, ahead || number == NUMBER_LOST ? number_new(c) : number);
}

/* ---- to the store */
int tier__replaced_first(tier_cache *c, tier__write *w)
{
    struct tier__buf b;
    tier__buf_init(&b, &c->base);
    int rc = row_get(c, NULL, w, row, &b);
    tier__buf_clear(&b);
    tier__buf_u64(&b, 0);
    if (rc == TIER_EABSENT)
        rc = b.failed ? TIER_ENOMEM : tier__write_put(w, TIER__META, row, sizeof row - 1, b.data, b.size, 0);
    tier__buf_fini(&b);
    return rc;
}

int tier__replaced_write(tier_cache *c, tier__write *w, struct tier__replacing *r)
{
    struct tier__buf b;
    uint64_t was;
    int rc = number_get(c, NULL, w, &was);
    if (rc)
        return rc;
    pthread_mutex_lock(&c->graph);
    bool told = r->ours != c->replaced_stored;
    c->replaced_apart += told && r->lost;
    r->known = was == c->replaced_stored; /* else what was listed here does not know of another's */
    r->whole = r->known && !c->replaced_apart;
    r->write = r->found || (told && r->whole);
    r->number = told && r->whole ? r->ours : number_new(c);
    pthread_mutex_unlock(&c->graph);
    if (!r->write)
        return 0;
    tier__buf_init(&b, &c->base);
    tier__buf_u64(&b, r->number);
    rc = b.failed ? TIER_ENOMEM : tier__write_put(w, TIER__META, row, sizeof row - 1, b.data, b.size, 0);
    tier__buf_fini(&b);
    return rc;
}

void tier__replaced_written(tier_cache *c, const struct tier__replacing *r)
{
    if (!r->write || !r->known)
        return; /* what another process did is heard as ever, and this with it */
    uint64_t at = tier__store_news(c->store);
    pthread_mutex_lock(&c->graph);
    if (r->whole && atomic_load(&c->replaced) == c->replaced_stored)
        atomic_store(&c->replaced,
                     r->number); /* nobody here was told: the old answer was another process's */
    c->replaced_stored = r->number;
    c->replaced_at = at;
    pthread_mutex_unlock(&c->graph);
}

void tier__replaced_unwritten(tier_cache *c, const struct tier__replacing *r)
{
    pthread_mutex_lock(&c->graph);
    if (r->found || r->ours != c->replaced_stored) {
        c->replaced_apart++;
        atomic_store(&c->replaced, number_new(c));
    }
    pthread_mutex_unlock(&c->graph);
}
