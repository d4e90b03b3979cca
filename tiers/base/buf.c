/* buf.c - growing buffers and the reader of what they hold. Numbers are little endian on every machine. */
#include <stdarg.h>
#include "tiers/base/base.h"

enum { FIRST_CAPACITY = 64 };

void tier__buf_init(struct tier__buf *b, struct tier__base *base)
{
    *b = (struct tier__buf){.base = base};
}

void tier__buf_fini(struct tier__buf *b)
{
    tier__free(b->base, b->data);
    tier__buf_init(b, b->base);
}

void tier__buf_clear(struct tier__buf *b)
{
    b->size = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = 0;
}

unsigned char *tier__buf_space(struct tier__buf *b, size_t size)
{
    size_t need;
    if (b->failed)
        return NULL;
    if (__builtin_add_overflow(b->size, size, &need) || need >= PTRDIFF_MAX) {
        b->failed = true;
        return NULL;
    }
    need++; /* the 0 byte */
    if (need > b->capacity) {
        size_t capacity = b->capacity ? b->capacity + b->capacity / 2 : FIRST_CAPACITY;
        if (capacity < need)
            capacity = need;
        unsigned char *data = tier__resize(b->base, b->data, capacity);
        if (!data) {
            b->failed = true;
            return NULL;
        }
        b->data = data;
        b->capacity = capacity;
        b->data[b->size] = 0;
    }
    b->data[b->size + size] = 0;
    return b->data + b->size;
}

void tier__buf_put(struct tier__buf *b, const void *data, size_t size)
{
    unsigned char *at = tier__buf_space(b, size);
    if (!at)
        return;
    if (size)
        memcpy(at, data, size);
    b->size += size;
}

void tier__buf_u8(struct tier__buf *b, uint8_t v)
{
    tier__buf_put(b, &v, 1);
}

static void put_little(struct tier__buf *b, uint64_t v, unsigned bytes)
{
    unsigned char raw[8];
    for (unsigned i = 0; i < bytes; i++)
        raw[i] = (unsigned char)(v >> (8 * i));
    tier__buf_put(b, raw, bytes);
}

void tier__buf_u32(struct tier__buf *b, uint32_t v)
{
    put_little(b, v, 4);
}

void tier__buf_u64(struct tier__buf *b, uint64_t v)
{
    put_little(b, v, 8);
}

void tier__buf_bytes(struct tier__buf *b, const void *data, size_t size)
{
    if (size > UINT32_MAX) { /* a length that its prefix cannot hold would read back as another */
        b->failed = true;
        return;
    }
    tier__buf_u32(b, (uint32_t)size);
    tier__buf_put(b, data, size);
}

void tier__buf_str(struct tier__buf *b, const char *s)
{
    tier__buf_bytes(b, s, s ? strlen(s) : 0);
}

void tier__buf_printf(struct tier__buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0) {
        b->failed = true;
        return;
    }
    unsigned char *at = tier__buf_space(b, (size_t)size);
    if (!at)
        return;
    va_start(args, format);
    vsnprintf((char *)at, (size_t)size + 1, format, args);
    va_end(args);
    b->size += (size_t)size;
}

/* Control characters of ASCII, and those of C1, which are two bytes in UTF-8. How many of them s begins with.
 */
static size_t controls(const unsigned char *s, size_t size)
{
    if (*s < 32 || *s == 127)
        return 1;
    return *s == 0xc2 && size > 1 && s[1] >= 0x80 && s[1] < 0xa0 ? 2 : 0;
}

void tier__buf_show(struct tier__buf *b, size_t from)
{
    size_t first = from;
    while (first < b->size && !controls(b->data + first, b->size - first))
        first++;
    if (b->failed || first >= b->size)
        return;
    size_t size = b->size - first;
    unsigned char *raw = tier__alloc(b->base, size);
    if (!raw) {
        b->failed = true;
        return;
    }
    memcpy(raw, b->data + first, size);
    b->size = first;
    for (size_t i = 0; i < size; i++) {
        size_t n = controls(raw + i, size - i);
        if (!n)
            tier__buf_u8(b, raw[i]);
        else if (raw[i] == '\n')
            tier__buf_put(b, "\\n", 2);
        else
            tier__buf_printf(b, n == 2 ? "\\x%02x\\x%02x" : "\\x%02x", raw[i], n == 2 ? raw[i + 1] : 0);
        i += n == 2;
    }
    tier__free(b->base, raw);
}

const void *tier__read_raw(struct tier__reader *r, size_t size)
{
    if (r->failed || (size_t)(r->end - r->at) < size) {
        r->failed = true;
        return NULL;
    }
    const void *at = r->at;
    r->at += size;
    return at;
}

uint8_t tier__read_u8(struct tier__reader *r)
{
    const unsigned char *at = tier__read_raw(r, 1);
    return at ? *at : 0;
}

static uint32_t little(const unsigned char *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

uint32_t tier__read_u32(struct tier__reader *r)
{
    const unsigned char *at = tier__read_raw(r, 4);
    return at ? little(at) : 0;
}

uint64_t tier__read_u64(struct tier__reader *r)
{
    const unsigned char *at = tier__read_raw(r, 8);
    return at ? little(at) | (uint64_t)little(at + 4) << 32 : 0;
}

const void *tier__read_bytes(struct tier__reader *r, size_t *size)
{
    *size = tier__read_u32(r);
    const void *data = tier__read_raw(r, *size);
    if (!data)
        *size = 0;
    return data;
}
