/* peer_hash.c - what a C programmer writes in an afternoon: a hash table, a list in the order of use, a mutex
 * around both. With GLib as its manual suggests: GHashTable, GQueue, and GBytes for values that are shared.
 * With uthash and utlist everything lies in the entry itself, reference count and value too. Both hash by a
 * word of the key, which is a digest. */
#include <pthread.h>
#include <stdatomic.h>
#include "tests/bench/peer.h"

#ifdef BENCH_GLIB
#include <glib.h>

struct glib_entry {
    tier_digest key;
    GBytes *value;
    GList *link;
};
struct glib {
    GMutex lock;
    GHashTable *table; /* key -> entry */
    GQueue used;       /* entries, newest first */
    uint32_t keep;
};

static guint glib_hash(gconstpointer key)
{
    guint word;
    memcpy(&word, key, sizeof word);
    return word;
}

static gboolean glib_equal(gconstpointer a, gconstpointer b)
{
    return !memcmp(a, b, sizeof(tier_digest));
}

static void glib_free(gpointer entry)
{
    struct glib_entry *e = entry;
    g_bytes_unref(e->value);
    g_free(e);
}

static inline void glib_begin(struct glib *p, uint32_t thread, enum peer_op op)
{
    (void)p, (void)thread, (void)op;
}
#define glib_end glib_begin

static inline struct peer_view glib_view(struct glib *p, uint32_t thread, uint32_t k, const tier_digest *key)
{
    struct peer_view v = {NULL, 0, NULL};
    (void)thread, (void)k;
    g_mutex_lock(&p->lock);
    struct glib_entry *e = g_hash_table_lookup(p->table, key);
    if (e) {
        g_queue_unlink(&p->used, e->link);
        g_queue_push_head_link(&p->used, e->link);
        v.pin = g_bytes_ref(e->value);
    }
    g_mutex_unlock(&p->lock);
    if (v.pin)
        v.data = g_bytes_get_data(v.pin, &v.size);
    return v;
}

static inline void glib_unview(struct glib *p, uint32_t thread, struct peer_view *v)
{
    (void)p, (void)thread;
    g_bytes_unref(v->pin);
}

static inline size_t glib_get(struct glib *p, uint32_t thread, uint32_t k, const tier_digest *key,
                              unsigned char *out)
{
    struct peer_view v = glib_view(p, thread, k, key);
    if (!v.data)
        return 0;
    memcpy(out, v.data, v.size);
    glib_unview(p, thread, &v);
    return v.size;
}

static void glib_out(struct glib *p, struct glib_entry *e)
{
    g_queue_delete_link(&p->used, e->link);
    g_hash_table_remove(p->table, &e->key);
}

static inline void glib_put(struct glib *p, uint32_t thread, uint32_t k, const tier_digest *key,
                            const unsigned char *data, size_t size)
{
    struct glib_entry *e = g_new(struct glib_entry, 1), *old;
    (void)thread, (void)k;
    e->key = *key;
    e->value = g_bytes_new(data, size);
    g_mutex_lock(&p->lock);
    if ((old = g_hash_table_lookup(p->table, key)))
        glib_out(p, old);
    else if (p->keep && p->used.length >= p->keep)
        glib_out(p, p->used.tail->data);
    g_queue_push_head(&p->used, e);
    e->link = p->used.head;
    g_hash_table_insert(p->table, &e->key, e);
    g_mutex_unlock(&p->lock);
}

static void *glib_open(const struct peer_setup *s)
{
    struct glib *p = bench_alloc(sizeof *p);
    g_mutex_init(&p->lock);
    g_queue_init(&p->used);
    p->table = g_hash_table_new_full(glib_hash, glib_equal, NULL, glib_free);
    p->keep = s->keep;
    return p;
}

static void glib_close(void *peer)
{
    struct glib *p = peer;
    g_hash_table_destroy(p->table);
    g_queue_clear(&p->used);
    g_mutex_clear(&p->lock);
    free(p);
}

