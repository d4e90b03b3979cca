/* embed.c - the least an embedder does: open, define, get, close. It uses no patterns and no scanners, so it
 * must link without PCRE2 and inih. */
#include <stdio.h>
#include <string.h>
#include <tierkit.h>

static int count_bytes(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value file;
    int rc = tier_file(s, q->path, &file);
    (void)user;
    return rc ? rc : tier_out_bytes(out, &file.size, sizeof file.size);
}

int main(int argc, char **argv)
{
    tier_options options = TIER_INIT(tier_options);
    tier_type_def def = TIER_INIT(tier_type_def);
    tier_query query = {0};
    tier_cache *cache = NULL;
    tier_session *session = NULL;
    tier_value value;
    size_t size = 0;
    int rc;

    if (argc != 2)
        return 2;
    options.app = "embed";
    options.dir = "";
    def.name = "count";
    def.version = 1;
    def.tier = TIER_DELTA;
    def.build = count_bytes;
    query.path = argv[1];
    if ((rc = tier_open(&options, &cache)) || (rc = tier_define(cache, &def, &query.type)) ||
        (rc = tier_begin(cache, NULL, &session)) || (rc = tier_get(session, &query, &value))) {
        printf("%s\n", tier_strerror(rc));
        return 1;
    }
    memcpy(&size, value.data, sizeof size);
    rc = tier_end(&session);
    rc = rc ? rc : tier_close(&cache);
    printf("%zu bytes\n", size);
    return rc ? 1 : 0;
}
