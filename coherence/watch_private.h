/* watch_private.h - shared by the watcher's files: the tree of known names, the batch, the watcher itself.
 * Everything here is guarded by the watcher's lock. */
#ifndef TIER_WATCH_PRIVATE_H
#define TIER_WATCH_PRIVATE_H
#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>
#include "coherence/watch.h"

enum { TIER__WATCH_PATH = PATH_MAX };

struct tier__stamp { /* of lstat */
    uint64_t inode, size;
    int64_t mtime_ns, ctime_ns;
    uint32_t mode;
};

struct tier__wnode {                                  /* a name below a root, or a root */
    struct tier__wnode *parent, *first, *next, *prev; /* first child, siblings */
    struct tier__wnode *chain;                        /* index by parent and name */
    struct tier__wnode *wd_chain;                     /* index by watch descriptor */
    struct tier__wnode *scan;                         /* directories still to be read */
    int root, wd;                                     /* wd -1: not watched */
    uint32_t seen;                                    /* pass of the last scan that found it */
    bool is_dir;
    bool young; /* stamp too fresh to prove anything: a later change may have left it the same */
    bool stamped;
    struct tier__stamp stamp; /* polling only */
    char name[];
};

struct tier__wtree {
    struct tier__base *base;
    struct tier__wnode **by_name, **by_wd; /* buckets; room each */
    size_t room, count;
};
typedef void tier__wnode_each(void *user, struct tier__wnode *n);

int tier__wtree_init(struct tier__wtree *t, struct tier__base *base);
void tier__wtree_fini(struct tier__wtree *t); /* all nodes were removed */
struct tier__wnode *tier__wtree_find(const struct tier__wtree *t, const struct tier__wnode *parent,
                                     const char *name);
/* parent NULL: a root. NULL: out of memory. */
struct tier__wnode *tier__wtree_add(struct tier__wtree *t, struct tier__wnode *parent, const char *name);
/* Removes n and all below it, deepest first; leaving is called for each while it is still in place. */
void tier__wtree_remove(struct tier__wtree *t, struct tier__wnode *n, tier__wnode_each *leaving, void *user);
/* Calls each for n and all below it. */
void tier__wtree_each(struct tier__wnode *n, tier__wnode_each *each, void *user);
/* Directories of one inode share a descriptor: nested roots, and a directory found at its new place before
 * the event of its leaving the old one was read. */
void tier__wtree_set_wd(struct tier__wtree *t, struct tier__wnode *n, int wd);
struct tier__wnode *tier__wtree_by_wd(const struct tier__wtree *t, int wd);
struct tier__wnode *tier__wtree_next_wd(const struct tier__wnode *n); /* of the same descriptor */
/* The path below the root, "" for the root. False: longer than size. */
bool tier__wnode_path(const struct tier__wnode *n, char *buf, size_t size);

struct tier__batch { /* key paths, each once, in order of arrival */
    char **path;
    uint32_t *slot; /* open addressing; index + 1 */
    size_t count, room;
    bool all;                  /* anything may have changed */
    int64_t first_ms, last_ms; /* monotonic; of its events */
};
static inline bool tier__batch_any(const struct tier__batch *b)
{
    return b->count || b->all;
}
/* Takes path over. What cannot be remembered turns the batch into `all`. */
void tier__batch_add(struct tier__batch *b, struct tier__base *base, char *path);
void tier__batch_fini(struct tier__batch *b, struct tier__base *base);

struct tier__watch {
    uint32_t magic;
    tier_cache *cache;
    struct tier__base *base;
    pthread_mutex_t flush; /* taken before lock; held while batches are told */
    pthread_mutex_t lock;  /* everything below */
    struct tier__wtree tree;
    struct tier__wnode **root;
    size_t root_count;
    struct tier__batch batch;
    int inotify, timer;     /* -1: none; open until close */
    bool polling, overflow; /* overflow: events were lost, scan again */
    bool root_lost;
    uint32_t pass;
    int64_t next_poll_ms, settle_ms, poll_ms;
    dev_t cache_dev;
    ino_t cache_inode; /* of the cache directory; 0: none */
    int cookie_wd;     /* -1: none */
    char cookie[96];   /* how this watcher's cookie names begin */
    pid_t pid;         /* a child after fork has another: it leaves the descriptor's events alone */
    uint64_t cookies_made, cookies_seen;
    char path[TIER__WATCH_PATH], path2[TIER__WATCH_PATH];
    _Alignas(16) char events[65536];
};

/* ---- watch_scan.c ---- */
void tier__watch_tell(struct tier__watch *w, const struct tier__wnode *n); /* into the batch */
void tier__watch_tell_all(struct tier__watch *w);
void tier__watch_tell_below(struct tier__watch *w, struct tier__wnode *n); /* n and what is below */
/* Removes n and what is below, told and unwatched. */
void tier__watch_forget(struct tier__watch *w, struct tier__wnode *n, bool tell);
/* Reads directory n and all below it; watches first, so that nothing slips between. tell: what is new or gone
 * goes into the batch; while polling also what has another stamp. */
void tier__watch_scan(struct tier__watch *w, struct tier__wnode *n, bool tell);
void tier__watch_scan_roots(struct tier__watch *w, bool tell);
/* Gives inotify up: no watches, or none that would tell. */
void tier__watch_poll_instead(struct tier__watch *w, const char *why);
#endif
