/* build.c - running a build: its reads are written down in a frame, and what it came to becomes a variant
 * under the content key of exactly those reads (I4, I8). */
#include "coherence/loan.h"
#include "coherence/audit.h"
#include "coherence/explain.h"
#include "coherence/stale.h"

/* H(identity, ordered H(kind, name, observed value)); no path of this machine is in it (I1). */
static void content_key(tier_cache *c, const tier__node *n, const tier__frame *f, tier_digest *key)
{
    struct tier__hasher h;
    tier_digest value;
    tier__hash_begin(&h, "tierkit content key");
    tier__hash_digest(&h, &n->identity);
    for (uint32_t i = 0; i < f->edge_count; i++) {
        struct tier__dep *d = tier__dep_at(c, f->edges[i].dep);
        tier__dep_value(c, d, f->edges[i].version, &value);
        tier__hash_u64(&h, (uint64_t)d->kind << 32 | d->fields);
        if (d->path) {
            tier__hash_str(&h, d->path->root == UINT32_MAX ? NULL : c->root[d->path->root].name);
            tier__hash_str(&h, d->path->rel);
        }
        tier__hash_field(&h, d->name, d->name_size);
        tier__hash_digest(&h, &value);
    }
    tier__hash_end(&h, key);
}

static int hash_out(tier_out *out, const char *domain, tier_digest *hash)
{
    struct tier__hasher h;
    if (out->error)
        return out->error;
    tier__hash_begin(&h, domain);
    tier__hash_field(&h, out->bytes.data ? (char *)out->bytes.data : "", out->bytes.size);
    tier__hash_end(&h, hash);
    return 0;
}

/* A small blob lives in its variant, in memory and on disk. */
static void keep_small(tier_cache *c, struct tier__built *b)
{
    bool bytes = b->variant->form == TIER__FORM_BYTES;
    size_t size = bytes ? b->entry->size : b->saved.size;
    if (size == 0 || size > TIER__SMALL_BLOB)
        return;
    b->variant->small = tier__memdup0(&c->base, bytes ? b->entry->data : b->saved.data, size);
    b->variant->small_size = b->variant->small ? (uint32_t)size : 0;
}

/* Saves the object, where it can be saved, and finds the value hash: of the fingerprint, else of the bytes
 * and what was saved, else the content key. */
static int value_hash(tier_cache *c, const tier__node *n, struct tier__built *b)
{
    const tier_type_def *def = &n->type->def;
    tier__entry *e = b->entry;
    tier_digest *hash = tier__entry_hash(e);
    tier_out out, saved;
    int rc = 0;
    tier__out_init(&saved, c, n->type);
    void *object = tier__entry_object(e);
    bool has_saved = object && def->save;
    if (has_saved)
        rc = def->save(object, &saved, def->user);
    if (has_saved && !rc)
        rc = saved.error;
    if (rc) { /* an object that cannot be saved lives in memory */
        has_saved = false;
        rc = rc == TIER_ENOMEM ? rc : 0;
    }
    b->variant->form = (uint8_t)((e->data ? TIER__FORM_BYTES : 0) | (has_saved ? TIER__FORM_SAVED : 0));
    if (!rc && def->fingerprint && object) {
        tier__out_init(&out, c, n->type);
        rc = def->fingerprint(object, &out, def->user);
        if (!rc)
            rc = hash_out(&out, "tierkit fingerprint", hash);
        tier__out_fini(&out);
    } else if (!rc && (e->data || has_saved)) {
        struct tier__hasher h;
        tier__hash_begin(&h, "tierkit value");
        tier__hash_u64(&h, b->variant->form);
        tier__hash_field(&h, e->data ? e->data : "", e->data ? e->size : 0);
        tier__hash_field(&h, has_saved && saved.bytes.data ? (char *)saved.bytes.data : "",
                         has_saved ? saved.bytes.size : 0);
        tier__hash_end(&h, hash);
    } else {
        *hash = b->variant->key;
    }
    if (!rc && has_saved && e->data) {
        tier__buf_u64(&b->saved, e->size);
        tier__buf_put(&b->saved, e->data, e->size);
    }
    if (!rc && has_saved)
        tier__buf_put(&b->saved, saved.bytes.data ? (char *)saved.bytes.data : "", saved.bytes.size);
    if (object && !has_saved)
        b->variant->form = 0; /* bytes without their object are no value: a husk on disk */
    b->variant->hash = *hash;
    b->variant->size = e->size && e->data ? e->size
                       : has_saved        ? saved.bytes.size
                                          : tier__entry_object_bytes(e);
    if (b->saved.failed)
        rc = TIER_ENOMEM;
    if (!rc && c->store && b->variant->form)
        keep_small(c, b);
    tier__out_fini(&saved);
    return rc;
}

