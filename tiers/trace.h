/* trace.h - traces of what the memory was asked for: written by a recorder in the memory, read back for
 * replay.
 *
 * FORMAT 1  A file is blocks, one behind the other, each complete in itself, so that several processes may
 * append to one file. A block: "TIERTRC1", u32 records, u32 plain size, u32 stored size, u32 0, u64 checksum
 *           of the stored bytes, the stored bytes: a zlib stream, or the plain bytes where the sizes are
 * equal. A record: one byte (tier in bits 0-1, what in bits 2-4, TIER__TRACE_KNOWN), the zigzag varint of the
 *           key's difference to the key before it (to 0 in the first), and, of HIT and PUT without KNOWN, the
 *           varints of charge and cost. Fixed numbers are little endian, varints have seven bits to the byte.
 * KEYS      Eight bytes of the content key, or, once packed, numbers by first appearance: they say nothing of
 *           what was cached, and take a byte instead of nine.
 * THREADS   A recorder: any. A trace: one at a time. */
#ifndef TIER_TRACE_H
#define TIER_TRACE_H
#include "tiers/base/base.h"
#include "tiers/digest.h"

enum tier__trace_what {
    TIER__TRACE_HIT,  /* asked for, and it was there */
    TIER__TRACE_MISS, /* asked for in vain: its PUT follows once it is computed or loaded */
    TIER__TRACE_PUT,  /* came into the memory */
    TIER__TRACE_DEAD  /* superseded: a newer version of the same path or request is there */
};
enum { TIER__TRACE_KNOWN = 1 << 5 }; /* charge and cost are those that the key last had in this file */

/* ---- recording */
typedef struct tier__recorder tier__recorder;
/* Appends to the regular file path, which is made where it is not there. TIER_EKIND, TIER_EACCESS, TIER_EIO;
 * TIER_ENOMEM. A failed write ends the recording, with one line in the log. */
int tier__recorder_open(struct tier__base *base, const char *path, tier__recorder **r);
void tier__recorder_close(tier__recorder **r); /* writes what waits; NULL is fine */
void tier__recorder_note(tier__recorder *r, enum tier__trace_what what, int tier, const tier_digest *key,
                         uint64_t charge, uint32_t cost_us);

/* ---- reading */
struct tier__trace_event {
    uint32_t key;
    uint8_t what;
};
struct tier__trace_key {
    uint64_t hash;
    uint64_t charge;
    uint32_t cost_us;
    uint8_t tier;
    uint8_t sized; /* charge and cost are known */
};
struct tier__trace {
    struct tier__base *base;
    struct tier__trace_event *event;
    struct tier__trace_key *key; /* in order of first appearance */
    uint32_t *slot;              /* key + 1 by (hash, tier), open addressing */
    size_t event_count, event_capacity;
    uint32_t key_count, key_capacity, slot_capacity;
    bool torn; /* a block was cut off at the end of a file: its process died while writing */
};
void tier__trace_init(struct tier__trace *t, struct tier__base *base);
void tier__trace_fini(struct tier__trace *t);
/* Adds a file's records. TIER_EDAMAGE: no trace, or a bad block, at *at. What came before it is added. */
int tier__trace_read(struct tier__trace *t, const void *data, size_t size, size_t *at);
/* Adds one record. TIER_ENOMEM. */
int tier__trace_add(struct tier__trace *t, enum tier__trace_what what, int tier, uint64_t hash,
                    uint64_t charge, uint32_t cost_us);
/* The whole trace as a file's bytes, keys numbered. TIER_ENOMEM. */
int tier__trace_pack(const struct tier__trace *t, struct tier__buf *out);
#endif
