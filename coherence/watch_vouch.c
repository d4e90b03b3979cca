/* watch_vouch.c - looks that need no second look. While every directory that a path leads through is watched,
 * and the file itself, what a session saw of it stays true until an event says otherwise.
 *
 * A look is remembered with anchors and the time at which it was asked for (a count, not a clock). An anchor
 * stands for a name of the watched tree, or for all the names that may come into a directory; an event, or
 * the move, removal or change of mode of any directory above, strikes it: its time is then later than that of
 * the looks that hang on it. What may have been lost (overflow, mounts, no memory) raises the floor, under
 * which no look is vouched for.
 *
 * Soundness: the watches are in place before the file is looked at, so that every change after the look
 * queues an event; a session takes what waits before it begins, and takes looks alone that were made in
 * earlier sessions and that nothing has struck since. So all that it takes was true together, when it began.
 *   files        are watched each by itself besides: of a write through another hard link, or of such a link
 *                being made, the directory is told nothing. With several links already: not vouched for.
 *   absences     hang on the directory that does not hold the name, which is told of every name that comes.
 *   links        are names like others: anchors on each one passed, and on what ".." leads back from. What
 * leads out of the root, by a link or by "..", is not vouched for, nor what is on another file system than
 * the root. directories  are struck by every name that comes or goes, as their time stamps change with it.
 * Outside: writers through shared mappings (no event at all), asynchronous writes (told at the close). */
#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>
#include "coherence/manager.h"
#include "coherence/watch_private.h"

enum {
    LINKS_MAX = TIER__WATCH_ANCHORS - 1, /* symbolic links on the way; one anchor is the end of it */
    /* Of a watch that is there already the mask would be replaced: it may be a directory's by now. */
    FILE_EVENTS = IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_DONT_FOLLOW | IN_MASK_CREATE
};

struct anchor {
    uint64_t struck;
    uint32_t next_free;
};
struct vouched {
    uint64_t at; /* 0: nothing is remembered */
    uint32_t anchor[TIER__WATCH_ANCHORS];
    int32_t rc;
    uint8_t anchors;
    char kind;
    struct tier__statid id;
};
struct tier__vouch {
    pthread_mutex_t lock; /* all below; taken last of all */
    uint64_t now, floor;
    int64_t quiet_ns;      /* by the clock of time stamps: what is not struck was so then */
    struct anchor *anchor; /* the first is none */
    uint32_t anchors, room, free;
    struct tier__chunks looks; /* struct vouched by path id */
};

int tier__vouch_init(struct tier__watch *w)
{
    struct tier__vouch *v = tier__zalloc(w->base, 1, sizeof *v);
    if (!v)
        return TIER_ENOMEM;
    pthread_mutex_init(&v->lock, NULL);
    v->now = v->floor = 1;
    v->anchors = 1;
    v->looks.element = sizeof(struct vouched);
    w->vouch = v;
    return TIER_OK;
}

void tier__vouch_fini(struct tier__watch *w)
{
    struct tier__vouch *v = w->vouch;
    if (!v)
        return;
    tier__chunks_fini(w->base, &v->looks);
    tier__free(w->base, v->anchor);
    pthread_mutex_destroy(&v->lock);
    tier__free(w->base, v);
    w->vouch = NULL;
}

/* ---- anchors ---- */
static void strike(struct tier__vouch *v, uint32_t anchor)
{
    if (anchor)
        v->anchor[anchor].struck = ++v->now;
}

void tier__vouch_strike(struct tier__watch *w, const struct tier__wnode *n)
{
    if (!n->self && !n->names)
        return;
    pthread_mutex_lock(&w->vouch->lock);
    strike(w->vouch, n->self);
    strike(w->vouch, n->names);
    pthread_mutex_unlock(&w->vouch->lock);
}

void tier__vouch_entries(struct tier__watch *w, const struct tier__wnode *dir, bool came)
{
    if (!dir->self && !dir->names)
        return;
    pthread_mutex_lock(&w->vouch->lock);
    strike(w->vouch, dir->self);
    if (came)
        strike(w->vouch, dir->names);
    pthread_mutex_unlock(&w->vouch->lock);
}

