/* get.c - the memo of a view: each request is built once, its failures are remembered, cycles are found. */
#include <stdlib.h>
#include <string.h>
#include "tests/oracle/oracle.h"

/* Far above any sane nesting, far below what a thread's 8 MiB stack carries; the library has the same. */
enum { MAX_DEPTH = 1000, WAIT_MS = 10 };

void o_request_free(void *data)
{
    struct o_request *r = data;

    o_item_unref(r->item);
    free(r->key);
    free(r->path);
    free(r->args);
    free(r->text);
    free(r);
}

char *o_request_name(const struct o_request *r)
{
    return o_text("%s(%s)", r->type->def.name, r->path ? r->path : "");
}

/* ---- cycles, under view->lock ---- */

static bool on_stack(const struct o_frame *top, const struct o_request *r)
{
    while (top && top->request != r)
        top = top->parent;
    return top;
}

static void add_name(struct o_buf *b, const struct o_request *r)
{
    char *name = o_request_name(r);

    o_buf_text(b, b->size ? " -> " : "cycle: ");
    o_buf_text(b, name);
    free(name);
}

/* The names of a stack from r up to its top, oldest first. */
static void add_stack(struct o_buf *b, const struct o_frame *top, const struct o_request *r)
{
    const struct o_frame **list = o_alloc((MAX_DEPTH + 1) * sizeof *list);
    size_t n = 0;

    for (const struct o_frame *f = top; f; f = f->parent) {
        list[n++] = f;
        if (f->request == r)
            break;
    }
    while (n)
        add_name(b, list[--n]->request);
    free(list);
}

struct step {
    struct o_request *request; /* awaited */
    size_t from;               /* the step that led here */
    const struct o_wait *via;  /* the wait that did; NULL: our own */
};

static bool was_stepped(const struct step *steps, size_t n, const struct o_request *r)
{
    for (size_t i = 0; i < n; i++)
        if (steps[i].request == r)
            return true;
    return false;
}

static char *cycle_text(const struct step *steps, size_t last, const struct o_frame *top)
{
    const struct o_request *hit = steps[last].request;
    struct o_buf b = {0};
    size_t *path = o_alloc((last + 1) * sizeof *path), n = 0;

    for (size_t i = last; steps[i].via; i = steps[i].from)
        path[n++] = i;
    add_stack(&b, top, hit);
    while (n) {
        const struct step *s = &steps[path[--n]];

        add_stack(&b, s->via->top, steps[s->from].request);
    }
    add_name(&b, hit);
    free(path);
    return b.data;
}

/* Would waiting for target close a circle? target is built by a thread that may wait for something built by
 * another, and so on: if that leads to what this thread builds, nobody would ever move. The cycle, or NULL.
 */
static char *find_cycle(const struct o_view *view, const struct o_frame *top, struct o_request *target)
{
    size_t n = 1, i;
    struct step *steps = o_alloc(sizeof *steps);
    char *text = NULL;

    steps[0].request = target;
    for (i = 0; i < n && !on_stack(top, steps[i].request); i++) {
        for (const struct o_wait *w = view->waits; w; w = w->next) {
            if (!on_stack(w->top, steps[i].request) || was_stepped(steps, n, w->target))
                continue;
            steps = o_grow(steps, (n + 1) * sizeof *steps);
            steps[n++] = (struct step){w->target, i, w};
        }
    }
    if (i < n)
        text = cycle_text(steps, i, top);
    free(steps);
    return text;
}

/* ---- one build ---- */

static int callback_hash(int (*call)(const void *object, tier_out *out, void *user), const struct o_item *i,
                         void *user, tier_digest *hash)
{
    struct tier_out out = {0};
    int rc = call(i->object, &out, user);

    if (!rc)
        *hash = o_digest(out.bytes.data, out.bytes.size);
    o_out_fini(&out);
    return rc;
}

/* Fingerprint, else bytes, else saved bytes, else something that equals nothing else. */
static tier_digest value_hash(tier_cache *c, const tier_type_def *def, const struct o_item *i)
{
    tier_digest hash;
    uint64_t unique;

    if (i->object && def->fingerprint && !callback_hash(def->fingerprint, i, def->user, &hash))
        return hash;
    if (i->data)
        return o_digest(i->data, i->size);
    if (def->save && !callback_hash(def->save, i, def->user, &hash))
        return hash;
    pthread_mutex_lock(&c->lock);
    unique = ++c->sequence;
    pthread_mutex_unlock(&c->lock);
    return o_digest(&unique, sizeof unique);
}

