/* invalidate.c - tier_invalidate_pattern: apart from everything else, so that who does not call it links no
 * PCRE2. */
#include "coherence/doors.h"
#include "warmers/pattern.h"

static bool matches(void *pattern, const char *text, size_t size)
{
    return tier__pattern_match(pattern, text, size) != 0; /* too costly to say: too much is safe */
}

static void let_go(void *pattern)
{
    struct tier__pattern *p = pattern;
    tier__pattern_free(&p);
}

static void *compile(const char *regex)
{
    struct tier__pattern *p;
    struct tier__pattern_error error;
    return tier__pattern_compile(regex, strlen(regex), &p, &error) ? NULL : p;
}

int tier_invalidate_pattern(tier_cache *c, int by, const char *regex)
{
    static const struct tier__patterns room = {compile, matches, let_go};
    struct tier__pattern *p;
    struct tier__pattern_error error;
    if (!c || !regex || !*regex || (by != TIER_BY_PATH && by != TIER_BY_TYPE && by != TIER_BY_TAG))
        return TIER_EINVAL;
    int rc = tier__pattern_compile(regex, strlen(regex), &p, &error);
    if (rc) {
        tier__log(tier__cache_base(c), TIER_LOG_ERROR, "tier_invalidate_pattern '%s': %s", regex, error.text);
        return rc;
    }
    tier__cache_patterns(c, &room);
    return tier__cache_ban_pattern(c, by, regex, p);
}
