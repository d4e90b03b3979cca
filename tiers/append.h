/* append.h - files that are written to by several processes, a piece at a time, and only ever at their end.
 *
 * THREADS   Any; the caller keeps the pieces of one process apart. */
#ifndef TIER_APPEND_H
#define TIER_APPEND_H
#include "tiers/base/base.h"

/* The regular file path, made where it is not there. TIER_EKIND, TIER_EACCESS, TIER_EIO. */
int tier__append_open(const char *path, int *fd);
/* false: not all of it, with errno. Never raises a signal. */
bool tier__append(int fd, const void *data, size_t size);
#endif
