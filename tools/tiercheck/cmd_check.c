/* cmd_check.c - check and repair, told like a good doctor: what is wrong, what it means, what is done. */
#include "tools/tiercheck/tool.h"
#include <string.h>

enum { CODES = 96 };

struct teller {
    tool *t;
    bool mending, planning; /* repair; repair -n */
    uint64_t told;
    struct {
        const char *code, *what;
        uint64_t count;
    } notice[CODES]; /* summed up unless -v */
    size_t notices;
};

static void tell_json(struct teller *w, const tier_problem *p)
{
    tool *t = w->t;
    out_printf(t, "%s\n  {\"code\":\"%s\",\"severity\":\"%s\",\"what\":", w->told++ ? "," : "", p->code,
               p->severity == TIER_DAMAGE ? "damage" : "notice");
    out_json(t, p->what);
    out_text(t, ",\"repair\":");
    out_json(t, p->repair);
    out_text(t, ",\"where\":");
    out_json(t, p->where);
    out_text(t, ",\"detail\":");
    out_json(t, p->detail);
    out_printf(t, ",\"repaired\":%s}", p->repaired ? "true" : "false");
}

static void tell_text(struct teller *w, const tier_problem *p)
{
    tool *t = w->t;
    bool damage = p->severity == TIER_DAMAGE;
    out_color(t, damage ? p->repaired ? "32" : "31" : "33");
    out_text(t, damage ? p->repaired ? "repaired" : "damage" : "notice");
    out_color(t, "");
    out_printf(t, " %s%s", p->code, *p->where ? ": " : "");
    out_shown(t, p->where);
    out_printf(t, "\n  what:   %s%s", p->what, *p->detail ? " (" : "");
    out_shown(t, p->detail);
    out_text(t, *p->detail ? ")\n" : "\n");
    if (damage)
        out_printf(t, "  %s %s\n",
                   p->repaired   ? "done:  "
                   : w->planning ? "would: "
                   : w->mending  ? "failed:"
                                 : "repair:",
                   p->repair);
}

static void found(void *user, const tier_problem *p)
{
    struct teller *w = user;
    tool *t = w->t;
    progress_end(t);
    if (t->value[OPT_JSON]) {
        tell_json(w, p);
        return;
    }
    if (p->severity == TIER_DAMAGE || t->value[OPT_VERBOSE]) {
        tell_text(w, p);
        return;
    }
    for (size_t i = 0; i < w->notices; i++)
        if (strcmp(w->notice[i].code, p->code) == 0) {
            w->notice[i].count++;
            return;
        }
    if (w->notices < CODES) {
        w->notice[w->notices].code = p->code; /* static, as what is */
        w->notice[w->notices].what = p->what;
        w->notice[w->notices++].count = 1;
    }
}

static void sum_json(struct teller *w, const tier_check_report *r, int rc, int status)
{
    tool *t = w->t;
    out_printf(t,
               "%s],\n \"records\":%llu,\"files\":%llu,\"damage\":%llu,\"notices\":%llu,\"repaired\":%llu,"
               "\"left\":%llu,\"complete\":%s,\"begun_anew\":%s,\"dry_run\":%s,",
               w->told ? "\n " : "", (unsigned long long)r->records, (unsigned long long)r->files,
               (unsigned long long)r->damage, (unsigned long long)r->notices, (unsigned long long)r->repaired,
               (unsigned long long)r->left, r->complete ? "true" : "false", r->anew ? "true" : "false",
               w->planning ? "true" : "false");
    if (rc) {
        out_text(t, "\"error\":");
        out_json(t, tier_admin_detail(t->admin));
        out_text(t, ",");
    }
    out_printf(t, "\"status\":%d}\n", status);
}

