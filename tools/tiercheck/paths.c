/* paths.c - a PATH of the command line: below -C, or below the working directory. */
#include "tools/tiercheck/tool.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Where ".." begins as a component; NULL: nowhere. */
static const char *dots(const char *path)
{
    for (const char *s = path; (s = strstr(s, "..")); s += 2)
        if ((s == path || s[-1] == '/') && (s[2] == '/' || !s[2]))
            return s;
    return NULL;
}

/* What ".." means depends on links, so the directory must be there; the last name is kept, a link or not. */
static bool undot(char *path, size_t size)
{
    char real[PATH_MAX];
    char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    bool whole = !slash || !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    if (!dots(path))
        return true;
    if (!whole)
        *slash = 0;
    bool there = realpath(*path ? path : "/", real) != NULL;
    if (!whole)
        *slash = '/';
    char *copy = there ? strdup(whole ? "" : name) : NULL;
    if (!copy)
        return !there;
    int n = snprintf(path, size, "%s%s%s", real, whole || strcmp(real, "/") == 0 ? "" : "/", copy);
    free(copy);
    return n >= 0 && (size_t)n < size;
}

bool tool_os_path(tool *t, const char *arg, char *buf, size_t size)
{
    bool join = t->value[OPT_ROOT] && *arg != '/';
    int n = snprintf(buf, size, "%s%s%s", join ? tier_admin_root(t->admin) : "", join ? "/" : "", arg);
    return n >= 0 && (size_t)n < size && undot(buf, size);
}

int tool_key_path(tool *t, const char *arg, char *buf, size_t size)
{
    char path[2 * PATH_MAX];
    return tool_os_path(t, arg, path, sizeof path) ? tier_admin_path(t->admin, path, buf, size) : TIER_EINVAL;
}
