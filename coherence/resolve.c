/* resolve.c - pull: bringing a request up to date in a view.
 *
 * I15 The variants of a request are walked newest first, each in the order in which its dependencies were
 * read, and the walk stops at the first difference. So a result below is asked for only when everything
 * before it was as recorded, and then the build would have asked for it too: nothing runs that a run from
 * scratch would not run. I3  What matches is bound to the view: (request -> variant) holds as long as the
 * view. I5  A walk marks the request CLEAN for others only if no event came since the view began.
 *
 * The walk keeps its own stack, so that a chain of recorded results of any length needs no C stack. Builds
 * nest. */
#include "coherence/audit.h"
#include "coherence/explain.h"
#include "coherence/reverse.h"
#include "coherence/stale.h"

struct step { /* one request on its way up to date */
    struct step *below;
    tier__node *node;
    struct tier__variant *variant[TIER__VARIANT_MAX]; /* referenced */
    uint32_t count, at, edge;
    uint64_t changes; /* of the node's variants, when they were taken */
    bool entered, child_failed, snapped;
    bool held; /* its type, by this step; that of what was asked for is held for all of the walk */
    struct tier__lease lease; /* other processes know that we compute it */
    struct tier__cause cause; /* of the newest variant's end */
};

struct walk {
    tier_session *s;
    struct step *top;
    tier__node *asked; /* for this all is done */
    int flags;
    tier__entry *built; /* what the outermost build came to, pinned: it may be evicted before it is lent */
};

struct tier__variant *tier__bound(tier_session *s, const tier__node *n)
{
    const struct tier__slot *slot = tier__chunks_at(&s->view->slots, n->dep);
    return slot ? atomic_load_explicit(&slot->variant, memory_order_acquire) : NULL;
}

int tier__bind(tier_session *s, tier__node *n, struct tier__variant *v, tier__entry *keep, uint32_t from)
{
    tier_cache *c = s->cache;
    if (from != TIER_BUILT)
        atomic_store_explicit(&v->touched, true, memory_order_relaxed);
    pthread_mutex_lock(&s->view->lock);
    pthread_mutex_lock(&c->graph);
    struct tier__dep *d = tier__chunks_at(&c->dep_by_id, n->dep);
    struct tier__slot *slot = tier__view_slot(s->view, n->dep);
    if (slot && !slot->variant && (slot = tier__view_see(s->view, d, &v->hash))) {
        slot->from = from;
        slot->entry = keep ? tier__entry_ref(keep) : NULL;
        atomic_store_explicit(&slot->variant, tier__variant_ref(v), memory_order_release);
    }
    uint64_t *mark = &c->mark[n->dep];
    if (slot && *mark >> 2 <= s->view->event) /* an event since: the mark stays (I5) */
        *mark = tier__mark_of(*mark >> 2, TIER__CLEAN);
    if (slot && v->true_ms < s->view->clock_ms)
        v->true_ms = s->view->clock_ms;
    pthread_mutex_unlock(&c->graph);
    pthread_mutex_unlock(&s->view->lock);
    return slot ? 0 : tier__fail(s, TIER_ENOMEM, "no memory to bind a result");
}

/* ---- steps */
static void step_variants_drop(tier_cache *c, struct step *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        tier__variant_unref(c, t->variant[i]);
    t->count = t->at = t->edge = 0;
}

static void step_snap(tier_cache *c, struct step *t)
{
    step_variants_drop(c, t);
    if (!(c->flags & TIER_NO_MEMORY)) {
        tier__node_lock(c, t->node);
        for (; t->count < t->node->variant_count; t->count++)
            t->variant[t->count] = tier__variant_ref(t->node->variant[t->count]);
        t->changes = t->node->changes;
        pthread_mutex_unlock(&c->graph);
    }
    t->snapped = true;
    t->child_failed = false;
}

