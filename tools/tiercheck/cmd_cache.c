/* cmd_cache.c - warm and invalidate: through the library as any program uses it. */
#include "tools/tiercheck/tool.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* That there is no store is this command's error, said once. */
static void on_cache_log(void *user, int level, const char *line)
{
    if (!strstr(line, "going on in memory") && !strstr(line, "reading only"))
        on_log(user, level, line);
}

tier_cache *tool_cache(tool *t, int *status)
{
    static const char *const settings[] = {"store.persist=on"};
    tier_options o = TIER_INIT(tier_options);
    tier_root root = {"", t->value[OPT_ROOT] ? t->value[OPT_ROOT] : "."};
    tier_cache *c = NULL;
    uint64_t none;
    int rc = tier_count_results(t->admin, 0, NULL, &none); /* tier_open would move a damaged store aside */
    if (rc == TIER_EDAMAGE || rc == TIER_EKIND || (rc && !*tier_admin_dir(t->admin) && !t->value[OPT_DRY])) {
        *status = fail(t, rc, tier_admin_detail(t->admin));
        return NULL;
    }
    o.app = "tiercheck";
    o.dir = t->value[OPT_DRY] ? "" : tier_admin_dir(t->admin); /* a dry run makes no directory */
    o.profile = t->value[OPT_PROFILE];
    o.roots = &root;
    o.root_count = 1;
    o.settings = settings;
    o.setting_count = 1;
    o.user = t;
    o.log = on_cache_log;
    rc = tier_open(&o, &c);
    if (rc) {
        *status = fail(t, rc, NULL);
        return NULL;
    }
    if (!t->value[OPT_DRY] && tier_cache_detail(c)) { /* without a store nothing would last */
        *status = fail(t, TIER_EIO, tier_cache_detail(c));
        tier_close(&c);
        return NULL;
    }
    *status = CLEAN;
    return c;
}

static int close_cache(tool *t, tier_cache **c, int status)
{
    int rc = tier_flush(*c);
    if (rc && status == CLEAN)
        status = fail(t, rc, "the store could not be written");
    tier_close(c);
    return status;
}

/* ---- invalidate ---- */
static const struct way { /* to name results */
    int option, by;
    bool pattern;
    const char *name;
} ways[] = {{-1, TIER_BY_PATH, false, "path"},
            {OPT_PATTERN, TIER_BY_PATH, true, "pattern"},
            {OPT_TAG, TIER_BY_TAG, false, "tag"},
            {OPT_TYPE, TIER_BY_TYPE, false, "type"},
            {OPT_TYPE_PATTERN, TIER_BY_TYPE, true, "type-pattern"},
            {OPT_OLDER_THAN, TIER_BY_AGE, false, "age"}};

/* The one way that the command line takes; NULL: none, or several. */
static const struct way *choose_way(const tool *t)
{
    const struct way *way = t->arg_count ? &ways[0] : NULL;
    int count = t->arg_count;
    for (size_t i = 1; i < sizeof ways / sizeof *ways; i++)
        if (t->value[ways[i].option]) {
            way = &ways[i];
            count++;
        }
    return count == 1 ? way : NULL;
}

static int invalidate(tool *t, const struct way *way, const char *what)
{
    int status;
    tier_cache *c = tool_cache(t, &status);
    if (!c)
        return status;
    int rc = way->pattern ? tier_invalidate_pattern(c, way->by, what) : tier_invalidate(c, way->by, what);
    if (rc == TIER_EINVAL) {
        tier_close(&c);
        return tool_usage(t, "invalidate", "'%s' is no pattern that can be used", what);
    }
    status = rc ? fail(t, rc, "the invalidation could not be committed") : CLEAN;
    return close_cache(t, &c, status);
}

