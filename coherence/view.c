/* view.c - one view's looks: the first look at a path holds until the view ends (I9). */
#include "coherence/run_log.h"
#include "coherence/stale.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "coherence/watch.h"

enum {
    READ_TRIES = 5, /* a file that changes under every one of them is TIER_ECHANGED */
    FILE_MAX =
        256 * 1024 * 1024 /* larger is TIER_EKIND: reading and hashing it would take over half a second */
};

/* ---- the watcher, where there is one */
static struct tier__watch *watcher(tier_cache *c)
{
    struct tier__watch *w = tier__cache_watch(c);
    if (w || tier__profile_int(c->profile, TIER__KEY_WATCH) != TIER__WATCH_ON)
        return w;
    pthread_mutex_lock(&c->world_lock);
    bool ask = !c->watch_asked;
    c->watch_asked = true;
    pthread_mutex_unlock(&c->world_lock);
    if (ask && !tier__watch_open(c, NULL, &w))
        w = tier__cache_set_watch(c, w);
    return ask ? w : tier__cache_watch(c);
}

bool tier__look_vouched(tier__view *v, const struct tier__path *p, struct tier__look *out)
{
    uint64_t begun = atomic_load_explicit(&v->begun, memory_order_relaxed);
    if (!begun || !tier__watch_vouches(v->watch, p->id, begun, out))
        return false;
    tier__count(&v->cache->base, TIER__FILE_VOUCHED, 1);
    return true;
}

void tier__look_ticket(tier__view *v, const struct tier__path *p, struct tier__watch_ticket *t)
{
    t->at = 0;
    if (atomic_load_explicit(&v->begun, memory_order_relaxed))
        tier__watch_ticket(v->watch, p->root, p->rel, t);
}

void tier__look_remember(tier__view *v, const struct tier__path *p, const struct tier__watch_ticket *t,
                         const struct tier__look *look)
{
    if (t->at)
        tier__watch_remember(v->watch, p->id, t, look);
}

void tier__look_outdated(tier__view *v)
{
    atomic_store_explicit(&v->begun, 0, memory_order_relaxed);
}

/* ---- life */
tier__view *tier__view_new(tier_cache *c)
{
    tier__view *v = tier__zalloc(&c->base, 1, sizeof *v);
    if (!v)
        return NULL;
    atomic_init(&v->refs, 1);
    atomic_init(&v->changed, false);
    v->watch = c->flags & TIER_NO_MEMORY ? NULL : watcher(c);
    atomic_init(&v->begun, v->watch ? tier__watch_begin(v->watch) : 0);
    v->cache = c;
    v->clock_ms = tier__now_ms();
    v->replaced = atomic_load_explicit(&c->replaced, memory_order_acquire);
    v->looks.element = sizeof(struct tier__look);
    v->slots.element = sizeof(struct tier__slot);
    v->stale.element = sizeof(struct tier__stale);
    v->versions.element = sizeof(uint32_t);
    v->seen.element = sizeof(uint64_t);
    pthread_mutex_init(&v->lock, NULL);
    pthread_mutex_lock(&c->world_lock);
    v->bans = c->ban_sequence;
    v->unheard = c->unheard;
    v->event = c->event;
    if ((v->world = c->world))
        atomic_fetch_add(&v->world->refs, 1);
    pthread_mutex_unlock(&c->world_lock);
    return v;
}

void tier__view_touch(tier__view *v, bool *touched, const tier__entry *e)
{
    v->touched[tier__entry_tier(e)] += *touched ? 0 : tier__entry_charge(e);
    *touched = true;
}

/* A view that is over: does the memory hold what one like it asks for? */
static void touched_tell(const tier__view *v)
{
    tier_cache *c = v->cache;
    for (int t = TIER_FILE; t <= TIER_DELTA && !(c->flags & TIER_NO_MEMORY); t++) {
        uint_fast64_t most = atomic_load_explicit(&c->session_bytes[t], memory_order_relaxed);
        uint64_t budget = tier__memory_budget(c->memory, t), mine = v->touched[t];
        while (mine > most && !atomic_compare_exchange_weak(&c->session_bytes[t], &most, mine))
            ;
        if (mine > budget && most <= budget)
            tier__log(
                &c->base, TIER_LOG_NOTICE,
                "one session used %llu KiB of the %s tier, more than its budget of %llu KiB: another like it "
                "reads or computes a part anew; the setting is memory.%s",
                (unsigned long long)mine >> 10, tier__tier_name(t), (unsigned long long)budget >> 10,
                tier__tier_name(t));
    }
}

