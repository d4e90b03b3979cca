/* tiercheck: checks, repairs and looks into the cache that programs built with Tierkit keep. */
#include "tools/tiercheck/tool.h"

static int open_admin(tool *t)
{
    char why[600] = "";
    tier_admin_options o = TIER_INIT(tier_admin_options);
    o.dir = t->value[OPT_DIR];
    o.root = t->value[OPT_ROOT];
    o.profile = t->value[OPT_PROFILE];
    o.user = t;
    o.log = on_log;
    o.progress = on_progress;
    int rc = tier_admin_open(&o, &t->admin, why, sizeof why);
    return rc ? fail(t, rc, why) : CLEAN;
}

int main(int argc, char **argv)
{
    static int (*const run[])(tool *) = {
#define COMMAND_RUN(id, name, letter, arguments, what) run_##name,
        COMMANDS(COMMAND_RUN)
#undef COMMAND_RUN
    };
    tool t = {.command = -1};
    int status;
    out_begin(&t);
    if (tool_parse(&t, argc, argv, &status)) {
        status = open_admin(&t);
        if (status == CLEAN)
            status = run[t.command](&t);
        tier_admin_close(&t.admin);
    }
    return out_end(&t, status);
}
