/* checksum.h - XXH3, for checksums of records and for hash tables; never a shared key. The only user of
 * xxhash.h. */
#ifndef TIER_CHECKSUM_H
#define TIER_CHECKSUM_H
#include <stddef.h>
#include <stdint.h>
uint64_t tier__checksum(const void *data, size_t size, uint64_t seed);
#endif