static struct o_item *take_result(tier_cache *c, struct tier_out *out)
{
    const tier_type_def *def = &out->type->def;
    struct o_item *i = o_alloc(sizeof *i);

    i->refs = 1;
    i->object = out->object;
    if (out->object) {
        i->destroy = def->destroy;
        i->user = def->user;
        i->type = out->type;
    }
    if (out->bytes.data || !out->object)
        i->data = o_copy(out->bytes.data, out->bytes.size);
    i->size = out->bytes.size;
    i->holds = out->holds;
    i->hold_count = out->hold_count;
    free(out->bytes.data);
    memset(out, 0, sizeof *out);
    i->hash = value_hash(c, def, i);
    return i;
}

/* What tools read is digested again now that the build has ended. */
static void recheck(tier_session *s, struct o_frame *f)
{
    while (f->rechecks) {
        struct o_recheck *r = f->rechecks;
        tier_digest now;
        int rc = o_disk_digest(s->cache, r->path, &now);

        f->rechecks = r->next;
        if (rc != r->rc || memcmp(&now, &r->hash, sizeof now))
            o_error(s, TIER_ECHANGED, "%s: %s", r->path, tier_strerror(TIER_ECHANGED));
        free(r->path);
        free(r);
    }
}

/* A fork that outlives the build it was made in would read for nobody. */
static bool orphans(tier_session *s, struct o_frame *f)
{
    bool found = false;

    pthread_mutex_lock(&s->view->lock);
    pthread_mutex_lock(&s->cache->lock);
    for (tier_session *o = s->cache->sessions; o; o = o->next) {
        if (o->base == f) {
            o->base = f->parent;
            found = true;
        }
    }
    pthread_mutex_unlock(&s->cache->lock);
    pthread_mutex_unlock(&s->view->lock);
    return found;
}

static bool in_table(int rc)
{
    return rc < 0 && rc > TIER_END;
}

/* Runs the build of r in frame f. Returns its error with *text (to be freed), or 0 with *item. */
static int run(tier_session *s, struct o_request *r, struct o_frame *f, struct o_item **item, char **text)
{
    const tier_type_def *def = &r->type->def;
    tier_query q = {r->type, r->path, r->has_args ? r->args : NULL, r->args_size};
    struct tier_out out = {.type = r->type};
    struct o_frame *before = s->frame;
    int rc;

    s->frame = f;
    rc = def->build(s, &q, &out, def->user);
    recheck(s, f);
    if (orphans(s, f) && !rc)
        rc = tier_fail(s, TIER_EINVAL, "a fork outlived the build it was made in");
    o_loans_end(s, f);
    s->frame = before;
    s->cache->builds++;
    if (rc && !in_table(rc))
        rc = tier_fail(s, TIER_EINVAL, "the build returned what is no error");
    if (f->sticky) {
        rc = f->sticky;
        *text = o_copy(f->sticky_text, strlen(f->sticky_text));
    } else if (rc) {
        const char *said = f->fail_text ? f->fail_text : *s->detail ? s->detail : tier_strerror(rc);

        *text = o_copy(said, strlen(said));
    } else {
        *item = take_result(s->cache, &out);
    }
    o_out_fini(&out);
    free(f->sticky_text);
    free(f->fail_text);
    return rc;
}

static _Thread_local struct o_frame *here; /* the innermost build of this thread, in whatever session */

/* Does this thread build r already, in a session that began further out? */
static bool within(const struct o_request *r)
{
    const struct o_frame *f = here;

    while (f && (f->request->key_size != r->key_size || memcmp(f->request->key, r->key, r->key_size)))
        f = f->outer;
    return f;
}

static bool remembered(int rc)
{
    return !rc || rc == TIER_EBUILD || rc == TIER_EABSENT || rc == TIER_EACCESS || rc == TIER_EKIND;
}