static void take_cause(tier_cache *c, struct tier__cause *to, const struct tier__cause *from)
{
    *to = *from;
    to->text = tier__strdup(&c->base, from->text ? from->text : "nothing was remembered");
}

static struct tier__variant *variant_new(tier_session *s, const tier__node *n, tier__frame *f, int rc,
                                         const struct tier__cause *cause, uint64_t cost_us)
{
    tier_cache *c = s->cache;
    struct tier__variant *v = tier__zalloc(&c->base, 1, sizeof *v);
    if (!v)
        return NULL;
    atomic_init(&v->refs, 1);
    v->rc = rc;
    v->born = s->view->bans;
    v->created_ms = s->view->clock_ms;
    v->expires_ms = f->expires_ms;
    v->cost_us = cost_us > UINT32_MAX ? UINT32_MAX : (uint32_t)cost_us;
    v->edges = f->edges;
    v->edge_count = f->edge_count;
    f->edges = NULL;
    v->tags = (char *)f->tags.data;
    v->tags_size = f->tags.size;
    tier__buf_init(&f->tags, &c->base);
    if (rc) {
        bool own = f->fail_text || f->handed != rc;
        v->text = own ? f->fail_text : f->handed_text;
        if (own)
            f->fail_text = NULL;
        else
            f->handed_text = NULL;
        tier__failure_digest(rc, v->text, &v->hash);
    }
    if (cause)
        take_cause(c, &v->cause, cause);
    (void)n;
    return v;
}

/* What a tool read is digested again: any difference refuses the store (I8). */
static int recheck(tier_session *s, const tier__frame *f)
{
    for (uint32_t i = 0; i < f->recheck_count; i++) {
        tier_digest now, then;
        int was = tier__view_content(s, f->recheck[i], &then, NULL);
        int is = tier__path_digest(s->cache, f->recheck[i], &now);
        if (was != is || (!was && !tier__digest_equal(&now, &then))) {
            atomic_store(&s->view->changed, true);
            return tier__fail(s, TIER_ECHANGED, "%s changed while a tool read it", f->recheck[i]->key);
        }
    }
    return 0;
}

static void cycle_path(tier_session *s, const tier__node *n, struct tier__buf *out)
{
    tier__buf_printf(out, "cycle: ");
    const tier__frame *f = s->frame;
    size_t count = 0;
    tier__node *chain[32];
    for (; f && count < 32; f = f->below) {
        if (f->node)
            chain[count++] = f->node;
        if (f->node == n)
            break;
    }
    if (!f) /* not a build of this session: what its thread was in when it began */
        count = tier__running_here(s, n, chain, count, 32);
    if (count == 32)
        tier__buf_printf(out, "... -> ");
    for (size_t i = count; i-- > 0;) {
        tier__node_label(chain[i], out);
        tier__buf_printf(out, " -> ");
    }
    tier__node_label(n, out);
}

int tier__cycle(tier_session *s, const tier__node *n)
{
    struct tier__buf b;
    tier__buf_init(&b, &s->cache->base);
    cycle_path(s, n, &b);
    int rc = tier__fail(s, TIER_ECYCLE, "%s", b.data ? (char *)b.data : "cycle");
    tier__buf_fini(&b);
    return rc;
}

