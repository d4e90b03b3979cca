/* watch_tree.c - the watcher's names, and the batch of paths to be told. */
#include "coherence/watch_private.h"

enum { FIRST_ROOM = 1024, BATCH_LIMIT = 65536 /* more paths than that at once: "anything" says it better */ };

static uint64_t mix(uint64_t h)
{
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdu; /* MurmurHash3's finalizer */
    return h ^ h >> 33;
}

static uint64_t hash_bytes(uint64_t h, const char *s)
{
    for (; *s; s++) /* FNV-1a */
        h = (h ^ (unsigned char)*s) * 1099511628211u;
    return mix(h);
}

static size_t name_bucket(const struct tier__wtree *t, const struct tier__wnode *parent, const char *name)
{
    return hash_bytes(14695981039346656037u ^ mix((uintptr_t)parent), name) & (t->room - 1);
}

static size_t wd_bucket(const struct tier__wtree *t, int wd)
{
    return mix((uint64_t)wd) & (t->room - 1);
}

int tier__wtree_init(struct tier__wtree *t, struct tier__base *base)
{
    *t = (struct tier__wtree){.base = base, .room = FIRST_ROOM};
    t->by_name = tier__zalloc(base, t->room, sizeof(*t->by_name));
    t->by_wd = tier__zalloc(base, t->room, sizeof(*t->by_wd));
    return t->by_name && t->by_wd ? TIER_OK : TIER_ENOMEM;
}

void tier__wtree_fini(struct tier__wtree *t)
{
    tier__free(t->base, t->by_name);
    tier__free(t->base, t->by_wd);
    *t = (struct tier__wtree){.base = t->base};
}

/* Without memory for it the chains just get longer. */
static void grow(struct tier__wtree *t)
{
    struct tier__wtree more = *t;
    more.room *= 2;
    more.by_name = tier__zalloc(t->base, more.room, sizeof(*more.by_name));
    more.by_wd = tier__zalloc(t->base, more.room, sizeof(*more.by_wd));
    if (!more.by_name || !more.by_wd) {
        tier__wtree_fini(&more);
        return;
    }
    for (size_t i = 0; i < t->room; i++) {
        for (struct tier__wnode *n = t->by_name[i], *next; n; n = next) {
            size_t at = name_bucket(&more, n->parent, n->name);
            next = n->chain;
            n->chain = more.by_name[at];
            more.by_name[at] = n;
        }
        for (struct tier__wnode *n = t->by_wd[i], *next; n; n = next) {
            size_t at = wd_bucket(&more, n->wd);
            next = n->wd_chain;
            n->wd_chain = more.by_wd[at];
            more.by_wd[at] = n;
        }
    }
    tier__wtree_fini(t);
    *t = more;
}

struct tier__wnode *tier__wtree_find(const struct tier__wtree *t, const struct tier__wnode *parent,
                                     const char *name)
{
    struct tier__wnode *n = t->by_name[name_bucket(t, parent, name)];
    while (n && (n->parent != parent || strcmp(n->name, name) != 0))
        n = n->chain;
    return n;
}

struct tier__wnode *tier__wtree_add(struct tier__wtree *t, struct tier__wnode *parent, const char *name)
{
    size_t size = strlen(name) + 1;
    struct tier__wnode *n = tier__zalloc(t->base, 1, sizeof *n + size);
    if (!n)
        return NULL;
    if (t->count++ >= t->room)
        grow(t);
    memcpy(n->name, name, size);
    n->wd = -1;
    n->parent = parent;
    if (parent) {
        n->root = parent->root;
        n->next = parent->first;
        if (n->next)
            n->next->prev = n;
        parent->first = n;
    }
    size_t at = name_bucket(t, parent, name);
    n->chain = t->by_name[at];
    t->by_name[at] = n;
    return n;
}

static void remove_leaf(struct tier__wtree *t, struct tier__wnode *n)
{
    struct tier__wnode **link = &t->by_name[name_bucket(t, n->parent, n->name)];
    while (*link != n)
        link = &(*link)->chain;
    *link = n->chain;
    tier__wtree_set_wd(t, n, -1);
    if (n->prev)
        n->prev->next = n->next;
    else if (n->parent)
        n->parent->first = n->next;
    if (n->next)
        n->next->prev = n->prev;
    t->count--;
    tier__free(t->base, n);
}

