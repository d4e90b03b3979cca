/* store_mark.h - whose a directory is. Ours: CACHEDIR.TAG names Tierkit, or v1/state is valid, as in stores
 * that were begun without a mark. Empty: nothing in it but settings, .gitignore, a tag, lock and a v1 with
 * nothing in it. Foreign: all else; nothing in it is made, renamed or deleted. */
#ifndef TIER_STORE_MARK_H
#define TIER_STORE_MARK_H
#include <stdbool.h>
#include <stddef.h>

struct tier__why { /* where a sentence goes */
    char *text;
    size_t size;
};
int tier__why(const struct tier__why *w, int rc, int error, const char *format, ...)
    __attribute__((format(printf, 4, 5))); /* returns rc; error 0: no errno */

#define TIER__STORE_NAME "v1"
#define TIER__STORE_MAKING "new"
#define TIER__ASIDE "bad-"
#define TIER__COOKIE ".sync-"
enum { TIER__STORE_FILES = 5 };
extern const char *const tier__store_files[TIER__STORE_FILES]; /* all that a store's directory holds */

enum tier__whose { TIER__WHOSE_EMPTY, TIER__WHOSE_OURS, TIER__WHOSE_FOREIGN };
enum tier__whose tier__place_whose(int top, bool *mark, bool *settings);
int tier__place_foreign(const struct tier__why *why, const char *dir); /* TIER_EKIND with the sentence */
int tier__place_mark(int top, const struct tier__why *why);
/* Whether top/name holds, or is, anything but a store's files; other: the first such name. */
bool tier__place_other(int top, const char *name, char *other, size_t size);
/* Deletes top/name with a store's files in it; nothing where it holds anything else (TIER_EKIND, see other).
 */
int tier__place_remove(int top, const char *name, char *other, size_t size);
bool tier__place_is_aside(const char *name);  /* bad-TIME-N, as quarantine names it */
bool tier__place_is_cookie(const char *name); /* .sync-PID-TIME-N: a watcher makes it in v1, and deletes it */
/* For who does not use the store yet: TIER_EKIND of a foreign directory, or of a v1 that is not ours (moving:
 * or that holds anything else besides); TIER_EABSENT of an empty one. store: v1 is there. */
int tier__place_look(const char *dir, bool moving, bool *store, const struct tier__why *why);
#endif