static int push(struct walk *w, tier__node *n, bool entered, bool held)
{
    struct step *t = tier__zalloc(&w->s->cache->base, 1, sizeof *t);
    if (!t) {
        if (entered)
            tier__leave(w->s, n);
        return tier__fail(w->s, TIER_ENOMEM, "no memory to verify");
    }
    *t = (struct step){.below = w->top, .node = n, .entered = entered, .held = held};
    w->top = t;
    tier__count(&w->s->cache->base, TIER__VERIFY_NODES, 1);
    return 0;
}

static void pop(struct walk *w, bool failed)
{
    struct step *t = w->top;
    tier_cache *c = w->s->cache;
    w->top = t->below;
    if (failed && w->top)
        w->top->child_failed = true;
    tier__lease_end(w->s, t->node, NULL, &t->lease); /* what was known after all */
    if (t->entered)
        tier__leave(w->s, t->node);
    if (t->held)
        tier__type_let_go(t->node);
    step_variants_drop(c, t);
    tier__free(&c->base, t->cause.text);
    tier__free(&c->base, t);
}

/* Why the newest variant does not hold any more. */
static void note_cause(tier_cache *c, struct step *t, const struct tier__variant *v, uint32_t is)
{
    if (t->at != 0 || t->cause.text)
        return;
    struct tier__buf text;
    struct tier__edge e = v->edges[t->edge];
    struct tier__dep *d = tier__dep_at(c, e.dep);
    tier__buf_init(&text, &c->base);
    tier__dep_label(c, d, &text);
    t->cause.dep = e.dep;
    t->cause.was = e.version;
    t->cause.is = is;
    tier__dep_value(c, d, e.version, &t->cause.was_digest);
    if (is != UINT32_MAX)
        tier__dep_value(c, d, is, &t->cause.is_digest);
    t->cause.text = text.failed ? NULL : tier__strdup(&c->base, (char *)text.data);
    tier__buf_fini(&text);
}

static void note_text(tier_cache *c, struct step *t, const char *text)
{
    if (t->at == 0 && !t->cause.text)
        t->cause.text = tier__strdup(&c->base, text);
}

static void next_variant(struct step *t)
{
    t->at++;
    t->edge = 0;
    t->child_failed = false;
}

/* ---- one edge, one variant */
enum { SAME, DIFFERENT, DESCEND, STOP };

/* Puts child, whose type is held, on top. SAME: it is bound already. */
static int descend(struct walk *w, tier__node *child, int *rc)
{
    tier_session *s = w->s;
    int entered = tier__enter(s, child);
    if (entered == TIER__BOUND)
        return SAME;
    if (entered == TIER_ECYCLE)
        return DIFFERENT; /* the build will run into it and say so */
    if (entered < 0)
        *rc = tier__fail(s, entered, "stopped while verifying: %s", tier_strerror(entered));
    else
        *rc = push(w, child, entered == TIER__ENTERED, true);
    return *rc ? STOP : DESCEND;
}

/* Compares what the edge recorded with what the view sees. *is: the version now. */
static int compare(struct walk *w, struct step *t, struct tier__edge e, uint32_t *is, int *rc)
{
    tier_session *s = w->s;
    int seen;
    *rc = 0;
    *is = UINT32_MAX;
    struct tier__dep *d = tier__dep_at(s->cache, e.dep);
    if (d->kind != TIER__K_RESULT) {
        *rc = tier__view_observe(s, d, is, NULL, &seen);
        if (*rc)
            return tier__sticky(*rc) ? STOP : DIFFERENT;
        return *is == e.version ? SAME : DIFFERENT;
    }
    pthread_mutex_lock(&s->view->lock);
    uint32_t known = tier__view_version(s->view, e.dep);
    pthread_mutex_unlock(&s->view->lock);
    if (known) {
        *is = known - 1;
        return *is == e.version ? SAME : DIFFERENT;
    }
    tier_digest hash;
    if (tier__closure_value(s->view, d, &hash)) { /* nothing below it changed: its record need not be read */
        tier__entry *none = NULL;
        if (!tier__view_freeze(s->view, d, &hash, is, &none, &seen)) {
            *rc = tier__fail(s, TIER_ENOMEM, "no memory to verify");
            return STOP;
        }
        return *is == e.version ? SAME : DIFFERENT;
    }
    tier__node *child = t->child_failed ? NULL : tier__dep_node(s->cache, d);
    if (!child || !tier__type_hold(s->cache, child))
        return DIFFERENT; /* its type is not defined here, or it would not come */
    int same = descend(w, child, rc);
    if (same != DESCEND)
        tier__type_let_go(child);
    return same == SAME ? compare(w, t, e, is, rc) : same; /* known by now: ends above */
}

