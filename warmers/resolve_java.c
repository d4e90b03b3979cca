/* resolve_java.c - `import a.b.C;`, `import static a.b.C.m;`, `import a.b.*;`.
 *
 * Source roots: the one that the file's own package line implies (src/a/b/X.java in package a.b: src), then
 * the search directories. The longest prefix that is a file wins, so nested classes and static members lead
 * to the file of their class. */
#include "warmers/resolve.h"
#include <string.h>

/* name without blanks, dots as slashes. */
static int as_path(struct tier__text *t, const char *name)
{
    int rc = tier__text_set(t, "", 0);

    for (; *name && !rc; name++)
        if (!strchr(" \t\r\n\f", *name))
            rc = tier__text_put(t, *name == '.' ? "/" : name, 1);
    return rc;
}

/* path is a/b/C, or a/b/(star); cut from behind until it is a file. */
static bool class_below(struct tier__resolver *r, const char *root, struct tier__text *path)
{
    const char *slash = tier__slash(root);
    struct tier__text dir = {0}, part = {0};
    size_t size = path->size;
    bool there = false, star = size >= 2 && memcmp(path->data + size - 2, "/*", 2) == 0;

    if (star) {
        size -= 2;
        r->rc = tier__text_set(&part, path->data, size);
        if (!r->rc && TIER__PROBE(r, 'd', root, slash, part.data)) {
            r->rc = tier__text_set(&dir, r->path.data, r->path.size);
            there = !r->rc && tier__found_all(r, dir.data, "*.java", NULL) > 0;
        }
    }
    while (!there && size > 0 && !r->rc) {
        r->rc = tier__text_set(&part, path->data, size);
        if (!r->rc && TIER__PROBE(r, 'f', root, slash, part.data, ".java")) {
            tier__found(r);
            there = true;
        }
        while (size > 0 && path->data[--size] != '/')
            ;
    }
    tier__text_fini(&dir);
    tier__text_fini(&part);
    return there;
}

/* Cuts package a.b's a/b/ off the directory in root; leaves it as it is where it does not end so. */
static void cut_package(struct tier__text *root, const struct tier__text *package)
{
    size_t size = package->size;

    if (size && root->size > size && root->data[root->size - 1] == '/' &&
        memcmp(root->data + root->size - 1 - size, package->data, size) == 0 &&
        (root->size - 1 == size || strchr("/:", root->data[root->size - 2 - size]))) {
        root->size -= size + 1;
        root->data[root->size] = 0;
    }
}

int tier__resolve_java(struct tier__resolver *r, const char *path, const struct tier__imports *names)
{
    struct tier__text root = {0}, name = {0};
    bool there;
    size_t i, j;

    r->rc = r->rc ? r->rc : tier__text_set(&root, path, tier__dir_size(path));
    for (i = 0; i < names->count && !r->rc; i++) {
        r->rc = as_path(&name, tier__name_text(names, i));
        if (r->rc)
            break;
        if (names->name[i].kind == 'p') {
            cut_package(&root, &name);
            continue;
        }
        if (!tier__first_time(r, root.data, 'j', name.data))
            continue;
        there = class_below(r, root.data, &name);
        for (j = 0; j < r->search_count && !there && !r->rc; j++)
            there = class_below(r, r->search[j], &name);
        if (!there)
            r->unresolved++;
    }
    tier__text_fini(&root);
    tier__text_fini(&name);
    return r->rc;
}
