/* watch_private.h - shared by the watcher's files: the tree of known names, the batch, the watcher itself.
 * Everything here is guarded by the watcher's lock. */
#ifndef TIER_WATCH_PRIVATE_H
#define TIER_WATCH_PRIVATE_H
#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/statfs.h>
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
    uint32_t self, names;                             /* anchors of looks that were vouched for; 0: none */
    bool is_dir;
    bool vouches; /* a directory of which every change is told */
    char plain;   /* 'y': known to be no symbolic link; 0: not known */
    bool young;   /* stamp too fresh to prove anything: a later change may have left it the same */
    bool stamped;
    struct tier__stamp stamp; /* polling only */
    char name[];
};

struct tier__wtree {
    struct tier__base *base;
    struct tier__wnode **by_name, **by_wd; /* buckets; room each */
    size_t room, count;
    size_t file_watches; /* of files, one by one; the others are of directories */
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

struct tier__wplace { /* a root as it was when it was last scanned */
    int fd;           /* O_PATH; -1: none */
    bool ours;        /* it is the directory that sessions look below, and its file system tells everything */
    uint64_t dev;
    char os_path[32]; /* "/proc/self/fd/N": names below it stay right when a directory above it is renamed */
    char *vc_lock[2]; /* of git, of Mercurial; NULL: none */
};

/* What the watcher asks of the kernel; tests put other answers in. */
struct tier__watch_os {
    ssize_t (*read)(int fd, void *buf, size_t size);
    int (*add_watch)(int fd, const char *path, uint32_t mask);
    int (*statfs)(const char *path, struct statfs *out);
};

struct tier__watch {
    uint32_t magic;
    tier_cache *cache;
    struct tier__base *base;
    const struct tier__watch_os *os;
    pthread_mutex_t flush; /* taken before lock; held while batches are told */
    pthread_mutex_t lock;  /* everything below */
    struct tier__wtree tree;
    struct tier__wnode **root;
    size_t root_count;
    struct tier__batch batch;
    int inotify, timer;     /* -1: none; open until close */
    bool polling, overflow; /* overflow: events were lost, scan again */
    bool root_lost;
    bool incomplete; /* a name could not be remembered: nothing is vouched for until all is scanned again */
    uint32_t pass;
    int64_t next_poll_ms, settle_ms, poll_ms;
    int64_t held_ms;            /* the batch waits for version control until then; 0: it does not */
    struct tier__wplace *place; /* by root */
    struct tier__vouch *vouch;
    int mounts; /* /proc/self/mountinfo: readiness tells that a mount came or went; -1: none */
    uint64_t mounts_sum;
    size_t file_limit; /* files watched one by one */
    dev_t cache_dev;
    ino_t cache_inode; /* of the cache directory; 0: none */
    int cookie_wd;     /* -1: none */
    char cookie[96];   /* how this watcher's cookie names begin */
    pid_t pid;         /* a child after fork has another: it leaves the descriptor's events alone */
    uint64_t cookies_made, cookies_seen;
    char path[TIER__WATCH_PATH], path2[TIER__WATCH_PATH];
    _Alignas(16) char events[65536];
};

/* ---- watch_host.c ---- */
bool tier__watch_blind(const struct tier__watch *w, const char *path); /* changes there are not told */
bool tier__watch_local(const struct tier__watch *w, const char *path); /* every change there is told */
long tier__watch_limit(const char *name);                              /* of fs.inotify; -1: unknown */
void tier__watch_mounts_open(struct tier__watch *w);
bool tier__watch_mounts_moved(struct tier__watch *w); /* after readiness: was it anything below a root? */
void tier__watch_vc_find(struct tier__watch *w);      /* where version control of each root puts its lock */
bool tier__watch_vc_busy(const struct tier__watch *w);

/* ---- watch_vouch.c: anchors are struck when what they stand for may have changed ---- */
int tier__vouch_init(struct tier__watch *w);
void tier__vouch_fini(struct tier__watch *w);
void tier__vouch_strike(struct tier__watch *w, const struct tier__wnode *n); /* n itself, and names in it */
void tier__vouch_entries(struct tier__watch *w, const struct tier__wnode *dir,
                         bool came);                                  /* a name came or went */
void tier__vouch_leave(struct tier__watch *w, struct tier__wnode *n); /* n is about to be removed */
void tier__vouch_nothing(struct tier__watch *w);                      /* that was vouched for before this */
uint64_t tier__vouch_begun(struct tier__watch *w, int64_t drained_ns);

/* ---- watch_scan.c ---- */
void tier__watch_unwatch(struct tier__watch *w, struct tier__wnode *n);
/* The path of n for the OS into buf; false: too long. */
bool tier__watch_os_path(const struct tier__watch *w, const struct tier__wnode *n, char *buf, size_t size);
/* A name could not be remembered, or a directory not be read. */
void tier__watch_lost(struct tier__watch *w);
void tier__watch_tell(struct tier__watch *w, const struct tier__wnode *n); /* into the batch */
void tier__watch_tell_all(struct tier__watch *w);
void tier__watch_tell_below(struct tier__watch *w, struct tier__wnode *n); /* n and what is below */
/* Removes n and what is below, told and unwatched. */
void tier__watch_forget(struct tier__watch *w, struct tier__wnode *n, bool tell);
/* Reads directory n and all below it; watches first, so that nothing slips between. tell: what is new or gone
 * goes into the batch; while polling also what has another stamp. */
void tier__watch_scan(struct tier__watch *w, struct tier__wnode *n, bool tell);
void tier__watch_scan_roots(struct tier__watch *w, bool tell);
/* Those that were gone alone: a scan ends the watches of files, and what was vouched for below other roots
 * hangs on them. */
void tier__watch_scan_lost(struct tier__watch *w);
/* Gives inotify up: no watches, or none that would tell. */
void tier__watch_poll_instead(struct tier__watch *w, const char *why);
#endif
