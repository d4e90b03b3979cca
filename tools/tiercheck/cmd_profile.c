/* cmd_profile.c - profile list, show, diff. */
#include "tools/tiercheck/tool.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct showing {
    tool *t;
    const char *name; /* in force */
    int from, to;     /* of a diff; -1: all three */
    size_t told;
};

static const char *const summary[TIER_PROFILES] = {
    "a developer's machine: much memory, relaxed sync",
    "build servers: little memory, kept only where a directory is given, no watching",
    "long-running services: durable, synced at every commit"};

static int list(tool *t, const char *name, const char *origin)
{
    bool json = t->value[OPT_JSON] != NULL;
    if (json) {
        out_text(t, "{\"schema\":1,\"command\":\"profile list\",\"origin\":");
        out_json(t, origin);
        out_text(t, ",\"profiles\":[");
    }
    for (uint32_t i = 0; i < TIER_PROFILES; i++) {
        const char *p = tier_profile_name(i);
        bool here = strcmp(p, name) == 0;
        if (json)
            out_printf(t, "%s{\"name\":\"%s\",\"in_force\":%s,\"what\":\"%s\"}", i ? "," : "", p,
                       here ? "true" : "false", summary[i]);
        else
            out_printf(t, "%s %-10s  %s%s%s%s\n", here ? "*" : " ", p, summary[i], here ? " (in force: " : "",
                       here ? origin : "", here ? ")" : "");
    }
    if (json)
        out_text(t, "]}\n");
    return CLEAN;
}

/* Settings that are accepted, resolved and read by nothing yet: docs/DESIGN.md, section 18. */
static bool is_idle(const char *name)
{
    static const char *const idle[] = {"store.backup_hours", "warm.predict", "warm.start",
                                       "warm.changed_only"};
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
        if (strcmp(name, idle[i]) == 0)
            return true;
    return strncmp(name, "monitor", 7) == 0 && strcmp(name, "monitor.auto_size") != 0;
}

static void on_show(void *user, const tier_setting *s)
{
    struct showing *w = user;
    tool *t = w->t;
    if (!t->value[OPT_JSON]) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", s->name, is_idle(s->name) ? "*" : "");
        char *value = shown(s->value);
        out_printf(t, "%-22s %-12s ", name, value ? value : "?");
        out_shown(t, s->origin);
        out_text(t, "\n");
        free(value);
        if (t->value[OPT_VERBOSE])
            out_printf(t, "    %s; %s\n", s->help, s->expects);
        return;
    }
    out_printf(t, "%s\n  {\"name\":\"%s\",\"value\":", w->told++ ? "," : "", s->name);
    out_json(t, s->value);
    out_text(t, ",\"origin\":");
    out_json(t, s->origin);
    out_text(t, ",\"help\":");
    out_json(t, s->help);
    out_text(t, ",\"expects\":");
    out_json(t, s->expects);
    out_text(t, is_idle(s->name) ? ",\"read\":false}" : ",\"read\":true}");
}

/* Could a program make dir? Its nearest directory above that is there decides. */
static bool cannot_be_made(const char *dir, char *why, size_t size)
{
    char above[PATH_MAX];
    struct stat st = {0};
    snprintf(above, sizeof above, "%s", dir);
    do {
        char *slash = strrchr(above, '/');
        if (!slash)
            strcpy(above, ".");
        else if (slash == above)
            above[1] = 0;
        else
            *slash = 0;
    } while (stat(above, &st) && strcmp(above, ".") != 0); /* "/" is there */
    if (S_ISDIR(st.st_mode) && faccessat(AT_FDCWD, above, W_OK | X_OK, AT_EACCESS) == 0)
        return false;
    snprintf(why, size, "it is not there and cannot be made: %s: %s", above,
             S_ISDIR(st.st_mode) ? strerror(errno) : "no directory");
    return true;
}

/* Would a program with these settings find no room for its cache? As the library judges, which would make the
 * directory while it looks. */
static bool is_unusable(const char *dir, char *why, size_t size)
{
    struct stat st;
    if (!*dir)
        return false;
    if (lstat(dir, &st))
        return cannot_be_made(dir, why, size);
    if (!S_ISDIR(st.st_mode))
        snprintf(why, size, "it is no directory%s", S_ISLNK(st.st_mode) ? ", but a symbolic link" : "");
    else if (st.st_uid != geteuid())
        snprintf(why, size, "it belongs to user %lu, not to us", (unsigned long)st.st_uid);
    else if (faccessat(AT_FDCWD, dir, R_OK | W_OK | X_OK, AT_EACCESS))
        snprintf(why, size, "%s", strerror(errno));
    else
        return false;
    return true;
}