/* Called with view->lock held and r neither done nor running; returns with it held. */
static int build(tier_session *s, struct o_request *r, char **text)
{
    struct o_frame f = {.parent = o_top(s), .request = r, .session = s};
    struct o_item *item = NULL;
    int rc;

    f.depth = f.parent ? f.parent->depth + 1 : 1;
    if (f.depth > MAX_DEPTH) {
        *text = o_text("%s: builds nest deeper than %d", r->type->def.name, MAX_DEPTH);
        return TIER_ECYCLE;
    }
    if (within(r)) {
        char *name = o_request_name(r);

        *text = o_text("cycle: the build of %s asks for it in a session of its own", name);
        free(name);
        return TIER_ECYCLE;
    }
    f.outer = here;
    here = &f;
    r->running = &f;
    pthread_mutex_unlock(&s->view->lock);
    rc = run(s, r, &f, &item, text);
    here = f.outer;
    if (!rc)
        o_publish(s->cache, TIER_RESULT, r->path, r->type, item);
    pthread_mutex_lock(&s->view->lock);
    r->running = NULL;
    if (remembered(rc)) {
        r->done = true;
        r->rc = rc;
        r->item = item;
        r->text = rc ? o_copy(*text, strlen(*text)) : NULL;
    }
    pthread_cond_broadcast(&s->view->changed);
    return rc;
}

/* Under view->lock: one wait for r. Cancellation and deadlines are polled. */
static int wait_for(tier_session *s, struct o_request *r, char **text)
{
    struct o_wait w = {s->view->waits, o_top(s), r}, **at;
    struct timespec until;
    int rc;

    *text = find_cycle(s->view, w.top, r);
    if (*text)
        return TIER_ECYCLE;
    s->view->waits = &w;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WAIT_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&s->view->changed, &s->view->lock, &until);
    for (at = &s->view->waits; *at != &w; at = &(*at)->next)
        ;
    *at = w.next;
    rc = o_state(s);
    if (rc)
        *text = o_text("session %llu: %s", (unsigned long long)s->id, tier_strerror(rc));
    return rc;
}

/* Brings r up to date. Returns its error with *text. */
static int bring(tier_session *s, struct o_request *r, uint32_t *from, char **text)
{
    int rc = 0;

    *from = TIER_HIT;
    pthread_mutex_lock(&s->view->lock);
    while (!r->done && !rc && *from == TIER_HIT) {
        if (r->running) { /* by others, or below us on our own stack: find_cycle knows both */
            rc = wait_for(s, r, text);
        } else {
            *from = TIER_BUILT;
            rc = build(s, r, text);
        }
    }
    if (r->done && *from == TIER_HIT) {
        rc = r->rc;
        *text = r->text ? o_copy(r->text, strlen(r->text)) : NULL;
    }
    pthread_mutex_unlock(&s->view->lock);
    if (*from == TIER_HIT)
        s->cache->hits++;
    return rc;
}

/* ---- requests ---- */

static int check_query(tier_session *s, const tier_query *q)
{
    const struct o_frame *f = o_top(s);
    const tier_type_def *asks = f ? &f->request->type->def : NULL, *def = &q->type->def;

    if ((q->args_size && !q->args) || (q->path && !*q->path))
        return o_error(s, TIER_EINVAL, "%s: bad query", def->name);
    if (asks && asks->tier == TIER_TREE && def->tier == TIER_DELTA)
        return o_error(s, TIER_ETIER, "%s of the tree tier asks for %s of the delta tier", asks->name,
                       def->name);
    if (asks && (asks->flags & TIER_PATH_FREE) && (q->path || !(def->flags & TIER_PATH_FREE)))
        return o_error(s, TIER_EINVAL, "%s: a path-free build asks for path-free types by bytes only",
                       asks->name);
    if ((def->flags & TIER_PATH_FREE) && q->path && q->args)
        return o_error(s, TIER_EINVAL, "%s: a path and bytes for a path-free type", def->name);
    return 0;
}

