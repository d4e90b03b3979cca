/* check_util.h - a real store to be broken: two types over three files, run through the public interface. */
#ifndef CHECK_UTIL_H
#define CHECK_UTIL_H
#include "tests/unit/store_util.h"
#include "coherence/record.h"
#include "include/tierkit_admin.h"

struct bench {
    struct tier__base base;
    char dir[200], cache[256], root[220];
    /* what the last check or repair told */
    char codes[2048], text[8192];
    tier_check_report report;
};

int bench_open(void **state);
int bench_close(void **state);
void bench_write(struct bench *b, const char *name, const char *text);
/* A session that asks for both types; asserts that the answers are right. Returns how many builds ran. */
int bench_run(struct bench *b);
tier_admin *bench_admin(struct bench *b);
/* Checks or repairs; codes holds each code of damage told, with a space behind it, once. */
int bench_check(struct bench *b, uint32_t flags, bool repair);
bool bench_told(const struct bench *b, const char *code); /* also notices: in text */
/* The store behind the library's back. */
tier__store *bench_store(struct bench *b);
void bench_put(struct bench *b, enum tier__table t, const void *key, size_t key_size, const void *data,
               size_t size);
void bench_del(struct bench *b, enum tier__table t, const void *key, size_t key_size);
/* The first record of t for which match (may be NULL) says so; false: none. Caller ends both buffers. */
bool bench_find(struct bench *b, enum tier__table t,
                bool (*match)(const void *key, size_t key_size, const void *data, size_t size),
                struct tier__buf *key, struct tier__buf *data);
#endif
