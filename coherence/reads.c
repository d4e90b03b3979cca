/* reads.c - the reading calls: to read is to depend, failures too (I4). */
#include "coherence/loan.h"
#include "coherence/manager.h"
#include <limits.h>

/* May s read inputs now? */
static int may_read(tier_session *s, const char *what)
{
    if (!s || s->magic != TIER__SESSION_MAGIC)
        return TIER_EINVAL;
    int rc = tier__session_check(s);
    if (rc)
        return rc;
    tier__buf_clear(&s->detail);
    if (s->frame && s->frame->path_free) {
        s->frame->sticky = s->frame->sticky ? s->frame->sticky : TIER_EINVAL;
        return tier__fail(s, TIER_EINVAL,
                          "a path-free build may not call %s: it gets its content as arguments", what);
    }
    return 0;
}

static int read_begin(tier_session *s, const char *what, const char *path, struct tier__path **p)
{
    int rc = may_read(s, what);
    if (rc)
        return rc;
    if (!path)
        return tier__fail(s, TIER_EINVAL, "%s: path is NULL", what);
    if (!(*p = tier__path_of(s->cache, path, &rc)))
        return tier__fail(s, rc, "%s: path of %zu bytes: %s", what, strlen(path), tier_strerror(rc));
    return 0;
}

/* Observes and records in one; *seen as tier__view_observe. */
static int read_dep(tier_session *s, int kind, struct tier__path *p, uint32_t fields, const char *name,
                    tier__entry **bytes, int *seen)
{
    struct tier__dep *d = tier__dep_of(s->cache, kind, p, fields, name, name ? strlen(name) : 0);
    uint32_t version;
    if (!d)
        return tier__fail(s, TIER_ENOMEM, "no memory for a dependency");
    int rc = tier__view_observe(s, d, &version, bytes, seen);
    if (!rc)
        rc = tier__record(s, d, version);
    if (rc && bytes) {
        tier__entry_unref(*bytes);
        *bytes = NULL;
    }
    return rc;
}

static int seen_fail(tier_session *s, int seen, const char *what, const char *path)
{
    int rc, prefix = (int)strcspn(path, ":/");
    const char *why = seen == TIER_EABSENT   ? "it is not there"
                      : seen == TIER_EACCESS ? "permission denied"
                                             : "it is of another kind";
    if (seen == TIER_EKIND && strcmp(what, "read") == 0)
        why = "not a regular file, or larger than 256 MiB";
    if (seen == TIER_EABSENT && prefix && path[prefix] == ':' && !tier__path_misread(s->cache, path))
        rc =
            tier__fail(s, seen, "cannot %s %s: %s, and no root is named %.*s", what, path, why, prefix, path);
    else
        rc = tier__fail(s, seen, "cannot %s %s: %s", what, *path ? path : "an empty path (the root)", why);
    tier__handed(s, rc, (char *)s->detail.data);
    return rc;
}

int tier_file(tier_session *s, const char *path, tier_value *v)
{
    struct tier__path *p;
    tier__entry *e = NULL;
    tier_digest digest;
    int seen = 0;
    if (!v)
        return TIER_EINVAL;
    memset(v, 0, sizeof *v);
    int rc = read_begin(s, "tier_file", path, &p);
    if (rc)
        return rc;
    uint64_t before = s->reads;
    /* the content first, so that one reading serves the observation and the loan */
    rc = tier__view_content(s, p, &digest, &e);
    if (rc && tier__sticky(rc))
        return rc;
    if (rc == TIER_EIO) {
        if (s->frame)
            s->frame->once = true; /* a build may go on without, but nobody can say what it depends on */
        return rc;
    }
    int rc2 = read_dep(s, TIER__K_CONTENT, p, 0, NULL, NULL, &seen);
    if (rc2 || seen) {
        tier__entry_unref(e);
        return rc2 ? rc2 : seen_fail(s, seen, "read", path);
    }
    if (!e)
        return tier__fail(s, TIER_ECHANGED, "%s changed under way", path);
    bool read = s->reads != before;
    return tier__lend(s, e, read ? TIER_BUILT : TIER_HIT, v);
}

