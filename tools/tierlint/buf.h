/* Bytes that grow, a reader of such bytes, and a map from strings to numbers.
 *
 * A buffer remembers a failed allocation (failed) and ignores what is added afterwards, so that a caller asks
 * once, at the end. Numbers are written little endian: a value means the same on every machine. */
#ifndef TIERLINT_BUF_H
#define TIERLINT_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINT_NONE UINT32_MAX

/* Zeroed is empty. The owner calls lint_buf_free. data[size] is 0 where data is not NULL. */
typedef struct lint_buf {
    char *data;
    size_t size, capacity;
    bool failed;
} lint_buf;

void lint_buf_free(lint_buf *b); /* empties it: may be used again */
void lint_buf_add(lint_buf *b, const void *data, size_t size);
void lint_buf_str(lint_buf *b, const char *text); /* with its closing 0 */
void lint_buf_text(lint_buf *b, const char *text);
void lint_buf_u32(lint_buf *b, uint32_t value);
void lint_buf_u64(lint_buf *b, uint64_t value);
void lint_buf_printf(lint_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reads what a buffer wrote. Past the end it gives 0 and "" and sets bad. */
typedef struct lint_reader {
    const unsigned char *at, *end;
    bool bad;
} lint_reader;

lint_reader lint_read(const void *data, size_t size);
uint32_t lint_read_u32(lint_reader *r);
uint64_t lint_read_u64(lint_reader *r);
const char *lint_read_str(lint_reader *r); /* points into the bytes read */

/* An array of 32-bit numbers that grows, with the same rule about failures. */
typedef struct lint_list {
    uint32_t *at;
    size_t count, capacity;
    bool failed;
} lint_list;

void lint_list_add(lint_list *l, uint32_t value);
void lint_list_free(lint_list *l);

/* Strings (kept by the map, in order of arrival) to the numbers 0, 1, 2, ... Zeroed is empty. */
typedef struct lint_map {
    lint_buf text;
    lint_list start; /* of string i in text */
    uint32_t *slot;  /* index + 1, or 0 */
    size_t slots;    /* a power of two */
    bool failed;
} lint_map;

void lint_map_free(lint_map *m);
uint32_t lint_map_add(lint_map *m, const char *text); /* its number, new or old; LINT_NONE: out of memory */
uint32_t lint_map_find(const lint_map *m, const char *text); /* LINT_NONE: not there */
const char *lint_map_text(const lint_map *m, uint32_t i);    /* until the next add */

/* FNV-1a, 64 bits: names in tables. Two names of one tree meet by chance once in 10^9 trees of 10^5 names. */
uint64_t lint_hash(const char *text);

#endif
