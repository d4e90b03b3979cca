/* codec.c - see codec.h. The only user of zlib.h. libdeflate is looked up at run time, so that a program runs
 * where it is missing; its few functions are declared here by hand (libdeflate 1.x, soname 0). */
#include <dlfcn.h>
#include <pthread.h>
#include <zlib.h>
#include "tiers/codec.h"

enum { IDLE_MAX = 4 }; /* workers kept; a compressor of libdeflate weighs about 1 MiB at level 6 */

struct worker {
    struct worker *next;
    void *compressor, *decompressor; /* libdeflate's */
    z_stream deflater, inflater;     /* zlib's */
    bool deflater_on, inflater_on;
};

struct deflate_api {
    void *(*alloc_compressor)(int level);
    size_t (*compress)(void *c, const void *in, size_t in_size, void *out, size_t out_size);
    void (*free_compressor)(void *c);
    void *(*alloc_decompressor)(void);
    int (*decompress)(void *d, const void *in, size_t in_size, void *out, size_t out_size, size_t *actual);
    void (*free_decompressor)(void *d);
};

struct tier__codec {
    struct tier__base *base;
    int level;
    bool wanted;   /* libdeflate, not looked for yet */
    void *library; /* NULL: zlib */
    struct deflate_api api;
    pthread_mutex_t mutex; /* guards idle, wanted, and library until wanted is false */
    struct worker *idle;
    unsigned idle_count;
};

/* POSIX makes dlsym's pointer fit a function pointer; the copy keeps ISO C's compilers quiet. */
static bool find(void *library, const char *name, void *function, size_t size)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, size);
    return symbol != NULL;
}