void tier__view_unref(tier__view *v)
{
    if (!v || atomic_fetch_sub(&v->refs, 1) != 1)
        return;
    tier_cache *c = v->cache;
    touched_tell(v);
    if (v->recorded)
        tier__run_end(v);
    for (size_t k = 0; k < v->slots.chunk_count; k++) {
        struct tier__slot *slot = tier__chunks_at(&v->slots, k * TIER__CHUNK);
        for (size_t i = 0; slot && i < TIER__CHUNK; i++) {
            tier__variant_unref(c, slot[i].variant);
            tier__entry_unref(slot[i].entry);
        }
    }
    tier__stale_free(v);
    tier__orphans_free(v);
    tier__chunks_fini(&c->base, &v->slots);
    tier__chunks_fini(&c->base, &v->versions);
    tier__chunks_fini(&c->base, &v->seen);
    tier__chunks_fini(&c->base, &v->looks);
    tier__closures_free(v);
    tier__world_unref(c, v->world);
    pthread_mutex_destroy(&v->lock);
    tier__free(&c->base, v);
}

struct tier__slot *tier__view_slot(tier__view *v, uint32_t dep)
{
    return tier__chunks_make(&v->cache->base, &v->slots, dep);
}

uint32_t tier__view_version(const tier__view *v, uint32_t dep)
{
    const uint32_t *seen = tier__chunks_at(&v->versions, dep);
    return seen ? *seen : 0;
}

/* The word of version's bit; NULL: no memory. */
static uint64_t *word_of(tier__view *v, const struct tier__dep *d, uint32_t version)
{
    return tier__chunks_make(&v->cache->base, &v->seen, d->version[version].place / 64);
}

static uint64_t bit_of(const struct tier__dep *d, uint32_t version)
{
    return UINT64_C(1) << d->version[version].place % 64;
}

struct tier__slot *tier__view_see(tier__view *v, struct tier__dep *d, const tier_digest *value)
{
    struct tier__slot *slot = tier__view_slot(v, d->id);
    uint32_t *seen = slot ? tier__chunks_make(&v->cache->base, &v->versions, d->id) : NULL;
    uint32_t version = seen ? tier__dep_version_locked(v->cache, d, value) : UINT32_MAX;
    uint64_t *word = version == UINT32_MAX ? NULL : word_of(v, d, version);
    if (!word)
        return NULL;
    if (__builtin_expect(v->recorded != NULL, 0))
        tier__run_saw(v->recorded, d->id, version);
    if (*seen) /* a result whose hash was known before it was bound, and that came out otherwise */
        *word_of(v, d, *seen - 1) &= ~bit_of(d, *seen - 1);
    *word |= bit_of(d, version);
    *seen = version + 1;
    return slot;
}

/* Of count edges, those from the first on that are what v has seen. */
static uint32_t known_edges(const tier__view *v, const struct tier__edge *edges, uint32_t count)
{
    uint32_t i = 0;
    tier__piece *chunk = atomic_load_explicit(&v->versions.chunk, memory_order_relaxed);
    size_t chunks = atomic_load_explicit(&v->versions.chunk_count, memory_order_relaxed);
    for (; i < count; i++) { /* no branch that is hard to foresee: neighbours are of any chunk */
        size_t c = edges[i].dep / TIER__CHUNK;
        const uint32_t *seen = c < chunks ? atomic_load_explicit(&chunk[c], memory_order_relaxed) : NULL;
        if (!seen || seen[edges[i].dep % TIER__CHUNK] != edges[i].version + 1)
            break;
    }
    return i;
}

/* Nearly all that verifying does where little changed: by words where it was done before, else 1 ns an edge
 * instead of 20 by a lock and a slot each (500 results of 300 edges over 1000 dependencies). */
uint32_t tier__view_known(tier__view *v, struct tier__variant *of, uint32_t first)
{
    uint32_t left = of->edge_count - first;
    const struct tier__edge_bits *p =
        first ? NULL : atomic_load_explicit(&of->bits.made, memory_order_acquire);
    pthread_mutex_lock(&v->lock);
    bool all = p && tier__edge_bits_set(p, &v->seen);
    uint32_t known = all ? left : known_edges(v, of->edges + first, left);
    pthread_mutex_unlock(&v->lock);
    if (!first && !p && known == left)
        tier__edge_bits_wanted(v->cache, of);
    return known;
}