int run_invalidate(tool *t)
{
    const struct way *way = choose_way(t);
    char path[PATH_MAX + 256] = "", age[32];
    uint64_t matching = 0;
    int64_t ms;
    int status, rc = 0;
    if (!way)
        return tool_usage(t, "invalidate",
                          "invalidate takes one of PATH, --pattern, --tag, --type, --type-pattern and "
                          "--older-than");
    const char *what = way->option < 0 ? path : t->value[way->option], *given = what;
    if (way->option < 0 && (rc = tool_key_path(t, t->args[0], path, sizeof path)))
        return fail(t, rc, NULL);
    if (!*what)
        return tool_usage(t, "invalidate", "%s", "an empty name matches nothing");
    if (way->by == TIER_BY_AGE) {
        if (!tool_duration(t, OPT_OLDER_THAN, &ms))
            return USAGE;
        snprintf(age, sizeof age, "%lldms", (long long)ms);
        what = age;
    }
    rc = tier_count_results(t->admin, way->pattern ? 0 : way->by, what, &matching);
    if (rc) /* no store is begun to note there what is invalid */
        return fail(t, rc, tier_admin_detail(t->admin));
    if (!t->value[OPT_DRY] && (status = invalidate(t, way, what)))
        return status;
    what = given;
    if (t->value[OPT_JSON]) {
        out_printf(t, "{\"schema\":1,\"command\":\"invalidate\",\"dry_run\":%s,\"by\":\"%s\",\"what\":",
                   t->value[OPT_DRY] ? "true" : "false", way->name);
        out_json(t, what);
        if (!way->pattern)
            out_printf(t, ",\"matching\":%llu", (unsigned long long)matching);
        out_text(t, "}\n");
    } else if (!t->value[OPT_QUIET]) {
        out_printf(t, "%s results by %s '", t->value[OPT_DRY] ? "would invalidate" : "invalidated",
                   way->name);
        out_shown(t, what);
        out_text(t, "' that were made before now");
        if (!way->pattern)
            out_printf(t, "; %llu remembered result%s match%s now", (unsigned long long)matching,
                       plural(matching), matching == 1 ? "es" : "");
        out_text(t, "\n");
    }
    return CLEAN;
}

/* ---- warm ---- */
struct paths {
    char **at;
    size_t count, capacity;
    bool failed;
};

static void add_path(struct paths *p, const char *path)
{
    if (p->count == p->capacity) {
        size_t n = p->capacity ? 2 * p->capacity : 64;
        char **grown = realloc(p->at, n * sizeof *grown);
        if (!grown) {
            p->failed = true;
            return;
        }
        p->at = grown;
        p->capacity = n;
    }
    p->at[p->count] = strdup(path);
    p->failed |= !p->at[p->count];
    p->count += p->at[p->count] != NULL;
}

/* Names that a scanner reads; what is reached from there needs no such name. */
static bool is_source(const char *path)
{
    static const char *const ends[] = {"c",  "h",  "cc",  "hh",  "cpp", "hpp", "cxx", "hxx", "inl", "ipp",
                                       "py", "js", "jsx", "mjs", "cjs", "ts",  "tsx", "go",  "rs",  "java"};
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    for (size_t i = 0; dot && (!slash || dot > slash) && i < sizeof ends / sizeof *ends; i++)
        if (strcmp(dot + 1, ends[i]) == 0)
            return true;
    return false;
}

static int add_directory(tier_session *s, const char *dir, struct paths *p)
{
    tier_value v;
    size_t cursor = 0, size;
    const void *name;
    int rc = tier_list(s, dir, "**/*", &v);
    while (!rc && tier_next(&v, &cursor, &name, &size) == 0)
        if (is_source(name))
            add_path(p, name);
    return rc ? rc : tier_release(s, &v);
}

static int gather(tool *t, tier_cache *c, tier_session *s, struct paths *p)
{
    char path[PATH_MAX + 256], file[2 * PATH_MAX], kind;
    for (int i = 0; i < t->arg_count; i++) {
        int rc = tool_os_path(t, t->args[i], file, sizeof file) ? tier_path_in(c, file, path, sizeof path)
                                                                : TIER_EINVAL;
        if (!rc)
            rc = tier_stat(s, path, &kind);
        if (!rc && kind == 'd')
            rc = add_directory(s, path, p);
        else if (!rc)
            add_path(p, path);
        if (rc) {
            char why[PATH_MAX + 512];
            snprintf(why, sizeof why, "%s: %s", t->args[i], tier_strerror(rc));
            return fail(t, rc, why);
        }
    }
    return p->failed ? fail(t, TIER_ENOMEM, NULL) : CLEAN;
}

struct warming {
    tool *t;
    uint64_t done, planned;
};

static int on_file(void *user, const char *path, unsigned depth, int outcome, uint64_t bytes)
{
    struct warming *w = user;
    (void)bytes;
    if (w->t->value[OPT_VERBOSE] && outcome != TIER_WARM_DONE && outcome != TIER_WARM_KNOWN)
        say(w->t, "%s (level %u): %s", path, depth,
            outcome == TIER_WARM_OVER_BUDGET   ? "over the budget"
            : outcome == TIER_WARM_TOO_DEEP    ? "too deep"
            : outcome == TIER_WARM_OUT_OF_TIME ? "out of time"
                                               : "cannot be read");
    w->done++;
    return on_progress(w->t, "warming", w->done, w->done < w->planned ? w->planned : 0);
}

