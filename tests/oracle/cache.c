/* cache.c - opening, closing, settings, paths and types of the oracle. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/oracle/oracle.h"

/* ---- paths ---- */

/* "." and "//" fold; ".." stays. What is left of nothing is ".". */
static char *fold(const char *path)
{
    char *out = o_grow(NULL, strlen(path) + 3), *w = out;
    const char *p = path;

    if (*p == '/')
        *w++ = '/';
    while (*p) {
        size_t n;

        while (*p == '/')
            p++;
        n = strcspn(p, "/");
        if (n && !(n == 1 && *p == '.')) {
            if (w > out && w[-1] != '/')
                *w++ = '/';
            memcpy(w, p, n);
            w += n;
        }
        p += n;
    }
    if (w == out)
        *w++ = '.';
    *w = 0;
    return out;
}

/* The root that "name:rest" names, and the rest. The first root has no name of its own. */
static const struct o_root *named_root(const tier_cache *c, const char *key, const char **rest)
{
    const char *colon = strchr(key, ':');

    *rest = key;
    for (size_t i = 1; colon && i < c->root_count; i++) {
        size_t n = strlen(c->roots[i].name);

        if (n == (size_t)(colon - key) && !memcmp(key, c->roots[i].name, n)) {
            *rest = colon + 1;
            return &c->roots[i];
        }
    }
    return &c->roots[0];
}

char *o_normal(const tier_cache *c, const char *path)
{
    const struct o_root *r;
    const char *rest;
    char *folded, *key;

    if (!path || !*path)
        return NULL;
    if (*path == '/')
        return fold(path);
    r = named_root(c, path, &rest);
    while (rest != path && *rest == '/')
        rest++;
    folded = fold(rest);
    if (rest == path)
        return folded;
    key = o_text("%s:%s", r->name, folded);
    free(folded);
    return key;
}

char *o_os_path(const tier_cache *c, const char *key)
{
    const struct o_root *r;
    const char *rest;

    if (*key == '/')
        return o_copy(key, strlen(key));
    r = named_root(c, key, &rest);
    return o_text("%s/%s", r->path, rest);
}

/* What is left of path below dir, or NULL. */
static const char *below(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    if (!strcmp(dir, "/"))
        return path + 1;
    if (strncmp(path, dir, n) || (path[n] && path[n] != '/'))
        return NULL;
    return path[n] ? path + n + 1 : path + n;
}

char *o_key_path(const tier_cache *c, const char *absolute)
{
    char *folded = fold(absolute);
    const char *rest = NULL, *colon;
    const struct o_root *best = NULL;
    char *key;

    for (size_t i = 0; i < c->root_count; i++) {
        const struct o_root *r = &c->roots[i];
        const char *at = below(folded, r->path);

        if (!at)
            at = below(folded, r->given);
        if (at && (!best || strlen(at) < strlen(rest))) {
            rest = at;
            best = r;
        }
    }
    if (!best)
        return folded;
    if (!*rest)
        rest = ".";
    colon = strchr(rest, ':');
    if (best != &c->roots[0]) {
        key = o_text("%s:%s", best->name, rest);
    } else if (colon && named_root(c, rest, &colon) != best) {
        return folded; /* a name that looks like another root's */
    } else {
        key = o_copy(rest, strlen(rest));
    }
    free(folded);
    return key;
}

static int give_text(const char *text, char *buf, size_t size)
{
    size_t n = strlen(text) + 1;

    if (!buf || n > size)
        return TIER_EINVAL;
    memcpy(buf, text, n);
    return 0;
}

int tier_path_in(const tier_cache *c, const char *os_path, char *buf, size_t size)
{
    char *cwd, *absolute, *key;
    int rc;

    if (!c || !os_path || !*os_path)
        return TIER_EINVAL;
    cwd = getcwd(NULL, 0);
    absolute = *os_path == '/' ? o_copy(os_path, strlen(os_path)) : o_text("%s/%s", cwd ? cwd : "", os_path);
    key = o_key_path(c, absolute);
    rc = give_text(key, buf, size);
    free(key);
    free(absolute);
    free(cwd);
    return rc;
}

