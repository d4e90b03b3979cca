/* digest.c - BLAKE2b-256 through libsodium. A field is its length as 8 little-endian bytes, then its bytes: a
 * sequence of fields can be read back in one way only, so different sequences hash different texts (I1). */
#include <sodium.h>
#include "tiers/digest.h"

_Static_assert(sizeof(crypto_generichash_state) <= sizeof(((struct tier__hasher *)0)->state),
               "struct tier__hasher must hold libsodium's state");
_Static_assert(_Alignof(struct tier__hasher) % _Alignof(crypto_generichash_state) == 0,
               "struct tier__hasher must be aligned as libsodium's state");
_Static_assert(sizeof(tier_digest) == 32 && crypto_generichash_BYTES_MAX >= 32, "BLAKE2b-256");

/* No field has this length: it stands for NULL. */
#define LENGTH_OF_NULL UINT64_MAX

static crypto_generichash_state *state_of(struct tier__hasher *h)
{
    return (crypto_generichash_state *)(void *)h->state;
}

int tier__digest_init(void)
{
    return sodium_init() < 0 ? TIER_EIO : TIER_OK; /* 1: was up already; it locks by itself */
}

/* The calls below fail on a bad output length or a finished state only, so their result says nothing. */
static void update(struct tier__hasher *h, const void *data, size_t size)
{
    (void)crypto_generichash_update(state_of(h), data, size);
}

static void update_u64(struct tier__hasher *h, uint64_t v)
{
    unsigned char raw[8];
    for (unsigned i = 0; i < sizeof raw; i++)
        raw[i] = (unsigned char)(v >> (8 * i));
    update(h, raw, sizeof raw);
}

void tier__hash_begin(struct tier__hasher *h, const char *domain)
{
    (void)crypto_generichash_init(state_of(h), NULL, 0, sizeof(tier_digest));
    tier__hash_str(h, domain);
}

void tier__hash_field(struct tier__hasher *h, const void *data, size_t size)
{
    update_u64(h, size);
    if (size)
        update(h, data, size);
}

void tier__hash_str(struct tier__hasher *h, const char *s)
{
    if (s)
        tier__hash_field(h, s, strlen(s));
    else
        update_u64(h, LENGTH_OF_NULL);
}

void tier__hash_u64(struct tier__hasher *h, uint64_t v)
{
    update_u64(h, sizeof v);
    update_u64(h, v);
}

void tier__hash_digest(struct tier__hasher *h, const tier_digest *d)
{
    tier__hash_field(h, d->byte, sizeof d->byte);
}

void tier__hash_end(struct tier__hasher *h, tier_digest *out)
{
    (void)crypto_generichash_final(state_of(h), out->byte, sizeof out->byte);
}

void tier__digest_of(const void *data, size_t size, tier_digest *out)
{
    (void)crypto_generichash(out->byte, sizeof out->byte, data, size, NULL, 0);
}

void tier__digest_hex(const tier_digest *d, char hex[TIER__HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof d->byte; i++) {
        hex[2 * i] = digits[d->byte[i] >> 4];
        hex[2 * i + 1] = digits[d->byte[i] & 15];
    }
    hex[2 * sizeof d->byte] = 0;
}
