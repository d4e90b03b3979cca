/* scan.h - which files a source file names: one table of languages, one pattern each.
 *
 * A scanner does not parse: it skips comments and strings and takes the directives that name other files.
 * Conditional compilation is not evaluated, so it finds what any configuration would read. Names are bytes.
 */
#ifndef TIER_SCAN_H
#define TIER_SCAN_H
#include <stddef.h>
#include <stdint.h>
#include "warmers/pattern.h"
#include "warmers/resolve.h"

struct tier__language {
    const char *name;
    const char *extensions;    /* " .c .h ": each between blanks */
    const char *const pattern; /* PCRE2: what to skip, or what to take */
    const char *kinds;         /* kind of the name in group 1, 2...; '-': the pattern's own */
    const char *words[4];      /* a directive holds one of these; NULL ends */
    const char *lead;          /* the byte before such a word, blanks left out; NULL: any that ends a word */
    const char *before; /* the byte before a directive, blanks left out; NULL: any. '\n': also the start */
    int (*resolve)(struct tier__resolver *r, const char *path, const struct tier__imports *names);
};

/* Row number of the language of a path, by its extension; -1: none. */
int tier__language_of(const char *path);
/* The table; NULL beyond its end. Static. */
const struct tier__language *tier__language(int number);
enum { TIER__LANGUAGES = 6 };

/* The compiled patterns, shared read-only by all threads of a call. */
struct tier__scanners {
    struct tier__pattern *pattern[TIER__LANGUAGES];
};
int tier__scanners_init(struct tier__scanners *s); /* 0 or TIER_ENOMEM */
void tier__scanners_fini(struct tier__scanners *s);

/* One thread's scratch over the shared patterns, which must outlive it. Zero-initialise, then init. */
struct tier__scan {
    struct tier__matcher *matcher[TIER__LANGUAGES];
};
int tier__scan_init(struct tier__scan *s, const struct tier__scanners *shared);
void tier__scan_fini(struct tier__scan *s);

/* Appends what data names to *names (zero-initialised by the caller, who frees it with tier__imports_fini).
 * TIER_EINVAL: the scan gave up at a bound; what came before it is in *names. TIER_ENOMEM. */
int tier__scan(struct tier__scan *s, int language, const char *data, size_t size,
               struct tier__imports *names);
#endif
