/* observe.c - everything else that a computation can read: directories, listings, links, stat fields, the
 * environment, inputs and settings; each observed once a view and then frozen (I9). */
#include "coherence/manager.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tiers/base/glob.h"

static bool observed(int rc)
{
    return rc == 0 || rc == TIER_EABSENT || rc == TIER_EACCESS || rc == TIER_EKIND;
}

void tier__record_put(struct tier__buf *b, const void *data, size_t size)
{
    tier__buf_bytes(b, data, size);
    tier__buf_u8(b, 0);
}

/* ---- directories */
static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a + 1, *(char *const *)b + 1);
}

static char entry_kind(int fd, const struct dirent *d)
{
    struct stat st;
    switch (d->d_type) {
    case DT_REG:
        return 'f';
    case DT_DIR:
        return 'd';
    case DT_LNK:
        return 'l';
    case DT_UNKNOWN:
        if (fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW))
            return 'o';
        return S_ISREG(st.st_mode) ? 'f' : S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : 'o';
    default:
        return 'o';
    }
}

/* All names of the open directory, unsorted, into b: kind, name, 0. */
static int names_collect(DIR *dir, struct tier__buf *b, size_t *count)
{
    for (;;) {
        errno = 0;
        struct dirent *d = readdir(dir);
        if (!d)
            return errno ? tier__errno_rc(errno) : b->failed ? TIER_ENOMEM : 0;
        if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
            continue;
        tier__buf_u8(b, (uint8_t)entry_kind(dirfd(dir), d));
        tier__buf_put(b, d->d_name, strlen(d->d_name) + 1);
        ++*count;
    }
}

static int names_sorted(tier_cache *c, const struct tier__buf *raw, size_t count, tier__entry **out)
{
    char **name = tier__zalloc(&c->base, count + 1, sizeof *name);
    tier__entry *e = tier__entry_new(c->memory, TIER_FILE, raw->size);
    if (!name || !e) {
        tier__free(&c->base, name);
        tier__entry_unref(e);
        return TIER_ENOMEM;
    }
    char *at = (char *)raw->data, *to = e->data;
    for (size_t i = 0; i < count; i++) {
        name[i] = at;
        at += strlen(at) + 1;
    }
    qsort(name, count, sizeof *name, by_name);
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(name[i]) + 1;
        memcpy(to, name[i], n);
        to += n;
    }
    tier__free(&c->base, name);
    tier__digest_of(e->data, e->size, &e->key);
    *tier__entry_hash(e) = e->key;
    *out = e;
    return 0;
}

/* 1: it changed under the reading. */
static int entries_once(tier_cache *c, const struct tier__path *p, struct tier__statid *id, tier__entry **out)
{
    struct stat st;
    struct tier__statid after;
    char kind;
    struct tier__buf raw;
    size_t count = 0;
    int fd = tier__path_open(c, p, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return errno == ENOTDIR ? TIER_EKIND : tier__errno_rc(errno);
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return TIER_ENOMEM;
    }
    tier__buf_init(&raw, &c->base);
    int rc = fstat(fd, &st) ? tier__errno_rc(errno) : 0;
    if (!rc) {
        tier__statid_of(&st, id, &kind);
        rc = names_collect(dir, &raw, &count);
    }
    if (!rc && fstat(fd, &st))
        rc = tier__errno_rc(errno);
    if (!rc) {
        tier__statid_of(&st, &after, &kind);
        rc = tier__statid_equal(id, &after) ? names_sorted(c, &raw, count, out) : 1;
    }
    closedir(dir);
    tier__buf_fini(&raw);
    return rc;
}

