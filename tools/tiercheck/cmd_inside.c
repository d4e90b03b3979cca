/* cmd_inside.c - stats, inspect and prune. */
#include "tools/tiercheck/tool.h"
#include <stdlib.h>
#include <string.h>

static int no_arguments(tool *t)
{
    return t->arg_count ? tool_usage(t, tool_command_name(t->command), "'%s' takes no '%s'",
                                     tool_command_name(t->command), t->args[0])
                        : CLEAN;
}

/* ---- stats ---- */
struct figures {
    tool *t;
    char *text[2]; /* tables, types: gathered, as what comes last is told first */
    size_t size[2];
    double file, size_on_disk, limit, values, blobs, bytes;
    uint64_t records, variants, husks, types, failures;
};

static void gather(struct figures *g, int which, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void gather(struct figures *g, int which, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n < 0)
        return;
    size_t size = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    char *grown = realloc(g->text[which], g->size[which] + size + 1);
    if (!grown)
        return;
    memcpy(grown + g->size[which], line, size + 1);
    g->text[which] = grown;
    g->size[which] += size;
}

static void json_name(struct figures *g, int which, const char *key, const char *text)
{
    gather(g, which, "\"%s\":\"", key);
    for (const unsigned char *s = (const unsigned char *)text; *s; s++)
        gather(g, which, *s < 32 || *s > 126 || *s == '"' || *s == '\\' ? "\\u%04x" : "%c", *s);
    gather(g, which, "\"");
}

static void on_table(struct figures *g, const tier_figure *f)
{
    bool json = g->t->value[OPT_JSON] != NULL;
    g->records += f->records;
    g->bytes += (double)f->bytes;
    if (strcmp(f->name, "blobs") == 0)
        g->blobs = (double)f->bytes;
    if (json) {
        gather(g, 0, "%s{", g->size[0] ? "," : "");
        json_name(g, 0, "name", f->name);
        gather(g, 0, ",\"records\":%llu,\"bytes\":%llu}", (unsigned long long)f->records,
               (unsigned long long)f->bytes);
    } else if (f->records || g->t->value[OPT_VERBOSE]) {
        gather(g, 0, "%-12s %10llu %14llu\n", f->name, (unsigned long long)f->records,
               (unsigned long long)f->bytes);
    }
}

static void on_type(struct figures *g, const tier_figure *f)
{
    g->types++;
    g->values += (double)f->bytes;
    g->variants += f->variants;
    g->husks += f->husks;
    g->failures += f->failures;
    if (g->t->value[OPT_JSON]) {
        gather(g, 1, "%s{", g->size[1] ? "," : "");
        json_name(g, 1, "name", f->name);
        gather(g, 1, ",");
        json_name(g, 1, "app", f->app);
        gather(g, 1,
               ",\"requests\":%llu,\"variants\":%llu,\"husks\":%llu,\"failures\":%llu,\"bytes\":%llu,"
               "\"cost_us\":%llu}",
               (unsigned long long)f->records, (unsigned long long)f->variants, (unsigned long long)f->husks,
               (unsigned long long)f->failures, (unsigned long long)f->bytes, (unsigned long long)f->cost_us);
    } else {
        gather(g, 1, "%-12s %10llu %14llu %10llu %8llu %10.1f  %s\n", f->name, (unsigned long long)f->records,
               (unsigned long long)f->bytes, (unsigned long long)f->variants, (unsigned long long)f->failures,
               (double)f->cost_us / 1000, f->app);
    }
}

static void on_figure(void *user, const tier_figure *f)
{
    struct figures *g = user;
    if (strcmp(f->group, "table") == 0)
        on_table(g, f);
    else if (strcmp(f->group, "type") == 0)
        on_type(g, f);
    else if (strcmp(f->name, "file") == 0)
        g->file = (double)f->bytes;
    else if (strcmp(f->name, "size") == 0)
        g->size_on_disk = (double)f->bytes;
    else
        g->limit = (double)f->bytes;
}

/* At least about so much of the file holds no record. Pages are not counted: records take no more than twice
 * their bytes (a value in pages of its own from half a page on; leaves are filled to a half), and less where
 * they are compressed. */
static double free_bytes(const struct figures *g)
{
    double size = g->size_on_disk > g->file ? g->size_on_disk : g->file;
    double left = size - 2 * g->bytes - 65536;
    return left > 0 ? left : 0;
}

static const char *hint(const struct figures *g)
{
    if (!g->records)
        return "nothing is stored yet: run an analyzer with this cache";
    if (g->file > 0.9 * g->limit)
        return "the file is near its limit: 'tiercheck prune --older-than 7d', or raise store.max_bytes";
    if (g->blobs > 2 * g->values + 1048576)
        return "much of the values belongs to no result any more: 'tiercheck prune' drops it";
    if (free_bytes(g) > 16 * 1048576.0 && free_bytes(g) > 0.5 * g->size_on_disk)
        return "most of the file is free: it is used again; delete the directory to give the space back";
    if (g->husks * 5 > g->variants)
        return "many results have lost their values: is store.max_bytes too small?";
    return "nothing needs doing";
}