/* A path-free type asked for by path: the content is looked at, and the request for that content answers. */
static int forward(tier_session *s, tier__node *n, struct tier__built *out)
{
    tier_cache *c = s->cache;
    tier__frame *f = s->frame;
    tier__entry *bytes = NULL, *e = NULL;
    tier_digest digest;
    struct tier__variant *v;
    uint32_t version, from;
    int seen = 0;
    struct tier__dep *d = tier__dep_of(c, TIER__K_CONTENT, n->path, 0, NULL, 0);
    if (!d)
        return tier__fail(s, TIER_ENOMEM, "no memory for a dependency");
    int rc = tier__view_content(s, n->path, &digest, &bytes);
    int rc2 = rc && !tier__remembered(rc) ? rc : tier__view_observe(s, d, &version, NULL, &seen);
    if (!rc2)
        rc2 = tier__record(s, d, version);
    if (rc2 || seen) {
        tier__entry_unref(bytes);
        if (!rc2)
            tier_fail(s, seen, "cannot read the file");
        return rc2 ? rc2 : seen;
    }
    tier__node *inner = tier__node_of_content(c, n->type, &digest);
    rc = inner ? 0 : tier__fail(s, TIER_ENOMEM, "no memory for a request");
    tier__entry *outer = s->content;
    s->content = bytes;
    if (!rc)
        rc = tier__resolve(s, inner, TIER__WANT_VALUE, &v, &e, &from);
    s->content = outer;
    tier__entry_unref(bytes);
    if (!rc && from == TIER_STALE)
        tier__stale_given(s, inner);
    if (!rc) {
        struct tier__dep *result = tier__dep_at(c, inner->dep);
        version = tier__dep_version(c, result, &v->hash);
        rc = version == UINT32_MAX ? tier__fail(s, TIER_ENOMEM, "no memory")
                                   : tier__record(s, result, version);
    }
    if (!rc && v->rc)
        rc = tier_fail(s, v->rc, v->text);
    if (!rc) {
        out->entry = e;
        f->expires_ms = v->expires_ms;
        e = NULL;
    }
    tier__entry_unref(e);
    return rc;
}

static int forward_variant(tier_session *s, tier__node *n, tier__frame *f, struct tier__variant *v,
                           struct tier__built *out)
{
    /* blobs live under the key of the content's request, which leaves path and root out */
    struct tier__dep *result = f->edge_count ? tier__dep_at(s->cache, v->edges[v->edge_count - 1].dep) : NULL;
    tier__node *inner = result && result->kind == TIER__K_RESULT ? result->node : NULL;
    struct tier__variant *in = inner ? tier__bound(s, inner) : NULL;
    (void)n;
    if (in) {
        v->key = in->key;
        v->hash = in->hash;
        v->form = in->form;
        v->size = in->size;
        v->blob_stored = true; /* by the other request */
        v->cheap = in->cheap;
        v->small = in->small ? tier__memdup0(&s->cache->base, in->small, in->small_size) : NULL;
        v->small_size = v->small ? in->small_size : 0;
    }
    (void)out;
    return 0;
}

