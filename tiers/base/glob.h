/* glob.h - path patterns of listings and streams; one matcher for both.
 *
 *   *  ?    any bytes, one byte; never '/'
 *   [a-z]   one byte of a set, [!a-z] and [^a-z] one outside it; never '/'. ']' first in a set is itself; a
 * '[' without ']' in its component is itself. [*] is a literal star; '\' is an ordinary byte
 *   **      as a component: any number of directories, none included; at the end: everything below, at least
 *           one name. Inside a component it is the same as *
 *
 * A name that begins with '.' is matched only by a component that begins with '.' itself: neither *, ?, []
 * nor
 * ** stand for it. "." components and empty ones fold on both sides. A path that begins with '/' is matched
 * only by a pattern that begins with '/' or with a ** component, and a pattern that begins with '/' matches
 * only such paths.
 * COST: bounded by components times components times the square of a component; no recursion, no memory.
 * THREADS: any; pure. */
#ifndef TIER_BASE_GLOB_H
#define TIER_BASE_GLOB_H
#include <stdbool.h>

bool tier__glob_match(const char *pattern, const char *path);
/* Whether some path below directory dir ("" : where the walk begins) could match: a walker enters only such
 * directories. Exact but for sets that nothing can match. */
bool tier__glob_dir_may_match(const char *pattern, const char *dir);
#endif
