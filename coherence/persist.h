/* persist.h - what is known, to disk and back, and the leaves that save a walk. Part of manager.h, which has
 * the types; its own file for room alone. */
#ifndef TIER_PERSIST_H
#define TIER_PERSIST_H

/* ---- load.c, pending.c, flush.c, record.c, closure.c */
void tier__node_lock(tier_cache *c,
                     tier__node *n); /* takes graph; its variants are from disk, once an epoch */
struct tier__request *tier__request_load(tier_cache *c, const tier_digest *identity); /* from its variants */
/* *edges are those of v: taken over, and *edges NULL, unless v had them already. false: an id stands for
 * something else by now. `reading` held. */
bool tier__variant_adopt(tier_cache *c, struct tier__variant *v, struct tier__edge **edges);
bool tier__variant_edges(tier_cache *c, struct tier__variant *v); /* interns what is raw; false: unusable */
tier__entry *tier__blob_load(tier_session *s, tier__node *n, const struct tier__variant *v);
void tier__memo_lock(tier_cache *c, struct tier__path *p); /* takes graph; p->memo is what the store has */
/* p was read, and had this identity before and after: at is before the first look. */
void tier__memo_see(tier_cache *c, struct tier__path *p, const struct tier__statid *id, int64_t at,
                    const tier_digest *digest);
/* An invalidation: what was remembered of that key path's file, or of all, is not believed any more. */
void tier__memo_forget(tier_cache *c, const char *path, size_t size);
void tier__memos_forget(tier_cache *c); /* the store is asked again */
struct tier__built;
/* Takes b's saved bytes. false: it will not be on disk. */
bool tier__pending_add(tier_cache *c, tier__node *n, struct tier__built *b);
bool tier__pending_has(tier_cache *c, const struct tier__variant *v);
tier__entry *tier__pending_blob(tier_cache *c, const tier_digest *key,
                                struct tier__buf *saved); /* what still waits */
bool tier__pending_enough(const tier_cache *c);           /* for a commit; world lock held */
/* Takes the first count, list to last, off the list; what came meanwhile stays. */
void tier__pending_done(tier_cache *c, struct tier__pending *list, struct tier__pending *last, size_t count);
int tier__pending_flush(tier_cache *c, bool force);
bool tier__stores(const tier_cache *c);    /* what is built goes to disk */
int tier__compresses(const tier_cache *c); /* TIER__COMPRESS, or 0 where the settings say so */
void tier__pending_drop(tier_cache *c);
void tier__news(tier_cache *c);                         /* at begin: has another process committed? */
bool tier__closure_try(tier_session *s, tier__node *n); /* binds n where all its leaves are as they were */
void tier__closure_make(tier_session *s, tier__node *n);
/* Where a snapshot says that nothing below n changed: binds it; the value hash that its readers compare. */
bool tier__closure_clean(tier_session *s, tier__node *n);
void tier__closure_edges(tier_session *s, const tier__node *n, struct tier__variant *v); /* see closure.h */
bool tier__closure_value(tier__view *v, const struct tier__dep *result, tier_digest *hash);
bool tier__closure_look(tier__view *v, const struct tier__path *p, struct tier__look *out);
void tier__closures_free(tier__view *v);
/* Is what a fresh look at p found in keeping with the closure that the view stands on? */
bool tier__closure_agrees(tier__view *v, struct tier__path *p);
void tier__closure_unref(tier_cache *c, struct tier__closure *k);
bool tier__closures_wait(tier_cache *c); /* for the disk */
int tier__closures_write(tier_cache *c, tier__write *w);
void tier__closures_written(tier_cache *c); /* committed: what the disk has need not be in memory too */
void tier__closure_anchor(tier_session *s, struct tier__path *p, struct tier__look *absent);

/* ---- cheap.c */
/* b's value is not for the disk. */
bool tier__cheap(tier_session *s, const tier__node *n, const struct tier__built *b);
uint64_t tier__load_us(const tier_cache *c, uint64_t size); /* about what a load of so many bytes takes */

/* ---- replace.c: what lists of leaves hold under */
void tier__replace_begin(tier_cache *c); /* before the store may get the other answer */
/* v is n's answer now; stored: it waits for the store, else it will never be there. */
void tier__replace_end(tier_session *s, const tier__node *n, const struct tier__variant *v, bool stored);
bool tier__replaced_read(tier_cache *c, uint64_t *number); /* false: the store could not be read */
/* number was read in a snapshot that holds transaction `at`, or a later one. Graph lock held. */
void tier__replaced_heard(tier_cache *c, uint64_t number, uint64_t at);
struct tier__replacing { /* in one commit */
    uint64_t ours;       /* the process's number, from before it was asked what waits */
    bool found, lost;    /* the store had another answer to equal inputs; something that waited stays away */
    bool known, whole, write;
    uint64_t number;
};
int tier__replaced_first(tier_cache *c, tier__write *w); /* in the first commit of a store */
int tier__replaced_write(tier_cache *c, tier__write *w, struct tier__replacing *r);
void tier__replaced_written(tier_cache *c, const struct tier__replacing *r);   /* committed */
void tier__replaced_unwritten(tier_cache *c, const struct tier__replacing *r); /* or not */
#endif
