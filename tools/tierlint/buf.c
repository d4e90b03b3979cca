/* Growing bytes, reader, string map: see buf.h. */
#include "tools/tierlint/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void lint_buf_free(lint_buf *b)
{
    free(b->data);
    *b = (lint_buf){0};
}

static bool room(lint_buf *b, size_t more)
{
    if (b->failed) {
        return false;
    }
    size_t need = b->size + more + 1;
    if (need < more) {
        b->failed = true;
        return false;
    }
    if (need > b->capacity) {
        size_t want = b->capacity < 64 ? 64 : b->capacity * 2;
        want = want < need ? need : want;
        char *grown = realloc(b->data, want);
        if (!grown) {
            b->failed = true;
            return false;
        }
        b->data = grown;
        b->capacity = want;
    }
    return true;
}

void lint_buf_add(lint_buf *b, const void *data, size_t size)
{
    if (!room(b, size)) {
        return;
    }
    if (size) {
        memcpy(b->data + b->size, data, size);
    }
    b->size += size;
    b->data[b->size] = 0;
}

void lint_buf_str(lint_buf *b, const char *text)
{
    lint_buf_add(b, text, strlen(text) + 1);
}

void lint_buf_text(lint_buf *b, const char *text)
{
    lint_buf_add(b, text, strlen(text));
}

void lint_buf_u32(lint_buf *b, uint32_t value)
{
    unsigned char byte[4];
    for (int i = 0; i < 4; i++) {
        byte[i] = (unsigned char)(value >> (8 * i));
    }
    lint_buf_add(b, byte, sizeof byte);
}

void lint_buf_u64(lint_buf *b, uint64_t value)
{
    lint_buf_u32(b, (uint32_t)value);
    lint_buf_u32(b, (uint32_t)(value >> 32));
}

void lint_buf_printf(lint_buf *b, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int size = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (size < 0) {
        b->failed = true;
    } else if (room(b, (size_t)size)) {
        vsnprintf(b->data + b->size, (size_t)size + 1, format, again);
        b->size += (size_t)size;
    }
    va_end(again);
}

lint_reader lint_read(const void *data, size_t size)
{
    const unsigned char *at = data;
    return (lint_reader){.at = at, .end = size ? at + size : at};
}

uint32_t lint_read_u32(lint_reader *r)
{
    if (r->end - r->at < 4) {
        r->bad = true;
        r->at = r->end;
        return 0;
    }
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        value |= (uint32_t)r->at[i] << (8 * i);
    }
    r->at += 4;
    return value;
}

uint64_t lint_read_u64(lint_reader *r)
{
    uint64_t low = lint_read_u32(r);
    return low | (uint64_t)lint_read_u32(r) << 32;
}

const char *lint_read_str(lint_reader *r)
{
    size_t left = (size_t)(r->end - r->at);
    const unsigned char *zero = left ? memchr(r->at, 0, left) : NULL;
    if (!zero) {
        r->bad = true;
        r->at = r->end;
        return "";
    }
    const char *text = (const char *)r->at;
    r->at = zero + 1;
    return text;
}

void lint_list_add(lint_list *l, uint32_t value)
{
    if (l->failed) {
        return;
    }
    if (l->count == l->capacity) {
        size_t want = l->capacity ? l->capacity * 2 : 16;
        uint32_t *grown = realloc(l->at, want * sizeof *grown);
        if (!grown) {
            l->failed = true;
            return;
        }
        l->at = grown;
        l->capacity = want;
    }
    l->at[l->count++] = value;
}

void lint_list_free(lint_list *l)
{
    free(l->at);
    *l = (lint_list){0};
}

uint64_t lint_hash(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        hash = (hash ^ *p) * 0x100000001b3u;
    }
    return hash;
}

void lint_map_free(lint_map *m)
{
    lint_buf_free(&m->text);
    lint_list_free(&m->start);
    free(m->slot);
    *m = (lint_map){0};
}

const char *lint_map_text(const lint_map *m, uint32_t i)
{
    return m->text.data + m->start.at[i];
}

/* The slot of text: its own, or the empty one where it belongs. FNV's low bits are its weakest: mix. */
static size_t seek(const lint_map *m, const char *text)
{
    uint64_t hash = lint_hash(text);
    size_t at = (size_t)(hash ^ hash >> 29) & (m->slots - 1);
    while (m->slot[at] && strcmp(lint_map_text(m, m->slot[at] - 1), text) != 0) {
        at = (at + 1) & (m->slots - 1);
    }
    return at;
}

uint32_t lint_map_find(const lint_map *m, const char *text)
{
    if (!m->slots) {
        return LINT_NONE;
    }
    uint32_t found = m->slot[seek(m, text)];
    return found ? found - 1 : LINT_NONE;
}

static bool grow(lint_map *m)
{
    size_t want = m->slots ? m->slots * 2 : 64;
    uint32_t *slot = calloc(want, sizeof *slot);
    if (!slot) {
        m->failed = true;
        return false;
    }
    free(m->slot);
    m->slot = slot;
    m->slots = want;
    for (uint32_t i = 0; i < m->start.count; i++) {
        m->slot[seek(m, lint_map_text(m, i))] = i + 1;
    }
    return true;
}

uint32_t lint_map_add(lint_map *m, const char *text)
{
    if (m->start.count * 2 >= m->slots && !grow(m)) {
        return LINT_NONE;
    }
    size_t at = seek(m, text);
    if (m->slot[at]) {
        return m->slot[at] - 1;
    }
    size_t start = m->text.size;
    lint_buf_str(&m->text, text);
    lint_list_add(&m->start, (uint32_t)start);
    if (m->text.failed || m->start.failed || start > UINT32_MAX) {
        m->failed = true;
        return LINT_NONE;
    }
    m->slot[at] = (uint32_t)m->start.count;
    return m->slot[at] - 1;
}
