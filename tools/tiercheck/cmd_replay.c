/* cmd_replay.c - a recorded run, held against the store. */
#include "tools/tiercheck/tool.h"

int run_replay(tool *t)
{
    tier_run_report r = TIER_INIT(tier_run_report);
    const char *format = t->value[OPT_JSON] ? "json" : t->value[OPT_VERBOSE] ? "full" : "text";
    if (t->arg_count != 1)
        return tool_usage(t, "replay", "'replay' needs one log, as TIERKIT_RUN_LOG=FILE writes it");
    int rc = tier_run_replay(t->admin, t->args[0], format, &r, out_sink, t);
    progress_end(t);
    if (rc)
        return fail(t, rc, tier_admin_detail(t->admin));
    return r.different || r.gone || r.results_different || r.results_gone ? DAMAGE_LEFT : CLEAN;
}