static int show(tool *t, struct showing *w, const char *origin)
{
    char why[PATH_MAX + 200];
    bool unusable = is_unusable(tier_admin_dir(t->admin), why, sizeof why);
    if (t->value[OPT_JSON]) {
        out_printf(t, "{\"schema\":1,\"command\":\"profile show\",\"profile\":\"%s\",\"origin\":", w->name);
        out_json(t, origin);
        out_text(t, ",\"cache\":");
        out_json(t, tier_admin_dir(t->admin));
        out_text(t, ",\"note\":");
        out_json(t, unusable ? why : "");
        out_text(t, ",\"settings\":[");
    } else {
        out_printf(t, "%-22s %-12s ", "profile", w->name);
        out_shown(t, origin);
        out_printf(t, "\n%-22s ", "cache");
        out_shown(t, tier_admin_dir(t->admin));
        out_text(t, "\n");
        if (unusable) {
            out_text(t, "note: no cache can be kept there: ");
            out_shown(t, why);
            out_text(t, "\n");
        }
    }
    tier_profile_show(t->admin, NULL, NULL, 0, on_show, w);
    out_text(t, t->value[OPT_JSON] ? "]}\n" : "* nothing reads this setting yet: it changes nothing\n");
    return CLEAN;
}

static void on_diff(void *user, const tier_setting *s)
{
    struct showing *w = user;
    tool *t = w->t;
    bool same = true;
    for (int i = 0; i < TIER_PROFILES; i++) {
        if (w->from < 0)
            same &= strcmp(s->defaults[i], s->defaults[0]) == 0;
        else if (i == w->to)
            same = strcmp(s->defaults[i], s->defaults[w->from]) == 0;
    }
    if (same)
        return;
    if (t->value[OPT_JSON])
        out_printf(t, "%s\n  {\"name\":\"%s\"", w->told++ ? "," : "", s->name);
    else
        out_printf(t, "%-22s", s->name);
    int columns = w->from < 0 ? TIER_PROFILES : 2;
    for (int k = 0; k < columns; k++) {
        int i = w->from < 0 ? k : k ? w->to : w->from;
        if (t->value[OPT_JSON])
            out_printf(t, ",\"%s\":\"%s\"", tier_profile_name((uint32_t)i), s->defaults[i]);
        else
            out_printf(t, k + 1 < columns ? " %-12s" : " %s", s->defaults[i]);
    }
    out_text(t, t->value[OPT_JSON] ? "}" : "\n");
}

static int profile_of(const char *word)
{
    for (uint32_t i = 0; i < TIER_PROFILES; i++)
        if (strcmp(word, tier_profile_name(i)) == 0)
            return (int)i;
    return -1;
}

static int diff(tool *t, struct showing *w)
{
    int given = t->arg_count - 1;
    w->from = given == 2 ? profile_of(t->args[1]) : given == 1 ? profile_of(w->name) : -1;
    w->to = given ? profile_of(t->args[given]) : -1;
    if (given > 2 || (given && (w->from < 0 || w->to < 0)))
        return tool_usage(t, "profile", "profile diff takes up to two of dev, ci and production");
    if (t->value[OPT_JSON])
        out_text(t, "{\"schema\":1,\"command\":\"profile diff\",\"differences\":[");
    else if (given && w->from == w->to)
        out_printf(t, "no difference: %s is compared with itself\n", tier_profile_name((uint32_t)w->to));
    else if (given)
        out_printf(t, "%-22s %-12s %s\n", "setting", tier_profile_name((uint32_t)w->from),
                   tier_profile_name((uint32_t)w->to));
    else
        out_printf(t, "%-22s %-12s %-12s %s\n", "setting", tier_profile_name(0), tier_profile_name(1),
                   tier_profile_name(2));
    tier_profile_show(t->admin, NULL, NULL, 0, on_diff, w);
    if (t->value[OPT_JSON])
        out_text(t, "]}\n");
    return CLEAN;
}

int run_profile(tool *t)
{
    static const char *const known[] = {"list", "show", "diff"};
    struct showing w = {.t = t, .from = -1, .to = -1};
    char origin[600];
    const char *what = t->arg_count ? t->args[0] : "";
    tier_profile_show(t->admin, &w.name, origin, sizeof origin, NULL, NULL);
    if (strcmp(what, "diff") == 0)
        return diff(t, &w);
    if (t->arg_count > 1)
        return tool_usage(t, "profile", "profile %s takes no '%s'", what, t->args[1]);
    if (strcmp(what, "list") == 0)
        return list(t, w.name, origin);
    if (strcmp(what, "show") == 0)
        return show(t, &w, origin);
    const char *near = *what ? tool_nearest(what, known, 3) : NULL;
    return tool_usage(t, "profile", "profile takes list, show or diff%s%s%s%s%s%s", *what ? ", not '" : "",
                      what, *what ? "'" : "", near ? "; did you mean '" : "", near ? near : "",
                      near ? "'?" : "");
}
