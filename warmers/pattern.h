/* pattern.h - regular expressions: the one room that includes pcre2.h.
 *
 * Patterns are bytes, not UTF-8: paths and sources need not be text. A compiled pattern is immutable and may
 * be used by any number of threads at once; a matcher belongs to one thread.
 *
 * Every match is bounded. PCRE2 backtracks, so a pattern such as (a+)+$ is exponential; a match that would
 * cost too much ends with TIER_EINVAL instead of hanging its caller. The author of a pattern can lower the
 * limits inside it, never raise them. */
#ifndef TIER_PATTERN_H
#define TIER_PATTERN_H
#include <stddef.h>

struct tier__pattern;
struct tier__matcher;

enum {
    TIER__PATTERN_GROUPS = 10,     /* groups a matcher reports, the whole match included */
    TIER__PATTERN_MAX_SIZE = 8192, /* bytes of a pattern's text */
    TIER__PATTERN_MAX_NEST = 100   /* parentheses within parentheses */
};

/* Where and why a pattern could not be compiled. */
struct tier__pattern_error {
    size_t offset;  /* bytes into the pattern's text */
    char text[192]; /* a sentence with the offset in it; "" when there was no error */
};

/* Compiles `text`, with JIT where the machine has it. *p is the caller's, until tier__pattern_free.
 * TIER_EINVAL: error says what is wrong and where; TIER_ENOMEM. error may be NULL. Any thread. */
int tier__pattern_compile(const char *text, size_t size, struct tier__pattern **p,
                          struct tier__pattern_error *error);
/* Frees and sets *p to NULL; NULL is fine. No matcher of it may be left. */
void tier__pattern_free(struct tier__pattern **p);

/* Does it match anywhere in data? 1 yes, 0 no, TIER_EINVAL: too costly to say, TIER_ENOMEM. Who invalidates
 * by pattern takes an error as a match: to invalidate too much is safe. Any thread. */
int tier__pattern_match(const struct tier__pattern *p, const char *data, size_t size);

/* One thread's scratch memory for many matches of one pattern; p must outlive it. TIER_ENOMEM. */
int tier__matcher_create(const struct tier__pattern *p, struct tier__matcher **m);
void tier__matcher_free(struct tier__matcher **m); /* sets *m to NULL; NULL is fine */

struct tier__span {
    size_t start, end; /* byte offsets; start == end == SIZE_MAX: the group took no part */
};
/* The first match that begins in [from, last]. group[0] is all of it. 1, 0, or an error as
 * tier__pattern_match. The bound grows with the text: a scanner's pattern skips whole files inside one match.
 */
int tier__matcher_find(struct tier__matcher *m, const char *data, size_t size, size_t from, size_t last,
                       struct tier__span group[TIER__PATTERN_GROUPS]);
#endif
