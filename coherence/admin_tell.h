/* admin_tell.h - a request's record, told as text or JSON; for inspect and explain. */
#ifndef TIER_ADMIN_TELL_H
#define TIER_ADMIN_TELL_H
#include "coherence/admin.h"

enum { TIER__SHOWN = 10 }; /* lines of a long list, unless it is told in full */

struct tier__tell {
    tier_admin *a;
    bool json;
    bool full;              /* text: lists to their end */
    uint64_t holding;       /* requests told of which a variant holds now */
    bool twin;              /* one that reads the same was told before, under another identity */
    struct tier__buf twins; /* i64 ms: when variants were made that answer the same under another identity */
    bool all; /* every variant with its dependencies; else the one that holds now, or the newest */
    struct tier__buf out;
    struct tier__names names;
    tier_session *now; /* to compare with; NULL: do not */
};
/* format: NULL, "text", "full" (text, lists to their end), "json"; else TIER_EINVAL. Loads the names. */
int tier__tell_begin(struct tier__tell *t, tier_admin *a, const char *format);
/* Hands out to sink where rc is 0, and frees; returns the call's result. */
int tier__tell_end(struct tier__tell *t, int rc, tier_sink *sink, void *user);
/* The record of VARIANT under identity. */
void tier__tell_request(struct tier__tell *t, const void *identity, const void *data, size_t size);
/* admin_chain.c: what made the result run that was the cause of this one, and so on. */
void tier__tell_chain(struct tier__tell *t, const struct tier__variant_record *first);
void tier__tell_name(struct tier__tell *t, uint32_t id);
/* ",\"name\":" with what follows quoted; text: "  name  value\n" */
void tier__tell_field(struct tier__tell *t, const char *name, const char *value);
#endif
