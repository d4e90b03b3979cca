/* resolve_go.c - import paths below the module: the nearest go.mod above the importing file says what the
 * module is called; a package is its directory's *.go files without the tests. Then vendor/ of the module and
 * the search directories. A replace directive and the module cache are not followed. */
#include "warmers/resolve.h"
#include <string.h>

/* The path in the line `module example.org/m`; copied to *out. */
static int module_line(const char *data, size_t size, char **out)
{
    size_t at = 0;

    while (at < size) {
        const char *end = memchr(data + at, '\n', size - at);
        size_t stop = end ? (size_t)(end - data) : size;
        while (at < stop && (data[at] == ' ' || data[at] == '\t'))
            at++;
        if (stop - at > 7 && memcmp(data + at, "module", 6) == 0 && strchr(" \t", data[at + 6])) {
            size_t from = at + 6, to;
            while (from < stop && strchr(" \t\"`", data[from]))
                from++;
            for (to = from; to < stop && !strchr(" \t\r\"`", data[to]);)
                to++;
            *out = tier__warm_realloc(NULL, to - from + 1);
            if (!*out)
                return TIER_ENOMEM;
            memcpy(*out, data + from, to - from);
            (*out)[to - from] = 0;
            return TIER_OK;
        }
        at = stop + 1;
    }
    *out = tier__warm_realloc(NULL, 1);
    if (!*out)
        return TIER_ENOMEM;
    **out = 0;
    return TIER_OK;
}

/* The module path that the go.mod at r->path declares; "" where it cannot be had. Each is read once. */
static const char *module_of(struct tier__resolver *r)
{
    void *array = r->go_module;
    tier_value v;
    size_t number;
    int rc;

    rc = tier__warm_grow(&array, &r->go_capacity, r->go_mod.count + 1, sizeof *r->go_module);
    r->go_module = (char **)array;
    if (!rc)
        rc = tier__strings_add(&r->go_mod, r->path.data, r->path.size, &number);
    if (rc < 0)
        r->rc = rc;
    if (rc <= 0)
        return rc == 0 ? r->go_module[number] : "";
    r->go_module[number] = NULL;
    memset(&v, 0, sizeof v);
    rc = r->read(r->user, r->path.data, &v);
    if (rc == TIER_ECANCELED || rc == TIER_ETIMEOUT || rc == TIER_ENOMEM)
        r->rc = rc;
    if (!r->rc)
        r->rc = module_line(rc ? "" : (const char *)v.data, rc ? 0 : v.size, &r->go_module[number]);
    if (!rc)
        tier_release(r->session, &v);
    return r->rc ? "" : r->go_module[number];
}

/* The nearest module above dir: sets root to its directory ("" or ending in '/'). NULL: there is none. */
static const char *module_above(struct tier__resolver *r, const struct tier__text *dir,
                                struct tier__text *root)
{
    size_t size = dir->size, parent;

    while (!r->rc) {
        r->rc = tier__text_set(root, dir->data, size);
        if (!r->rc && TIER__PROBE(r, 'f', root->data, "go.mod"))
            return module_of(r);
        parent = tier__parent_size(dir->data, size);
        if (parent == size)
            break;
        size = parent;
    }
    return NULL;
}

static bool package_at(struct tier__resolver *r, const char *a, const char *b, const char *c, const char *d)
{
    struct tier__text dir = {0};
    bool any = false;

    if (!TIER__PROBE(r, 'd', a, b, c, d))
        return false;
    r->rc = tier__text_set(&dir, r->path.data, r->path.size);
    if (!r->rc)
        any = tier__found_all(r, dir.data, "*.go", "_test.go") > 0;
    tier__text_fini(&dir);
    return any;
}

struct go {
    const char *module; /* NULL: none */
    struct tier__text dir, root;
};

static void import(struct tier__resolver *r, struct go *g, const char *name)
{
    size_t size = g->module ? strlen(g->module) : 0, i;
    bool there = false;

    if (strcmp(name, "C") == 0 || !tier__first_time(r, g->module ? g->root.data : "", 'g', name))
        return;
    if (size && strncmp(name, g->module, size) == 0 && (name[size] == '/' || name[size] == 0))
        there = package_at(r, g->root.data, name[size] ? name + size + 1 : ".", "", "");
    if (!there && g->module)
        there = package_at(r, g->root.data, "vendor/", name, "");
    for (i = 0; i < r->search_count && !there && !r->rc; i++)
        there = package_at(r, r->search[i], tier__slash(r->search[i]), name, "");
    if (!there)
        r->unresolved++;
}

/* The quoted paths between the parentheses of an import block. */
static void import_block(struct tier__resolver *r, struct go *g, const char *s)
{
    struct tier__text name = {0};

    while (*s && !r->rc) {
        if (s[0] == '/' && s[1] == '/') {
            s += strcspn(s, "\n");
        } else if (s[0] == '/' && s[1] == '*') {
            const char *end = strstr(s + 2, "*/");
            s = end ? end + 2 : s + strlen(s);
        } else if (*s == '"' || *s == '`') {
            size_t size = strcspn(s + 1, *s == '"' ? "\"\n" : "`\n");
            r->rc = tier__text_set(&name, s + 1, size);
            if (!r->rc && size)
                import(r, g, name.data);
            s += size + 1;
            s += *s != 0;
        } else {
            s++;
        }
    }
    tier__text_fini(&name);
}

int tier__resolve_go(struct tier__resolver *r, const char *path, const struct tier__imports *names)
{
    struct go g = {0};
    size_t i;

    if (names->count == 0 || r->rc)
        return r->rc;
    r->rc = tier__text_set(&g.dir, path, tier__dir_size(path));
    if (!r->rc)
        g.module = module_above(r, &g.dir, &g.root);
    for (i = 0; i < names->count && !r->rc; i++) {
        if (names->name[i].kind == 'b')
            import_block(r, &g, tier__name_text(names, i));
        else
            import(r, &g, tier__name_text(names, i));
    }
    tier__text_fini(&g.dir);
    tier__text_fini(&g.root);
    return r->rc;
}
