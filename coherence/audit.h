/* audit.h - recomputing what was verified, and saying where it differs. */
#ifndef TIER_AUDIT_H
#define TIER_AUDIT_H
#include "coherence/manager.h"

/* Is v, just verified for n, to be made again? Each one under TIER_AUDIT; else one in verify.sample, chosen
 * by content key and the cache's audit_run, so that a run can be repeated. Nothing is sampled in sessions
 * with a deadline or that give way to changes: a profile must not make an answer late (I14). */
bool tier__audit_due(const tier_session *s, const tier__node *n, const struct tier__variant *v);
/* As tier__build, without previous objects, and not counted as built. */
int tier__audit_build(tier_session *s, tier__node *n, struct tier__built *out);
/* Counts the comparison; false: they differ, which is counted and, once a type, logged with the first
 * differing record or byte and what is known of the reason. Compared are value hashes, and the bytes where
 * the old ones are at hand. */
bool tier__audit_same(tier_session *s, tier__node *n, const struct tier__variant *v,
                      const struct tier__built *fresh);
#endif
