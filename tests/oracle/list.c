/* list.c - globs and listings. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/oracle/oracle.h"

/* [abc], [a-z], [!a-z] at *p, which moves behind it; a bracket that never closes is itself. */
static bool bracket(const char **p, unsigned char c)
{
    const unsigned char *q = (const unsigned char *)*p + 1;
    bool no = *q == '!' || *q == '^', hit = false;

    if (no)
        q++;
    for (const unsigned char *first = q; *q && (*q != ']' || q == first);) {
        unsigned char low = *q++, high = low;

        if (*q == '-' && q[1] && q[1] != ']') {
            high = q[1];
            q += 2;
        }
        hit = hit || (low <= c && c <= high);
    }
    if (*q != ']') {
        (*p)++;
        return c == '[';
    }
    *p = (const char *)q + 1;
    return hit != no;
}

/* One component against one, both of the given lengths. A leading '.' wants a '.' in the glob. */
static bool match_name(const char *glob, size_t glob_size, const char *name)
{
    char *own = o_copy(glob, glob_size);
    const char *g = own, *n = name, *star = NULL, *star_name = NULL, *next;
    bool ok = *name != '.' || *own == '.';

    while (ok && *n) {
        next = g;
        if (*g == '*') {
            star = ++g;
            star_name = n;
        } else if (*g == '?' || (*g == '[' ? bracket(&next, (unsigned char)*n) : *g && *g == *n)) {
            g = *g == '[' ? next : g + 1;
            n++;
        } else if (star) {
            g = star;
            n = ++star_name;
        } else {
            ok = false;
        }
    }
    while (*g == '*')
        g++;
    ok = ok && !*g;
    free(own);
    return ok;
}

/* A glob as its components, and which of them may match the next name: one byte each, and one for "done". */
struct pattern {
    char **part;
    size_t count;
};

static struct pattern pattern_of(const char *glob)
{
    struct pattern p = {0};

    p.part = o_alloc((strlen(glob) + 2) * sizeof *p.part);
    while (*glob) {
        size_t n = strcspn(glob, "/");

        if (n && !(n == 1 && *glob == '.'))
            p.part[p.count++] = o_copy(glob, n);
        glob += n;
        glob += *glob == '/';
    }
    return p;
}

static void pattern_free(struct pattern *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->part[i]);
    free(p->part);
}

static bool any_dirs(const struct pattern *p, size_t i)
{
    return i < p->count && !strcmp(p->part[i], "**");
}

/* Two stars may stand for nothing: what follows them may match as well. */
static void close_states(const struct pattern *p, char *on)
{
    for (size_t i = 0; i < p->count; i++)
        if (on[i] && any_dirs(p, i))
            on[i + 1] = 1;
}

/* The states after name; returns whether the whole glob matched with it. more: some state can go on. */
static bool step(const struct pattern *p, const char *on, const char *name, char *after, bool *more)
{
    bool hit;

    memset(after, 0, p->count + 1);
    for (size_t i = 0; i < p->count; i++) {
        if (!on[i])
            continue;
        if (any_dirs(p, i)) {
            after[i] = after[i] || *name != '.';
            hit = i + 1 == p->count && *name != '.';
            after[p->count] = after[p->count] || hit;
        } else if (match_name(p->part[i], strlen(p->part[i]), name)) {
            after[i + 1] = 1;
        }
    }
    hit = after[p->count];
    after[p->count] = 0;
    close_states(p, after);
    after[p->count] = 0;
    *more = memchr(after, 1, p->count);
    return hit;
}

bool o_glob(const char *glob, const char *path)
{
    struct pattern p = pattern_of(glob), names = pattern_of(path);
    char *on = o_alloc(p.count + 1), *after = o_alloc(p.count + 1), *swap;
    bool hit = false, more;

    if (p.count)
        on[0] = 1;
    close_states(&p, on);
    for (size_t i = 0; i < names.count; i++) {
        hit = step(&p, on, names.part[i], after, &more);
        swap = on;
        on = after;
        after = swap;
    }
    free(on);
    free(after);
    pattern_free(&p);
    pattern_free(&names);
    return hit;
}

/* ---- walking ---- */

struct walk_dir {
    struct walk_dir *next;
    char *path; /* key path */
    char *on;
};
struct walk {
    struct pattern pattern;
    struct walk_dir *todo;
    char **found;
    size_t count, room;
};

static void found_add(struct walk *w, const char *path)
{
    if (w->count == w->room) {
        w->room = w->room * 2 + 16;
        w->found = o_grow(w->found, w->room * sizeof *w->found);
    }
    w->found[w->count++] = o_copy(path, strlen(path));
}

static char *join(const char *dir, const char *name)
{
    size_t n = strlen(dir);

    if (!strcmp(dir, "."))
        return o_copy(name, strlen(name));
    if (n >= 2 && !strcmp(dir + n - 2, ":."))
        return o_text("%.*s%s", (int)(n - 1), dir, name);
    return o_text("%s%s%s", dir, dir[n - 1] == '/' ? "" : "/", name);
}

