/* resolve.c - what the languages' resolvers share: names, probes, finds; and C/C++, the simplest of them. */
#include "warmers/resolve.h"
#include <string.h>

int tier__imports_add(struct tier__imports *n, char kind, const char *text, size_t size)
{
    void *array = n->name;
    size_t offset = n->text.size;
    int rc;

    if (size == 0 || size > TIER__NAME_MAX || memchr(text, 0, size))
        return TIER_OK;
    if (n->count >= TIER__IMPORTS_MAX)
        return TIER_EINVAL;
    rc = tier__warm_grow(&array, &n->capacity, n->count + 1, sizeof *n->name);
    n->name = (struct tier__name *)array;
    if (!rc)
        rc = tier__text_put(&n->text, text, size);
    if (!rc)
        rc = tier__text_put(&n->text, "", 1);
    if (rc)
        return rc;
    n->name[n->count++] = (struct tier__name){kind, (uint32_t)size, offset};
    return TIER_OK;
}

void tier__imports_fini(struct tier__imports *n)
{
    tier__text_fini(&n->text);
    tier__warm_realloc(n->name, 0);
    memset(n, 0, sizeof *n);
}

void tier__resolver_fini(struct tier__resolver *r)
{
    size_t i;

    for (i = 0; i < r->go_mod.count; i++)
        tier__warm_realloc(r->go_module[i], 0);
    tier__warm_realloc(r->go_module, 0);
    tier__strings_fini(&r->go_mod);
    tier__strings_fini(&r->seen);
    tier__text_fini(&r->path);
}

size_t tier__dir_size(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        slash = strchr(path, ':');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

size_t tier__parent_size(const char *dir, size_t size)
{
    size_t at = size;

    if (at == 0 || dir[at - 1] == ':' || at == 1)
        return size;
    for (at--; at > 0 && dir[at - 1] != '/' && dir[at - 1] != ':';)
        at--;
    return at;
}

const char *tier__slash(const char *dir)
{
    size_t size = strlen(dir);

    return size == 0 || dir[size - 1] == '/' || dir[size - 1] == ':' ? "" : "/";
}

void tier__fold(struct tier__text *t)
{
    size_t in = 0, out = 0;
    bool first = true; /* at the start of a component */

    while (in < t->size) {
        char c = t->data[in];
        if (first && c == '.' && (in + 1 == t->size || t->data[in + 1] == '/')) {
            in += in + 1 == t->size ? 1 : 2;
            continue;
        }
        if (first && c == '/' && out > 0) {
            in++;
            continue;
        }
        t->data[out++] = c;
        first = c == '/' || (c == ':' && !memchr(t->data, '/', out));
        in++;
    }
    t->size = out;
    t->data[out] = 0;
}

/* Errors that end the call; any other says that there is nothing to be had at a path. */
static bool ends_call(int rc)
{
    return rc == TIER_ECANCELED || rc == TIER_ETIMEOUT || rc == TIER_ENOMEM;
}

bool tier__probe(struct tier__resolver *r, char kind, const char *const parts[])
{
    char seen = 0;
    size_t i;
    int rc;

    if (r->rc)
        return false;
    rc = tier__text_set(&r->path, "", 0);
    for (i = 0; parts[i] && !rc; i++)
        rc = tier__text_put(&r->path, parts[i], strlen(parts[i]));
    if (!rc) {
        tier__fold(&r->path);
        if (r->path.size == 0 && kind == 'd')
            return true;
        rc = r->path.size ? tier_stat(r->session, r->path.data, &seen) : TIER_EABSENT;
    }
    if (ends_call(rc))
        r->rc = rc;
    return rc == TIER_OK && seen == kind;
}

static bool goes_up(const char *path)
{
    const char *at = path;

    while ((at = strstr(at, "..")) != NULL) {
        if ((at == path || at[-1] == '/' || at[-1] == ':') && (at[2] == '/' || at[2] == 0))
            return true;
        at += 2;
    }
    return false;
}

void tier__found(struct tier__resolver *r)
{
    tier_value v;
    int rc;

    if (r->rc)
        return;
    if (goes_up(r->path.data)) {
        memset(&v, 0, sizeof v);
        rc = tier_realpath(r->session, r->path.data, &v);
        if (!rc) {
            rc = tier__text_set(&r->path, (const char *)v.data, v.size);
            tier_release(r->session, &v);
        }
        if (ends_call(rc))
            r->rc = rc;
        if (rc)
            return;
    }
    r->rc = r->found(r->user, r->path.data);
}

size_t tier__found_all(struct tier__resolver *r, const char *dir, const char *glob, const char *except)
{
    size_t cursor = 0, size, count = 0, tail = except ? strlen(except) : 0;
    const void *path;
    tier_value v;
    int rc;

    if (r->rc)
        return 0;
    memset(&v, 0, sizeof v);
    rc = tier_list(r->session, dir, glob, &v);
    if (rc) {
        if (ends_call(rc))
            r->rc = rc;
        return 0;
    }
    while (!r->rc && tier_next(&v, &cursor, &path, &size) == TIER_OK) {
        char kind = 0;
        if (tail && size >= tail && memcmp((const char *)path + size - tail, except, tail) == 0)
            continue;
        r->rc = tier__text_set(&r->path, (const char *)path, size);
        if (r->rc)
            break;
        if (tier_stat(r->session, r->path.data, &kind) == TIER_OK && kind == 'f') {
            count++;
            tier__found(r);
        }
    }
    tier_release(r->session, &v);
    return count;
}

bool tier__first_time(struct tier__resolver *r, const char *context, char kind, const char *name)
{
    const char mark[2] = {1, kind};
    size_t number;
    int rc;

    if (r->rc)
        return false;
    rc = tier__text_set(&r->path, context, strlen(context));
    if (!rc)
        rc = tier__text_put(&r->path, mark, sizeof mark);
    if (!rc)
        rc = tier__text_put(&r->path, name, strlen(name));
    if (!rc)
        rc = tier__strings_add(&r->seen, r->path.data, r->path.size, &number);
    if (rc < 0)
        r->rc = rc;
    return rc == 1;
}

/* ---- C and C++: "" from the including file's directory, then as <>; <> from the search directories */

static bool c_name(struct tier__resolver *r, const char *dir, char kind, const char *name)
{
    size_t i;

    if (name[0] == '/')
        return TIER__PROBE(r, 'f', name);
    if (kind == 'q' && TIER__PROBE(r, 'f', dir, name))
        return true;
    for (i = 0; i < r->search_count; i++)
        if (TIER__PROBE(r, 'f', r->search[i], tier__slash(r->search[i]), name))
            return true;
    return false;
}

int tier__resolve_c(struct tier__resolver *r, const char *path, const struct tier__imports *names)
{
    struct tier__text dir = {0};
    size_t i;

    r->rc = r->rc ? r->rc : tier__text_set(&dir, path, tier__dir_size(path));
    for (i = 0; i < names->count && !r->rc; i++) {
        const char *name = tier__name_text(names, i);
        char kind = names->name[i].kind;
        if (!tier__first_time(r, kind == 'q' ? dir.data : "", kind, name))
            continue;
        if (c_name(r, dir.data, kind, name))
            tier__found(r);
        else
            r->unresolved++;
    }
    tier__text_fini(&dir);
    return r->rc;
}
