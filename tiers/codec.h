/* codec.h - zlib-format compression of values: through libdeflate where it is installed (2 to 3 times faster
 * both ways, same format), through zlib elsewhere.
 *
 * A codec is made per store handle and may be used by any thread; each call borrows one worker (a compressor
 * and a decompressor) from a small list, so streams are reused and never shared. */
#ifndef TIER_CODEC_H
#define TIER_CODEC_H
#include "tiers/base/base.h"

enum { TIER__CODEC_RAW = 0, TIER__CODEC_ZLIB = 1 }; /* as frames name them */
enum {
    TIER__CODEC_MIN = 1024,   /* below it compressing costs 10 us against a hit of 0.1 us */
    TIER__PLAIN_MAX = 1 << 30 /* 256 MiB of zeros deflate to 261 KB: what is inflated has an absolute cap */
};

typedef struct tier__codec tier__codec;

/* level: 1 (fast) to 9; 0 is 1. use_libdeflate false keeps to zlib (for tests). TIER_ENOMEM. */
int tier__codec_create(struct tier__base *base, int level, bool use_libdeflate, tier__codec **c);
void tier__codec_destroy(tier__codec **c);    /* NULL is fine */
const char *tier__codec_name(tier__codec *c); /* "libdeflate" or "zlib"; static */

/* Puts the compressed bytes into out (cleared first). TIER_END: it does not pay (shorter than
 * TIER__CODEC_MIN, or not a tenth smaller); out is then empty. TIER_ENOMEM. */
int tier__codec_deflate(tier__codec *c, const void *data, size_t size, struct tier__buf *out);
/* Exactly plain_size bytes into plain, or TIER_EDAMAGE: the stream is broken, or longer or shorter than that.
 * TIER_ENOMEM. */
int tier__codec_inflate(tier__codec *c, const void *stored, size_t size, void *plain, size_t plain_size);
#endif
