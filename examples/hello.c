/* hello.c - counts a file's lines, once: the second look computes nothing, and neither does the next run. */
/* run: examples/hello.c */
#include <stdio.h>
#include <tierkit.h>

/* What a build reads through its session is what its result depends on. */
static int count_lines(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value text;
    size_t lines = 0;
    int rc = tier_file(s, q->path, &text);
    for (size_t i = 0; !rc && i < text.size; i++)
        lines += ((const char *)text.data)[i] == '\n';
    (void)user;
    return rc ? rc : tier_out_bytes(out, &lines, sizeof lines);
}

static int look(tier_cache *cache, const tier_query *q) /* how it was served, or an error */
{
    static const char *const how[] = {"", "known", "verified", "loaded from disk", "built", "stale"};
    tier_session *s = NULL;
    tier_value v = {0};
    int rc = tier_begin(cache, NULL, &s);
    rc = rc ? rc : tier_get(s, q, &v);
    if (rc)
        fprintf(stderr, "hello: %s: %s\n", tier_strerror(rc), tier_detail(s));
    else
        printf("%s: %zu lines (%s)\n", q->path, *(const size_t *)v.data, how[v.from]);
    tier_end(&s); /* v was lent by s: its bytes go here */
    return rc ? rc : (int)v.from;
}

int main(int argc, char **argv)
{
    tier_options options = TIER_INIT(tier_options);
    tier_type_def lines = TIER_INIT(tier_type_def);
    tier_query q = {.path = argc > 1 ? argv[1] : "README.md"};
    tier_cache *cache;
    options.app = "hello";
    lines.name = "lines";
    lines.version = 1;
    lines.tier = TIER_DELTA;
    lines.build = count_lines;
    if (tier_open(&options, &cache))
        return 2;
    if (tier_cache_detail(cache)) /* it works all the same, and forgets when it closes */
        fprintf(stderr, "hello: %s\n", tier_cache_detail(cache));
    int rc = tier_define(cache, &lines, &q.type);
    int first = rc ? rc : look(cache, &q), second = rc ? rc : look(cache, &q);
    return tier_close(&cache) || first < 0 || second < 0 || second == TIER_BUILT;
}