static struct tier__look *look_slot(tier__view *v, const struct tier__path *p)
{
    return tier__chunks_make(&v->cache->base, &v->looks, p->id);
}

/* Makes *mine the look at p or, where there is one by now, copies that. */
static int look_settle(tier__view *v, const struct tier__path *p, struct tier__look *mine)
{
    pthread_mutex_lock(&v->lock);
    struct tier__look *l = look_slot(v, p);
    if (l && l->looked) {
        *mine = *l;
    } else if (l) {
        *l = *mine;
        v->looked = true;
    }
    pthread_mutex_unlock(&v->lock);
    return l ? 0 : TIER_ENOMEM;
}

static bool look_known(tier__view *v, const struct tier__path *p, struct tier__look *out)
{
    pthread_mutex_lock(&v->lock);
    const struct tier__look *l = tier__chunks_at(&v->looks, p->id);
    bool known = l && l->looked;
    if (known)
        *out = *l;
    pthread_mutex_unlock(&v->lock);
    return known;
}

void tier__look_doubt(tier__view *v, const struct tier__path *p)
{
    pthread_mutex_lock(&v->lock);
    struct tier__look *l = tier__chunks_at(&v->looks, p->id);
    if (l)
        l->observed_at = 0;
    pthread_mutex_unlock(&v->lock);
}

/* The look at p by the watcher's word, or by a stat. */
static int look_now(tier_session *s, struct tier__path *p, struct tier__look *out)
{
    tier_cache *c = s->cache;
    tier__view *v = s->view;
    struct tier__watch_ticket t;
    if (!tier__look_vouched(v, p, out)) {
        tier__look_ticket(v, p, &t);
        out->observed_at = tier__now_ns();
        out->rc = tier__path_stat(c, p, false, &out->id, &out->kind);
        tier__count(&c->base, TIER__FILE_LOOK, 1);
        if (out->rc == TIER_ENOMEM || out->rc == TIER_EIO)
            return tier__fail(s, out->rc, "cannot look at %s: %s", p->key, tier_strerror(out->rc));
        tier__look_remember(v, p, &t, out);
    }
    if (out->rc == TIER_EABSENT)
        tier__closure_anchor(s, p, out);
    if (!out->vouched && !tier__closure_agrees(v, p)) {
        atomic_store(&v->changed, true);
        return tier__fail(s, TIER_ECHANGED, "the names around %s changed since this session verified them",
                          p->key);
    }
    return 0;
}

static int look_first(tier_session *s, struct tier__path *p, struct tier__look *out)
{
    tier__view *v = s->view;
    *out = (struct tier__look){.looked = true};
    const struct tier__world_item *o =
        v->world ? tier__world_find(v->world->overlay, v->world->overlay_count, p->key) : NULL;
    int rc = 0;
    if (o) {
        out->kind = 'f';
        out->overlay = o->entry;
        out->id.size = o->entry->size;
        out->has_content = true;
        out->content = o->entry->key;
    } else if (!tier__closure_look(v, p, out)) {
        rc = look_now(s, p, out);
    }
    return rc ? rc : look_settle(v, p, out);
}

int tier__view_look(tier_session *s, struct tier__path *p, struct tier__look *out)
{
    return look_known(s->view, p, out) ? 0 : look_first(s, p, out);
}

tier__entry *tier__entry_of(tier_cache *c, int tier, const void *data, size_t size)
{
    tier__entry *e = tier__entry_new(c->memory, tier, size);
    if (!e)
        return NULL;
    if (size)
        memcpy(e->data, data, size);
    tier__digest_of(data, size, &e->key);
    *tier__entry_hash(e) = e->key;
    return e;
}

