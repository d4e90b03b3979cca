/* trace_format.h - blocks and records of a trace, as the recorder and the packer write them. */
#ifndef TIER_TRACE_FORMAT_H
#define TIER_TRACE_FORMAT_H
#include "tiers/codec.h"
#include "tiers/trace.h"

#define TIER__TRACE_MAGIC "TIERTRC1"
enum {
    TIER__TRACE_HEADER = 32,
    TIER__TRACE_PLAIN = 64 * 1024, /* a block is written when its records take so much */
    TIER__TRACE_PLAIN_MAX = 1 << 24,
    TIER__TRACE_RECORD_MAX = 1 + 3 * 10
};

struct tier__trace_block { /* being filled */
    struct tier__buf plain;
    uint64_t previous;
    uint32_t records;
};
void tier__trace_put(struct tier__trace_block *b, uint8_t head, uint64_t key, uint64_t charge,
                     uint32_t cost_us);
/* Appends header and stored bytes to out, and empties b. packed is scratch. */
void tier__trace_seal(struct tier__trace_block *b, tier__codec *codec, struct tier__buf *packed,
                      struct tier__buf *out);
#endif
