/* daemon.c - the middle of a language server: unsaved buffers, a queue of changes, cancellation by id. */
#include <pthread.h>
#include <stdio.h>
#include <tierkit.h>
#include <unistd.h>

struct daemon {
    tier_cache *cache;
    _Atomic uint64_t busy; /* the session at work; ids are never used again, so a late cancel hits nobody */
};

/* Counts braces, slowly. A build that may take long looks up: nobody may want its answer by now. */
static int count(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value text;
    int braces = 0, rc = tier_file(s, q->path, &text);
    for (size_t i = 0; !rc && i < text.size; i++, usleep(1000), rc = tier_cancelled(s))
        braces += ((const char *)text.data)[i] == '{';
    (void)user;
    return rc ? rc : tier_out_bytes(out, &braces, sizeof braces);
}

static void *edit(void *user) /* what comes from the editor */
{
    static const char pasted[100000] = "{ a hundred seconds of work";
    struct daemon *d = user;
    tier_overlay(d->cache, "buffer.c", 1, pasted, sizeof pasted);
    for (int i = 0; i < 10000 && !d->busy; i++)
        usleep(1000);
    tier_overlay(d->cache, "buffer.c", 2, "int f(void) {", 13); /* typed on: nobody waits for the other */
    tier_cancel(d->cache, d->busy);
    return NULL;
}

int main(void)
{
    struct daemon d = {.cache = NULL};
    tier_options o = {.struct_size = sizeof o, .app = "daemon", .dir = ""}; /* "": nothing goes to disk */
    tier_type_def def = {.struct_size = sizeof def, .name = "braces", .tier = TIER_DELTA, .build = count};
    tier_stream_options so = {.struct_size = sizeof so, .kinds = TIER_CHANGED, .glob = "buffer.c"};
    tier_event e = TIER_INIT(tier_event);
    tier_query q = {.path = NULL};
    tier_stream *changes = NULL;
    tier_session *s;
    tier_value v;
    pthread_t editor;
    int rc = TIER_ETIMEOUT, wasted = 1;
    if (tier_open(&o, &d.cache) || tier_define(d.cache, &def, &q.type) ||
        tier_stream_open(d.cache, &so, &changes) || pthread_create(&editor, NULL, edit, &d))
        return tier_stream_close(&changes), tier_close(&d.cache), 2;
    while (rc && !tier_stream_next(changes, 10000, &e) && !tier_begin(d.cache, NULL, &s)) {
        d.busy = tier_session_id(s);
        q.path = e.path ? e.path : "buffer.c"; /* after a gap: all that is open */
        rc = tier_get(s, &q, &v);
        printf("%s: %d braces, %s\n", q.path, rc ? 0 : *(const int *)v.data, tier_strerror(rc));
        wasted -= rc == TIER_ECANCELED;
        tier_end(&s);
    }
    return pthread_join(editor, NULL) || tier_stream_close(&changes) || tier_close(&d.cache) || rc || wasted;
}
