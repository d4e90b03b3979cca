/* whole_program.c DIR - counts a whole program's code: results over results, and over a listing. */
/* run: examples */
#include <stdio.h>
#include <string.h>
#include <tierkit.h>

/* Lines that are neither blank nor begin as a comment. An edit of others gives the same value again. */
static int of_file(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value text;
    unsigned lines = 0;
    int rc = tier_file(s, q->path, &text);
    for (const char *p = rc ? "" : text.data; *p; p += strcspn(p, "\n"), p += *p != 0)
        lines += !strchr("/*\n", p[strspn(p, " \t")]); /* finds the 0 at the end, too */
    (void)user;
    return rc ? rc : tier_out_bytes(out, &lines, sizeof lines);
}

/* Runs again only if a file came, went, or has another number of lines. */
static int sum(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    const void *file;
    tier_value files, lines;
    unsigned all = 0;
    int rc = tier_list(s, q->path, "**/*.c", &files);
    for (size_t at = 0, size; !rc && !tier_next(&files, &at, &file, &size);) {
        char path[4096];
        snprintf(path, sizeof path, "%.*s", (int)size, (const char *)file);
        rc = tier_get(s, &(tier_query){.type = *(const tier_type **)user, .path = path}, &lines);
        all += rc ? 0 : *(const unsigned *)lines.data;
    }
    return rc ? rc : tier_out_bytes(out, &all, sizeof all);
}

int main(int argc, char **argv)
{
    static const char *const edit[] = {"int one;\n", "/* why */\nint one;\n", "int one;\nint two;\n"};
    const tier_type *one;
    tier_type_def f = {.struct_size = sizeof f, .name = "file", .tier = TIER_DELTA, .build = of_file};
    tier_type_def p = {
        .struct_size = sizeof p, .name = "sum", .tier = TIER_DELTA, .user = &one, .build = sum};
    const tier_options o = {.struct_size = sizeof o, .app = "whole_program"};
    tier_query q = {.path = argc > 1 ? argv[1] : "."};
    tier_cache *cache = NULL;
    unsigned lines[3] = {0}, from[3] = {0};
    char path[4096];
    if (tier_open(&o, &cache) || tier_define(cache, &f, &one) || tier_define(cache, &p, &q.type))
        return tier_close(&cache), 2;
    snprintf(path, sizeof path, "%s/not_saved_yet.c", q.path);
    for (int i = 0; i < 3; i++) {
        tier_session *s = NULL;
        tier_value v;
        tier_overlay(cache, path, i, edit[i], strlen(edit[i]));
        if (!tier_begin(cache, NULL, &s) && !tier_get(s, &q, &v))
            lines[i] = *(const unsigned *)v.data, from[i] = v.from;
        printf("%s: %u lines %s\n", q.path, lines[i], from[i] == TIER_BUILT ? "(new)" : tier_detail(s));
        tier_end(&s);
    }
    return tier_close(&cache) || lines[1] != lines[0] || from[1] == TIER_BUILT || lines[2] != lines[1] + 1;
}