static int call_build(tier_session *s, tier__node *n, struct tier__built *b)
{
    tier_cache *c = s->cache;
    const tier_type_def *def = &n->type->def;
    tier_query q = {
        .type = n->type, .path = n->path ? n->path->key : NULL, .args = n->args, .args_size = n->args_size};
    tier__entry *content = NULL;
    tier_out out;
    if (n->content) {
        content = s->content ? tier__entry_ref(s->content) : NULL;
        if (!content || memcmp(content->key.byte, n->args, sizeof content->key.byte) != 0) {
            tier__entry_unref(content);
            content = tier__memory_find(c->memory, TIER_FILE, n->args);
        }
        if (!content)
            return tier__say(s, TIER_ETRANSIENT, "the content is not at hand");
        q.args = content->data;
        q.args_size = content->size;
    }
    tier__out_init(&out, c, n->type);
    int rc = def->build(s, &q, &out, def->user);
    if (rc > 0)
        rc = tier__fail(s, TIER_EINVAL,
                        "type %s: its build returned %d, which is no TIER_E...: return 0 or tier_fail(...)",
                        n->type->name, rc);
    if (!rc)
        rc = out.error;
    if (!rc && !(b->entry = tier__out_entry(&out, (int)def->tier)))
        rc = tier__fail(s, TIER_ENOMEM, "no memory for the result of type %s", n->type->name);
    tier__out_fini(&out);
    tier__entry_unref(content);
    if (s->frame->audit)
        return rc;
    atomic_fetch_add_explicit(&((tier_type *)n->type)->built, 1, memory_order_relaxed);
    tier__count(&c->base, def->tier == TIER_TREE ? TIER__TREE_BUILT : TIER__DELTA_BUILT, 1);
    return rc;
}

static int finish(tier_session *s, tier__node *n, tier__frame *f, int rc, const struct tier__cause *cause,
                  uint64_t cost_us, struct tier__built *b)
{
    tier_cache *c = s->cache;
    bool forwards = tier__forwards(n);
    if (!(b->variant = variant_new(s, n, f, rc, cause, cost_us)))
        return tier__fail(s, TIER_ENOMEM, "no memory for a result");
    f->edge_count = b->variant->edge_count;
    struct tier__frame keyed = *f;
    keyed.edges = b->variant->edges;
    content_key(c, n, &keyed, &b->variant->key);
    b->once = f->once;
    b->once_why = f->once_why;
    f->once_why = NULL;
    b->stale = f->stale;
    b->stale_since_ms = f->stale_since_ms;
    if (forwards)
        return rc ? 0 : forward_variant(s, n, f, b->variant, b);
    if (rc) {
        tier__entry_unref(b->entry);
        b->entry = NULL;
        return 0;
    }
    b->entry->key = b->variant->key;
    tier__entry_set_cost(b->entry, b->variant->cost_us);
    rc = value_hash(c, n, b);
    if (!rc && tier__cheap(s, n, b)) { /* a husk on disk: its bytes are in memory, or made again */
        b->variant->cheap = true;
        b->variant->form = 0;
        tier__buf_fini(&b->saved);
        tier__buf_init(&b->saved, &c->base);
    }
    return rc;
}

static void not_kept(tier_session *s, const tier__node *n, int rc)
{
    struct tier__buf why;
    tier__buf_init(&why, &s->cache->base);
    tier__buf_printf(&why, "%s: %s", tier_errname(rc), tier_detail(s));
    if (!why.failed)
        tier__unkept(s->cache, n, (char *)why.data);
    tier__buf_fini(&why);
}

/* Another frame for what forks of f read on; with the view's lock held. NULL: no memory. */
static tier__frame *orphanage(tier_session *s, const tier__frame *f)
{
    tier__frame *to = f->below;
    if (!to && (to = tier__zalloc(&s->cache->base, 1, sizeof *to))) {
        tier__buf_init(&to->tags, &s->cache->base);
        to->below = s->view->orphans;
        s->view->orphans = to;
    }
    return to;
}

/* A fork that outlives its build reads for the one around that, or for nobody: f is about to go. */
static void forks_orphan(tier_session *s, tier__frame *f)
{
    tier_cache *c = s->cache;
    tier__frame *to = NULL;
    bool found = false;
    if (!atomic_load(&s->forks))
        return;
    pthread_mutex_lock(&s->view->lock);
    pthread_mutex_lock(&c->world_lock);
    for (tier_session *t = c->sessions; t; t = t->next)
        if (t->fork_frame == f) {
            to = to ? to : orphanage(s, f);
            t->fork_frame = to ? to : t->frame;
            found = true;
        }
    pthread_mutex_unlock(&c->world_lock);
    pthread_mutex_unlock(&s->view->lock);
    if (found && !f->sticky)
        f->sticky = tier__fail(s, TIER_EINVAL, "type %s: a fork outlived the build it was made in",
                               f->node->type->name);
}

