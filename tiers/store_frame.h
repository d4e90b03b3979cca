/* store_frame.h - I2: how a value lies in records. Pure functions over bytes; no database, no allocation.
 *
 * RECORD  checksum u64 | magic u32 | version, table, codec, flags u8 | key size u16 | 0 u16 | plain size u32
 *         | stored size u32 | [a chunk of many: index u32, chunks u32, part size u32, whole u64] | key | part
 *         all little endian. The checksum is XXH3 of everything behind it: first of header and key, whose
 *         hash seeds that of the part.
 * CHUNKS  A value is one record up to 16 pages, and cut so that each record fills 16 pages beyond: LMDB
 *         stores n * 4096 - 16 bytes in n pages (16368 B take 16454, 16369 take 20550), and its search for
 *         free runs is quadratic in their length. Cut from four pages on, a value of 16 KiB took 3984 bytes
 *         less and 2.1 times as long to read as from LMDB bare; whole, 1.2 times. `whole`, the XXH3 of all
 *         stored bytes, stands in every chunk under its checksum: chunks of two versions cannot mix.
 * KEYS    In LMDB one tree holds all tables: table + 1, key for a value (its chunk 0); 0x80 | (table + 1),
 *         key, chunk number u32 big endian for the others. One tree touches fewer pages a commit than eleven,
 *         and the gate can refuse nested trees altogether. */
#ifndef TIER_STORE_FRAME_H
#define TIER_STORE_FRAME_H
#include "tiers/store.h"

enum {
    TIER__FRAME_SINGLE = 28,
    TIER__FRAME_CHUNK = 48,
    TIER__HEAD_MAX = TIER__FRAME_CHUNK + TIER__KEY_MAX,
    TIER__DBKEY_MAX = 1 + TIER__KEY_MAX + 4,
    TIER__RECORD_MAX = 16 * 4096 - 16
};

struct tier__frame {
    unsigned table, codec;
    size_t key_size;
    uint32_t plain, stored;       /* of the whole value */
    uint32_t index, chunks, part; /* this chunk, how many, its bytes of the stored value */
    uint64_t whole;               /* 0 where chunks is 1 */
    size_t head;                  /* bytes before the part: header and key */
};

/* Fills head and chunks of f from the other fields; whole is the caller's when chunks comes out above 1. */
void tier__frame_plan(struct tier__frame *f);
/* How many of the remaining stored bytes the next record takes. */
uint32_t tier__frame_part(const struct tier__frame *f, size_t remaining);
/* Writes the record: f->head + f->part bytes at to. */
void tier__frame_write(unsigned char *to, const struct tier__frame *f, const void *key, const void *part);
/* Reads the header of a record of size bytes that should hold chunk `index` of that key. NULL, or the code of
 * the problem (tiers/problems.h). The checksum is not looked at. record may be memory that changes. head_copy
 * gets f->head bytes. */
const char *tier__frame_read(const void *record, size_t size, enum tier__table t, const void *key,
                             size_t key_size, uint32_t index, struct tier__frame *f,
                             unsigned char head_copy[TIER__HEAD_MAX]);
/* Whether part, f->part bytes, and the copied head belong together as written. */
bool tier__frame_sound(const struct tier__frame *f, const unsigned char *head_copy, const void *part);
uint64_t tier__frame_whole(const void *stored, size_t size);

/* LMDB's key for chunk `index`; returns its size. */
size_t tier__frame_key(unsigned char to[TIER__DBKEY_MAX], enum tier__table t, const void *key,
                       size_t key_size, uint32_t index);
/* The reverse. false: not a key that the above writes. *key points into dbkey. */
bool tier__frame_unkey(const unsigned char *dbkey, size_t size, enum tier__table *t, const void **key,
                       size_t *key_size, uint32_t *index);
#endif