int tier_stat(tier_session *s, const char *path, char *kind)
{
    struct tier__path *p;
    struct tier__look look;
    int seen = 0;
    if (!kind)
        return TIER_EINVAL;
    *kind = 0;
    int rc = read_begin(s, "tier_stat", path, &p);
    if (!rc)
        rc = read_dep(s, TIER__K_KIND, p, 0, NULL, NULL, &seen);
    if (rc || seen)
        return rc ? rc : seen_fail(s, seen, "look at", path);
    rc = tier__view_look(s, p, &look);
    *kind = look.kind;
    return rc;
}

int tier_stat_fields(tier_session *s, const char *path, uint32_t fields, tier_stat_info *info)
{
    struct tier__path *p;
    struct tier__look look;
    int seen = 0;
    if (!info)
        return TIER_EINVAL;
    memset(info, 0, sizeof *info);
    int rc = read_begin(s, "tier_stat_fields", path, &p);
    if (!rc && fields & ~(uint32_t)(TIER_STAT_SIZE | TIER_STAT_MODE | TIER_STAT_MTIME))
        rc = tier__fail(s, TIER_EINVAL, "tier_stat_fields: unknown fields 0x%x", fields);
    if (!rc)
        rc = read_dep(s, TIER__K_STAT, p, fields, NULL, NULL, &seen);
    if (rc || seen)
        return rc ? rc : seen_fail(s, seen, "look at", path);
    rc = tier__view_look(s, p, &look);
    info->kind = look.kind;
    info->size = fields & TIER_STAT_SIZE ? look.id.size : 0;
    info->mode = fields & TIER_STAT_MODE ? look.id.mode & 07777 : 0;
    info->mtime_ns = fields & TIER_STAT_MTIME ? (uint64_t)look.id.mtime_ns : 0;
    return rc;
}

int tier_list(tier_session *s, const char *dir, const char *glob, tier_value *v)
{
    struct tier__path *p;
    tier__entry *e = NULL;
    int seen = 0;
    if (!v)
        return TIER_EINVAL;
    memset(v, 0, sizeof *v);
    int rc = read_begin(s, "tier_list", dir, &p);
    if (!rc && (!glob || !*glob))
        rc = tier__fail(s, TIER_EINVAL, "tier_list: the pattern is empty");
    if (!rc)
        rc = read_dep(s, TIER__K_LISTING, p, 0, glob, &e, &seen);
    if (rc || seen)
        return rc ? rc : seen_fail(s, seen, "list", dir);
    return tier__lend(s, e, TIER_HIT, v);
}

static const char *nowhere(int kind)
{
    return kind == TIER__K_ENV      ? "the environment has no "
           : kind == TIER__K_CONFIG ? "no setting is named config."
                                    : "no input is named ";
}

static int read_named(tier_session *s, int kind, const char *what, const char *name, tier_value *v)
{
    tier__entry *e = NULL;
    int seen = 0;
    if (!s || s->magic != TIER__SESSION_MAGIC || !v)
        return TIER_EINVAL;
    memset(v, 0, sizeof *v);
    int rc = tier__session_check(s);
    if (!rc)
        tier__buf_clear(&s->detail);
    if (!rc && (!name || !*name))
        rc = tier__fail(s, TIER_EINVAL, "%s: the name is empty", what);
    if (!rc)
        rc = read_dep(s, kind, NULL, 0, name, &e, &seen);
    if (rc || seen)
        return rc ? rc : tier__fail(s, seen, "%s%s", nowhere(kind), name);
    return tier__lend(s, e, TIER_HIT, v);
}

int tier_env(tier_session *s, const char *name, tier_value *v)
{
    return read_named(s, TIER__K_ENV, "tier_env", name, v);
}

int tier_config(tier_session *s, const char *name, tier_value *v)
{
    return read_named(s, TIER__K_CONFIG, "tier_config", name, v);
}

int tier_input(tier_session *s, const char *name, tier_value *v)
{
    return read_named(s, TIER__K_INPUT, "tier_input", name, v);
}

/* ---- realpath: one component after the other, every link a dependency */
enum { LINKS_MAX = 40 }; /* as the kernel */

