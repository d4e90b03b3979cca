/* tables.c settings|keys|metrics - the library's own tables as the documents show them. */
#include "tiers/base/profile.h"

static int settings(void)
{
    puts("| setting | dev | ci | production | what it is |\n| --- | --- | --- | --- | --- |");
    for (int k = 0; k < TIER__KEY_COUNT; k++) {
        const struct tier__key_info *i = tier__key_info((enum tier__key)k);
        char value[TIER__PROFILE_COUNT][64];
        for (int p = 0; p < TIER__PROFILE_COUNT; p++)
            tier__key_format((enum tier__key)k, i->defaults[p], value[p], sizeof value[p]);
        printf("| `%s` | %s | %s | %s | %s |\n", i->name, value[0], value[1], value[2], i->help);
    }
    return 0;
}

static int keys(void)
{
#define KEY_ROW(id, name, kind, unit, min, max, dev, ci, production, help) puts(#id " " name);
    TIER__PROFILE_KEYS(KEY_ROW)
#undef KEY_ROW
    return 0;
}

static int metrics(void)
{
#define METRIC_ROW(name, text, help) puts(text);
    TIER__METRICS(METRIC_ROW)
#undef METRIC_ROW
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    return !strcmp(what, "settings")  ? settings()
           : !strcmp(what, "keys")    ? keys()
           : !strcmp(what, "metrics") ? metrics()
                                      : 2;
}
