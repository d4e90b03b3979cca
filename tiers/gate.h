/* gate.h - reads an LMDB data file with pread alone and says whether LMDB may be let near it (I2, I16).
 *
 * LMDB trusts its file: of 800 files with random page damage 252 gave a wrong value without an error and 21 a
 * signal; structurally broken ones overflow its heap. What passes here has: two sane meta pages, every page
 * of both trees reached exactly once, within the file, of the right kind, its nodes tiling it, its keys in
 * order between those of its parent, the counts of the meta page, and a free list of pages that nothing uses.
 * Values are not looked at: frames carry checksums.
 * Memory: an eighth of a byte per page, a page per level. Time: 0.2 s per 274 MB warm. */
#ifndef TIER_GATE_H
#define TIER_GATE_H
#include "tiers/base/base.h"

struct tier__gate_report {
    const char *code; /* of tiers/problems.h; NULL: sound */
    char detail[160];
    uint64_t pages, entries; /* pages referenced, records in the tree */
};
/* fd: open for reading, nobody writing meanwhile. An empty file is sound. TIER_OK, TIER_EDAMAGE (report says
 * what), TIER_EIO (a read failed: also a verdict), TIER_ENOMEM. */
int tier__gate_check(struct tier__base *base, int fd, struct tier__gate_report *report);
#endif
