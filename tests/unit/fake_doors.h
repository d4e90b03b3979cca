/* fake_doors.h - a stand-in for the manager behind coherence/doors.h, which remembers what it was told; with
 * a directory of its own: root/ with cache/, gen/, .git/ and d/e/ in it. */
#ifndef TESTS_FAKE_DOORS_H
#define TESTS_FAKE_DOORS_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <cmocka.h>
#include "coherence/watch.h"
#include "tiers/base/profile.h"
#include "tiers/stream.h"

enum { PATHS = 40000 };
struct tier_cache {
    struct tier__base base;
    struct tier__hub *hub;
    struct tier__watch *watch;
    struct tier__profile *profile;
    char dir[128], root[2][128];
    size_t roots;
    pthread_mutex_t lock;
    char *told[PATHS];
    size_t told_count, told_all;
    atomic_bool busy; /* the test's */
    tier__entry *result;
    char log[2048];
};

int open_cache(void **state);
int close_cache(void **state);
/* A shell command; the test fails with it. */
void command(const char *format, ...) __attribute__((format(printf, 1, 2)));
void put(tier_cache *c, const char *path, const char *text); /* a file below root/ */
void start(tier_cache *c, bool polling);                     /* the watcher */
void settle(tier_cache *c);                                  /* tier_sync */
bool was_told(tier_cache *c, const char *path);
void expect(tier_cache *c, const char *path); /* that it was told, or that anything was */
void forget_told(tier_cache *c);
#endif