static void content_at_hand(tier_session *s, const tier__node *n)
{
    tier_digest digest;
    tier__entry *bytes = NULL;
    if (tier__view_content(s, n->path, &digest, &bytes) == 0)
        tier__entry_unref(bytes); /* in memory now, as far as the budget goes */
}

/* Goes on with the variant at hand. */
static int walk_variant(struct walk *w, struct step *t, int *rc)
{
    tier_session *s = w->s;
    tier_cache *c = s->cache;
    struct tier__variant *v = t->variant[t->at];
    if (t->edge == 0) {
        if (v->expires_ms && v->expires_ms <= s->view->clock_ms) {
            note_text(c, t, "expired");
            return DIFFERENT;
        }
        if (tier__banned(c, t->node, v, s->view)) {
            note_text(c, t, "invalidated");
            return DIFFERENT;
        }
        if ((c->flags & TIER_AUDIT) && tier__forwards(t->node)) /* the content's request is audited: */
            content_at_hand(s, t->node);
        tier__closure_edges(s, t->node, v);
        if (!tier__variant_edges(c, v)) {
            note_text(c, t, "its record names dependencies that are gone");
            return DIFFERENT;
        }
    }
    while (t->edge < v->edge_count) {
        uint32_t is, run = tier__view_known(s->view, v, t->edge);
        tier__count(&c->base, TIER__VERIFY_EDGES, run);
        if (run)
            t->child_failed = false;
        if ((t->edge += run) == v->edge_count)
            return SAME;
        tier__count(&c->base, TIER__VERIFY_EDGES, 1);
        int same = compare(w, t, v->edges[t->edge], &is, rc);
        if (same == DIFFERENT)
            note_cause(c, t, v, is);
        if (same != SAME)
            return same;
        t->edge++;
        t->child_failed = false;
    }
    return SAME;
}

/* ---- build, when nothing holds */
static bool variants_moved(tier_cache *c, const struct step *t)
{
    pthread_mutex_lock(&c->graph);
    bool moved = !(c->flags & TIER_NO_MEMORY) && t->node->changes != t->changes;
    pthread_mutex_unlock(&c->graph);
    return moved;
}

enum { LOOK_AGAIN = 1, STALE_ANSWER, STALE_BELOW };

/* A build is due, in a session that may be given old answers. STALE_ANSWER: there is one to what was asked;
 * STALE_BELOW: t was made of stale answers before, and no walk may compare with that; 0: build. */
static int stale_step(const struct walk *w, const struct step *t)
{
    tier_session *s = w->s;
    struct tier__variant *v;
    tier__entry *e = NULL;
    int what = 0;
    if (!tier__may_be_stale(s))
        return 0;
    if ((tier__stale_find(s, w->asked, &v, &e) && (e || v->rc)) || tier__stale_take(s, w->asked))
        what = STALE_ANSWER;
    else if (t->below && tier__stale_find(s, t->node, &v, &e))
        what = STALE_BELOW;
    tier__entry_unref(e);
    return what;
}

static int built_stale(struct walk *w, const struct step *t, const struct tier__built *b)
{
    if (!tier__stale_keep(w->s, t->node, b))
        return tier__fail(w->s, TIER_ENOMEM, "no memory for a stale result");
    tier__unkept(w->s->cache, t->node, "it was made of a stale answer");
    if (!t->below && b->entry)
        w->built = tier__entry_ref(b->entry);
    return t->below ? STALE_BELOW : STALE_ANSWER;
}

