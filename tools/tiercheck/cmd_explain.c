/* cmd_explain.c - explain: what is remembered of a path, and below which root it is compared with the files.
 * Records name paths below the root that their program had, and do not say which of the roots that was. */
#include "tools/tiercheck/tool.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOTS_TOLD = 3 };

struct roots { /* of the programs that keep results there */
    char **at;
    size_t count;
    bool failed;
};

static void add_root(void *user, const char *root)
{
    struct roots *r = user;
    char *copy = strdup(root), **grown = realloc(r->at, (r->count + 1) * sizeof *grown);
    r->failed |= !copy || !grown;
    r->at = grown ? grown : r->at;
    if (copy && grown)
        r->at[r->count++] = copy;
    else
        free(copy);
}

static void drop_roots(struct roots *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->at[i]);
    free(r->at);
}

static bool is_root(const struct roots *r, const char *path)
{
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->at[i], path) == 0)
            return true;
    return false;
}

static bool below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == '/' || !path[n] || dir[n - 1] == '/');
}

/* The innermost root that the file is below. */
static const char *root_above(const struct roots *r, const char *path)
{
    const char *best = NULL;
    for (size_t i = 0; i < r->count; i++)
        if (below(path, r->at[i]) && (!best || strlen(r->at[i]) > strlen(best)))
            best = r->at[i];
    return best;
}

/* The one root that has the key path below it, or the only one there is. */
static const char *root_with(const struct roots *r, const char *key)
{
    const char *found = NULL;
    size_t count = 0;
    for (size_t i = 0; i < r->count && *key != '/'; i++) {
        char path[2 * PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", r->at[i], key);
        if (access(path, F_OK) == 0) {
            found = r->at[i];
            count++;
        }
    }
    return count == 1 ? found : r->count == 1 ? r->at[0] : NULL;
}

static void list_roots(const struct roots *r, char *text, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < r->count && i < ROOTS_TOLD && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%s", i ? ", " : "", r->at[i]);
    if (r->count > ROOTS_TOLD && n < size)
        snprintf(text + n, size - n, " and %zu more", r->count - ROOTS_TOLD);
}

static void tell_root(tool *t, const struct roots *r)
{
    char list[4 * PATH_MAX] = "", given[PATH_MAX];
    const char *root = tier_admin_root(t->admin);
    if (t->value[OPT_QUIET] || !r->count)
        return;
    list_roots(r, list, sizeof list);
    if (!is_root(r, root))
        say(t,
            "no program that keeps results here had the root %s, so files may seem to be absent below it; "
            "they had %s: -C ROOT",
            root, list);
    else if (!t->value[OPT_ROOT] && (!realpath(".", given) || strcmp(given, root) != 0))
        say(t, "files are looked at below the root %s, where a program kept these results; others: -C ROOT",
            root);
}

/* Results are under the paths of the root that the program had: asked from elsewhere, they are not found. */
static int not_remembered(tool *t, const struct roots *r, const char *why)
{
    char list[4 * PATH_MAX] = "", text[6 * PATH_MAX];
    const char *root = tier_admin_root(t->admin);
    if (!strstr(why, "nothing is remembered"))
        return fail(t, TIER_EABSENT, why);
    list_roots(r, list, sizeof list);
    if (r->count && !(r->count == 1 && is_root(r, root)))
        snprintf(text, sizeof text,
                 "%s below the root %s; programs that keep results here had %s: -C ROOT, or a path below it",
                 why, root, list);
    else
        snprintf(text, sizeof text, "%s below the root %s; if the program ran elsewhere: -C ROOT", why, root);
    return fail(t, TIER_EABSENT, text);
}

/* The key path as the system knows it. */
static void absolute(tool *t, const char *path, char *buf, size_t size)
{
    const char *root = tier_admin_root(t->admin);
    if (*path == '/')
        snprintf(buf, size, "%s", path);
    else
        snprintf(buf, size, "%s/%s", strcmp(root, "/") == 0 ? "" : root, path);
}

/* Below a root that the user chose; else below one that a program had: the working directory where it is one.
 */
static int explain(tool *t, const struct roots *r, const char *arg)
{
    char path[PATH_MAX + 256], file[2 * PATH_MAX + 256], first[512] = "";
    const char *format = t->value[OPT_JSON] ? "json" : t->value[OPT_VERBOSE] ? "full" : "text";
    bool chosen = t->value[OPT_ROOT] || !r->count, own = is_root(r, tier_admin_root(t->admin));
    const char *root = NULL;
    int rc = tool_key_path(t, arg, path, sizeof path);
    if (!rc && !chosen) {
        absolute(t, path, file, sizeof file);
        root = own && below(file, tier_admin_root(t->admin)) ? NULL : root_above(r, file);
        rc = root ? tier_admin_look_below(t->admin, root) : 0;
        rc = rc ? rc : tool_key_path(t, arg, path, sizeof path);
    }
    bool as_file = chosen || own || root;
    if (!rc)
        rc = as_file ? tier_explain_path(t->admin, path, format, out_sink, t) : TIER_EABSENT;
    if (rc == TIER_EABSENT && as_file)
        snprintf(first, sizeof first, "%s", tier_admin_detail(t->admin));
    if (rc == TIER_EABSENT && (!as_file || strcmp(path, arg) != 0)) { /* as a key path, or "sys:stdio.h" */
        root = chosen || own ? NULL : root_with(r, arg);
        rc = root ? tier_admin_look_below(t->admin, root) : 0;
        rc = rc ? rc : tier_explain_path(t->admin, arg, format, out_sink, t);
    }
    if (rc == TIER_EABSENT)
        return not_remembered(t, r, *first ? first : tier_admin_detail(t->admin));
    if (rc)
        return fail(t, rc, tier_admin_detail(t->admin));
    tell_root(t, r);
    return CLEAN;
}

int run_explain(tool *t)
{
    struct roots r = {.at = NULL};
    if (t->arg_count != 1)
        return tool_usage(t, "explain", "explain takes one PATH");
    int rc = tier_admin_roots(t->admin, add_root, &r);
    if (!rc && r.failed)
        rc = TIER_ENOMEM;
    int status = rc ? fail(t, rc, tier_admin_detail(t->admin)) : explain(t, &r, t->args[0]);
    drop_roots(&r);
    return status;
}