static int entries_read(tier_session *s, struct tier__path *p, struct tier__statid *id, tier__entry **out)
{
    tier_cache *c = s->cache;
    uint64_t start = tier__monotonic_us();
    int64_t at = 0;
    int rc = 1;
    for (int i = 0; rc == 1 && i < 5; i++) {
        at = tier__now_ns();
        rc = entries_once(c, p, id, out);
    }
    if (rc == 1)
        return tier__fail(s, TIER_ECHANGED, "directory %s changed each time it was read", p->key);
    if (rc)
        return rc;
    tier__count(&c->base, TIER__DIR_READ, 1);
    tier__entry_set_cost(*out, (uint32_t)(tier__monotonic_us() - start));
    *out = tier__memory_insert(c->memory, *out);
    tier__memo_see(c, p, id, at, &(*out)->key);
    return 0;
}

int tier__view_entries(tier_session *s, struct tier__path *p, tier_digest *digest, tier__entry **names)
{
    tier_cache *c = s->cache;
    tier__view *v = s->view;
    struct tier__look look;
    struct tier__statid id;
    tier__entry *e = NULL;
    *names = NULL;
    int rc = tier__view_look(s, p, &look);
    if (rc)
        return rc;
    if (look.rc || look.kind != 'd')
        return look.rc ? look.rc : TIER_EKIND;
    if (look.has_entries && look.entries_rc)
        return look.entries_rc;
    bool settled = false;
    tier__memo_lock(c, p);
    tier_digest known = p->memo.digest;
    settled = p->memo.known && tier__statid_equal(&p->memo.id, &look.id) &&
              tier__statid_settled(&look.id, p->memo.observed_at);
    pthread_mutex_unlock(&c->graph);
    if (look.has_entries)
        e = tier__memory_find(c->memory, TIER_FILE, &look.entries);
    else if (settled)
        e = tier__memory_find(c->memory, TIER_FILE, &known);
    bool elsewhere = false;
    if (!e) {
        rc = entries_read(s, p, &id, &e);
        elsewhere = rc || !tier__statid_equal(&id, &look.id);
        if (look.vouched && elsewhere)
            tier__look_outdated(v);
        if (look.inherited && (rc == 0 || observed(rc)) && elsewhere) {
            /* the closure that the view stands on has vouched for the names that were there */
            tier__entry_unref(e);
            atomic_store(&v->changed, true);
            return tier__fail(s, TIER_ECHANGED, "the names in %s that this session stands on are gone",
                              p->key);
        }
    }
    if (rc && !observed(rc))
        return rc == TIER_ECHANGED ? rc : tier__fail(s, rc, "cannot read directory %s", p->key);
    pthread_mutex_lock(&v->lock);
    struct tier__look *l = tier__chunks_make(&c->base, &v->looks, p->id);
    if (l && !l->has_entries) {
        l->has_entries = true;
        l->entries_rc = rc;
        if (!rc)
            l->entries = e->key;
        if (elsewhere)
            l->observed_at = 0; /* its stamps say nothing of these names: the path led elsewhere meanwhile */
    }
    if (l)
        look = *l;
    pthread_mutex_unlock(&v->lock);
    if (!l) {
        tier__entry_unref(e);
        return TIER_ENOMEM;
    }
    if (rc || !tier__digest_equal(&look.entries, &e->key) || look.entries_rc) {
        tier__entry_unref(e);
        if (rc && look.entries_rc == rc)
            return rc;
        atomic_store(&v->changed, true);
        return tier__fail(s, TIER_ECHANGED, "the names in %s that this session saw before are gone", p->key);
    }
    *digest = look.entries;
    *names = e;
    return 0;
}

/* ---- listings */
struct walk {
    tier_session *s;
    struct tier__path *top;
    const char *glob;
    struct tier__buf stack; /* paths below top, each with its 0, that are still to be read */
    struct tier__buf found; /* what matched, each with its 0 */
    size_t count;
    int (*visited)(void *user, struct tier__path *p);
    void *user;
};