static int build_step(struct walk *w, struct step *t)
{
    tier_session *s = w->s;
    tier_cache *c = s->cache;
    struct tier__built b;
    int rc = stale_step(w, t);
    if (rc)
        return rc;
    if (w->flags & TIER__NO_BUILD)
        return tier__say(s, TIER_EABSENT, "not known without building");
    if ((rc = tier__build_enter(s, t->node)) < 0)
        return rc;
    if (rc || variants_moved(c, t) || tier__lease_begin(s, t->node, &t->lease)) {
        tier__build_leave(s, t->node);
        t->snapped = false; /* another session or process has just built it: look at what came of that */
        return LOOK_AGAIN;
    }
    rc = tier__session_check(s);
    if (!rc)
        rc = tier__build(s, t->node, &t->cause, &b);
    if (!rc && b.stale) {
        rc = built_stale(w, t, &b);
        tier__built_fini(c, &b);
    } else if (!rc) {
        if (t->count && tier__digest_equal(&t->variant[0]->hash, &b.variant->hash))
            tier__count(&c->base, TIER__VERIFY_CUTOFF, 1);
        b.lent = !t->below && w->flags & TIER__WANT_VALUE;
        rc = tier__publish(s, t->node, &b);
        if (!rc && !t->below && b.entry)
            w->built = tier__entry_ref(b.entry);
        tier__lease_end(s, t->node, rc || b.once ? NULL : b.variant, &t->lease);
        tier__built_fini(c, &b);
    }
    tier__lease_end(s, t->node, NULL, &t->lease);
    tier__build_leave(s, t->node);
    return rc;
}

/* What was verified is made again and compared. 1: it stands; 0: what came out instead is bound. A build
 * that comes to no end leaves nothing to compare; where this was only a sample, it changes nothing at all. */
static int audit_step(struct walk *w, struct step *t, const struct tier__variant *v)
{
    tier_session *s = w->s;
    tier_cache *c = s->cache;
    struct tier__built b;
    if ((w->flags & TIER__NO_BUILD) || !tier__audit_due(s, t->node, v))
        return 1;
    int rc = tier__audit_build(s, t->node, &b);
    if (rc && (c->flags & TIER_AUDIT) && tier__sticky(rc))
        return rc;
    if (rc) { /* nothing came of it that could be compared */
        tier__buf_clear(&s->detail);
        return 1;
    }
    rc = 1;
    if (!tier__audit_same(s, t->node, v, &b)) {
        tier__memory_remove(c->memory, (int)t->node->type->def.tier, &v->key);
        tier__node_drop(c, t->node, v);
        b.instead = v;
        rc = tier__publish(s, t->node, &b);
    }
    tier__built_fini(c, &b);
    return rc;
}

/* ---- the walk */
static int walk_matched(struct walk *w, struct step *t)
{
    tier_session *s = w->s;
    tier_cache *c = s->cache;
    struct tier__variant *v = t->variant[t->at];
    int rc = audit_step(w, t, v);
    if (rc <= 0)
        return rc;
    if (t->at) { /* A -> B -> A: A is the newest again */
        tier__superseded_variant(c, t->node, v);
        tier__node_add(c, t->node, v);
    }
    return tier__bind(s, t->node, v, NULL, TIER_VERIFIED);
}