static void retire(struct tier__vouch *v, uint32_t *anchor)
{
    strike(v, *anchor); /* who hangs on it is older than whoever gets it next */
    if (*anchor) {
        v->anchor[*anchor].next_free = v->free;
        v->free = *anchor;
    }
    *anchor = 0;
}

void tier__vouch_leave(struct tier__watch *w, struct tier__wnode *n)
{
    if (!n->self && !n->names)
        return;
    pthread_mutex_lock(&w->vouch->lock);
    retire(w->vouch, &n->self);
    retire(w->vouch, &n->names);
    pthread_mutex_unlock(&w->vouch->lock);
}

void tier__vouch_nothing(struct tier__watch *w)
{
    pthread_mutex_lock(&w->vouch->lock);
    w->vouch->floor = ++w->vouch->now;
    pthread_mutex_unlock(&w->vouch->lock);
}

uint64_t tier__vouch_begun(struct tier__watch *w, int64_t drained_ns)
{
    struct tier__vouch *v = w->vouch;
    pthread_mutex_lock(&v->lock);
    v->quiet_ns = drained_ns;
    uint64_t now = ++v->now;
    pthread_mutex_unlock(&v->lock);
    return now;
}

static bool anchor_make(struct tier__watch *w, uint32_t *anchor)
{
    struct tier__vouch *v = w->vouch;
    if (*anchor)
        return true;
    pthread_mutex_lock(&v->lock);
    if (v->free) {
        *anchor = v->free;
        v->free = v->anchor[*anchor].next_free;
    } else {
        if (v->anchors >= v->room) {
            uint32_t room = v->room ? v->room * 2 : 1024;
            struct anchor *grown = tier__resize(w->base, v->anchor, room * sizeof *grown);
            if (grown) {
                v->anchor = grown;
                v->room = room;
            }
        }
        if (v->anchors < v->room) {
            *anchor = v->anchors++;
            v->anchor[*anchor] = (struct anchor){0, 0};
        }
    }
    pthread_mutex_unlock(&v->lock);
    return *anchor != 0;
}

/* ---- where a path leads, by what the watcher knows; the watcher's lock is held ---- */
struct lead {
    struct tier__watch *w;
    struct tier__watch_ticket *t;
    struct tier__wnode *at;          /* the directory that was reached */
    char rest[2 * TIER__WATCH_PATH]; /* what is still to be walked, from `from` on */
    size_t from;
    int links;
};

static bool hang(struct lead *l, uint32_t *anchor)
{
    if (l->t->anchors == TIER__WATCH_ANCHORS || !anchor_make(l->w, anchor))
        return false;
    l->t->anchor[l->t->anchors++] = *anchor;
    return true;
}

/* Where n is a link, puts its target before the rest. False: it cannot be followed here. */
static bool follow(struct lead *l, struct tier__wnode *n, bool *is_link)
{
    char path[TIER__WATCH_PATH + 64], target[TIER__WATCH_PATH];
    *is_link = false;
    if (n->plain)
        return true;
    if (!tier__watch_os_path(l->w, n, path, sizeof path))
        return false;
    ssize_t size = readlink(path, target, sizeof target);
    if (size < 0 && errno == EINVAL) {
        n->plain = 'y';
        return true;
    }
    if (size <= 0 || *target == '/' || (size_t)size + 1 > l->from || l->links++ == LINKS_MAX)
        return false;
    *is_link = true;
    l->from -= (size_t)size + 1;
    memcpy(l->rest + l->from, target, (size_t)size);
    l->rest[l->from + (size_t)size] = '/';
    return hang(l, &n->self);
}

/* The next name of the rest into name; 0: there is none. */
static size_t next_name(struct lead *l, char *name, size_t room)
{
    l->from += strspn(l->rest + l->from, "/");
    size_t n = strcspn(l->rest + l->from, "/");
    if (n >= room)
        n = 0;
    memcpy(name, l->rest + l->from, n);
    name[n] = 0;
    l->from += n;
    return n;
}

static bool watch_file(struct tier__watch *w, struct tier__wnode *n)
{
    char path[TIER__WATCH_PATH + 64];
    if (n->wd >= 0)
        return true;
    if (w->tree.file_watches >= w->file_limit || !tier__watch_os_path(w, n, path, sizeof path))
        return false;
    int wd = w->os->add_watch(w->inotify, path, FILE_EVENTS);
    if (wd < 0 && errno == ENOSPC)
        w->file_limit = w->tree.file_watches; /* what is left is for directories */
    if (wd < 0)
        return false; /* gone, or known by another name too */
    tier__wtree_set_wd(&w->tree, n, wd);
    return true;
}