static void sum_text(struct teller *w, const tier_check_report *r)
{
    tool *t = w->t;
    const char *dir = tier_admin_dir(t->admin);
    for (size_t i = 0; i < w->notices && !t->value[OPT_QUIET]; i++)
        out_printf(t, "notice %s: %s (%llu of these)\n", w->notice[i].code, w->notice[i].what,
                   (unsigned long long)w->notice[i].count);
    if (r->anew) {
        out_shown(t, dir);
        out_text(t, ": the old store was moved aside, a new one begun: results are computed again\n");
    }
    if (t->value[OPT_QUIET] && !r->damage)
        return;
    out_shown(t, dir);
    out_text(t, ": ");
    if (!r->damage)
        out_printf(t, "clean, ");
    else if (w->mending)
        out_printf(t, "%llu of %llu problem%s repaired, ", (unsigned long long)r->repaired,
                   (unsigned long long)r->damage, plural(r->damage));
    else
        out_printf(t, "%llu problem%s found, ", (unsigned long long)r->damage, plural(r->damage));
    out_printf(t, "%llu record%s", (unsigned long long)r->records, plural(r->records));
    if (r->files)
        out_printf(t, " and %llu file%s", (unsigned long long)r->files, plural(r->files));
    out_printf(t, " looked at%s\n", r->complete ? "" : "; the time was up before all were");
    if (r->left && !w->mending && !t->value[OPT_QUIET])
        out_printf(t,
                   "Damaged records are not served: they are misses. 'tiercheck repair' deletes or rebuilds\n"
                   "them; it asks nothing, as everything in a cache can be computed again.\n");
}

static int finish(struct teller *w, int rc, const tier_check_report *r)
{
    tool *t = w->t;
    int status = rc ? TROUBLE : r->left ? DAMAGE_LEFT : r->repaired ? REPAIRED : CLEAN;
    progress_end(t);
    if (rc == TIER_ECANCELED)
        status = INTERRUPTED;
    if (t->value[OPT_JSON])
        sum_json(w, r, rc, status);
    else if (!rc)
        sum_text(w, r);
    if (rc == TIER_ECANCELED)
        say(t, w->mending ? "interrupted; what was repaired stays repaired"
                          : "interrupted; nothing was changed");
    else if (rc)
        say(t, "%s", *tier_admin_detail(t->admin) ? tier_admin_detail(t->admin) : tier_strerror(rc));
    return status;
}

static int run(tool *t, struct teller *w, tier_check_options *o, bool repair)
{
    tier_check_report r = TIER_INIT(tier_check_report);
    if (t->arg_count)
        return tool_usage(t, tool_command_name(t->command), "'%s' takes no '%s'",
                          tool_command_name(t->command), t->args[0]);
    w->t = t;
    o->user = w;
    o->found = found;
    if (t->value[OPT_SOURCES])
        o->flags |= TIER_CHECK_SOURCES;
    if (t->value[OPT_JSON]) {
        out_printf(t, "{\"schema\":1,\"command\":\"%s\",\"cache\":", tool_command_name(t->command));
        out_json(t, tier_admin_dir(t->admin));
        out_text(t, ",\n \"problems\":[");
    }
    int rc = repair ? tier_repair(t->admin, o, &r) : tier_check(t->admin, o, &r);
    return finish(w, rc, &r);
}

int run_check(tool *t)
{
    struct teller w = {.mending = false};
    tier_check_options o = TIER_INIT(tier_check_options);
    if (t->value[OPT_READ_DATA])
        o.flags |= TIER_CHECK_DATA;
    if (t->value[OPT_MAX_DURATION] && !tool_duration(t, OPT_MAX_DURATION, &o.time_limit_ms))
        return USAGE;
    return run(t, &w, &o, false);
}

int run_repair(tool *t)
{
    struct teller w = {.mending = !t->value[OPT_DRY], .planning = t->value[OPT_DRY] != NULL};
    tier_check_options o = TIER_INIT(tier_check_options);
    o.flags = TIER_CHECK_DATA;
    return run(t, &w, &o, !w.planning);
}
