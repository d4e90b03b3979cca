/* forking_host.c JOBS DIR - an analyzer that works in forked children, as cppcheck -j does: what one of them
 * found, the others and the parent find in the store. */
/* run: 3 examples */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <tierkit.h>
#include <unistd.h>

struct shared { /* one page of parent and children: who takes which file, and counts */
    _Atomic unsigned next, words, files;
};

struct host {
    tier_cache *cache;
    const tier_type *word, *file;
    struct shared *shared;
    char **paths; /* copies: a loan does not cross a fork */
    size_t count;
};

/* Slow, and every file needs it: a library's configuration, say. */
static int build_word(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value text;
    int rc = tier_file(s, q->path, &text);
    ((struct host *)user)->shared->words++;
    usleep(100000);
    if (rc == TIER_EABSENT) /* noted as what was seen: the day there is one, this runs again */
        return tier_out_bytes(out, "static", 6);
    return rc ? rc : tier_out_bytes(out, text.data, strcspn(text.data, "\n"));
}

/* How often the word stands in a file. */
static int build_file(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct host *h = user;
    tier_value text, word;
    unsigned found = 0;
    int rc = tier_file(s, q->path, &text);
    rc = rc ? rc : tier_get(s, &(tier_query){.type = h->word, .path = "word.cfg"}, &word);
    for (const char *p = rc || !word.size ? NULL : text.data; p && (p = strstr(p, word.data)); p++)
        found++;
    h->shared->files++;
    return rc ? rc : tier_out_bytes(out, &found, sizeof found);
}

static int list(struct host *h)
{
    tier_session *s = NULL;
    tier_value files = {0};
    const void *path;
    int rc = tier_begin(h->cache, NULL, &s);
    rc = rc ? rc : tier_list(s, ".", "**/*.c", &files);
    for (size_t at = 0, size; !rc && !tier_next(&files, &at, &path, &size);) {
        char **more = realloc(h->paths, (h->count + 1) * sizeof *more);
        h->paths = more ? more : h->paths;
        rc = more && (more[h->count] = strdup(path)) ? 0 : TIER_ENOMEM;
        h->count += !rc;
    }
    tier_end(&s); /* no session is open when the host forks */
    return rc;
}

/* A child's first tier_begin opens the store anew; the types are there already. What all files need is asked
 * for first, outside of any build: one child computes it, the others wait for that one (lease_ms at most). */
static int child(struct host *h)
{
    tier_session *s = NULL;
    tier_value v;
    int rc = tier_begin(h->cache, NULL, &s);
    rc = rc ? rc : tier_get(s, &(tier_query){.type = h->word, .path = "word.cfg"}, &v);
    for (unsigned i; !rc && (i = h->shared->next++) < h->count; tier_release(s, &v))
        (void)tier_get(s, &(tier_query){.type = h->file, .path = h->paths[i]},
                       &v); /* failures: the parent's */
    tier_end(&s);
    rc = tier_flush(h->cache); /* _exit runs no tier_close: what waits would be lost */
    return rc != 0;
}

static int
report(struct host *h) /* the parent asks for everything again: loaded, and computed where a child died */
{
    tier_session *s = NULL;
    int rc = tier_begin(h->cache, NULL, &s);
    for (size_t i = 0; !rc && i < h->count; i++) {
        tier_value v;
        int failed = tier_get(s, &(tier_query){.type = h->file, .path = h->paths[i]}, &v);
        printf("%s: %u\n", h->paths[i], failed ? 0 : *(const unsigned *)v.data);
    }
    tier_end(&s);
    return rc;
}

int main(int argc, char **argv)
{
    struct host h = {.cache = NULL};
    tier_options o = {.struct_size = sizeof o, .app = "forking_host", .root_count = 1};
    tier_type_def word = {
        .struct_size = sizeof word, .name = "word", .tier = TIER_DELTA, .build = build_word};
    tier_type_def file = {
        .struct_size = sizeof file, .name = "file", .tier = TIER_DELTA, .build = build_file};
    int jobs = argc == 3 ? atoi(argv[1]) : 0;
    o.roots = &(tier_root){"", argv[argc - 1]};
    o.flags = getenv("NO_CACHE") ? TIER_NO_MEMORY : 0;
    word.user = file.user = &h;
    h.shared = mmap(NULL, sizeof *h.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (jobs < 1 || h.shared == MAP_FAILED || tier_open(&o, &h.cache))
        return fprintf(stderr, "usage: forking_host JOBS DIR\n"), 2;
    int rc = tier_define(h.cache, &word, &h.word);
    rc = rc ? rc : tier_define(h.cache, &file, &h.file);
    rc = rc ? rc : list(&h);
    for (int i = 0; !rc && i < jobs; i++) /* where fork fails, there is one child less */
        if (fork() == 0)
            _exit(child(&h));
    while (wait(NULL) > 0)
        ;
    unsigned words = h.shared->words, files = h.shared->files;
    rc = rc ? rc : report(&h);
    fprintf(stderr, "children: %u words, %u files; parent: %u\n", words, files,
            h.shared->words + h.shared->files - words - files);
    while (h.count)
        free(h.paths[--h.count]);
    free(h.paths);
    return tier_close(&h.cache) || rc;
}