/* cwd -> absolute as "../../x". Both are real paths without "..". */
static char *relative(const char *cwd, const char *absolute)
{
    struct o_buf b = {0};
    size_t same = 0, i = 0;

    for (; cwd[i] && cwd[i] == absolute[i]; i++)
        if (cwd[i] == '/')
            same = i + 1;
    if (!cwd[i] && absolute[i] == '/')
        return o_copy(absolute + i + 1, strlen(absolute + i + 1));
    if (!cwd[i] && !absolute[i])
        return o_copy(".", 1);
    for (const char *p = cwd + same; *p; p++)
        if (p == cwd + same || *p == '/')
            o_buf_text(&b, "../");
    o_buf_text(&b, absolute + same);
    if (!absolute[same] && b.size)
        b.data[b.size - 1] = 0;
    return b.data ? b.data : o_copy(".", 1);
}

int tier_path_out(const tier_cache *c, const char *path, char *buf, size_t size)
{
    char *key = c ? o_normal(c, path) : NULL, *absolute, *cwd, *shorter;
    int rc;

    if (!key)
        return TIER_EINVAL;
    absolute = o_os_path(c, key);
    free(key);
    key = fold(absolute);
    cwd = getcwd(NULL, 0);
    shorter = cwd && strcmp(cwd, "/") && !strstr(key, "..") ? relative(cwd, key) : o_copy(key, strlen(key));
    rc = give_text(strlen(shorter) < strlen(key) ? shorter : key, buf, size);
    free(shorter);
    free(cwd);
    free(key);
    free(absolute);
    return rc;
}

/* ---- open and close ---- */

static bool root_add(tier_cache *c, const char *name, const char *path)
{
    struct stat st;
    struct o_root *r = &c->roots[c->root_count];
    char *cwd;

    if (!path || stat(path, &st) || !S_ISDIR(st.st_mode))
        return false;
    if (!name)
        name = "";
    if (c->root_count && !*name)
        return false;
    for (size_t i = 0; i < c->root_count; i++)
        if (!strcmp(c->roots[i].name, name))
            return false;
    if (strpbrk(name, "/:"))
        return false;
    r->path = realpath(path, NULL);
    if (!r->path)
        return false;
    r->name = o_copy(name, strlen(name));
    cwd = getcwd(NULL, 0);
    r->given = o_text("%s/%s", *path == '/' || !cwd ? "" : cwd, path);
    free(cwd);
    cwd = r->given;
    r->given = fold(cwd);
    free(cwd);
    c->root_count++;
    return true;
}