/* Reads what fd has to say, whatever its stat says (files of proc say 0). */
static int read_unsized(tier_cache *c, int fd, tier__entry **e)
{
    struct tier__buf b;
    tier__buf_init(&b, &c->base);
    int rc = 0;
    for (;;) {
        unsigned char *at = tier__buf_space(&b, 65536);
        if (!at) {
            rc = TIER_ENOMEM;
            break;
        }
        ssize_t n = read(fd, at, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = tier__errno_rc(errno);
        if (n <= 0)
            break;
        b.size += (size_t)n;
        if (b.size > FILE_MAX) {
            rc = TIER_EKIND;
            break;
        }
    }
    if (!rc && !(*e = tier__entry_of(c, TIER_FILE, b.data, b.size)))
        rc = TIER_ENOMEM;
    tier__buf_fini(&b);
    return rc;
}

/* size bytes and not one more; 1: the file has another size by now. */
static int read_sized(tier_cache *c, int fd, size_t size, tier__entry **out)
{
    tier__entry *e = tier__entry_new(c->memory, TIER_FILE, size);
    if (!e)
        return TIER_ENOMEM;
    size_t got = 0;
    int rc = 0;
    char more;
    while (!rc) {
        ssize_t n = got < size ? read(fd, (char *)e->data + got, size - got) : read(fd, &more, 1);
        if (n < 0 && errno != EINTR)
            rc = tier__errno_rc(errno);
        else if (n > 0 && got == size)
            rc = 1;
        else if (n == 0 && got < size)
            rc = 1;
        else if (n == 0)
            break;
        else if (n > 0)
            got += (size_t)n;
    }
    if (rc) {
        tier__entry_unref(e);
        return rc;
    }
    tier__digest_of(e->data, size, &e->key);
    *tier__entry_hash(e) = e->key;
    *out = e;
    return 0;
}

static int read_once(tier_cache *c, const struct tier__path *p, struct tier__statid *id, tier__entry **e)
{
    struct stat st;
    struct tier__statid after;
    char kind;
    int fd = tier__path_open(c, p, O_RDONLY);
    if (fd < 0)
        return tier__errno_rc(errno);
    int rc = fstat(fd, &st) ? tier__errno_rc(errno) : 0;
    if (!rc) {
        tier__statid_of(&st, id, &kind);
        if (kind != 'f' || id->size > FILE_MAX)
            rc = TIER_EKIND;
        else
            rc = id->size ? read_sized(c, fd, (size_t)id->size, e) : read_unsized(c, fd, e);
    }
    if (!rc && !fstat(fd, &st)) {
        tier__statid_of(&st, &after, &kind);
        if (!tier__statid_equal(id, &after)) {
            tier__entry_unref(*e);
            *e = NULL;
            rc = 1;
        }
    }
    close(fd);
    return rc;
}

/* The bytes of p, its stat identity equal before and after; into the file tier. */
static int read_file(tier_cache *c, struct tier__path *p, struct tier__statid *id, int64_t *observed_at,
                     tier__entry **e)
{
    int rc = 1;
    uint64_t start = tier__monotonic_us();
    for (int i = 0; rc == 1 && i < READ_TRIES; i++) {
        *observed_at = tier__now_ns();
        *e = NULL;
        rc = read_once(c, p, id, e);
    }
    if (rc)
        return rc == 1 ? TIER_ECHANGED : rc;
    tier__count(&c->base, TIER__FILE_READ, 1);
    tier__count(&c->base, TIER__FILE_READ_BYTES, (*e)->size);
    tier__entry_set_cost(*e, (uint32_t)(tier__monotonic_us() - start));
    *e = tier__memory_insert(c->memory, *e);
    tier__memo_see(c, p, id, *observed_at, &(*e)->key);
    return 0;
}

/* The digest that p had under this identity, where that can be trusted. */
static bool memo_digest(tier_cache *c, struct tier__path *p, const struct tier__statid *id,
                        tier_digest *digest)
{
    tier__memo_lock(c, p);
    bool known =
        p->memo.known && tier__statid_equal(&p->memo.id, id) && tier__statid_settled(id, p->memo.observed_at);
    if (known)
        *digest = p->memo.digest;
    pthread_mutex_unlock(&c->graph);
    return known;
}

/* Known by the digest, which is enough unless the bytes are wanted, are not in memory, and may have changed
 * since the watcher saw them last: better a new look than the refusal that the old one would end in. */
static bool digest_will_do(tier_session *s, struct tier__path *p, struct tier__look *look, bool replaceable)
{
    tier_cache *c = s->cache;
    if (!memo_digest(c, p, &look->id, &look->content))
        return false;
    if (!replaceable)
        return true;
    tier__entry *e = tier__memory_find(c->memory, TIER_FILE, &look->content);
    tier__entry_unref(e);
    return e != NULL;
}

/* First look at the content. *entry is set where the bytes were read on the way. */
static int content_first(tier_session *s, struct tier__path *p, struct tier__look *look, bool fresh,
                         bool wanted, tier__entry **entry)
{
    tier_cache *c = s->cache;
    tier__view *v = s->view;
    look->has_content = true;
    if (look->rc || look->kind != 'f' || look->id.size > FILE_MAX) {
        look->content_rc = look->rc ? look->rc : TIER_EKIND;
    } else if (digest_will_do(s, p, look, fresh && wanted && look->vouched)) {
        tier__count(&c->base, TIER__FILE_DIGEST_KNOWN, 1);
    } else {
        struct tier__statid id;
        int64_t at;
        int rc = read_file(c, p, &id, &at, entry);
        s->reads += rc == 0;
        if (rc == TIER_ECHANGED)
            atomic_store(&v->changed, true);
        if (rc == TIER_ECHANGED || rc == TIER_ENOMEM || rc == TIER_EIO)
            return tier__fail(s, rc, "cannot read %s: %s", p->key,
                              rc == TIER_ECHANGED ? "it changed each time it was read" : tier_strerror(rc));
        if (rc != TIER_EACCESS && !fresh && (rc || !tier__statid_equal(&id, &look->id))) {
            tier__entry_unref(*entry);
            *entry = NULL;
            atomic_store(&v->changed, true);
            return tier__fail(s, TIER_ECHANGED, "%s changed since this session first looked at it", p->key);
        }
        look->content_rc = rc;
        if (rc)
            look->observed_at = 0; /* what could not be read need not be what the look saw */
        if (look->vouched && (rc || !tier__statid_equal(&id, &look->id)))
            tier__look_outdated(v);
        if (!rc) {
            look->vouched = false;
            look->content = (*entry)->key;
            look->id = id;
            look->observed_at = at;
        }
    }
    pthread_mutex_lock(&v->lock);
    struct tier__look *l = look_slot(v, p);
    if (l && !l->has_content)
        *l = *look;
    else if (l)
        *look = *l;
    pthread_mutex_unlock(&v->lock);
    return l ? 0 : TIER_ENOMEM;
}

/* The bytes that were seen before: from memory, or read again if they are still there. */
static int content_again(tier_session *s, struct tier__path *p, const struct tier__look *look,
                         tier__entry **entry)
{
    tier_cache *c = s->cache;
    struct tier__statid id;
    int64_t at;
    if ((*entry = tier__memory_find(c->memory, TIER_FILE, &look->content))) {
        tier__count(&c->base, TIER__FILE_HIT, 1);
        return 0;
    }
    tier__count(&c->base, TIER__FILE_MISS, 1);
    int rc = read_file(c, p, &id, &at, entry);
    s->reads += rc == 0;
    if (!rc && tier__digest_equal(&(*entry)->key, &look->content))
        return 0;
    if (!rc)
        tier__entry_unref(*entry);
    *entry = NULL;
    if (rc == TIER_ENOMEM)
        return tier__fail(s, rc, "no memory for the content of %s", p->key);
    atomic_store(&s->view->changed, true);
    return tier__fail(s, TIER_ECHANGED, "the bytes of %s that this session saw before are gone", p->key);
}

int tier__view_content(tier_session *s, struct tier__path *p, tier_digest *digest, tier__entry **entry)
{
    struct tier__look look = {.looked = false};
    tier__entry *read = NULL;
    bool fresh = !look_known(s->view, p, &look);
    int rc = fresh ? look_first(s, p, &look) : 0;
    if (!rc && !look.has_content)
        rc = content_first(s, p, &look, fresh && !look.inherited, entry != NULL, &read);
    if (!rc && look.content_rc)
        rc = look.content_rc;
    if (!rc)
        *digest = look.content;
    if (!rc && entry) {
        if (look.overlay)
            *entry = tier__entry_ref(look.overlay);
        else if (read && tier__digest_equal(&read->key, &look.content))
            *entry = tier__entry_ref(read);
        else
            rc = content_again(s, p, &look, entry);
    }
    if (!rc && entry && !look.touched && !look.overlay) {
        pthread_mutex_lock(&s->view->lock);
        struct tier__look *l = look_slot(s->view, p);
        if (l)
            tier__view_touch(s->view, &l->touched, *entry);
        pthread_mutex_unlock(&s->view->lock);
    }
    tier__entry_unref(read);
    return rc;
}

int tier__path_digest(tier_cache *c, struct tier__path *p, tier_digest *digest)
{
    struct tier__statid id;
    char kind;
    int64_t at;
    tier__entry *e = NULL;
    int rc = tier__path_stat(c, p, false, &id, &kind);
    if (!rc && memo_digest(c, p, &id, digest))
        return 0;
    if (!rc && !(rc = read_file(c, p, &id, &at, &e)))
        *digest = e->key;
    tier__entry_unref(e);
    return rc;
}
