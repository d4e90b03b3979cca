/* edits.h - what was edited between two versions of a text. */
#ifndef TIER_EDITS_H
#define TIER_EDITS_H
#include "tiers/base/base.h"

/* Finds edits that turn old into new, in the form of tier_edit: ascending, each in the coordinates of the
 * text after those before it, points in rows and byte columns. Equal texts have none. Edits never begin or
 * end inside a UTF-8 character that both texts have whole, and lie at least one unchanged line apart.
 *
 * Lines are compared by Myers' O(ND) algorithm in linear space, then what a changed hunk has in common at its
 * ends is trimmed by bytes. Where texts differ too much for that to pay, the part that was not worked out
 * becomes one coarse edit; the edits are always right, only not always the fewest. Memory is linear in the
 * number of lines.
 *
 * *edits: *count edits in one allocation of base's, the caller's to free (tier__free); NULL where there are
 * none. TIER_ENOMEM; TIER_EINVAL: a text of 4 GiB or more, rows and columns are 32 bits. Any thread; a pure
 * function. */
int tier__edits_find(struct tier__base *base, const void *old_text, size_t old_size, const void *new_text,
                     size_t new_size, tier_edit **edits, size_t *count);
#endif