static int walk(struct walk *w)
{
    tier_cache *c = w->s->cache;
    int rc = 0;
    while (w->top && !rc) {
        struct step *t = w->top;
        if (!t->snapped && tier__closure_clean(w->s, t->node)) {
            pop(w, false);
            continue;
        }
        if (!t->snapped)
            step_snap(c, t);
        if (t->at < t->count) {
            int same = walk_variant(w, t, &rc);
            if (same == DIFFERENT)
                next_variant(t);
            else if (same == SAME && !(rc = walk_matched(w, t)))
                pop(w, false);
            continue;
        }
        rc = build_step(w, t);
        if (rc == LOOK_AGAIN || rc == STALE_BELOW) {
            if (rc == STALE_BELOW)
                pop(w, true);
            rc = 0;
            continue;
        }
        bool stop = rc && (rc == STALE_ANSWER || tier__sticky(rc) ? rc != TIER_ECYCLE
                                                                  : (w->flags & TIER__NO_BUILD) != 0);
        if (rc && (stop || !t->below))
            break;
        pop(w, rc != 0);
        rc = 0;
    }
    while (w->top)
        pop(w, false);
    return rc;
}

/* ---- the value */
/* Of v, which n is bound to. */
static tier__entry *value_known(tier_session *s, tier__node *n, const struct tier__variant *v)
{
    tier_cache *c = s->cache;
    const struct tier__slot *slot = tier__chunks_at(&s->view->slots, n->dep);
    tier__entry *e;
    if (slot->entry)
        return tier__entry_ref(slot->entry);
    int tier = (int)n->type->def.tier;
    e = n->type->def.flags & TIER_EXCLUSIVE ? tier__memory_take(c->memory, tier, &v->key)
                                            : tier__memory_find(c->memory, tier, &v->key);
    if (e && !tier__digest_equal(tier__entry_hash(e), &v->hash)) {
        /* of the same recorded inputs, from before somebody else was told to make it again */
        tier__memory_remove(c->memory, tier, &v->key);
        tier__entry_unref(e);
        e = NULL;
    }
    return e;
}

static int value_of(tier_session *s, tier__node *n, struct tier__variant *v, int flags, tier__entry **e,
                    uint32_t *from)
{
    tier_cache *c = s->cache;
    bool tree = n->type->def.tier == TIER_TREE;
    if ((*e = value_known(s, n, v))) {
        if (*from != TIER_BUILT) {
            tier__count(&c->base, tree ? TIER__TREE_HIT : TIER__DELTA_HIT, 1);
            atomic_fetch_add_explicit(&((tier_type *)n->type)->hit, 1, memory_order_relaxed);
        }
        return 0;
    }
    if ((*e = tier__blob_load(s, n, v))) {
        tier__count(&c->base, tree ? TIER__TREE_LOADED : TIER__DELTA_LOADED, 1);
        atomic_fetch_add_explicit(&((tier_type *)n->type)->loaded, 1, memory_order_relaxed);
        *from = TIER_LOADED;
        return 0;
    }
    struct tier__built b; /* a husk: what it was worth is known, its bytes are not */
    struct tier__cause cause = {.text = (char *)"its value was not kept"};
    int rc = flags & TIER__NO_BUILD ? TIER_EABSENT : tier__session_check(s);
    if (!rc)
        rc = tier__build(s, n, &cause, &b);
    if (rc)
        return rc;
    *from = b.stale ? TIER_STALE : TIER_BUILT;
    if (!b.stale && !tier__digest_equal(&b.variant->hash, &v->hash))
        tier__undeclared(s, n, "built again for its value");
    else /* the disk has all of it that it gets: whoever asks for a husk writes nothing */
        b.again = !v->form && !b.variant->form && tier__digest_equal(&b.variant->key, &v->key);
    b.lent = true;
    if (!b.entry)
        rc = TIER_ETRANSIENT;
    else if (!b.stale)
        rc = tier__publish(s, n, &b);
    else if (!tier__stale_keep(s, n, &b))
        rc = tier__fail(s, TIER_ENOMEM, "no memory for a stale result");
    if (!rc)
        *e = tier__entry_ref(b.entry);
    tier__built_fini(c, &b);
    return rc;
}

