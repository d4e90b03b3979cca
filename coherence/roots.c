/* roots.c - are the roots still where they were? All paths are taken from descriptors, so a root that was
 * moved is read on where it is, which is right for a rename above it, and for a session under way. But who
 * moved it away and put another in its place means the new one, and would hear nothing. */
#include "coherence/manager.h"
#include <errno.h>
#include <sys/stat.h>

/* What is to be said of r, or NULL. */
static const char *changed(tier_cache *c, struct tier__root *r)
{
    struct stat st;
    bool there = stat(r->path, &st) == 0;
    if (!there && errno != ENOENT && errno != ENOTDIR)
        return NULL; /* no right to look, say: nobody knows */
    uint64_t dev = there ? st.st_dev : 0, ino = there ? st.st_ino : 0;
    pthread_mutex_lock(&c->world_lock);
    bool news = r->now_dev != dev || r->now_ino != ino;
    r->now_dev = dev;
    r->now_ino = ino;
    pthread_mutex_unlock(&c->world_lock);
    if (!news || (r->dev == dev && r->ino == ino)) /* it is back */
        return NULL;
    return there ? "is another directory now than the one that was opened" : "is not there any more";
}

enum { WATCHED_MS = 1000 };

void tier__roots_glance(tier_cache *c, bool watched)
{
    int64_t now = tier__coarse_ms(), last = atomic_load_explicit(&c->roots_glanced, memory_order_relaxed);
    if (now - last < (watched ? WATCHED_MS : TIER__GLANCE_MS) ||
        !atomic_compare_exchange_strong(&c->roots_glanced, &last, now))
        return;
    for (size_t i = 0; i < c->root_count; i++) {
        const char *what = changed(c, &c->root[i]);
        if (what)
            tier__log(
                &c->base, TIER_LOG_WARNING,
                "root %s%s%s %s: this cache goes on reading the old one, wherever that is now; close it "
                "and open it again to read what is there",
                c->root[i].name, *c->root[i].name ? ": " : "", c->root[i].path, what);
    }
}
