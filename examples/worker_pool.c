/* worker_pool.c THREADS FILE... - a linter that judges each file by itself, on threads that share one view.
 */
/* run: 3 examples/hello.c examples/worker_pool.c */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tierkit.h>

enum { MAX_THREADS = 64 };

struct pool {
    tier_cache *cache;
    const tier_type *type;
    char **files;
    size_t count;
    _Atomic size_t next; /* the first file that nobody has taken */
    _Atomic unsigned built, served;
};

struct worker {
    struct pool *pool;
    tier_session *session;
};

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

static int ask(struct pool *p, tier_session *s, const char *file, tier_value *v)
{
    char key[4096]; /* a name as it was typed -> its name below the root */
    int rc = tier_path_in(p->cache, file, key, sizeof key);
    return rc ? rc : tier_get(s, &(tier_query){.type = p->type, .path = key}, v);
}

static void *work(void *user)
{
    struct worker *w = user;
    struct pool *p = w->pool;
    for (size_t i; (i = p->next++) < p->count;) {
        tier_value v = {0};
        int rc = ask(p, w->session, p->files[i], &v); /* an error is found again by whoever prints */
        p->served += !rc && v.from != TIER_BUILT;
        p->built += v.from == TIER_BUILT;
        tier_release(w->session, &v); /* else all findings are held till the end */
    }
    return NULL;
}

static void print(struct pool *p, tier_session *s) /* in the order of the command line: all is known by now */
{
    for (char **file = p->files; *file; file++) {
        const void *finding;
        tier_value v = {0};
        int rc = ask(p, s, *file, &v);
        if (rc)
            printf("%s: %s\n", *file, tier_strerror(rc));
        for (size_t at = 0, size; !rc && !tier_next(&v, &at, &finding, &size);)
            printf("%s:%.*s\n", *file, (int)size, (const char *)finding);
        tier_release(s, &v);
    }
}

static int lint(struct pool *p, int threads)
{
    struct worker workers[MAX_THREADS];
    pthread_t id[MAX_THREADS];
    tier_session *s = NULL;
    int started = 0, rc = tier_begin(p->cache, NULL, &s); /* each file is looked at once, from now on */
    for (; !rc && started < threads; started++) {
        workers[started] = (struct worker){.pool = p};
        rc = tier_fork(s, &workers[started].session); /* here, and not on the new thread */
        if (!rc && pthread_create(&id[started], NULL, work, &workers[started]))
            rc = TIER_ENOMEM, tier_end(&workers[started].session);
        if (rc)
            break;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(id[i], NULL);
        tier_end(&workers[i].session); /* before the parent */
    }
    if (!rc)
        print(p, s);
    tier_end(&s);
    return rc;
}

int main(int argc, char **argv)
{
    unsigned longest = 110; /* a build may look at it, so it is config: part of what is asked for */
    tier_type_def def = {.struct_size = sizeof def, .name = "columns", .tier = TIER_DELTA, .build = judge};
    tier_options options = {.struct_size = sizeof options, .app = "worker_pool"};
    int threads = argc > 2 ? atoi(argv[1]) : 0;
    struct pool p = {.files = argv + 2, .count = argc > 2 ? (size_t)argc - 2 : 0};
    def.config = def.user = &longest;
    def.config_size = sizeof longest;
    options.flags = getenv("NO_CACHE") ? TIER_NO_MEMORY : 0; /* the same calls, nothing remembered */
    if (threads < 1 || threads > MAX_THREADS || tier_open(&options, &p.cache))
        return fprintf(stderr, "usage: worker_pool THREADS FILE...\n"), 2;
    int rc = tier_define(p.cache, &def, &p.type);
    rc = rc ? rc : lint(&p, threads);
    fprintf(stderr, "built %u, served %u\n", (unsigned)p.built, (unsigned)p.served);
    return tier_close(&p.cache) || rc;
}