/* Is the answer to be made again, should it hold? Then it is walked to. */
static bool sampled(tier_session *s, tier__node *n)
{
    tier_cache *c = s->cache;
    if (c->flags & TIER_AUDIT)
        return true;
    if (!tier__profile_int(c->profile, TIER__KEY_VERIFY_SAMPLE))
        return false;
    tier__node_lock(c, n);
    struct tier__variant *v = n->variant_count ? tier__variant_ref(n->variant[0]) : NULL;
    pthread_mutex_unlock(&c->graph);
    bool due = v && tier__audit_due(s, n, v);
    tier__variant_unref(c, v);
    return due;
}

/* As this view was given it before, or as the walk has just left it: built is its value then. */
static bool stale_bound(tier_session *s, const tier__node *n, int flags, struct tier__variant **v,
                        tier__entry *built, tier__entry **e, uint32_t *from)
{
    tier__entry *kept = NULL;
    if (!tier__may_be_stale(s) || !tier__stale_find(s, n, v, &kept))
        return false;
    if (built) { /* lent to one at a time: the view has not kept it */
        tier__entry_unref(kept);
        kept = tier__entry_ref(built);
    }
    bool whole = kept || (*v)->rc || !(flags & TIER__WANT_VALUE);
    if (whole && (flags & TIER__WANT_VALUE))
        *e = kept;
    else
        tier__entry_unref(kept);
    if (whole)
        *from = TIER_STALE;
    return whole;
}

static int resolve(tier_session *s, tier__node *n, int flags, struct tier__variant **v, tier__entry **e,
                   uint32_t *from)
{
    tier_cache *c = s->cache;
    tier__entry *built = NULL;
    int rc = 0;
    *from = TIER_HIT;
    if (!(*v = tier__bound(s, n))) {
        if (stale_bound(s, n, flags, v, NULL, e, from))
            return 0;
        int entered = tier__enter(s, n);
        if (entered < 0)
            return entered;
        struct walk w = {.s = s, .asked = n, .flags = flags};
        bool first = entered != TIER__BOUND && !s->frame && !atomic_exchange(&s->view->asked, true) &&
                     !(c->flags & TIER_NO_MEMORY) && !s->view->recorded; /* what it sees, one by one */
        if (first && !sampled(s, n) && tier__closure_try(s, n)) {
            if (entered == TIER__ENTERED)
                tier__leave(s, n);
            if (s->view->snapshot) /* it held, though not by its leaves alone: the next time by these */
                tier__closure_make(s, n);
        } else if (entered != TIER__BOUND) {
            rc = push(&w, n, entered == TIER__ENTERED, false);
            if (!rc)
                rc = walk(&w);
            built = w.built;
            if (rc) {
                if (rc == STALE_ANSWER)
                    rc = stale_bound(s, n, flags, v, built, e, from)
                             ? 0
                             : tier__fail(s, TIER_ENOMEM, "no memory for a stale result");
                tier__entry_unref(built);
                return rc;
            }
            if (first)
                tier__closure_make(s, n);
        }
        if (!(*v = tier__bound(s, n))) {
            tier__entry_unref(built);
            return tier__fail(s, TIER_ENOMEM, "no memory to bind a result");
        }
        *from = ((struct tier__slot *)tier__chunks_at(&s->view->slots, n->dep))->from;
    }
    if ((*v)->rc || !(flags & TIER__WANT_VALUE))
        tier__entry_unref(built);
    else if (built)
        *e = built;
    else
        rc = value_of(s, n, *v, flags, e, from);
    if (!rc && !(*v)->rc && flags & TIER__WANT_VALUE) {
        pthread_mutex_lock(&s->view->lock);
        tier__view_touch(s->view, &tier__view_slot(s->view, n->dep)->touched, *e);
        pthread_mutex_unlock(&s->view->lock);
    }
    return rc;
}

int tier__resolve(tier_session *s, tier__node *n, int flags, struct tier__variant **v, tier__entry **e,
                  uint32_t *from)
{
    if (!tier__type_hold(s->cache, n))
        return tier__fail(s, TIER_EINVAL, "the type of what is asked for is not defined any more");
    int rc = resolve(s, n, flags, v, e, from);
    tier__type_let_go(n);
    return rc;
}
