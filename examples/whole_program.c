/* whole_program.c DIR - counts a whole program's code: files, then directories, then the project. */
/* run: examples */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tierkit.h>

struct program {
    const tier_type *file, *directory, *report;
    unsigned files, directories, reports; /* builds; one thread */
};

static int ask(tier_session *s, const tier_type *type, const char *path, tier_value *v)
{
    return tier_get(s, &(tier_query){.type = type, .path = path}, v);
}

/* The summary of a file: what the whole wants to know of it and no more. Lines that are neither blank nor
 * begin as a comment. An edit of others gives the same value again, and nothing above runs. */
static int build_file(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value text;
    unsigned lines = 0;
    int rc = tier_file(s, q->path, &text);
    for (const char *p = rc ? "" : text.data; *p; p += strcspn(p, "\n"), p += *p != 0)
        lines += !strchr("/*\n", p[strspn(p, " \t")]); /* finds the 0 at the end, too */
    ((struct program *)user)->files++;
    return rc ? rc : tier_out_bytes(out, &lines, sizeof lines);
}

/* Runs again where a file below came or went, or a part has another sum: an edit runs the directories above
 * the file, and no others. A listing does not enter links, so no circle of them is followed. */
static int build_directory(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct program *p = user;
    const void *name;
    tier_value names, part;
    unsigned sum = 0;
    size_t above = strcmp(q->path, ".") ? strlen(q->path) + 1 : 0, length = 0;
    char child[4096] = "";
    int rc = tier_list(s, q->path, "**/*.c", &names);
    p->directories++;
    for (size_t at = 0, size; !rc && !tier_next(&names, &at, &name, &size);) {
        if (length && !strncmp(name, child, length) && ((const char *)name)[length] == '/')
            continue; /* below the directory that was asked last: names are in byte order */
        length = above + strcspn((const char *)name + above, "/");
        snprintf(child, sizeof child, "%.*s", (int)length, (const char *)name);
        rc = ask(s, length < size ? p->directory : p->file, child, &part);
        sum += rc ? 0 : *(const unsigned *)part.data;
    }
    return rc ? rc : tier_out_bytes(out, &sum, sizeof sum);
}

/* Above the sums, so that it runs only when the project's changed. */
static int build_report(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct program *p = user;
    tier_value sum;
    char text[64];
    int rc = ask(s, p->directory, q->path, &sum);
    p->reports++;
    if (rc)
        return rc;
    return tier_out_bytes(out, text,
                          (size_t)snprintf(text, sizeof text, "%u lines", *(const unsigned *)sum.data));
}

static int look(tier_cache *cache, struct program *p, const char *dir)
{
    tier_session *s = NULL;
    tier_value v;
    unsigned files = p->files, directories = p->directories, reports = p->reports;
    int rc = tier_begin(cache, NULL, &s);
    rc = rc ? rc : ask(s, p->report, dir, &v);
    printf("%s: %s\n", dir, rc ? tier_strerror(rc) : (const char *)v.data);
    fprintf(stderr, "built %u files, %u directories, %u reports\n", p->files - files,
            p->directories - directories, p->reports - reports);
    tier_end(&s);
    return rc;
}

static int define(tier_cache *cache, struct program *p, const char *name,
                  int (*build)(tier_session *, const tier_query *, tier_out *, void *),
                  const tier_type **type)
{
    tier_type_def def = {.struct_size = sizeof def, .name = name, .tier = TIER_DELTA};
    def.build = build;
    def.user = p;
    return tier_define(cache, &def, type);
}

int main(int argc, char **argv)
{
    /* what an editor holds of a file that is not saved yet: a comment comes, then a line */
    static const char *const edit[] = {"int one;\n", "/* why */\nint one;\n", "int one;\nint two;\n"};
    const tier_options o = {
        .struct_size = sizeof o, .app = "whole_program", .flags = getenv("NO_CACHE") ? TIER_NO_MEMORY : 0};
    struct program p = {.files = 0};
    const char *dir = argc > 1 ? argv[1] : ".";
    tier_cache *cache = NULL;
    char path[4096];
    if (tier_open(&o, &cache))
        return 2;
    int rc = define(cache, &p, "file", build_file, &p.file);
    rc = rc ? rc : define(cache, &p, "directory", build_directory, &p.directory);
    rc = rc ? rc : define(cache, &p, "report", build_report, &p.report);
    snprintf(path, sizeof path, "%s/not_saved_yet.c", dir);
    for (int i = 0; !rc && i < 3; i++) {
        tier_overlay(cache, path, i, edit[i], strlen(edit[i]));
        rc = look(cache, &p, dir);
    }
    return tier_close(&cache) || rc;
}
