/* language_server.c DIR - the middle of a language server: unsaved buffers, changes on disk, and answers that
 * are old at once and new as soon as may be. Commands come as lines: "change PATH VERSION TEXT", "close
 * PATH". */
/* run: examples */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tierkit.h>
#include <unistd.h>

enum { MAX_FILES = 256 };

struct server {
    tier_cache *cache;
    const tier_type *braces;
    tier_stream *changes;
    char *file[MAX_FILES]; /* those that the editor shows */
    _Bool dirty[MAX_FILES];
    int count;
    _Atomic int ending;
    _Atomic unsigned built, stale, cancelled;
};

/* Counts braces, slowly. A build that may take long looks up: nobody may want its answer by now. */
static int build(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct server *server = user;
    tier_value text;
    int braces = 0, rc = tier_file(s, q->path, &text);
    for (const char *p = rc ? "" : text.data; *p && !rc; p++, rc = tier_cancelled(s))
        if (*p == '{')
            usleep(1000), braces++;
    server->built += !rc;
    return rc ? rc : tier_out_bytes(out, &braces, sizeof braces);
}

static int ask(struct server *server, const char *path, uint32_t flags)
{
    const tier_session_options o = {.struct_size = sizeof o, .flags = flags};
    tier_query q = {.type = server->braces, .path = path};
    tier_session *s = NULL;
    tier_value v;
    int rc = tier_begin(server->cache, &o, &s);
    rc = rc ? rc : flags & TIER_MAY_BE_STALE ? tier_peek(s, &q, &v) : tier_get(s, &q, &v);
    if (!rc && v.from == TIER_STALE)
        printf("%s: %d, %u ms old\n", path, *(const int *)v.data, v.age_ms);
    else if (!rc && !(flags & TIER_MAY_BE_STALE))
        printf("%s: %d\n", path, *(const int *)v.data);
    server->stale += !rc && v.from == TIER_STALE;
    server->cancelled += rc == TIER_ECANCELED;
    fflush(stdout);
    tier_end(&s);
    return rc;
}

static void mark(struct server *server, const tier_event *e)
{
    for (int i = 0; i < server->count; i++)
        if (e->kind == TIER_GAP || !e->path || !strcmp(e->path, server->file[i])) /* gap: anything may have */
            server->dirty[i] = 1;
}

/* Takes all events that wait, then answers for one file: a burst of keystrokes is one answer. */
static void *answer(void *user)
{
    struct server *server = user;
    tier_event e = TIER_INIT(tier_event);
    for (int next = 0, ending = 0; !ending || next < server->count;) {
        ending = server->ending; /* before the last look: what was told until then is answered */
        while (!tier_stream_next(server->changes, next < server->count ? 0 : 20, &e))
            mark(server, &e);
        for (next = 0; next < server->count && !server->dirty[next]; next++)
            ;
        if (next < server->count) {
            server->dirty[next] = 0;
            ask(server, server->file[next], TIER_MAY_BE_STALE);
            /* Cancelled by any newer change, also of another file: so it is asked again. */
            if (ask(server, server->file[next], TIER_CANCEL_ON_CHANGE) == TIER_ECANCELED)
                server->dirty[next] = 1;
        }
    }
    return NULL;
}

static void listen(struct server *server) /* to the editor, on this thread */
{
    char line[65536], path[4096];
    long long version;
    for (int at; fgets(line, sizeof line, stdin);) {
        if (sscanf(line, "change %4095s %lld %n", path, &version, &at) == 2)
            tier_overlay(server->cache, path, version, line + at, strlen(line + at));
        else if (sscanf(line, "close %4095s", path) == 1)
            tier_overlay(server->cache, path, INT64_MAX, NULL,
                         0);            /* a lower version than the last is ignored */
        tier_sync(server->cache, 1000); /* the editor may have saved just now: that is seen, too */
    }
}

static int open_files(struct server *server, const char *dir) /* at first all are to be answered for */
{
    tier_session *s = NULL;
    tier_value files = {0};
    const void *path;
    int rc = tier_begin(server->cache, NULL, &s);
    rc = rc ? rc : tier_list(s, dir, "*.c", &files);
    for (size_t at = 0, size; !rc && server->count < MAX_FILES && !tier_next(&files, &at, &path, &size);) {
        server->dirty[server->count] = 1;
        rc = (server->file[server->count] = strdup(path)) ? 0 : TIER_ENOMEM;
        server->count += !rc;
    }
    tier_end(&s);
    return rc;
}

int main(int argc, char **argv)
{
    struct server server = {.count = 0};
    const tier_options o = {
        .struct_size = sizeof o, .app = "language_server", .flags = getenv("NO_CACHE") ? TIER_NO_MEMORY : 0};
    tier_type_def def = {.struct_size = sizeof def, .name = "braces", .tier = TIER_DELTA, .build = build};
    tier_stream_options so = {.struct_size = sizeof so, .kinds = TIER_CHANGED | TIER_INVALIDATED};
    pthread_t thread;
    def.user = &server;
    if (argc != 2 || tier_open(&o, &server.cache))
        return fprintf(stderr, "usage: language_server DIR\n"), 2;
    int rc = tier_define(server.cache, &def, &server.braces);
    so.type = server.braces;
    /* From here on the directories are watched: whatever changes later is told. */
    rc = rc ? rc : tier_stream_open(server.cache, &so, &server.changes);
    rc = rc ? rc : open_files(&server, argv[1]);
    rc = rc ? rc : pthread_create(&thread, NULL, answer, &server);
    if (!rc) {
        listen(&server);
        server.ending = 1;
        pthread_join(thread, NULL);
    }
    fprintf(stderr, "built %u, stale %u, cancelled %u\n", (unsigned)server.built, (unsigned)server.stale,
            (unsigned)server.cancelled);
    tier_stream_close(&server.changes);
    while (server.count)
        free(server.file[--server.count]);
    return tier_close(&server.cache) || rc;
}