static void load_libdeflate(tier__codec *c)
{
    void *l = dlopen("libdeflate.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!l)
        return;
    struct deflate_api *a = &c->api;
    if (find(l, "libdeflate_alloc_compressor", &a->alloc_compressor, sizeof a->alloc_compressor) &&
        find(l, "libdeflate_zlib_compress", &a->compress, sizeof a->compress) &&
        find(l, "libdeflate_free_compressor", &a->free_compressor, sizeof a->free_compressor) &&
        find(l, "libdeflate_alloc_decompressor", &a->alloc_decompressor, sizeof a->alloc_decompressor) &&
        find(l, "libdeflate_zlib_decompress", &a->decompress, sizeof a->decompress) &&
        find(l, "libdeflate_free_decompressor", &a->free_decompressor, sizeof a->free_decompressor))
        c->library = l;
    else
        dlclose(l);
}

int tier__codec_create(struct tier__base *base, int level, bool use_libdeflate, tier__codec **c)
{
    *c = tier__zalloc(base, 1, sizeof **c);
    if (!*c)
        return TIER_ENOMEM;
    (*c)->base = base;
    (*c)->level = level < 1 ? 1 : level > 9 ? 9 : level;
    pthread_mutex_init(&(*c)->mutex, NULL);
    (*c)->wanted = use_libdeflate;
    return TIER_OK;
}

static void worker_destroy(tier__codec *c, struct worker *w)
{
    if (w->compressor)
        c->api.free_compressor(w->compressor);
    if (w->decompressor)
        c->api.free_decompressor(w->decompressor);
    if (w->deflater_on)
        deflateEnd(&w->deflater);
    if (w->inflater_on)
        inflateEnd(&w->inflater);
    tier__free(c->base, w);
}

void tier__codec_destroy(tier__codec **c)
{
    if (!*c)
        return;
    for (struct worker *w = (*c)->idle, *next; w; w = next) {
        next = w->next;
        worker_destroy(*c, w);
    }
    if ((*c)->library)
        dlclose((*c)->library);
    pthread_mutex_destroy(&(*c)->mutex);
    tier__free((*c)->base, *c);
    *c = NULL;
}

/* At first use: to look for it is a third of opening a store. With the mutex. */
static void find_library(tier__codec *c)
{
    if (c->wanted)
        load_libdeflate(c);
    c->wanted = false;
}

const char *tier__codec_name(tier__codec *c)
{
    pthread_mutex_lock(&c->mutex);
    find_library(c);
    pthread_mutex_unlock(&c->mutex);
    return c->library ? "libdeflate" : "zlib";
}

static struct worker *borrow(tier__codec *c)
{
    pthread_mutex_lock(&c->mutex);
    find_library(c);
    struct worker *w = c->idle;
    if (w) {
        c->idle = w->next;
        c->idle_count--;
    }
    pthread_mutex_unlock(&c->mutex);
    return w ? w : tier__zalloc(c->base, 1, sizeof *w);
}

static void give_back(tier__codec *c, struct worker *w)
{
    pthread_mutex_lock(&c->mutex);
    bool keep = c->idle_count < IDLE_MAX;
    if (keep) {
        w->next = c->idle;
        c->idle = w;
        c->idle_count++;
    }
    pthread_mutex_unlock(&c->mutex);
    if (!keep)
        worker_destroy(c, w);
}

static voidpf zlib_alloc(voidpf base, uInt count, uInt size)
{
    return tier__zalloc(base, count, size);
}

static void zlib_free(voidpf base, voidpf p)
{
    tier__free(base, p);
}

static int zlib_deflate(tier__codec *c, struct worker *w, const void *data, size_t size, void *out,
                        size_t room, size_t *stored)
{
    z_stream *z = &w->deflater;
    if (w->deflater_on) {
        deflateReset(z);
    } else {
        z->zalloc = zlib_alloc;
        z->zfree = zlib_free;
        z->opaque = c->base;
        if (deflateInit(z, c->level) != Z_OK)
            return TIER_ENOMEM;
        w->deflater_on = true;
    }
    z->next_in = (Bytef *)(uintptr_t)data; /* zlib does not write to it */
    z->avail_in = (uInt)size;
    z->next_out = out;
    z->avail_out = (uInt)room;
    if (deflate(z, Z_FINISH) != Z_STREAM_END)
        return TIER_END;
    *stored = room - z->avail_out;
    return TIER_OK;
}

int tier__codec_deflate(tier__codec *c, const void *data, size_t size, struct tier__buf *out)
{
    tier__buf_clear(out);
    if (size < TIER__CODEC_MIN || size > TIER__PLAIN_MAX)
        return TIER_END;
    size_t room = size - size / 10; /* what does not fit in nine tenths does not pay */
    unsigned char *to = tier__buf_space(out, room);
    struct worker *w = to ? borrow(c) : NULL;
    if (!w)
        return TIER_ENOMEM;
    size_t stored = 0;
    int rc = TIER_OK;
    if (c->library) {
        if (!w->compressor)
            w->compressor = c->api.alloc_compressor(c->level);
        if (!w->compressor)
            rc = TIER_ENOMEM;
        else if (!(stored = c->api.compress(w->compressor, data, size, to, room)))
            rc = TIER_END;
    } else {
        rc = zlib_deflate(c, w, data, size, to, room, &stored);
    }
    give_back(c, w);
    if (rc) {
        tier__buf_clear(out);
    } else {
        out->size = stored; /* the bytes are in place: buf_space gave the room for them */
        out->data[stored] = 0;
    }
    return rc;
}

static int zlib_inflate(tier__codec *c, struct worker *w, const void *stored, size_t size, void *plain,
                        size_t plain_size)
{
    z_stream *z = &w->inflater;
    if (w->inflater_on) {
        inflateReset(z);
    } else {
        z->zalloc = zlib_alloc;
        z->zfree = zlib_free;
        z->opaque = c->base;
        if (inflateInit(z) != Z_OK)
            return TIER_ENOMEM;
        w->inflater_on = true;
    }
    unsigned char none;
    z->next_in = (Bytef *)(uintptr_t)stored;
    z->avail_in = (uInt)size;
    z->next_out = plain_size ? plain : &none;
    z->avail_out = (uInt)plain_size;
    int rc = inflate(z, Z_FINISH);
    if (rc == Z_MEM_ERROR)
        return TIER_ENOMEM;
    return rc == Z_STREAM_END && z->avail_out == 0 && z->avail_in == 0 ? TIER_OK : TIER_EDAMAGE;
}

int tier__codec_inflate(tier__codec *c, const void *stored, size_t size, void *plain, size_t plain_size)
{
    if (plain_size > TIER__PLAIN_MAX || size > TIER__PLAIN_MAX)
        return TIER_EDAMAGE;
    struct worker *w = borrow(c);
    if (!w)
        return TIER_ENOMEM;
    int rc;
    if (c->library) {
        if (!w->decompressor)
            w->decompressor = c->api.alloc_decompressor();
        if (!w->decompressor) {
            rc = TIER_ENOMEM;
        } else { /* no `actual`: then only an exact fit is a success */
            int answer = c->api.decompress(w->decompressor, stored, size, plain, plain_size, NULL);
            rc = answer == 0 ? TIER_OK : TIER_EDAMAGE;
        }
    } else {
        rc = zlib_inflate(c, w, stored, size, plain, plain_size);
    }
    give_back(c, w);
    return rc;
}