static bool is_dir(const DIR *d, const struct dirent *e)
{
    struct stat st;

    if (e->d_type != DT_UNKNOWN)
        return e->d_type == DT_DIR;
    return !fstatat(dirfd((DIR *)(uintptr_t)d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
}

static void walk_entry(struct walk *w, const struct walk_dir *at, DIR *d, const struct dirent *e)
{
    char *after, *path;
    bool more, hit;

    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
        return;
    after = o_alloc(w->pattern.count + 1);
    path = join(at->path, e->d_name);
    hit = step(&w->pattern, at->on, e->d_name, after, &more);
    if (hit)
        found_add(w, path);
    if (more && is_dir(d, e)) {
        struct walk_dir *sub = o_alloc(sizeof *sub);

        sub->path = path;
        sub->on = after;
        sub->next = w->todo;
        w->todo = sub;
        return;
    }
    free(path);
    free(after);
}

static int walk_one(const tier_cache *c, struct walk *w, const struct walk_dir *at)
{
    int fd = o_open(c, at->path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    struct dirent *e;
    DIR *d;

    if (fd < 0)
        return fd == -ENOTDIR ? TIER_EKIND : o_class(-fd);
    d = fdopendir(fd);
    if (!d) {
        close(fd);
        return TIER_EIO;
    }
    while ((e = readdir(d)))
        walk_entry(w, at, d, e);
    closedir(d);
    return 0;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct o_item *records(struct walk *w)
{
    struct tier_out out = {0};
    struct o_item *item;

    if (w->count)
        qsort(w->found, w->count, sizeof *w->found, by_bytes);
    for (size_t i = 0; i < w->count; i++)
        if (!i || strcmp(w->found[i], w->found[i - 1])) /* an unsaved buffer of a file that is there */
            tier_out_record(&out, w->found[i], strlen(w->found[i]));
    item = o_item_of(out.bytes.data, out.bytes.size);
    o_out_fini(&out);
    return item;
}

/* What key is below dir, or NULL. */
static const char *below(const char *dir, const char *key)
{
    char *start = join(dir, "");
    size_t n = strlen(start), colon = strcspn(key, ":/");
    bool is = !strncmp(key, start, n);

    free(start);
    if (is && !n && (*key == '/' || key[colon] == ':'))
        is = false; /* of no root, or of another one */
    if (is && !n && !strncmp(key, "./", 2))
        n = 2; /* a name with a colon in the first root */
    return is && key[n] ? key + n : NULL;
}

/* Unsaved buffers are listed, on disk or not. */
static void walk_overlays(struct walk *w, const struct o_map *overlays, const char *dir, const char *glob)
{
    for (size_t i = 0; i < overlays->slots; i++)
        for (const struct o_map_node *n = overlays->slot[i]; n; n = n->next) {
            char *key = o_copy(n->key, n->key_size);
            const char *rest = n->value ? below(dir, key) : NULL;

            if (rest && o_glob(glob, rest))
                found_add(w, key);
            free(key);
        }
}

/* A directory below that cannot be opened, or is gone, lists nothing. */
static int list_now(const tier_session *s, const char *dir, const char *glob, struct o_item **item)
{
    struct walk w = {.pattern = pattern_of(glob)};
    struct walk_dir *first = o_alloc(sizeof *first);
    int rc = 0;

    first->path = o_copy(dir, strlen(dir));
    first->on = o_alloc(w.pattern.count + 1);
    if (w.pattern.count)
        first->on[0] = 1;
    close_states(&w.pattern, first->on);
    w.todo = first;
    while (w.todo) {
        struct walk_dir *at = w.todo;
        int one;

        w.todo = at->next;
        one = walk_one(s->cache, &w, at);
        if (at == first)
            rc = one;
        free(at->path);
        free(at->on);
        if (at != first)
            free(at);
    }
    free(first);
    if (!rc)
        walk_overlays(&w, &s->view->overlays, dir, glob);
    if (!rc)
        *item = records(&w);
    for (size_t i = 0; i < w.count; i++)
        free(w.found[i]);
    free(w.found);
    pattern_free(&w.pattern);
    return rc;
}

void o_listing_free(void *data)
{
    struct o_listing *l = data;

    o_item_unref(l->item);
    free(l);
}

/* Under view->lock: once for each directory and glob. A place seen to be absent or no directory stays so. */
static struct o_listing *listing(tier_session *s, const char *dir, const char *glob, uint32_t *from)
{
    struct o_buf key = {0};
    struct o_listing *l;
    struct o_look *seen;
    void **at;

    o_buf_field(&key, dir, strlen(dir));
    o_buf_field(&key, glob, strlen(glob));
    at = o_map_at(&s->view->lists, key.data, key.size, true);
    free(key.data);
    l = *at;
    *from = l ? TIER_HIT : TIER_BUILT;
    if (l)
        return l;
    *at = l = o_alloc(sizeof *l);
    seen = o_look_stat(s, dir);
    l->rc = seen->stat_rc ? seen->stat_rc : S_ISDIR(seen->st.st_mode) ? 0 : TIER_EKIND;
    if (!l->rc) {
        l->rc = list_now(s, dir, glob, &l->item);
        if (l->rc == TIER_EABSENT || l->rc == TIER_EKIND)
            l->rc = TIER_ECHANGED;
    }
    return l;
}

int tier_list(tier_session *s, const char *dir, const char *glob, tier_value *v)
{
    struct o_listing *l;
    uint32_t from;
    char *key;
    int rc;

    if (v)
        memset(v, 0, sizeof *v);
    rc = o_enter(s, O_READS);
    if (rc)
        return rc;
    key = o_normal(s->cache, dir);
    if (!key || !glob || !*glob) {
        free(key);
        return o_error(s, TIER_EINVAL, "tier_list: bad argument");
    }
    pthread_mutex_lock(&s->view->lock);
    l = listing(s, key, glob, &from);
    pthread_mutex_unlock(&s->view->lock);
    rc = l->rc;
    if (rc)
        o_error(s, rc, "%s: %s", key, tier_strerror(rc));
    else if (v)
        o_lend(s, l->item, from, v);
    free(key);
    return rc;
}