void tier__orphans_free(tier__view *v)
{
    while (v->orphans) {
        tier__frame *f = v->orphans;
        v->orphans = f->below;
        tier__frame_fini(v->cache, f);
        tier__free(&v->cache->base, f);
    }
}

/* A build failed and left no words. Of a number that no call of the library hands to a build, whoever wrote
 * the build needs to hear that it is its own. */
static void unexplained(tier_session *s, const char *type, int rc)
{
    if (rc == TIER_EINVAL || rc == TIER_END || strcmp(tier_errname(rc), "TIER_UNKNOWN") == 0)
        tier__say(s, rc, "type %s: its build returned %d (%s): return tier_fail(...)", type, rc,
                  tier_strerror(rc));
    else
        tier__say(s, rc, "type %s: %s", type, tier_strerror(rc));
}

static int build(tier_session *s, tier__node *n, const struct tier__cause *cause, bool audit,
                 struct tier__built *b)
{
    tier_cache *c = s->cache;
    memset(b, 0, sizeof *b);
    tier__buf_init(&b->saved, &c->base);
    if (s->nest >= TIER__NEST_MAX)
        return tier__fail(s, TIER_ECYCLE,
                          "%d builds within one another: type %s asks for itself without end?",
                          TIER__NEST_MAX, n->type->name);
    bool marked = !tier__forwards(n); /* else the request that it stands for is */
    int rc = marked ? tier__strike_refuses(s, n) : 0;
    if (rc)
        return rc;
    tier__frame f = {.below = s->frame, .node = n, .audit = audit};
    f.path_free = (n->type->def.flags & TIER_PATH_FREE) && !n->path;
    if (!tier__frame_enter(s, &f))
        return tier__cycle(s, n);
    tier__buf_init(&f.tags, &c->base);
    s->frame = &f;
    s->nest++;
    if (marked)
        tier__strike_begin(s, n);
    uint64_t start = tier__monotonic_us();
    rc = tier__forwards(n) ? forward(s, n, b) : call_build(s, n, b);
    uint64_t cost = tier__monotonic_us() - start;
    if (marked) {
        tier_type *t = (tier_type *)n->type;
        atomic_fetch_add_explicit(&t->cost_us, cost, memory_order_relaxed);
        atomic_fetch_add_explicit(&t->timed, 1, memory_order_relaxed);
    }
    if (!f.sticky && !f.out_of_memory && tier__remembered(rc))
        recheck(s, &f);
    forks_orphan(s, &f);
    if (f.sticky)
        rc = f.sticky;
    if (f.out_of_memory)
        rc = TIER_ENOMEM;
    if (!f.fail_text && rc && s->detail.size == 0)
        unexplained(s, n->type->name, rc);
    tier__scope_end(s, &f.scope);
    s->frame = f.below;
    s->nest--;
    if (tier__remembered(rc))
        rc = finish(s, n, &f, rc, cause, cost, b);
    if (marked)
        tier__strike_end(s, n);
    tier__frame_leave(s, &f);
    tier__frame_fini(c, &f);
    if (rc) {
        tier__built_fini(c, b);
        if (!audit)
            not_kept(s, n, rc);
    }
    return rc;
}

int tier__build(tier_session *s, tier__node *n, const struct tier__cause *cause, struct tier__built *b)
{
    return build(s, n, cause, false, b);
}

int tier__audit_build(tier_session *s, tier__node *n, struct tier__built *b)
{
    static const struct tier__cause audited = {.text = (char *)"an audit found another answer"};
    return build(s, n, &audited, true, b);
}

void tier__built_fini(tier_cache *c, struct tier__built *b)
{
    tier__variant_unref(c, b->variant);
    tier__entry_unref(b->entry);
    tier__buf_fini(&b->saved);
    tier__free(&c->base, b->once_why);
    memset(b, 0, sizeof *b);
}
