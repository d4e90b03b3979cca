/* resolve_python.c - `import a.b`, `from a.b import c`, `from ..a import b`.
 *
 * Absolute names are looked for from the directory above the importing file's top package, then from the
 * search directories, then from the root; in each as CPython's path finder does: a package before a module
 * before a directory without __init__.py. The packages on the way are found too, their __init__.py runs. */
#include "warmers/resolve.h"
#include <string.h>

/* Finds one module below `base` (ends in '/' or ':', or is empty), and the packages on the way to it. */
static bool module_below(struct tier__resolver *r, const char *base, const char *dotted, size_t size)
{
    struct tier__text at = {0};
    size_t from = 0, end, pass;
    bool there = false;

    /* Two passes: only a name that is there as a whole makes its packages count. */
    for (pass = 0; pass < 2 && !r->rc && (pass == 0 || there); pass++) {
        r->rc = tier__text_set(&at, base, strlen(base));
        for (from = 0; from < size && !r->rc; from = end + 1) {
            const char *dot = memchr(dotted + from, '.', size - from);
            end = dot ? (size_t)(dot - dotted) : size;
            r->rc = tier__text_put(&at, dotted + from, end - from);
            if (r->rc)
                break;
            there = TIER__PROBE(r, 'f', at.data, "/__init__.py");
            if (there && pass == 1)
                tier__found(r);
            if (!there && end >= size) {
                there = TIER__PROBE(r, 'f', at.data, ".py") || TIER__PROBE(r, 'f', at.data, ".pyi");
                if (there && pass == 1)
                    tier__found(r);
            } else if (!there && !TIER__PROBE(r, 'd', at.data)) {
                break;
            }
            if (!r->rc)
                r->rc = tier__text_put(&at, "/", 1);
        }
    }
    tier__text_fini(&at);
    return there;
}

/* The directory above the topmost package that holds dir. */
static size_t above_packages(struct tier__resolver *r, struct tier__text *scratch, const char *dir,
                             size_t size)
{
    size_t parent;

    while (size > 0 && !r->rc) {
        r->rc = tier__text_set(scratch, dir, size);
        if (r->rc || !TIER__PROBE(r, 'f', scratch->data, "__init__.py"))
            break;
        parent = tier__parent_size(dir, size);
        if (parent == size)
            break;
        size = parent;
    }
    return size;
}

struct place {
    struct tier__text dir;  /* of the importing file */
    struct tier__text top;  /* above its packages */
    struct tier__text base; /* of a relative import */
    struct tier__text name; /* dotted */
};

static bool absolute(struct tier__resolver *r, struct place *p)
{
    struct tier__text base = {0};
    bool there = module_below(r, p->top.data, p->name.data, p->name.size);
    size_t i;

    for (i = 0; i < r->search_count && !there && !r->rc; i++) {
        r->rc = tier__text_set(&base, r->search[i], strlen(r->search[i]));
        if (!r->rc)
            r->rc = tier__text_put(&base, tier__slash(r->search[i]), strlen(tier__slash(r->search[i])));
        if (!r->rc)
            there = module_below(r, base.data, p->name.data, p->name.size);
    }
    tier__text_fini(&base);
    if (!there && p->top.size > 0 && !r->rc)
        there = module_below(r, "", p->name.data, p->name.size);
    return there;
}

/* Resolves the module in p->name, whose leading dots say how far up it starts. */
static bool module(struct tier__resolver *r, struct place *p)
{
    size_t dots = strspn(p->name.data, "."), size = p->dir.size, i;
    bool there;

    if (dots == 0)
        return absolute(r, p);
    for (i = 1; i < dots; i++)
        size = tier__parent_size(p->dir.data, size);
    r->rc = tier__text_set(&p->base, p->dir.data, size);
    if (r->rc)
        return false;
    there = TIER__PROBE(r, 'f', p->base.data, "__init__.py");
    if (there)
        tier__found(r);
    if (dots < p->name.size)
        there = module_below(r, p->base.data, p->name.data + dots, p->name.size - dots);
    return there;
}

/* The next name of an import list: "a.b as c, (d, # why\n e)"; *size 0 at the end. */
static const char *next_item(const char **at, size_t *size)
{
    const char *s = *at, *start;

    while (*s && (strchr(" \t\r\n\f,()\\", *s) || *s == '#')) {
        if (*s == '#')
            s += strcspn(s, "\n");
        else
            s++;
    }
    start = s;
    s += strcspn(s, " \t\r\n\f,()\\#");
    *size = (size_t)(s - start);
    while (*s && *s != ',') /* over "as c" */
        s += *s == '#' ? strcspn(s, "\n") : 1;
    *at = s;
    return start;
}

static void import_list(struct tier__resolver *r, struct place *p, const char *list)
{
    size_t size;
    const char *item;

    while (!r->rc && (item = next_item(&list, &size), size > 0)) {
        r->rc = tier__text_set(&p->name, item, size);
        if (r->rc || !tier__first_time(r, p->top.data, 'i', p->name.data))
            continue;
        if (!module(r, p))
            r->unresolved++;
    }
}

/* `from a import b`: b may be a module of the package a or merely a name in it. */
static void from_list(struct tier__resolver *r, struct place *p, const char *from, const char *list)
{
    size_t size, stem = strlen(from);
    const char *item;
    bool there = false, known, any = false;

    r->rc = tier__text_set(&p->name, from, stem);
    if (r->rc)
        return;
    known = !tier__first_time(r, from[0] == '.' ? p->dir.data : p->top.data, 'f', from);
    if (!known && !r->rc)
        there = module(r, p);
    while (!r->rc && (item = next_item(&list, &size), size > 0)) {
        r->rc = tier__text_set(&p->name, from, stem);
        if (!r->rc && from[stem - 1] != '.')
            r->rc = tier__text_put(&p->name, ".", 1);
        if (!r->rc)
            r->rc = tier__text_put(&p->name, item, size);
        if (!r->rc && *item != '*' &&
            tier__first_time(r, from[0] == '.' ? p->dir.data : p->top.data, 'i', p->name.data) &&
            module(r, p))
            any = true;
    }
    if (!known && !there && !any)
        r->unresolved++;
}

int tier__resolve_python(struct tier__resolver *r, const char *path, const struct tier__imports *names)
{
    struct place p = {0};
    size_t i, size;

    r->rc = r->rc ? r->rc : tier__text_set(&p.dir, path, tier__dir_size(path));
    if (!r->rc) {
        size = above_packages(r, &p.top, p.dir.data, p.dir.size);
        if (!r->rc)
            r->rc = tier__text_set(&p.top, p.dir.data, size);
    }
    for (i = 0; i < names->count && !r->rc; i++) {
        if (names->name[i].kind == 'i')
            import_list(r, &p, tier__name_text(names, i));
        else if (names->name[i].kind == 'f' && i + 1 < names->count && names->name[i + 1].kind == 'n')
            from_list(r, &p, tier__name_text(names, i), tier__name_text(names, i + 1));
    }
    tier__text_fini(&p.dir);
    tier__text_fini(&p.top);
    tier__text_fini(&p.base);
    tier__text_fini(&p.name);
    return r->rc;
}