PEER_LOOPS(glib, struct glib)
PEER_LENDS(glib, struct glib)
const struct peer peer_glib = {
    .name = "glib", .evicts = true, .open = glib_open, .close = glib_close, .run = {PEER_RUNS_LENDING(glib)}};
#else
PEER_ABSENT(glib);
#endif

#ifdef BENCH_UTHASH
#define HASH_FUNCTION(key, length, value) memcpy(&(value), key, sizeof(value))
#include <uthash.h>
#include <utlist.h>

struct ut_entry {
    atomic_uint refs; /* the table's too */
    uint32_t size;
    tier_digest key;
    UT_hash_handle hh;
    struct ut_entry *prev, *next; /* oldest first */
    unsigned char data[];
};
struct ut {
    pthread_mutex_t lock;
    struct ut_entry *table, *used;
    uint32_t keep;
};

static inline void uthash_begin(struct ut *p, uint32_t thread, enum peer_op op)
{
    (void)p, (void)thread, (void)op;
}
#define uthash_end uthash_begin

static inline void uthash_unref(struct ut_entry *e)
{
    if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1)
        free(e);
}

static inline struct peer_view uthash_view(struct ut *p, uint32_t thread, uint32_t k, const tier_digest *key)
{
    struct ut_entry *e;
    (void)thread, (void)k;
    pthread_mutex_lock(&p->lock);
    HASH_FIND(hh, p->table, key, sizeof *key, e);
    if (e) {
        if (e->next) {
            DL_DELETE(p->used, e);
            DL_APPEND(p->used, e);
        }
        atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&p->lock);
    return e ? (struct peer_view){e->data, e->size, e} : (struct peer_view){NULL, 0, NULL};
}

static inline void uthash_unview(struct ut *p, uint32_t thread, struct peer_view *v)
{
    (void)p, (void)thread;
    uthash_unref(v->pin);
}

static inline size_t uthash_get(struct ut *p, uint32_t thread, uint32_t k, const tier_digest *key,
                                unsigned char *out)
{
    struct peer_view v = uthash_view(p, thread, k, key);
    if (!v.data)
        return 0;
    memcpy(out, v.data, v.size);
    uthash_unview(p, thread, &v);
    return v.size;
}

static void uthash_out(struct ut *p, struct ut_entry *e)
{
    DL_DELETE(p->used, e);
    HASH_DEL(p->table, e);
    uthash_unref(e);
}

static inline void uthash_put(struct ut *p, uint32_t thread, uint32_t k, const tier_digest *key,
                              const unsigned char *data, size_t size)
{
    struct ut_entry *e = malloc(sizeof *e + size), *old;
    (void)thread, (void)k;
    if (!e)
        bench_die("memory");
    atomic_init(&e->refs, 1);
    e->size = (uint32_t)size;
    e->key = *key;
    memcpy(e->data, data, size);
    pthread_mutex_lock(&p->lock);
    HASH_FIND(hh, p->table, key, sizeof *key, old);
    if (old)
        uthash_out(p, old);
    else if (p->keep && HASH_COUNT(p->table) >= p->keep)
        uthash_out(p, p->used);
    HASH_ADD(hh, p->table, key, sizeof *key, e);
    DL_APPEND(p->used, e);
    pthread_mutex_unlock(&p->lock);
}

static void *uthash_open(const struct peer_setup *s)
{
    struct ut *p = bench_alloc(sizeof *p);
    pthread_mutex_init(&p->lock, NULL);
    p->keep = s->keep;
    return p;
}

static void uthash_close(void *peer)
{
    struct ut *p = peer;
    while (p->used)
        uthash_out(p, p->used);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

PEER_LOOPS(uthash, struct ut)
PEER_LENDS(uthash, struct ut)
const struct peer peer_uthash = {.name = "uthash",
                                 .evicts = true,
                                 .open = uthash_open,
                                 .close = uthash_close,
                                 .run = {PEER_RUNS_LENDING(uthash)}};
#else
PEER_ABSENT(uthash);
#endif
