/* anchor.c - what says that a path is absent: the nearest directory above it that is there, in which no name
 * can come without changing its stamps. See closure.c. */
#include "coherence/closure.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ANCHOR_DEPTH = 256 };

/* What the watcher vouches for is of one moment; what a closure had, and still has, was so at that moment
 * too.
 */
static bool of_begin(const struct tier__look *l)
{
    return l->vouched || l->inherited;
}

/* Where rest leads from at, the very one that look is of: its path may lead to another one by now. false: it
 * does, or cannot be asked. */
static bool look_below(tier_cache *c, const struct tier__path *at, const struct tier__look *look,
                       const char *rest, struct tier__look *out)
{
    struct stat st;
    struct tier__statid id;
    char kind;
    int fd = strlen(rest) < PATH_MAX ? tier__path_open(c, at, O_PATH) : -1;
    bool same = fd >= 0 && fstat(fd, &st) == 0;
    if (same) {
        tier__statid_of(&st, &id, &kind);
        same = tier__statid_equal(&id, &look->id);
    }
    if (same) {
        out->rc = fstatat(fd, rest, &st, 0) ? tier__errno_rc(errno) : 0;
        if (!out->rc)
            tier__statid_of(&st, &out->id, &out->kind);
    }
    if (fd >= 0)
        close(fd);
    return same;
}

/* The second look at p. */
static void look_again(tier_session *s, struct tier__path *p, struct tier__look *absent)
{
    tier_cache *c = s->cache;
    struct tier__path *at = p;
    struct tier__look look = {.rc = TIER_EABSENT};
    absent->vouched = false;
    absent->observed_at = tier__now_ns();
    tier__count(&c->base, TIER__FILE_LOOK, 1);
    while (look.rc == TIER_EABSENT && *at->rel && strcmp(at->rel, "/") != 0) {
        at = at->parent;
        if (tier__view_look(s, at, &look))
            look.rc = TIER_EIO;
    }
    const char *rest = p->rel + (at->key_size - (size_t)(at->rel - at->key));
    if (look.rc == 0 && look_below(c, at, &look, rest + strspn(rest, "/"), absent))
        return;
    absent->rc = tier__path_stat(c, p, false, &absent->id, &absent->kind);
    if (look.rc == 0)
        tier__look_doubt(s->view, at);
}

/* An absence is anchored in the directory that does not hold it: that is looked at first, and when this look
 * is new, the absence is looked at once more in that very directory, so that its stamps are older than it. */
void tier__closure_anchor(tier_session *s, struct tier__path *p, struct tier__look *absent)
{
    tier_cache *c = s->cache;
    struct tier__path *chain[ANCHOR_DEPTH];
    int depth = 0;
    if (c->flags & TIER_NO_MEMORY)
        return;
    bool fresh = false;
    for (struct tier__path *at = p; *at->rel && strcmp(at->rel, "/") != 0 && depth < ANCHOR_DEPTH;) {
        at = at->parent;
        pthread_mutex_lock(&s->view->lock);
        struct tier__look *l = tier__chunks_at(&s->view->looks, at->id);
        bool looked = l && l->looked;
        fresh |= looked && absent->vouched && !of_begin(l);
        pthread_mutex_unlock(&s->view->lock);
        if (looked)
            break;
        chain[depth++] = at;
    }
    while (depth--) { /* from the top: each finds the one above it looked at already */
        struct tier__look look;
        bool failed = tier__view_look(s, chain[depth], &look) != 0;
        fresh |= failed || !absent->vouched || !of_begin(&look);
        if (failed)
            break;
    }
    if (fresh)
        look_again(s, p, absent);
}