struct resolving {
    tier_session *s;
    struct tier__buf done, rest; /* done: resolved key path so far; rest: components to go, with a 0 */
    int links;
};

static void resolving_root(const struct tier__path *p, struct tier__buf *done)
{
    tier__buf_clear(done);
    tier__buf_put(done, p->key, (size_t)(p->rel - p->key));
    if (p->root == UINT32_MAX)
        tier__buf_put(done, "/", 1);
}

/* A link's target replaces what is done (when absolute) and goes in front of the rest. */
static int resolving_link(struct resolving *r, tier__entry *target)
{
    struct tier__buf rest;
    if (++r->links > LINKS_MAX)
        return TIER_EABSENT;
    tier__buf_init(&rest, &r->s->cache->base);
    tier__buf_put(&rest, target->data, target->size);
    tier__buf_put(&rest, "/", 1);
    tier__buf_put(&rest, r->rest.data, r->rest.size);
    tier__buf_fini(&r->rest);
    r->rest = rest;
    if (((char *)target->data)[0] == '/') {
        tier__buf_clear(&r->done);
        tier__buf_put(&r->done, "/", 1);
    }
    return r->rest.failed || r->done.failed ? TIER_ENOMEM : 0;
}

/* Leaves the root upwards: from here on the path is absolute. */
static int resolving_up(struct resolving *r, struct tier__path *p)
{
    tier_cache *c = r->s->cache;
    size_t skip = (size_t)(p->rel - p->key);
    if (p->root != UINT32_MAX && *p->rel == 0) {
        tier__buf_clear(&r->done);
        tier__buf_put(&r->done, c->root[p->root].path, strlen(c->root[p->root].path));
        skip = 1;
    } else if (p->root == UINT32_MAX) {
        skip = 1;
    }
    while (r->done.size > skip && r->done.data[r->done.size - 1] != '/')
        r->done.data[--r->done.size] = 0;
    if (r->done.size > skip && r->done.data[r->done.size - 1] == '/')
        r->done.data[--r->done.size] = 0;
    return r->done.failed ? TIER_ENOMEM : 0;
}

static int resolving_step(struct resolving *r, const char *name)
{
    tier_session *s = r->s;
    struct tier__path *p;
    tier__entry *target = NULL;
    int rc, seen = 0;
    if (!(p = tier__path_of(s->cache, r->done.size ? (char *)r->done.data : "", &rc)))
        return rc;
    if (strcmp(name, "..") == 0)
        return resolving_up(r, p);
    struct tier__path *child = tier__path_join(s->cache, p, name, &rc);
    if (!child)
        return rc;
    rc = read_dep(s, TIER__K_LINK, child, 0, NULL, &target, &seen);
    if (!rc && !seen)
        rc = resolving_link(r, target);
    else if (!rc && seen == TIER_EKIND) { /* no link: a step */
        tier__buf_clear(&r->done);
        tier__buf_put(&r->done, child->key, child->key_size);
        rc = r->done.failed ? TIER_ENOMEM : 0;
    } else if (!rc)
        rc = seen;
    tier__entry_unref(target);
    return rc;
}

/* An absolute path below a root is named as the root's. Where the roots are is then part of what was read. */
static int resolving_name(struct resolving *r)
{
    tier_session *s = r->s;
    tier_cache *c = s->cache;
    const char *done = (const char *)r->done.data;
    if (!done || *done != '/')
        return 0;
    size_t best = SIZE_MAX, longest = 0;
    for (size_t i = 0; i < c->root_count; i++) {
        char *key = tier__cache_key_path(c, i, "");
        int rc = TIER_ENOMEM, seen;
        struct tier__path *root = key ? tier__path_of(c, key, &rc) : NULL;
        tier__free(&c->base, key);
        tier__entry *where = NULL;
        rc = root ? read_dep(s, TIER__K_LINK, root, 0, NULL, &where, &seen) : rc;
        tier__entry_unref(where);
        if (rc)
            return rc;
        size_t n = strlen(c->root[i].path);
        if (n >= longest && tier__path_below(done, c->root[i].path)) {
            longest = n;
            best = i;
        }
    }
    if (best == SIZE_MAX)
        return 0;
    const char *below = done + longest;
    char *key = tier__cache_key_path(c, best, below + strspn(below, "/"));
    tier__buf_clear(&r->done);
    tier__buf_put(&r->done, key ? key : "", key ? strlen(key) : 0);
    int rc = key && !r->done.failed ? 0 : TIER_ENOMEM;
    tier__free(&c->base, key);
    return rc;
}

