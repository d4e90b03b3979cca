/* per_file.c FILE... - a linter that judges each file by itself: a run judges only what was edited since. */
/* run: examples/hello.c examples/per_file.c */
#include <stdio.h>
#include <string.h>
#include <tierkit.h>

/* Findings are records: data, without the file's name and without a word printed. */
static int judge(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    const unsigned *longest = user;
    tier_value text;
    int rc = tier_file(s, q->path, &text);
    for (size_t at = 0, line = 1, size; !rc && at < text.size; at += size + 1, line++) {
        const char *p = (const char *)text.data + at, *end = memchr(p, '\n', text.size - at);
        char finding[64];
        size = end ? (size_t)(end - p) : text.size - at;
        int n = snprintf(finding, sizeof finding, "%zu: %zu columns", line, size);
        rc = size > *longest ? tier_out_record(out, finding, (size_t)n) : 0;
    }
    return rc;
}

/* Prints and counts findings, unreadable files among them; counts the files that had to be judged. */
static int lint(tier_cache *cache, const tier_type *type, char **files, int *judged)
{
    tier_session *s;
    int findings = *judged = 0;
    if (tier_begin(cache, NULL, &s)) /* a new view: each file is looked at once, now */
        return -1;
    for (; *files; files++) {
        char key[4096]; /* a name as it was typed -> its name below the root */
        const void *finding;
        tier_value v = {0};
        int rc = tier_path_in(cache, *files, key, sizeof key);
        if (rc || (rc = tier_get(s, &(tier_query){.type = type, .path = key}, &v)))
            findings++, printf("%s: %s\n", *files, tier_strerror(rc));
        for (size_t at = 0, size; !rc && !tier_next(&v, &at, &finding, &size); findings++)
            printf("%s:%.*s\n", *files, (int)size, (const char *)finding);
        *judged += v.from == TIER_BUILT;
    }
    tier_end(&s); /* and with it what it lent */
    return printf("-- %d findings, %d files judged\n", findings, *judged), findings;
}

int main(int argc, char **argv)
{
    unsigned longest = 110; /* a build may look at it, so it is config: part of what is asked for */
    tier_type_def def = {.struct_size = sizeof def, .name = "columns", .tier = TIER_DELTA, .build = judge};
    tier_options options = {.struct_size = sizeof options, .app = "per_file"};
    tier_cache *cache = NULL;
    const tier_type *type;
    def.config = def.user = &longest;
    def.config_size = sizeof longest;
    if (argc < 2 || tier_open(&options, &cache) || tier_define(cache, &def, &type))
        return tier_close(&cache), 2;
    int judged, before = lint(cache, type, argv + 1, &judged);
    tier_overlay(cache, argv[argc - 1], 1, (char[200]){'-'}, 200); /* an edit, not saved yet */
    int after = lint(cache, type, argv + 1, &judged);
    return tier_close(&cache) || before < 0 || after < 1 || judged > 1;
}
