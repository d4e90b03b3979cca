/* world.c - looking at the world once: files, kinds, links, environment, settings, inputs. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/oracle/oracle.h"

/* A path longer than the OS takes in one call is walked in pieces of whole components. */
enum { PIECE = 3000 };

int o_open(const tier_cache *c, const char *key, int flags)
{
    char *path = o_os_path(c, key), *rest = path;
    int dir = AT_FDCWD, fd;

    while (strlen(rest) > PIECE) {
        char *cut = memrchr(rest, '/', PIECE);

        if (!cut || cut == rest)
            break; /* a component that long exists nowhere: the OS says so below */
        *cut = 0;
        fd = openat(dir, rest, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir != AT_FDCWD)
            close(dir);
        if (fd < 0) {
            free(path);
            return -errno;
        }
        dir = fd;
        rest = cut + 1;
    }
    fd = openat(dir, rest, flags | O_CLOEXEC);
    if (fd < 0)
        fd = -errno;
    if (dir != AT_FDCWD)
        close(dir);
    free(path);
    return fd;
}

static int disk_stat(const tier_cache *c, const char *key, struct stat *st)
{
    int fd = o_open(c, key, O_PATH), rc = 0;

    memset(st, 0, sizeof *st);
    if (fd < 0)
        return o_class(-fd);
    if (fstat(fd, st))
        rc = o_class(errno);
    close(fd);
    return rc;
}