static void stats_text(struct figures *g, const char *profile, const char *origin)
{
    tool *t = g->t;
    out_text(t, "cache    ");
    out_shown(t, tier_admin_dir(t->admin));
    out_printf(t, "\nprofile  %s (", profile);
    out_shown(t, origin);
    out_text(t, ")\non disk  ");
    out_bytes(t, g->size_on_disk);
    out_text(t, ", at least ");
    out_bytes(t, free_bytes(g));
    out_text(t, " of it free, of at most ");
    out_bytes(t, g->limit);
    out_printf(t, "\n\n%-12s %10s %14s\n%s", "table", "records", "bytes", g->text[0] ? g->text[0] : "");
    if (g->types)
        out_printf(t, "\n%-12s %10s %14s %10s %8s %10s  %s\n%s", "type", "requests", "value bytes",
                   "variants", "failed", "cost ms", "program", g->text[1]);
    if (g->failures && !t->value[OPT_QUIET])
        out_text(t,
                 "failed: variants that are a remembered error, as that a file is not there. They answer as\n"
                 "any other, and are computed again when what they read changes.\n");
    if (!t->value[OPT_QUIET])
        out_printf(t, "\nhint: %s\n", hint(g));
}

static void stats_json(struct figures *g, const char *profile, const char *origin)
{
    tool *t = g->t;
    out_text(t, "{\"schema\":1,\"command\":\"stats\",\"cache\":");
    out_json(t, tier_admin_dir(t->admin));
    out_text(t, ",\"profile\":");
    out_json(t, profile);
    out_text(t, ",\"profile_origin\":");
    out_json(t, origin);
    out_printf(t,
               ",\"file_bytes\":%.0f,\"size_bytes\":%.0f,\"free_bytes_least\":%.0f,\"limit_bytes\":%.0f,\n "
               "\"tables\":[%s],\n \"types\":[%s],\n \"hint\":",
               g->file, g->size_on_disk, free_bytes(g), g->limit, g->text[0] ? g->text[0] : "",
               g->text[1] ? g->text[1] : "");
    out_json(t, hint(g));
    out_text(t, "}\n");
}

int run_stats(tool *t)
{
    struct figures g = {.t = t};
    const char *profile = "";
    char origin[600] = "";
    int status = no_arguments(t);
    if (status)
        return status;
    tier_profile_show(t->admin, &profile, origin, sizeof origin, NULL, NULL);
    int rc = tier_store_figures(t->admin, on_figure, &g);
    if (rc)
        status = fail(t, rc, tier_admin_detail(t->admin));
    else if (t->value[OPT_JSON])
        stats_json(&g, profile, origin);
    else
        stats_text(&g, profile, origin);
    free(g.text[0]);
    free(g.text[1]);
    return status;
}

/* ---- inspect ---- */
int run_inspect(tool *t)
{
    if (t->arg_count != 1)
        return tool_usage(t, "inspect", "inspect takes one KEY");
    int rc = tier_inspect(t->admin, t->args[0], t->value[OPT_JSON] ? "json" : "text", out_sink, t);
    if (rc == TIER_EINVAL)
        return tool_usage(t, "inspect", "%s", tier_admin_detail(t->admin));
    return rc ? fail(t, rc, tier_admin_detail(t->admin)) : CLEAN;
}

/* ---- prune ---- */
static void prune_json(tool *t, const tier_prune_report *r)
{
    out_printf(t,
               "{\"schema\":1,\"command\":\"prune\",\"dry_run\":%s,\"requests\":%llu,\"variants\":%llu,"
               "\"values\":%llu,\"leaf_lists\":%llu,\"bytes\":%llu,\"left_bytes\":%llu,\"file_bytes\":%llu,"
               "\"aside\":%llu,\"aside_bytes\":%llu}\n",
               t->value[OPT_DRY] ? "true" : "false", (unsigned long long)r->requests,
               (unsigned long long)r->variants, (unsigned long long)r->values,
               (unsigned long long)r->leaf_lists, (unsigned long long)r->bytes,
               (unsigned long long)r->left_bytes, (unsigned long long)r->file_bytes,
               (unsigned long long)r->aside, (unsigned long long)r->aside_bytes);
}

int run_prune(tool *t)
{
    tier_prune_options o = TIER_INIT(tier_prune_options);
    tier_prune_report r = TIER_INIT(tier_prune_report);
    int status = no_arguments(t);
    if (status)
        return status;
    o.dry_run = t->value[OPT_DRY] != NULL;
    if (t->value[OPT_MAX_SIZE] && !tool_bytes(t, OPT_MAX_SIZE, &o.max_bytes))
        return USAGE;
    if (t->value[OPT_MAX_SIZE] && !o.max_bytes)
        o.max_bytes = 1; /* 0 would be no limit */
    if (t->value[OPT_OLDER_THAN] && !tool_duration(t, OPT_OLDER_THAN, &o.older_than_ms))
        return USAGE;
    o.has_age = t->value[OPT_OLDER_THAN] != NULL;
    int rc = tier_prune(t->admin, &o, &r);
    if (rc)
        return fail(t, rc, tier_admin_detail(t->admin));
    progress_end(t);
    if (t->value[OPT_JSON]) {
        prune_json(t, &r);
    } else if (!t->value[OPT_QUIET]) {
        out_printf(t, "%s %llu variant%s (%llu whole request%s), %llu value%s of ",
                   o.dry_run ? "would drop" : "dropped", (unsigned long long)r.variants, plural(r.variants),
                   (unsigned long long)r.requests, plural(r.requests), (unsigned long long)r.values,
                   plural(r.values));
        out_bytes(t, (double)r.bytes);
        out_printf(t, ", %llu list%s of leaves; values of ", (unsigned long long)r.leaf_lists,
                   plural(r.leaf_lists));
        out_bytes(t, (double)r.left_bytes);
        out_printf(t, " %s\n", o.dry_run ? "would stay" : "stay");
        if (r.aside) {
            out_printf(t, "%s %llu store%s that %s moved aside, of ", o.dry_run ? "would delete" : "deleted",
                       (unsigned long long)r.aside, plural(r.aside), r.aside == 1 ? "was" : "were");
            out_bytes(t, (double)r.aside_bytes);
            out_text(t, "\n");
        }
    }
    return CLEAN;
}
