/* digest.h - BLAKE2b-256 (libsodium), the hash of identities, contents and values. The only user of sodium.h.
 * I1: the encoding is injective: a domain string first, then every field with its length before it. */
#ifndef TIER_DIGEST_H
#define TIER_DIGEST_H
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include "tiers/base/base.h"

struct tier__hasher {
    _Alignas(64) unsigned char state[384]; /* crypto_generichash_state; size asserted in digest.c */
};
int tier__digest_init(
    void); /* once per process, any thread, any number of times; TIER_EIO: libsodium will not start */
void tier__hash_begin(struct tier__hasher *h, const char *domain);
void tier__hash_field(struct tier__hasher *h, const void *data, size_t size); /* u64 length, bytes */
void tier__hash_str(struct tier__hasher *h, const char *s); /* as field; NULL differs from "" */
void tier__hash_u64(struct tier__hasher *h, uint64_t v);
void tier__hash_digest(struct tier__hasher *h, const tier_digest *d);
void tier__hash_end(struct tier__hasher *h, tier_digest *out);
/* Plain digest of bytes, as `b2sum -l 256`. */
void tier__digest_of(const void *data, size_t size, tier_digest *out);

#ifdef __SSE2__ /* of fewer instructions */
static inline bool tier__digest_equal(const tier_digest *a, const tier_digest *b)
{
    const __m128i *x = (const __m128i *)(const void *)a->byte, *y = (const __m128i *)(const void *)b->byte;
    __m128i first = _mm_cmpeq_epi8(_mm_loadu_si128(x), _mm_loadu_si128(y));
    __m128i second = _mm_cmpeq_epi8(_mm_loadu_si128(x + 1), _mm_loadu_si128(y + 1));
    return _mm_movemask_epi8(_mm_and_si128(first, second)) == UINT16_MAX;
}
#else
static inline bool tier__digest_equal(const tier_digest *a, const tier_digest *b)
{
    return memcmp(a->byte, b->byte, sizeof a->byte) == 0;
}
#endif
static inline uint64_t tier__digest_word(const tier_digest *d) /* a digest is a hash already */
{
    uint64_t w;
    memcpy(&w, d->byte, sizeof w);
    return w;
}
#define TIER__HEX_SIZE 65
void tier__digest_hex(const tier_digest *d, char hex[TIER__HEX_SIZE]);
#endif