bool o_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int read_all(int fd, struct o_buf *b)
{
    char part[16384];
    ssize_t n;

    o_buf_add(b, "", 0);
    while ((n = read(fd, part, sizeof part)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return o_class(errno);
        o_buf_add(b, part, (size_t)n);
    }
    return 0;
}

/* The bytes on disk and the stat they belong to. A file that is written to meanwhile is read again. */
static int disk_read(const tier_cache *c, const char *key, struct o_buf *b, struct stat *st)
{
    struct stat after;
    int fd, rc = disk_stat(c, key, st);

    if (rc)
        return rc;
    if (!S_ISREG(st->st_mode))
        return TIER_EKIND; /* never opened: opening a FIFO or a device may block or do something */
    fd = o_open(c, key, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return o_class(-fd);
    for (int tries = 0; tries < 10; tries++) {
        rc = TIER_EIO;
        if (fstat(fd, st) || lseek(fd, 0, SEEK_SET) < 0)
            break;
        rc = TIER_EKIND;
        if (!S_ISREG(st->st_mode))
            break;
        b->size = 0;
        rc = read_all(fd, b);
        if (rc || fstat(fd, &after) || o_same_file(st, &after))
            break;
        rc = TIER_ECHANGED;
    }
    close(fd);
    return rc;
}

int o_disk_digest(const tier_cache *c, const char *key, tier_digest *d)
{
    struct o_buf b = {0};
    struct stat st;
    int rc = disk_read(c, key, &b, &st);

    memset(d, 0, sizeof *d);
    if (!rc)
        *d = o_digest(b.data, b.size);
    free(b.data);
    return rc;
}

/* ---- looks, under view->lock ---- */

static struct o_look *look(tier_session *s, const char *path)
{
    void **at = o_map_at(&s->view->looks, path, strlen(path), true);
    struct o_look *l = *at;

    if (!l) {
        *at = l = o_alloc(sizeof *l);
        l->path = o_copy(path, strlen(path));
    }
    return l;
}

void o_look_free(void *data)
{
    struct o_look *l = data;

    o_item_unref(l->content);
    o_item_unref(l->real);
    free(l->path);
    free(l);
}

/* What an unsaved buffer looks like: a regular file with the mode and the time of the one on disk. */
static void stat_overlay(struct o_look *l, const struct o_item *overlay)
{
    if (l->stat_rc || !S_ISREG(l->st.st_mode)) {
        memset(&l->st, 0, sizeof l->st);
        l->st.st_mode = S_IFREG | 0644;
    }
    l->st.st_size = (off_t)overlay->size;
    l->stat_rc = 0;
}

struct o_look *o_look_stat(tier_session *s, const char *path)
{
    struct o_look *l = look(s, path);
    void **overlay = o_map_at(&s->view->overlays, path, strlen(path), false);

    if (l->has_stat)
        return l;
    l->has_stat = true;
    l->stat_rc = disk_stat(s->cache, path, &l->st);
    o_note_seen(s->cache, path, l->stat_rc, &l->st);
    if (overlay && *overlay)
        stat_overlay(l, *overlay);
    return l;
}

/* The kind may be known already: then the bytes must be those of the file that was seen. */
static void look_read(tier_session *s, struct o_look *l)
{
    struct o_buf b = {0};
    struct stat st;

    if (l->has_stat && (l->stat_rc || !S_ISREG(l->st.st_mode))) {
        l->content_rc = l->stat_rc ? l->stat_rc : TIER_EKIND;
        return;
    }
    l->content_rc = disk_read(s->cache, l->path, &b, &st);
    s->cache->file_reads++;
    if (l->has_stat && l->content_rc != TIER_EACCESS && (l->content_rc || !o_same_file(&l->st, &st))) {
        l->content_rc = TIER_ECHANGED;
    } else if (!l->has_stat) {
        l->has_stat = true;
        l->st = st;
        l->stat_rc = st.st_mode ? 0 : l->content_rc;
        o_note_seen(s->cache, l->path, l->stat_rc, &st);
    }
    if (!l->content_rc)
        l->content = o_item_of(b.data, b.size);
    free(b.data);
}

struct o_look *o_look_content(tier_session *s, const char *path)
{
    struct o_look *l = look(s, path);
    void **overlay = o_map_at(&s->view->overlays, path, strlen(path), false);

    if (l->has_content)
        return l;
    l->has_content = true;
    if (overlay && *overlay) {
        o_look_stat(s, path);
        l->content = o_item_ref(*overlay);
    } else {
        look_read(s, l);
    }
    return l;
}

/* ---- the calls ---- */

/* Enters, folds the path, empties v. The key is the caller's to free. */
static int begin_read(tier_session *s, const char *path, tier_value *v, char **key)
{
    int rc;

    if (v)
        memset(v, 0, sizeof *v);
    rc = o_enter(s, O_READS);
    if (rc)
        return rc;
    *key = o_normal(s->cache, path);
    return *key ? 0 : o_error(s, TIER_EINVAL, "no path");
}

int tier_file(tier_session *s, const char *path, tier_value *v)
{
    struct o_look *l;
    uint32_t from;
    char *key;
    int rc = begin_read(s, path, v, &key);

    if (rc)
        return rc;
    pthread_mutex_lock(&s->view->lock);
    l = look(s, key);
    from = l->has_content ? TIER_HIT : TIER_BUILT;
    l = o_look_content(s, key);
    rc = l->content_rc;
    pthread_mutex_unlock(&s->view->lock);
    if (from == TIER_HIT)
        s->cache->file_hits++;
    if (rc)
        o_error(s, rc, "%s: %s", key, tier_strerror(rc));
    else if (v)
        o_lend(s, l->content, from, v);
    free(key);
    return rc;
}

static char kind_of(const struct stat *st)
{
    return S_ISREG(st->st_mode) ? 'f' : S_ISDIR(st->st_mode) ? 'd' : 'o';
}

int tier_stat_fields(tier_session *s, const char *path, uint32_t fields, tier_stat_info *info)
{
    struct o_look *l;
    struct stat st;
    char *key;
    int rc = begin_read(s, path, NULL, &key);

    if (info)
        memset(info, 0, sizeof *info);
    if (rc)
        return rc;
    pthread_mutex_lock(&s->view->lock);
    l = o_look_stat(s, key);
    st = l->st;
    rc = l->stat_rc;
    pthread_mutex_unlock(&s->view->lock);
    if (rc)
        o_error(s, rc, "%s: %s", key, tier_strerror(rc));
    free(key);
    if (rc)
        return rc;
    if (!info || (fields & ~(uint32_t)(TIER_STAT_SIZE | TIER_STAT_MODE | TIER_STAT_MTIME)))
        return o_error(s, TIER_EINVAL, "tier_stat_fields: bad argument");
    info->kind = kind_of(&st);
    if (fields & TIER_STAT_SIZE)
        info->size = (uint64_t)st.st_size;
    if (fields & TIER_STAT_MODE)
        info->mode = st.st_mode & 07777;
    if (fields & TIER_STAT_MTIME)
        info->mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
    return 0;
}

int tier_stat(tier_session *s, const char *path, char *kind)
{
    tier_stat_info info;
    int rc = tier_stat_fields(s, path, 0, &info);

    if (kind)
        *kind = rc ? 0 : info.kind;
    return rc;
}

static void look_real(tier_session *s, struct o_look *l)
{
    char *os = o_os_path(s->cache, l->path), *real = realpath(os, NULL), *key;

    l->has_real = true;
    l->real_rc = real ? 0 : o_class(errno);
    if (real) {
        key = o_key_path(s->cache, real);
        l->real = o_item_of(key, strlen(key));
        free(key);
    }
    free(real);
    free(os);
}

int tier_realpath(tier_session *s, const char *path, tier_value *v)
{
    struct o_look *l;
    uint32_t from;
    char *key;
    int rc = begin_read(s, path, v, &key);

    if (rc)
        return rc;
    pthread_mutex_lock(&s->view->lock);
    l = look(s, key);
    from = l->has_real ? TIER_HIT : TIER_BUILT;
    if (!l->has_real)
        look_real(s, l);
    rc = l->real_rc;
    pthread_mutex_unlock(&s->view->lock);
    if (rc)
        o_error(s, rc, "%s: %s", key, tier_strerror(rc));
    else if (v)
        o_lend(s, l->real, from, v);
    free(key);
    return rc;
}

/* What is no file: answered from text, or TIER_EABSENT without. */
static int give(tier_session *s, const char *what, const char *name, struct o_item *item, tier_value *v)
{
    if (!item)
        return o_error(s, TIER_EABSENT, "%s %s is not set", what, name);
    if (v)
        o_lend(s, item, TIER_HIT, v);
    return 0;
}

static int begin_name(tier_session *s, const char *name, tier_value *v)
{
    int rc;

    if (v)
        memset(v, 0, sizeof *v);
    rc = o_enter(s, 0);
    if (rc)
        return rc;
    return name ? 0 : o_error(s, TIER_EINVAL, "no name");
}

int tier_env(tier_session *s, const char *name, tier_value *v)
{
    struct o_listing *l;
    const char *text;
    void **at;
    int rc = begin_name(s, name, v);

    if (rc)
        return rc;
    pthread_mutex_lock(&s->view->lock);
    at = o_map_at(&s->view->envs, name, strlen(name), true);
    if (!*at) {
        *at = o_alloc(sizeof *l);
        text = getenv(name);
        if (text)
            ((struct o_listing *)*at)->item = o_item_of(text, strlen(text));
    }
    l = *at;
    pthread_mutex_unlock(&s->view->lock);
    return give(s, "environment variable", name, l->item, v);
}

int tier_config(tier_session *s, const char *name, tier_value *v)
{
    const char *text;
    struct o_item *item;
    char *key;
    int rc = begin_name(s, name, v);

    if (rc)
        return rc;
    key = o_text("config.%s", name);
    text = o_setting(s->cache, key);
    item = text ? o_item_of(text, strlen(text)) : NULL;
    rc = give(s, "setting", key, item, v);
    o_item_unref(item);
    free(key);
    return rc;
}

int tier_input(tier_session *s, const char *name, tier_value *v)
{
    void **at;
    int rc = begin_name(s, name, v);

    if (rc)
        return rc;
    pthread_mutex_lock(&s->view->lock);
    at = o_map_at(&s->view->inputs, name, strlen(name), false);
    pthread_mutex_unlock(&s->view->lock);
    return give(s, "input", name, at ? *at : NULL, v);
}

static void recheck_later(tier_session *s, const char *key, int rc, const tier_digest *hash)
{
    struct o_recheck *r;
    struct o_frame *f;

    pthread_mutex_lock(&s->view->lock);
    f = o_top(s);
    if (f) {
        r = o_alloc(sizeof *r);
        r->path = o_copy(key, strlen(key));
        r->rc = rc;
        r->hash = *hash;
        r->next = f->rechecks;
        f->rechecks = r;
    }
    pthread_mutex_unlock(&s->view->lock);
}

int tier_read_elsewhere(tier_session *s, const char *path, const tier_digest *seen)
{
    tier_digest view_hash = {{0}}, disk;
    struct o_look *l;
    char *key;
    int rc = begin_read(s, path, NULL, &key), disk_rc;

    if (rc)
        return rc;
    pthread_mutex_lock(&s->view->lock);
    l = o_look_content(s, key);
    rc = l->content_rc;
    if (l->content)
        view_hash = l->content->hash;
    pthread_mutex_unlock(&s->view->lock);
    if (!seen) {
        disk_rc = o_disk_digest(s->cache, key, &disk);
        recheck_later(s, key, rc, &view_hash);
        if (disk_rc != rc || memcmp(&disk, &view_hash, sizeof disk))
            rc = TIER_ECHANGED;
    } else if (!rc && memcmp(seen, &view_hash, sizeof *seen)) {
        rc = TIER_ECHANGED;
    }
    if (rc)
        o_error(s, rc, "%s: %s", key, tier_strerror(rc));
    free(key);
    return rc;
}