static void walk_found(struct walk *w, const char *below)
{
    const struct tier__path *top = w->top;
    tier__buf_put(&w->found, top->key, top->key_size);
    if (*top->rel && top->key[top->key_size - 1] != '/')
        tier__buf_u8(&w->found, '/');
    if (!top->key_size && tier__path_misread(w->s->cache, below))
        tier__buf_put(&w->found, "./", 2);
    tier__buf_put(&w->found, below, strlen(below) + 1);
    w->count++;
}

static int walk_overlays(struct walk *w)
{
    const struct tier__world *world = w->s->view->world;
    for (size_t i = 0; world && i < world->overlay_count; i++) {
        const char *key = world->overlay[i].name;
        int rc;
        struct tier__path *p = tier__path_of(w->s->cache, key, &rc);
        if (!p)
            return rc;
        if (p->root != w->top->root || !tier__path_below(key, w->top->key))
            continue;
        const char *below = key + w->top->key_size;
        below += *below == '/' ? 1 : !w->top->key_size && !strncmp(below, "./", 2) ? 2 : 0;
        if (*below && tier__glob_match(w->glob, below))
            walk_found(w, below);
    }
    return w->found.failed ? TIER_ENOMEM : 0;
}

static int walk_directory(struct walk *w, const char *below)
{
    tier_session *s = w->s;
    tier__entry *names;
    tier_digest digest;
    int rc;
    struct tier__path *dir = *below ? tier__path_join(s->cache, w->top, below, &rc) : w->top;
    if (!dir)
        return rc;
    rc = tier__view_entries(s, dir, &digest, &names);
    if (*below && (rc == TIER_EABSENT || rc == TIER_EACCESS || rc == TIER_EKIND))
        rc = 0; /* gone since, or closed to us: it has no names to give, and the look at it is on record */
    if (!rc && w->visited)
        rc = w->visited(w->user, dir);
    if (rc || !names) {
        tier__entry_unref(names);
        return rc;
    }
    const char *at = names->data, *end = at + names->size;
    struct tier__buf path;
    tier__buf_init(&path, &s->cache->base);
    for (; at < end && !path.failed; at += strlen(at) + 1) {
        tier__buf_clear(&path);
        if (*below)
            tier__buf_printf(&path, "%s/", below);
        tier__buf_put(&path, at + 1, strlen(at + 1) + 1);
        if (path.failed)
            break;
        if (tier__glob_match(w->glob, (char *)path.data))
            walk_found(w, (char *)path.data);
        if (*at == 'd' && tier__glob_dir_may_match(w->glob, (char *)path.data))
            tier__buf_put(&w->stack, path.data, path.size);
    }
    rc = path.failed ? TIER_ENOMEM : 0;
    tier__buf_fini(&path);
    tier__entry_unref(names);
    return rc;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int walk_records(struct walk *w, struct tier__buf *records)
{
    struct tier__base *b = &w->s->cache->base;
    char **path = tier__zalloc(b, w->count + 1, sizeof *path), *at = (char *)w->found.data;
    if (!path)
        return TIER_ENOMEM;
    for (size_t i = 0; i < w->count; i++) {
        path[i] = at;
        at += strlen(at) + 1;
    }
    qsort(path, w->count, sizeof *path, by_bytes);
    for (size_t i = 0; i < w->count; i++)
        if (i == 0 || strcmp(path[i], path[i - 1]) != 0) /* an overlay of a file that is there */
            tier__record_put(records, path[i], strlen(path[i]));
    tier__free(b, path);
    return records->failed ? TIER_ENOMEM : 0;
}

int tier__view_listing(tier_session *s, struct tier__path *dir, const char *glob, struct tier__buf *records,
                       int (*visited)(void *user, struct tier__path *p), void *user)
{
    struct walk w = {.s = s, .top = dir, .glob = glob, .visited = visited, .user = user};
    tier__buf_init(&w.stack, &s->cache->base);
    tier__buf_init(&w.found, &s->cache->base);
    tier__buf_put(&w.stack, "", 1);
    int rc = 0;
    while (!rc && w.stack.size) {
        size_t from = w.stack.size - 1; /* the last path, taken off the stack before its own go on it */
        while (from && w.stack.data[from - 1])
            from--;
        char *below = tier__strdup(&s->cache->base, (char *)w.stack.data + from);
        w.stack.size = from;
        rc = below ? walk_directory(&w, below) : TIER_ENOMEM;
        tier__free(&s->cache->base, below);
        if (w.stack.failed || w.found.failed)
            break;
    }
    if (!rc)
        rc = w.stack.failed ? TIER_ENOMEM : walk_overlays(&w);
    if (!rc)
        rc = walk_records(&w, records);
    tier__buf_fini(&w.stack);
    tier__buf_fini(&w.found);
    return rc;
}

/* ---- links, stat fields, world */
int tier__view_link(tier_session *s, struct tier__path *p, struct tier__buf *target)
{
    char buf[PATH_MAX + 1];
    if (*p->rel == 0) { /* a root: where it is */
        const char *path = s->cache->root[p->root].path;
        tier__buf_put(target, path, strlen(path));
        return target->failed ? TIER_ENOMEM : 0;
    }
    long n = tier__path_readlink(s->cache, p, buf, sizeof buf);
    if (n < 0)
        return errno == EINVAL ? TIER_EKIND : tier__errno_rc(errno);
    tier__buf_put(target, buf, (size_t)n);
    return target->failed ? TIER_ENOMEM : 0;
}

const struct tier__world_item *tier__world_find(const struct tier__world_item *items, size_t n,
                                                const char *name)
{
    size_t low = 0;
    while (low < n) {
        size_t mid = low + (n - low) / 2;
        int order = strcmp(items[mid].name, name);
        if (order == 0)
            return &items[mid];
        if (order < 0)
            low = mid + 1;
        else
            n = mid;
    }
    return NULL;
}

static int observe_named(tier_session *s, struct tier__dep *d, tier__entry **bytes)
{
    tier_cache *c = s->cache;
    const char *text = NULL;
    if (d->kind == TIER__K_INPUT) {
        const struct tier__world *w = s->view->world;
        const struct tier__world_item *i = w ? tier__world_find(w->input, w->input_count, d->name) : NULL;
        if (i)
            *bytes = tier__entry_ref(i->entry);
        return i ? 0 : TIER_EABSENT;
    }
    text = d->kind == TIER__K_ENV ? getenv(d->name) : tier__profile_config(c->profile, d->name);
    if (!text)
        return TIER_EABSENT;
    *bytes = tier__entry_of(c, TIER_FILE, text, strlen(text));
    return *bytes ? 0 : TIER_ENOMEM;
}

static int observe_look(tier_session *s, struct tier__dep *d, tier_digest *value)
{
    struct tier__look look;
    int rc = tier__view_look(s, d->path, &look);
    if (rc || (rc = look.rc))
        return rc;
    if (d->kind == TIER__K_STAT) {
        struct tier__hasher h;
        tier__hash_begin(&h, "tierkit stat");
        tier__hash_u64(&h, (uint64_t)look.kind);
        tier__hash_u64(&h, d->fields & TIER_STAT_SIZE ? look.id.size : 0);
        tier__hash_u64(&h, d->fields & TIER_STAT_MODE ? look.id.mode & 07777 : 0);
        tier__hash_u64(&h, d->fields & TIER_STAT_MTIME ? (uint64_t)look.id.mtime_ns : 0);
        tier__hash_end(&h, value);
    } else {
        memset(value, 0, sizeof *value); /* one of three: no need to hash */
        value->byte[0] = 'k';
        value->byte[1] = (unsigned char)look.kind;
    }
    return 0;
}

static int observe_listing(tier_session *s, struct tier__dep *d, tier__entry **bytes)
{
    struct tier__buf b;
    tier__buf_init(&b, &s->cache->base);
    int rc = tier__view_listing(s, d->path, d->name, &b, NULL, NULL);
    if (!rc && !(*bytes = tier__entry_of(s->cache, TIER_FILE, b.data, b.size)))
        rc = TIER_ENOMEM;
    tier__buf_fini(&b);
    return rc;
}

static int observe_link(tier_session *s, struct tier__dep *d, tier__entry **bytes)
{
    struct tier__buf b;
    tier__buf_init(&b, &s->cache->base);
    int rc = tier__view_link(s, d->path, &b);
    if (!rc && !(*bytes = tier__entry_of(s->cache, TIER_FILE, b.data, b.size)))
        rc = TIER_ENOMEM;
    tier__buf_fini(&b);
    return rc;
}

static int observe_first(tier_session *s, struct tier__dep *d, tier_digest *value, tier__entry **bytes)
{
    int rc;
    switch (d->kind) {
    case TIER__K_CONTENT:
    case TIER__K_TOOL:
        return tier__view_content(s, d->path, value, NULL);
    case TIER__K_KIND:
    case TIER__K_STAT:
        return observe_look(s, d, value);
    case TIER__K_LISTING:
        rc = observe_listing(s, d, bytes);
        break;
    case TIER__K_LINK:
        rc = observe_link(s, d, bytes);
        break;
    default:
        rc = observe_named(s, d, bytes);
    }
    if (!rc)
        *value = (*bytes)->key;
    return rc;
}

/* The slot of d, where v does not know it, now with value. */
static struct tier__slot *see(tier__view *v, struct tier__dep *d, const tier_digest *value)
{
    pthread_mutex_lock(&v->cache->graph);
    struct tier__slot *slot = tier__view_see(v, d, value);
    pthread_mutex_unlock(&v->cache->graph);
    return slot;
}

bool tier__view_freeze(tier__view *v, struct tier__dep *d, const tier_digest *value, uint32_t *version,
                       tier__entry **bytes, int *seen)
{
    tier__entry *loser = NULL;
    pthread_mutex_lock(&v->lock);
    uint32_t known = tier__view_version(v, d->id);
    struct tier__slot *slot = known ? tier__view_slot(v, d->id) : see(v, d, value);
    *version = tier__view_version(v, d->id) - 1;
    if (known) {
        loser = *bytes;
        *seen = slot->seen;
        *bytes = slot->entry ? tier__entry_ref(slot->entry) : NULL;
    } else if (slot) {
        slot->seen = *seen;
        slot->entry = *bytes ? tier__entry_ref(*bytes) : NULL;
    }
    pthread_mutex_unlock(&v->lock);
    tier__entry_unref(loser);
    return slot != NULL;
}

int tier__view_observe(tier_session *s, struct tier__dep *d, uint32_t *version, tier__entry **bytes,
                       int *seen)
{
    tier__view *v = s->view;
    tier__entry *e = NULL;
    int was = 0;
    pthread_mutex_lock(&v->lock);
    uint32_t known = tier__view_version(v, d->id);
    if (known) {
        const struct tier__slot *slot = tier__chunks_at(&v->slots, d->id);
        *version = known - 1;
        was = slot->seen;
        if (bytes && slot->entry)
            e = tier__entry_ref(slot->entry);
    }
    pthread_mutex_unlock(&v->lock);
    if (!known) {
        tier_digest value;
        was = observe_first(s, d, &value, &e);
        if (!observed(was)) {
            tier__entry_unref(e);
            return was == TIER_ENOMEM ? tier__fail(s, was, "no memory to look at %s", d->name) : was;
        }
        if (was)
            tier__failure_digest(was, NULL, &value);
        if (!tier__view_freeze(v, d, &value, version, &e, &was)) {
            tier__entry_unref(e);
            return tier__fail(s, TIER_ENOMEM, "no memory for an observation");
        }
    }
    *seen = was;
    if (bytes)
        *bytes = e;
    else
        tier__entry_unref(e);
    return 0;
}
