/* cmd_trace.c - trace record, replay and pack. */
#include "tools/tiercheck/tool.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- record ---- */
static off_t size_of_file(const char *path)
{
    struct stat st;
    return stat(path, &st) ? -1 : st.st_size;
}

/* Runs CMD; its status, as a shell has it. */
static int run_command(tool *t)
{
    int status = 0;
    pid_t pid = fork();
    if (pid < 0)
        return fail(t, TIER_ENOMEM, strerror(errno));
    if (pid == 0) {
        t->args[t->arg_count] = NULL; /* argv's own end, or a word that was moved to the front */
        signal(SIGPIPE, SIG_DFL);
        execvp(t->args[1], t->args + 1);
        say(t, "%s: %s", t->args[1], strerror(errno));
        _exit(127);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int record(tool *t)
{
    const char *path = t->value[OPT_OUTPUT] ? t->value[OPT_OUTPUT] : "tierkit.trace";
    if (t->arg_count < 2)
        return tool_usage(t, "trace", "'trace record' needs a command: tiercheck trace record -- CMD...");
    char *full = *path == '/' ? strdup(path) : NULL;
    char *here = full ? NULL : getcwd(NULL, 0);
    if (here && (full = malloc(strlen(here) + strlen(path) + 2)))
        sprintf(full, "%s/%s", here, path); /* CMD may change directories */
    free(here);
    int set = full ? setenv("TIERKIT_TRACE", full, 1) : -1;
    free(full);
    if (set)
        return fail(t, TIER_ENOMEM, NULL);
    off_t before = size_of_file(path);
    int status = run_command(t);
    if (status || size_of_file(path) != before)
        return status;
    say(t, "%s asked no cache for anything: %s", t->args[1],
        before < 0 ? "no trace was made" : "nothing was added to the trace");
    return TROUBLE;
}

/* ---- replay ---- */
struct table {
    tool *t;
    uint32_t tier; /* of the last row */
    size_t rows;
};

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static const char *tier_name(uint32_t tier)
{
    return tier == TIER_FILE ? "file" : tier == TIER_TREE ? "tree" : "delta";
}

static void on_json(const struct table *w, const tier_replay_row *r)
{
    out_printf(w->t,
               "%s{\"tier\":\"%s\",\"policy\":\"%s\",\"keys\":%llu,\"footprint\":%llu,\"budget\":%llu,"
               "\"gets\":%llu,\"hits\":%llu,\"misses\":%llu,\"bytes\":%llu,\"missed_bytes\":%llu,"
               "\"cost_us\":%llu,\"saved_us\":%llu,\"evicted\":%llu}",
               w->rows ? "," : "", tier_name(r->tier), r->policy, (unsigned long long)r->keys,
               (unsigned long long)r->footprint, (unsigned long long)r->budget, (unsigned long long)r->gets,
               (unsigned long long)r->hits, (unsigned long long)(r->gets - r->hits),
               (unsigned long long)r->bytes, (unsigned long long)(r->bytes - r->hit_bytes),
               (unsigned long long)r->cost_us, (unsigned long long)r->hit_cost_us,
               (unsigned long long)r->evicted);
}

static void on_row(void *user, const tier_replay_row *r)
{
    struct table *w = user;
    tool *t = w->t;
    if (t->value[OPT_JSON]) {
        on_json(w, r);
        w->rows++;
        return;
    }
    if (w->tier != r->tier) {
        out_printf(t, "%s%s tier: %llu key%s of ", w->rows ? "\n" : "", tier_name(r->tier),
                   (unsigned long long)r->keys, plural(r->keys));
        out_bytes(t, (double)r->footprint);
        out_text(t, ", a budget of ");
        out_bytes(t, (double)r->budget);
        out_printf(t, ", %llu get%s of ", (unsigned long long)r->gets, plural(r->gets));
        out_bytes(t, (double)r->bytes);
        out_printf(t, " that take %.2f s to compute\n%-10s %12s %9s %14s %9s\n", (double)r->cost_us / 1e6,
                   "policy", "misses", "misses %", "missed bytes %", "saved %");
    }
    w->tier = r->tier;
    w->rows++;
    out_printf(t, "%-10s %12llu %9.2f %14.2f %9.2f\n", r->policy, (unsigned long long)(r->gets - r->hits),
               percent(r->gets - r->hits, r->gets), percent(r->bytes - r->hit_bytes, r->bytes),
               percent(r->hit_cost_us, r->cost_us));
}

static bool size_of(tool *t, tier_replay_options *o)
{
    const char *text = t->value[OPT_SIZE];
    char *end;
    o->part = 0.1;
    if (!text)
        return true;
    if (text[0] && text[strlen(text) - 1] == '%') {
        o->part = strtod(text, &end) / 100;
        if (end[0] == '%' && end != text && o->part > 0 && o->part <= 100)
            return true;
        tool_usage(t, "trace", "--size = '%s': expected a size, as 64MiB, or a part, as 10%%", text);
        return false;
    }
    return tool_bytes(t, OPT_SIZE, &o->bytes);
}

static int replay(tool *t)
{
    struct table w = {.t = t};
    tier_replay_options o = TIER_INIT(tier_replay_options);
    if (t->arg_count < 2)
        return tool_usage(t, "trace", "'trace replay' needs a trace");
    if (!size_of(t, &o))
        return USAGE;
    o.files = (const char *const *)(t->args + 1);
    o.file_count = (size_t)t->arg_count - 1;
    o.policy = t->value[OPT_POLICY];
    o.user = &w;
    o.each = on_row;
    if (t->value[OPT_JSON])
        out_text(t, "{\"schema\":1,\"command\":\"trace replay\",\"rows\":[");
    int rc = tier_trace_replay(t->admin, &o);
    if (t->value[OPT_JSON])
        out_text(t, "]");
    if (rc == TIER_EINVAL)
        return tool_usage(t, "trace", "--policy = '%s': expected worth, s3fifo, gdsf, lru or belady",
                          o.policy);
    if (rc && !t->value[OPT_JSON])
        return fail(t, rc, tier_admin_detail(t->admin));
    if (rc) {
        out_text(t, ",\"error\":");
        out_json(t, tier_admin_detail(t->admin));
        say(t, "%s", tier_admin_detail(t->admin));
    } else if (!w.rows && !t->value[OPT_JSON]) {
        out_text(t, "nothing was asked for\n");
    }
    if (t->value[OPT_JSON])
        out_text(t, "}\n");
    return rc ? TROUBLE : CLEAN;
}

static int pack(tool *t)
{
    if (t->arg_count < 3)
        return tool_usage(t, "trace", "'trace pack' needs a name for the new trace, and traces");
    int rc =
        tier_trace_pack(t->admin, (const char *const *)(t->args + 2), (size_t)t->arg_count - 2, t->args[1]);
    return rc ? fail(t, rc, tier_admin_detail(t->admin)) : CLEAN;
}

int run_trace(tool *t)
{
    const char *what = t->arg_count ? t->args[0] : "";
    if (strcmp(what, "record") == 0)
        return record(t);
    if (strcmp(what, "replay") == 0)
        return replay(t);
    if (strcmp(what, "pack") == 0)
        return pack(t);
    return tool_usage(t, "trace", "trace takes record, replay or pack%s%s%s", *what ? ", not '" : "", what,
                      *what ? "'" : "");
}
