/* ban.h - what was invalidated, and what an event marks. Part of manager.h, which has the types; its own file
 * for room alone. */
#ifndef TIER_BAN_H
#define TIER_BAN_H

/* ---- ban.c, mark.c */
struct tier__ban_result { /* what a ban looks at; path, type NULL: none, not known */
    const char *path, *type, *tags;
    size_t tags_size;
    int64_t created_ms;
};
/* World lock held: both may compile b's pattern. */
bool tier__ban_strikes(tier_cache *c, struct tier__ban *b, const struct tier__ban_result *r);
bool tier__ban_blind(tier_cache *c, struct tier__ban *b); /* a pattern that cannot be read here */
/* The counter of the store is at least ours; b is scratch. heard: all that it counts has been read here. */
int tier__ban_sequence(tier_cache *c, tier__write *w, struct tier__buf *b, bool *heard);
void tier__log_key(uint64_t sequence, unsigned char key[8]);
bool tier__banned(tier_cache *c, const tier__node *n, const struct tier__variant *v, const tier__view *view);
int tier__ban(tier_cache *c, int by, const char *what, void *pattern);
void tier__bans_free(tier_cache *c);
void tier__mark(tier_cache *c, int kind, const char *name); /* an event: DIRTY, MAYBE, events, cancellation */
void tier__publish_result(tier_cache *c, const tier__node *n, tier__entry *e); /* to the streams */
void tier__world_unref(tier_cache *c, struct tier__world *w);
#endif