int tier_realpath(tier_session *s, const char *path, tier_value *v)
{
    struct tier__path *p;
    if (!v)
        return TIER_EINVAL;
    memset(v, 0, sizeof *v);
    int rc = read_begin(s, "tier_realpath", path, &p);
    if (rc)
        return rc;
    struct resolving r = {.s = s};
    tier__buf_init(&r.done, &s->cache->base);
    tier__buf_init(&r.rest, &s->cache->base);
    resolving_root(p, &r.done);
    tier__buf_put(&r.rest, p->rel, strlen(p->rel) + 1);
    rc = r.done.failed || r.rest.failed ? TIER_ENOMEM : 0;
    while (!rc && r.rest.size > 1) {
        char name[NAME_MAX + 2];
        char *at = (char *)r.rest.data;
        size_t lead = strspn(at, "/"), n = strcspn(at + lead, "/");
        if (n > NAME_MAX)
            rc = TIER_EABSENT;
        if (rc || n == 0)
            break;
        memcpy(name, at + lead, n);
        name[n] = 0;
        memmove(at, at + lead + n, r.rest.size - lead - n);
        r.rest.size -= lead + n;
        if (strcmp(name, ".") != 0)
            rc = resolving_step(&r, name);
    }
    tier__entry *e = NULL;
    if (!rc)
        rc = resolving_name(&r);
    if (!rc && !(e = tier__entry_of(s->cache, TIER_FILE, r.done.data, r.done.size)))
        rc = TIER_ENOMEM;
    tier__buf_fini(&r.done);
    tier__buf_fini(&r.rest);
    if (rc == TIER_EABSENT || rc == TIER_EACCESS || rc == TIER_EKIND)
        return seen_fail(s, rc, "resolve", path);
    if (rc)
        return tier__sticky(rc) ? tier__fail(s, rc, "cannot resolve %s: %s", path, tier_strerror(rc)) : rc;
    return tier__lend(s, e, TIER_HIT, v);
}

/* To be digested again when the build ends: a fork's reads are those of the build that it was forked in. */
static int recheck_add(tier_session *s, struct tier__path *p)
{
    tier__frame *f = s->frame;
    for (const tier_session *of = s; f && of->fork_frame && !f->below; of = of->parent)
        f = of->fork_frame;
    if (!f)
        return 0;
    pthread_mutex_lock(&s->view->lock); /* other forks may have the same build */
    struct tier__path **grown =
        tier__resize(&s->cache->base, f->recheck, (f->recheck_count + 1) * sizeof *grown);
    if (grown) {
        f->recheck = grown;
        f->recheck[f->recheck_count++] = p;
    }
    pthread_mutex_unlock(&s->view->lock);
    return grown ? 0 : tier__fail(s, TIER_ENOMEM, "no memory to note %s", p->key);
}

int tier_read_elsewhere(tier_session *s, const char *path, const tier_digest *seen_digest)
{
    struct tier__path *p;
    tier_digest digest;
    int seen = 0;
    int rc = read_begin(s, "tier_read_elsewhere", path, &p);
    if (!rc)
        rc = read_dep(s, seen_digest ? TIER__K_CONTENT : TIER__K_TOOL, p, 0, NULL, NULL, &seen);
    if (rc)
        return rc;
    if (seen_digest) {
        if (seen)
            return seen_fail(s, seen, "read", path);
        rc = tier__view_content(s, p, &digest, NULL);
        if (!rc && !tier__digest_equal(&digest, seen_digest))
            return tier__fail(s, TIER_ECHANGED, "%s: another library read other bytes than this session",
                              path);
        return rc;
    }
    if ((rc = recheck_add(s, p)))
        return rc;
    return seen ? seen_fail(s, seen, "read", path) : 0;
}