static bool end_at(struct lead *l, struct tier__wnode *n)
{
    l->t->kind = n->is_dir ? 'd' : 'f';
    if (n->is_dir ? n->wd < 0 || !n->vouches : !watch_file(l->w, n))
        return false;
    return hang(l, &n->self);
}

static bool walk(struct lead *l)
{
    char name[NAME_MAX + 1];
    for (;;) {
        bool is_link;
        if (l->at->wd < 0 || !l->at->vouches)
            return false;
        size_t size = next_name(l, name, sizeof name);
        if (!size)
            return l->rest[l->from] == 0 && end_at(l, l->at);
        if (!strcmp(name, "."))
            continue;
        if (!strcmp(name, "..")) {
            if (!l->at->parent || !hang(l, &l->at->self)) /* the way back needs it to be there */
                return false;
            l->at = l->at->parent;
            continue;
        }
        struct tier__wnode *n = tier__wtree_find(&l->w->tree, l->at, name);
        if (!n) {
            l->t->kind = 0;
            return hang(l, &l->at->names);
        }
        if (n->is_dir) {
            l->at = n;
            continue;
        }
        if (!follow(l, n, &is_link))
            return false;
        if (!is_link)
            return l->rest[l->from + strspn(l->rest + l->from, "/")] == 0 && end_at(l, n);
    }
}

void tier__watch_ticket(struct tier__watch *w, uint32_t root, const char *rel, struct tier__watch_ticket *t)
{
    struct lead l; /* not cleared: the path is its end */
    size_t size = strlen(rel) + 1;
    *t = (struct tier__watch_ticket){0};
    if (root >= w->root_count || size > TIER__WATCH_PATH)
        return;
    l.w = w;
    l.t = t;
    l.links = 0;
    l.from = sizeof l.rest - size;
    memcpy(l.rest + l.from, rel, size);
    pthread_mutex_lock(&w->lock);
    l.at = w->root[root];
    bool leads = !w->polling && !w->incomplete && walk(&l);
    pthread_mutex_lock(&w->vouch->lock);
    t->at = leads ? w->vouch->now : 0;
    t->dev = w->place[root].dev;
    pthread_mutex_unlock(&w->vouch->lock);
    pthread_mutex_unlock(&w->lock);
}

/* ---- looks ---- */
void tier__watch_remember(struct tier__watch *w, uint32_t path, const struct tier__watch_ticket *t,
                          const struct tier__look *look)
{
    struct tier__vouch *v = w->vouch;
    bool as_led =
        t->kind ? look->rc == 0 && look->kind == t->kind && look->id.dev == t->dev : look->rc == TIER_EABSENT;
    if (!t->at || !as_led || (t->kind == 'f' && look->id.links != 1))
        return;
    pthread_mutex_lock(&v->lock);
    struct vouched *s = tier__chunks_make(w->base, &v->looks, path);
    if (s) {
        s->at = t->at;
        s->anchors = t->anchors;
        memcpy(s->anchor, t->anchor, sizeof s->anchor);
        s->rc = look->rc;
        s->kind = look->kind;
        s->id = look->id;
    }
    pthread_mutex_unlock(&v->lock);
}

bool tier__watch_vouches(struct tier__watch *w, uint32_t path, uint64_t begun, struct tier__look *out)
{
    struct tier__vouch *v = w->vouch;
    pthread_mutex_lock(&v->lock);
    const struct vouched *s = tier__chunks_at(&v->looks, path);
    bool holds = s && s->at && s->at < begun && s->at >= v->floor;
    for (uint32_t i = 0; holds && i < s->anchors; i++)
        holds = v->anchor[s->anchor[i]].struck <= s->at;
    if (holds) {
        out->rc = s->rc;
        out->kind = s->kind;
        out->id = s->id;
        out->observed_at = v->quiet_ns;
        out->vouched = true;
    }
    pthread_mutex_unlock(&v->lock);
    return holds;
}
