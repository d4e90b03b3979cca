/* journal.c - what the processes share: the journal of changes, the newest tree, figures. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include "tests/torture/torture.h"

struct shared *shared_make(void)
{
    void *p = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* splitmix64: any seed will do, 0 too. */
uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

unsigned random_below(uint64_t *state, unsigned below)
{
    return (unsigned)(random_next(state) >> 33) % below;
}

bool follower_reset(struct follower *f, struct shared *sh)
{
    for (int tries = 0; tries < 1000; tries++) {
        unsigned which = atomic_load(&sh->which);
        f->fs = sh->snapshot[which % 2];
        f->at = sh->snapshot_at[which % 2];
        if (atomic_load(&sh->which) == which)
            return true;
    }
    return false;
}

const struct entry *entry_at(struct shared *sh, uint64_t i)
{
    const struct timespec pause = {0, 20 * 1000};
    while (atomic_load(&sh->done) <= i && !atomic_load(&sh->stop))
        nanosleep(&pause, NULL);
    return atomic_load(&sh->done) <= i ? NULL : &sh->ring[i % RING];
}

bool follower_advance(struct follower *f, struct shared *sh, int64_t t)
{
    uint64_t done = atomic_load(&sh->done);
    if (done - f->at > RING / 2) { /* it was stopped for long */
        follower_reset(f, sh);
        return false;
    }
    for (; f->at < done && sh->ring[f->at % RING].end < t; f->at++)
        fs_apply(&f->fs, &sh->ring[f->at % RING]);
    return true;
}

/* ---- text */
void text_put(struct text *t, const void *data, size_t size)
{
    if (t->size + size + 1 > t->room) {
        t->room = (t->size + size + 64) * 2;
        if (!(t->data = realloc(t->data, t->room)))
            abort();
    }
    if (size)
        memcpy(t->data + t->size, data, size);
    t->size += size;
    t->data[t->size] = 0;
}

void text_add(struct text *t, const char *format, ...)
{
    char line[1200];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    text_put(t, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}