/* The request of a query, in the memo if add or known. args: what it is asked with. */
static struct o_request *request_at(tier_session *s, const tier_query *q, const char *path, const void *args,
                                    size_t args_size, bool add)
{
    struct o_buf key = {0};
    struct o_request *r;
    uint64_t owner = q->type->def.flags & TIER_EXCLUSIVE ? s->id : 0;
    void **at;

    o_buf_field(&key, &q->type, sizeof(q->type));
    o_buf_field(&key, &owner, sizeof owner); /* an exclusive object is never shared by sessions */
    o_buf_field(&key, path ? path : "", path ? strlen(path) : 0);
    o_buf_field(&key, args, args_size);
    pthread_mutex_lock(&s->view->lock);
    at = o_map_at(&s->view->memo, key.data, key.size, add);
    if (add && !*at) {
        *at = r = o_alloc(sizeof *r);
        r->key = o_copy(key.data, key.size);
        r->key_size = key.size;
        r->type = q->type;
        r->path = path ? o_copy(path, strlen(path)) : NULL;
        r->args = o_copy(args, args_size);
        r->args_size = args_size;
        r->has_args = args;
    }
    r = at ? *at : NULL;
    pthread_mutex_unlock(&s->view->lock);
    free(key.data);
    return r;
}

/* With the type held: the request, or NULL with *rc. A path-free type is asked for by the file's bytes. */
static struct o_request *request(tier_session *s, const tier_query *q, bool add, int *rc)
{
    struct o_item *content = NULL;
    struct o_request *r = NULL;
    char *path;

    *rc = check_query(s, q);
    if (*rc)
        return NULL;
    path = q->path ? o_normal(s->cache, q->path) : NULL;
    if (!(q->type->def.flags & TIER_PATH_FREE)) {
        r = request_at(s, q, path, q->args, q->args_size, add);
    } else if (path) {
        pthread_mutex_lock(&s->view->lock);
        *rc = o_look_content(s, path)->content_rc;
        content = o_look_content(s, path)->content;
        pthread_mutex_unlock(&s->view->lock);
        if (*rc)
            o_error(s, *rc, "%s: %s", path, tier_strerror(*rc));
        else
            r = request_at(s, q, NULL, content->data, content->size, add);
    } else {
        r = request_at(s, q, NULL, q->args ? q->args : "", q->args_size, add);
    }
    free(path);
    return r;
}

static int begin_get(tier_session *s, const tier_query *q, tier_value *v)
{
    int rc;

    if (v)
        memset(v, 0, sizeof *v);
    rc = o_enter(s, 0);
    if (rc)
        return rc;
    if (!q || !q->type || !o_type_hold(s->cache, q->type))
        return o_error(s, TIER_EINVAL, "no such type");
    return 0;
}

/* Hands out what bring brought, and lets go of the type. */
static int answer(tier_session *s, const tier_query *q, const struct o_request *r, int rc, uint32_t from,
                  char *text, tier_value *v)
{
    if (rc) {
        o_error(s, rc, "%s", text ? text : tier_strerror(rc));
        if (v && rc == TIER_EBUILD)
            v->hash = o_digest(s->detail, strlen(s->detail));
    } else if (v) {
        o_lend(s, r->item, from, v);
    }
    free(text);
    o_type_drop(s->cache, q->type);
    return rc;
}

int tier_get(tier_session *s, const tier_query *q, tier_value *v)
{
    struct o_request *r;
    uint32_t from;
    char *text = NULL;
    int rc = begin_get(s, q, v);

    if (rc)
        return rc;
    r = request(s, q, true, &rc);
    if (!r) {
        o_type_drop(s->cache, q->type);
        return rc;
    }
    rc = bring(s, r, &from, &text);
    return answer(s, q, r, rc, from, text, v);
}

int tier_peek(tier_session *s, const tier_query *q, tier_value *v)
{
    struct o_request *r;
    char *text = NULL;
    int rc = begin_get(s, q, v);

    if (rc)
        return rc;
    r = request(s, q, false, &rc);
    if (rc) {
        o_type_drop(s->cache, q->type);
        return rc;
    }
    pthread_mutex_lock(&s->view->lock);
    rc = r && r->done ? r->rc : TIER_EABSENT;
    if (r && r->done && r->text)
        text = o_copy(r->text, strlen(r->text));
    pthread_mutex_unlock(&s->view->lock);
    return answer(s, q, r, rc, TIER_HIT, text, v);
}

struct o_request *o_known(tier_session *s, const tier_query *q, int *rc)
{
    struct o_request *r;

    *rc = begin_get(s, q, NULL);
    if (*rc)
        return NULL;
    r = request(s, q, false, rc);
    o_type_drop(s->cache, q->type);
    return r;
}