static struct tier__wnode *deepest(struct tier__wnode *n)
{
    while (n->first)
        n = n->first;
    return n;
}

void tier__wtree_remove(struct tier__wtree *t, struct tier__wnode *top, tier__wnode_each *leaving, void *user)
{
    for (struct tier__wnode *n = deepest(top), *next; n; n = next) {
        bool last = n == top;
        next = last ? NULL : n->next ? deepest(n->next) : n->parent;
        leaving(user, n);
        remove_leaf(t, n);
    }
}

void tier__wtree_each(struct tier__wnode *top, tier__wnode_each *each, void *user)
{
    for (struct tier__wnode *n = top; n;) {
        each(user, n);
        if (n->first) {
            n = n->first;
            continue;
        }
        while (n != top && !n->next)
            n = n->parent;
        n = n == top ? NULL : n->next;
    }
}

void tier__wtree_set_wd(struct tier__wtree *t, struct tier__wnode *n, int wd)
{
    if (n->wd == wd)
        return;
    if (!n->is_dir)
        t->file_watches += (size_t)(wd >= 0) - (size_t)(n->wd >= 0);
    if (n->wd >= 0) {
        struct tier__wnode **link = &t->by_wd[wd_bucket(t, n->wd)];
        while (*link != n)
            link = &(*link)->wd_chain;
        *link = n->wd_chain;
        n->wd_chain = NULL;
    }
    n->wd = wd;
    if (wd >= 0) {
        struct tier__wnode **bucket = &t->by_wd[wd_bucket(t, wd)];
        n->wd_chain = *bucket;
        *bucket = n;
    }
}

struct tier__wnode *tier__wtree_by_wd(const struct tier__wtree *t, int wd)
{
    struct tier__wnode *n = wd < 0 ? NULL : t->by_wd[wd_bucket(t, wd)];
    while (n && n->wd != wd)
        n = n->wd_chain;
    return n;
}

struct tier__wnode *tier__wtree_next_wd(const struct tier__wnode *n)
{
    struct tier__wnode *other = n->wd_chain;
    while (other && other->wd != n->wd)
        other = other->wd_chain;
    return other;
}

bool tier__wnode_path(const struct tier__wnode *n, char *buf, size_t size)
{
    size_t length = 0;
    for (const struct tier__wnode *a = n; a->parent; a = a->parent)
        length += strlen(a->name) + 1;
    if (length >= size)
        return false;
    buf[length ? length - 1 : 0] = 0;
    for (const struct tier__wnode *a = n; a->parent; a = a->parent) {
        size_t part = strlen(a->name);
        length -= part + 1;
        memcpy(buf + length, a->name, part);
        if (length)
            buf[length - 1] = '/';
    }
    return true;
}

/* ---- the batch ---- */
static bool batch_grow(struct tier__batch *b, struct tier__base *base)
{
    size_t room = b->room ? b->room * 2 : 64;
    char **path = tier__resize(base, b->path, room * sizeof *path);
    if (!path)
        return false;
    b->path = path;
    uint32_t *slot = tier__zalloc(base, room * 2, sizeof *slot);
    if (!slot)
        return false;
    tier__free(base, b->slot);
    b->slot = slot;
    b->room = room;
    for (size_t i = 0; i < b->count; i++) {
        size_t at = hash_bytes(0, path[i]) & (room * 2 - 1);
        while (slot[at])
            at = (at + 1) & (room * 2 - 1);
        slot[at] = (uint32_t)i + 1;
    }
    return true;
}

void tier__batch_add(struct tier__batch *b, struct tier__base *base, char *path)
{
    if (b->all || !path || b->count >= BATCH_LIMIT || (b->count == b->room && !batch_grow(b, base))) {
        b->all = true;
        tier__free(base, path);
        return;
    }
    size_t mask = b->room * 2 - 1, at = hash_bytes(0, path) & mask;
    for (; b->slot[at]; at = (at + 1) & mask) {
        if (!strcmp(b->path[b->slot[at] - 1], path)) {
            tier__free(base, path);
            return;
        }
    }
    b->path[b->count++] = path;
    b->slot[at] = (uint32_t)b->count;
}

void tier__batch_fini(struct tier__batch *b, struct tier__base *base)
{
    for (size_t i = 0; i < b->count; i++)
        tier__free(base, b->path[i]);
    tier__free(base, b->path);
    tier__free(base, b->slot);
    *b = (struct tier__batch){0};
}
