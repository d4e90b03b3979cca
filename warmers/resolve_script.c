/* resolve_script.c - JavaScript and TypeScript: relative names, and bare ones below the search directories,
 * with the endings and index files that Node and the TypeScript compiler try. package.json is not read. */
#include "warmers/resolve.h"
#include <string.h>

static const char *const endings[] = {".ts",  ".tsx", ".d.ts", ".js",  ".jsx",
                                      ".mjs", ".cjs", ".mts",  ".cts", ".json"};
#define ENDINGS (sizeof endings / sizeof *endings)

/* A TypeScript module imports "./x.js" and means x.ts: what is written, then what it may stand for. */
static const char *const stands_for[][3] = {
    {".js", ".ts", ".tsx"}, {".jsx", ".tsx", NULL}, {".mjs", ".mts", NULL}, {".cjs", ".cts", NULL}};

static bool with_other_ending(struct tier__resolver *r, const char *dir, const char *name)
{
    struct tier__text stem = {0};
    const char *dot = strrchr(name, '.');
    bool there = false;
    size_t i, j;

    if (!dot)
        return false;
    r->rc = tier__text_set(&stem, name, (size_t)(dot - name));
    for (i = 0; i < sizeof stands_for / sizeof *stands_for && !there && !r->rc; i++)
        for (j = 1; j < 3 && stands_for[i][j] && !there && strcmp(dot, stands_for[i][0]) == 0; j++)
            there = TIER__PROBE(r, 'f', dir, stem.data, stands_for[i][j]);
    tier__text_fini(&stem);
    return there;
}

static bool module_at(struct tier__resolver *r, const char *dir, const char *name)
{
    size_t i;

    if (TIER__PROBE(r, 'f', dir, name))
        return true;
    for (i = 0; i < ENDINGS; i++)
        if (TIER__PROBE(r, 'f', dir, name, endings[i]))
            return true;
    if (with_other_ending(r, dir, name))
        return true;
    if (!TIER__PROBE(r, 'd', dir, name))
        return false;
    for (i = 0; i < ENDINGS; i++)
        if (TIER__PROBE(r, 'f', dir, name, "/index", endings[i]))
            return true;
    return false;
}

static bool relative(const char *name)
{
    size_t dots = strspn(name, ".");

    return (dots == 1 || dots == 2) && (name[dots] == '/' || name[dots] == 0);
}

static bool script_name(struct tier__resolver *r, const char *dir, const char *name)
{
    struct tier__text base = {0};
    bool there = false;
    size_t i;

    if (name[0] == '/')
        return module_at(r, "", name);
    if (relative(name))
        return module_at(r, dir, name);
    for (i = 0; i < r->search_count && !there && !r->rc; i++) {
        r->rc = tier__text_set(&base, r->search[i], strlen(r->search[i]));
        if (!r->rc)
            r->rc = tier__text_put(&base, tier__slash(r->search[i]), strlen(tier__slash(r->search[i])));
        if (!r->rc)
            there = module_at(r, base.data, name);
    }
    tier__text_fini(&base);
    return there;
}

int tier__resolve_script(struct tier__resolver *r, const char *path, const struct tier__imports *names)
{
    struct tier__text dir = {0};
    size_t i;

    r->rc = r->rc ? r->rc : tier__text_set(&dir, path, tier__dir_size(path));
    for (i = 0; i < names->count && !r->rc; i++) {
        const char *name = tier__name_text(names, i);
        if (!tier__first_time(r, relative(name) ? dir.data : "", 's', name))
            continue;
        if (script_name(r, dir.data, name))
            tier__found(r);
        else
            r->unresolved++;
    }
    tier__text_fini(&dir);
    return r->rc;
}