static void default_of(void *user, const tier_setting *s)
{
    tier_warm_options *o = user;
    if (strcmp(s->name, "warm.depth") == 0)
        o->depth = (uint32_t)strtoul(s->value, NULL, 10);
    else if (strcmp(s->name, "warm.limit") == 0)
        tool_read_duration(s->value, &o->time_limit_ms);
}

static bool warm_options(tool *t, tier_warm_options *o)
{
    uint64_t depth = 0, jobs = 0;
    tier_profile_show(t->admin, NULL, NULL, 0, default_of, o);
    if (t->value[OPT_DEPTH] && !tool_number(t, OPT_DEPTH, UINT32_MAX, &depth))
        return false;
    if (t->value[OPT_DEPTH])
        o->depth = (uint32_t)depth;
    if (t->value[OPT_JOBS] && (!tool_number(t, OPT_JOBS, 64, &jobs)))
        return false;
    o->jobs = (uint32_t)jobs;
    return (!t->value[OPT_BUDGET] || tool_bytes(t, OPT_BUDGET, &o->byte_budget)) &&
           (!t->value[OPT_TIME] || tool_duration(t, OPT_TIME, &o->time_limit_ms));
}

static void warm_report(tool *t, const tier_warm_report *r, size_t roots)
{
    const struct {
        const char *name, *text;
        uint64_t n;
    } rows[] = {{"warmed", "warmed", r->warmed},
                {"known", "known already", r->known},
                {"over_budget", "over the budget", r->over_budget},
                {"too_deep", "too deep", r->too_deep},
                {"failed", "not readable", r->failed},
                {"out_of_time", "out of time", r->out_of_time}};
    if (t->value[OPT_JSON]) {
        out_printf(t, "{\"schema\":1,\"command\":\"warm\",\"dry_run\":%s,\"roots\":%zu",
                   t->value[OPT_DRY] ? "true" : "false", roots);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            out_printf(t, ",\"%s\":%llu", rows[i].name, (unsigned long long)rows[i].n);
        out_printf(t, ",\"bytes\":%llu,\"unresolved\":%llu,\"depth\":%u}\n", (unsigned long long)r->bytes,
                   (unsigned long long)r->unresolved, r->depth);
        return;
    }
    if (t->value[OPT_QUIET])
        return;
    if (t->value[OPT_DRY]) {
        out_printf(t, "would begin at %zu file%s\n", roots, plural(roots));
        return;
    }
    const char *comma = "";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].n || i == 0) {
            out_printf(t, "%s%llu file%s %s", comma, (unsigned long long)rows[i].n, plural(rows[i].n),
                       rows[i].text);
            comma = ", ";
        }
    out_text(t, "; ");
    out_bytes(t, (double)r->bytes);
    out_printf(t, ", %u level%s, %llu name%s that lead%s to no file\n", r->depth, plural(r->depth),
               (unsigned long long)r->unresolved, plural(r->unresolved), r->unresolved == 1 ? "s" : "");
}

static int warm(tool *t, tier_cache *c, const tier_warm_options *o, struct paths *p)
{
    tier_session *s = NULL;
    tier_warm_report r = TIER_INIT(tier_warm_report);
    int rc = tier_begin(c, NULL, &s);
    if (rc)
        return fail(t, rc, NULL);
    int status = gather(t, c, s, p);
    struct warming w = {t, 0, p->count};
    tier_warm_options with = *o;
    with.user = &w;
    with.progress = on_file;
    if (status == CLEAN && !t->value[OPT_DRY]) {
        rc = tier_warm(s, &with, (const char *const *)p->at, p->count, &r);
        if (rc)
            status = fail(t, rc, tier_detail(s));
    }
    tier_end(&s);
    if (status == CLEAN) {
        progress_end(t);
        warm_report(t, &r, p->count);
    }
    return status;
}

int run_warm(tool *t)
{
    tier_warm_options o = TIER_INIT(tier_warm_options);
    struct paths p = {.at = NULL};
    int status;
    if (!t->arg_count)
        return tool_usage(t, "warm", "warm takes PATHs of files or directories; 'tiercheck warm .' is all");
    if (!warm_options(t, &o))
        return USAGE;
    tier_cache *c = tool_cache(t, &status);
    if (!c)
        return status;
    status = close_cache(t, &c, warm(t, c, &o, &p));
    for (size_t i = 0; i < p.count; i++)
        free(p.at[i]);
    free(p.at);
    return status;
}