/* Which settings there are is the library's business; here only the form counts. */
static bool setting_valid(const char *setting)
{
    size_t n =
        setting ? strspn(setting, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") : 0;

    return n && setting[n] == '=';
}

const char *o_setting(const tier_cache *c, const char *key)
{
    size_t n = strlen(key);

    for (size_t i = c->setting_count; i-- > 0;)
        if (!strncmp(c->settings[i], key, n) && c->settings[i][n] == '=')
            return c->settings[i] + n + 1;
    return NULL;
}

static void cache_free(tier_cache *c)
{
    while (c->types) {
        tier_type *t = c->types;

        c->types = t->next;
        free((char *)(uintptr_t)t->def.name);
        free((char *)(uintptr_t)t->def.config);
        free(t);
    }
    for (size_t i = 0; i < c->root_count; i++) {
        free(c->roots[i].name);
        free(c->roots[i].path);
        free(c->roots[i].given);
    }
    for (size_t i = 0; i < c->setting_count; i++)
        free(c->settings[i]);
    free(c->settings);
    free(c->roots);
    free(c->detail);
    pthread_cond_destroy(&c->room);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static int cache_fill(tier_cache *c, const tier_options *o)
{
    static const tier_root here = {"", "."};
    const tier_root *roots = o->root_count ? o->roots : &here;
    size_t n = o->root_count ? o->root_count : 1;

    c->roots = o_alloc(n * sizeof *c->roots);
    for (size_t i = 0; i < n; i++)
        if (!root_add(c, roots[i].name, roots[i].path))
            return TIER_EINVAL;
    c->settings = o_alloc((o->setting_count + 1) * sizeof *c->settings);
    for (size_t i = 0; i < o->setting_count; i++) {
        if (!setting_valid(o->settings[i]))
            return TIER_EINVAL;
        c->settings[c->setting_count++] = o_copy(o->settings[i], strlen(o->settings[i]));
    }
    return 0;
}

int tier_open(const tier_options *o, tier_cache **c)
{
    pthread_condattr_t attr;
    tier_cache *made;

    if (!c)
        return TIER_EINVAL;
    *c = NULL;
    if (!o || o->struct_size < sizeof(size_t) * 2 || !o->app || !*o->app)
        return TIER_EINVAL;
    if (o->flags & ~(uint32_t)(TIER_NO_MEMORY | TIER_READ_ONLY | TIER_AUDIT))
        return TIER_EINVAL;
    if (o->profile && strcmp(o->profile, "dev") && strcmp(o->profile, "ci") &&
        strcmp(o->profile, "production"))
        return TIER_EINVAL;
    if ((o->root_count && !o->roots) || (o->setting_count && !o->settings))
        return TIER_EINVAL;
    made = o_alloc(sizeof *made);
    pthread_mutex_init(&made->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&made->room, &attr);
    pthread_condattr_destroy(&attr);
    if (cache_fill(made, o)) {
        cache_free(made);
        return TIER_EINVAL;
    }
    *c = made;
    return 0;
}

static void input_free(void *item)
{
    o_item_unref(item);
}

static void overlay_free(void *overlay)
{
    struct o_overlay *o = overlay;

    o_item_unref(o->content);
    free(o);
}

int tier_close(tier_cache **c)
{
    struct o_buf names = {0};
    bool busy;

    if (!c)
        return TIER_EINVAL;
    if (!*c)
        return 0;
    pthread_mutex_lock(&(*c)->lock);
    for (tier_session *s = (*c)->sessions; s; s = s->next) {
        char *name = o_text(" %llu", (unsigned long long)s->id);

        o_buf_text(&names, name);
        free(name);
    }
    busy = (*c)->sessions || (*c)->detached || (*c)->streams;
    pthread_mutex_unlock(&(*c)->lock);
    if (busy) {
        o_cache_detail(*c, "live sessions:%s; detached values: %zu%s", names.data ? names.data : " none",
                       (*c)->detached, (*c)->streams ? "; open streams" : "");
        free(names.data);
        return TIER_EBUSY;
    }
    o_map_free(&(*c)->inputs, input_free);
    o_map_free(&(*c)->overlays, overlay_free);
    o_map_free(&(*c)->seen, free);
    cache_free(*c);
    *c = NULL;
    return 0;
}

const char *tier_cache_detail(const tier_cache *c)
{
    return c ? c->detail : NULL;
}

int tier_flush(tier_cache *c)
{
    return c ? 0 : TIER_EINVAL;
}

int tier_stats(const tier_cache *c, void (*each)(void *user, const char *name, double value), void *user)
{
    if (!c || !each)
        return TIER_EINVAL;
    each(user, "file.read", (double)c->file_reads);
    each(user, "file.hit", (double)c->file_hits);
    each(user, "oracle.built", (double)c->builds);
    each(user, "oracle.hit", (double)c->hits);
    return 0;
}

/* ---- types ---- */

static const char *def_fault(const tier_type_def *d)
{
    if (d->struct_size < sizeof(size_t) * 2)
        return "struct_size";
    if (!d->name || !*d->name)
        return "name";
    if (d->tier != TIER_TREE && d->tier != TIER_DELTA)
        return "tier";
    if (d->flags & ~(uint32_t)(TIER_PATH_FREE | TIER_EXCLUSIVE))
        return "flags";
    if (d->config_size && !d->config)
        return "config";
    if (!d->build)
        return "build";
    return NULL;
}

int tier_define(tier_cache *c, const tier_type_def *def, const tier_type **type)
{
    const char *fault = def ? def_fault(def) : "def";
    tier_type *t;

    if (!c || !type)
        return TIER_EINVAL;
    *type = NULL;
    if (fault) {
        o_cache_detail(c, "tier_define: %s", fault);
        return TIER_EINVAL;
    }
    t = o_alloc(sizeof *t);
    memcpy(&t->def, def, def->struct_size < sizeof t->def ? def->struct_size : sizeof t->def);
    t->cache = c;
    t->def.name = o_copy(def->name, strlen(def->name));
    t->def.config = o_copy(def->config, def->config_size);
    pthread_mutex_lock(&c->lock);
    t->next = c->types;
    c->types = t;
    pthread_mutex_unlock(&c->lock);
    *type = t;
    return 0;
}

static tier_type *type_find(tier_cache *c, const tier_type *type)
{
    tier_type *t = c->types;

    while (t && t != type)
        t = t->next;
    return t && !t->dead ? t : NULL;
}

/* Under view->lock. With take: removes what it finds; else says whether one is in use. */
static bool view_objects(struct o_view *view, const tier_type *t, struct o_map *take)
{
    for (size_t i = 0; i < view->memo.slots; i++) {
        for (struct o_map_node *n = view->memo.slot[i]; n; n = n->next) {
            struct o_request *r = n->value;

            if (!r || r->type != t)
                continue;
            if (!take && (r->item && r->item->object && r->item->refs > 1))
                return true;
            if (take) {
                *o_map_at(take, &r, sizeof r, true) = r;
                n->value = NULL;
            }
        }
    }
    return false;
}

int tier_undefine(tier_cache *c, const tier_type *type)
{
    struct o_map taken = {0};
    struct o_view **views;
    size_t count;
    tier_type *t;
    bool busy;

    if (!c || !type)
        return TIER_EINVAL;
    pthread_mutex_lock(&c->lock);
    t = type_find(c, type);
    busy = t && t->running;
    if (t && !busy)
        t->dead = true; /* from here on no get begins with it */
    pthread_mutex_unlock(&c->lock);
    if (!t || busy)
        return t ? TIER_EBUSY : TIER_EINVAL;
    views = o_views(c, &count);
    for (size_t i = 0; i < count && !busy; i++) {
        pthread_mutex_lock(&views[i]->lock);
        busy = view_objects(views[i], t, NULL);
        pthread_mutex_unlock(&views[i]->lock);
    }
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&views[i]->lock);
        if (!busy)
            view_objects(views[i], t, &taken);
        pthread_mutex_unlock(&views[i]->lock);
        o_view_unref(c, views[i]);
    }
    free(views);
    pthread_mutex_lock(&c->lock);
    t->dead = !busy;
    pthread_mutex_unlock(&c->lock);
    o_map_free(&taken, o_request_free);
    return busy ? TIER_EBUSY : 0;
}

bool o_type_hold(tier_cache *c, const tier_type *type)
{
    tier_type *t;

    pthread_mutex_lock(&c->lock);
    t = type_find(c, type);
    if (t)
        t->running++;
    pthread_mutex_unlock(&c->lock);
    return t;
}

void o_type_drop(tier_cache *c, const tier_type *type)
{
    pthread_mutex_lock(&c->lock);
    type_find(c, type)->running--;
    pthread_mutex_unlock(&c->lock);
}
