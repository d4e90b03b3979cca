/* Packing, saving, loading. An outline is one block: the ol_outline, its arrays, its text. */
#include "tools/tierlint/outline_int.h"

#include <stdlib.h>
#include <string.h>

/* Saved: HEAD_WORDS words, the arrays in this order, the text; all words little endian. */
enum { HEAD_WORDS = 20, MAGIC = 0x4c4f5454 /* "TTOL" */ };
enum { T_INCLUDES, T_CONDS, T_DECLS, T_USES, T_SUPPRESS, T_REGIONS, T_LINES, T_COUNT };
static const uint32_t item_words[T_COUNT] = {sizeof(ol_include) / 4,
                                             sizeof(ol_cond) / 4,
                                             sizeof(ol_decl) / 4,
                                             sizeof(ol_use) / 4,
                                             sizeof(ol_suppress) / 4,
                                             sizeof(ol_region) / 4,
                                             1};
static const bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;

static void counts_of(const ol_outline *o, uint32_t n[T_COUNT])
{
    const uint32_t c[T_COUNT] = {o->include_count,  o->cond_count,   o->decl_count, o->use_count,
                                 o->suppress_count, o->region_count, o->line_count};
    memcpy(n, c, sizeof c);
}

static uint64_t words_of(const uint32_t n[T_COUNT])
{
    uint64_t w = 0;
    for (int t = 0; t < T_COUNT; t++)
        w += (uint64_t)n[t] * item_words[t];
    return w;
}

/* A block with room for these counts; pointers and counts set, contents zero. */
static ol_outline *block(const uint32_t n[T_COUNT], uint32_t text_size, uint32_t **words, char **text)
{
    uint64_t bytes = words_of(n) * 4 + text_size + sizeof(ol_outline);
    ol_outline *o = bytes < SIZE_MAX / 2 ? calloc(1, (size_t)bytes) : NULL;
    if (!o)
        return NULL;
    uint32_t *w = (uint32_t *)(void *)(o + 1), *at[T_COUNT];
    *words = w;
    for (int t = 0; t < T_COUNT; t++) {
        at[t] = w;
        w += (size_t)n[t] * item_words[t];
    }
    *text = (char *)w;
    o->includes = (const ol_include *)at[T_INCLUDES];
    o->conds = (const ol_cond *)at[T_CONDS];
    o->decls = (const ol_decl *)at[T_DECLS];
    o->uses = (const ol_use *)at[T_USES];
    o->suppressions = (const ol_suppress *)at[T_SUPPRESS];
    o->regions = (const ol_region *)at[T_REGIONS];
    o->lines = at[T_LINES];
    o->text = *text;
    o->include_count = n[T_INCLUDES];
    o->cond_count = n[T_CONDS];
    o->decl_count = n[T_DECLS];
    o->use_count = n[T_USES];
    o->suppress_count = n[T_SUPPRESS];
    o->region_count = n[T_REGIONS];
    o->line_count = n[T_LINES];
    o->text_size = text_size;
    return o;
}

/* ---- packing
 * --------------------------------------------------------------------------------------------------- */
/* Calls each on every string field. */
static void each_string(const ol_outline *o, void (*each)(void *user, uint32_t *field), void *user)
{
    for (uint32_t i = 0; i < o->include_count; i++)
        each(user, (uint32_t *)(uintptr_t)&o->includes[i].name);
    for (uint32_t i = 0; i < o->cond_count; i++)
        each(user, (uint32_t *)(uintptr_t)&o->conds[i].text);
    for (uint32_t i = 0; i < o->decl_count; i++) {
        each(user, (uint32_t *)(uintptr_t)&o->decls[i].name);
        each(user, (uint32_t *)(uintptr_t)&o->decls[i].base);
        each(user, (uint32_t *)(uintptr_t)&o->decls[i].sig);
    }
    for (uint32_t i = 0; i < o->use_count; i++)
        each(user, (uint32_t *)(uintptr_t)&o->uses[i].name);
    for (uint32_t i = 0; i < o->suppress_count; i++)
        each(user, (uint32_t *)(uintptr_t)&o->suppressions[i].rule);
    each(user, (uint32_t *)(uintptr_t)&o->guard_name);
}

typedef struct packing {
    const ol_draft *d;
    uint32_t *map; /* id -> offset in the new text */
    uint64_t size;
    char *text;
} packing;

static const char *draft_text(const ol_draft *d, uint32_t id)
{
    return d->texts + (d->at ? d->at[id] : id);
}

static void measure(void *user, uint32_t *field)
{
    packing *p = user;
    if (!*field || p->map[*field])
        return;
    p->map[*field] = (uint32_t)p->size;
    p->size += strlen(draft_text(p->d, *field)) + 1;
}

static void rewrite(void *user, uint32_t *field)
{
    packing *p = user;
    if (!*field)
        return;
    uint32_t to = p->map[*field];
    if (!p->text[to])
        strcpy(p->text + to, draft_text(p->d, *field)); /* measured above */
    *field = to;
}

int ol__pack(const ol_draft *d, ol_outline **out)
{
    packing p = {.d = d, .map = calloc((size_t)d->ids + 1, sizeof *p.map), .size = 1};
    uint32_t n[T_COUNT], *words;
    *out = NULL;
    if (!p.map)
        return OL_ENOMEM;
    each_string(&d->o, measure, &p);
    counts_of(&d->o, n);
    ol_outline *o = p.size < UINT32_MAX / 2 ? block(n, (uint32_t)p.size, &words, &p.text) : NULL;
    if (!o) {
        free(p.map);
        return OL_ENOMEM;
    }
    const void *from[T_COUNT] = {d->o.includes,     d->o.conds,   d->o.decls, d->o.uses,
                                 d->o.suppressions, d->o.regions, d->o.lines};
    for (int t = 0; t < T_COUNT; t++) {
        if (n[t])
            memcpy(words, from[t], (size_t)n[t] * item_words[t] * 4);
        words += (size_t)n[t] * item_words[t];
    }
    o->form = d->o.form;
    o->flags = d->o.flags;
    o->why = d->o.why;
    o->size = d->o.size;
    o->guard = d->o.guard;
    o->guard_why = d->o.guard_why;
    o->guard_name = d->o.guard_name;
    each_string(o, rewrite, &p);
    free(p.map);
    *out = o;
    return OL_OK;
}

void ol_free(ol_outline **o)
{
    free(*o);
    *o = NULL;
}

size_t ol_weight(const ol_outline *o)
{
    uint32_t n[T_COUNT];
    counts_of(o, n);
    return sizeof *o + (size_t)words_of(n) * 4 + o->text_size;
}

/* ---- saving
 * ------------------------------------------------------------------------------------------------------ */
static void put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static uint32_t get32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Every step is a bijection of the state for a given input and of the input for a given state, so damage
 * within one 8-byte word never goes unseen. */
static uint64_t checksum(const uint8_t *p, size_t size)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ size;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t w = get32(p + i) | (uint64_t)get32(p + i + 4) << 32;
        h = (h ^ w) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    for (; i < size; i++) {
        h = (h ^ p[i]) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return h;
}

size_t ol_saved_size(const ol_outline *o)
{
    return ol_weight(o) - sizeof *o + HEAD_WORDS * 4;
}

void ol_save(const ol_outline *o, void *buf)
{
    uint8_t *p = buf;
    uint32_t n[T_COUNT];
    counts_of(o, n);
    const uint32_t head[HEAD_WORDS - 2] = {
        MAGIC,        OL_VERSION, o->form, o->flags, o->why, o->size, o->guard, o->guard_why, o->guard_name,
        o->text_size, n[0],       n[1],    n[2],     n[3],   n[4],    n[5],     n[6],         0};
    for (int i = 0; i < HEAD_WORDS - 2; i++)
        put32(p + 4 * i, head[i]);
    size_t words = (size_t)words_of(n);
    const uint32_t *w = (const uint32_t *)(const void *)(o + 1);
    uint8_t *body = p + HEAD_WORDS * 4;
    if (little)
        memcpy(body, w, words * 4);
    else
        for (size_t i = 0; i < words; i++)
            put32(body + 4 * i, w[i]);
    memcpy(body + words * 4, o->text, o->text_size);
    uint64_t sum = checksum(p, (HEAD_WORDS - 2) * 4) ^ checksum(body, words * 4 + o->text_size);
    put32(p + 4 * (HEAD_WORDS - 2), (uint32_t)sum);
    put32(p + 4 * (HEAD_WORDS - 1), (uint32_t)(sum >> 32));
}

/* ---- loading
 * ----------------------------------------------------------------------------------------------------- */
typedef struct checking {
    const ol_outline *o;
    bool bad;
} checking;

static void check_string(void *user, uint32_t *field)
{
    checking *c = user;
    if (*field >= c->o->text_size || (*field && c->o->text[*field - 1]))
        c->bad = true;
}

static bool index_ok(uint32_t i, uint32_t count)
{
    return i < count || i == OL_NONE;
}

static bool records_ok(const ol_outline *o)
{
    for (uint32_t i = 0; i < o->include_count; i++) {
        const ol_include *r = &o->includes[i];
        if (!index_ok(r->cond, o->cond_count) || r->start > r->end || r->end > o->size)
            return false;
    }
    for (uint32_t i = 0; i < o->cond_count; i++) {
        const ol_cond *r = &o->conds[i];
        if (!index_ok(r->parent, i) || !index_ok(r->prev, i) || r->start > r->end || r->end > o->size)
            return false;
        if (r->kind < OL_IF || r->kind > OL_ELSE)
            return false;
    }
    for (uint32_t i = 0; i < o->decl_count; i++) {
        const ol_decl *r = &o->decls[i];
        if (r->kind < OL_FUNCTION || r->kind > OL_CONCEPT || !index_ok(r->scope, i))
            return false;
        if (!index_ok(r->cond, o->cond_count) || r->start > r->end || r->end > o->size ||
            r->name_at > o->size)
            return false;
        if (r->use_first > o->use_count || r->use_count > o->use_count - r->use_first)
            return false;
    }
    for (uint32_t i = 0; i < o->use_count; i++) {
        const ol_use *r = &o->uses[i];
        uint32_t base = r->owner < o->decl_count ? o->decls[r->owner].start : 0;
        if (!index_ok(r->owner, o->decl_count) || r->at > o->size - base)
            return false;
    }
    for (uint32_t i = 0; i < o->region_count; i++) {
        const ol_region *r = &o->regions[i];
        if (!index_ok(r->cond, o->cond_count) || r->start > r->end || r->end > o->size)
            return false;
    }
    for (uint32_t i = 0; i < o->line_count; i++)
        if (o->lines[i] > o->size || (i ? o->lines[i] <= o->lines[i - 1] : o->lines[i] != 0))
            return false;
    return true;
}

int ol_load(const void *bytes, size_t size, ol_outline **out)
{
    const uint8_t *p = bytes;
    uint32_t head[HEAD_WORDS], n[T_COUNT], *words;
    char *text;
    *out = NULL;
    if (size < HEAD_WORDS * 4)
        return OL_EDAMAGED;
    for (int i = 0; i < HEAD_WORDS; i++)
        head[i] = get32(p + 4 * i);
    if (head[0] != MAGIC || head[1] != OL_VERSION || head[2] < OL_WHOLE || head[2] > OL_NAMES)
        return OL_EDAMAGED;
    memcpy(n, head + 10, sizeof n);
    uint64_t count = words_of(n), text_size = head[9];
    if (!text_size || count * 4 + text_size != size - HEAD_WORDS * 4)
        return OL_EDAMAGED;
    const uint8_t *body = p + HEAD_WORDS * 4;
    uint64_t sum = checksum(p, (HEAD_WORDS - 2) * 4) ^ checksum(body, size - HEAD_WORDS * 4);
    if (head[18] != (uint32_t)sum || head[19] != (uint32_t)(sum >> 32))
        return OL_EDAMAGED;
    ol_outline *o = block(n, (uint32_t)text_size, &words, &text);
    if (!o)
        return OL_ENOMEM;
    if (little)
        memcpy(words, body, (size_t)count * 4);
    else
        for (size_t i = 0; i < count; i++)
            words[i] = get32(body + 4 * i);
    memcpy(text, body + count * 4, (size_t)text_size);
    o->form = head[2];
    o->flags = head[3];
    o->why = head[4];
    o->size = head[5];
    o->guard = head[6];
    o->guard_why = head[7];
    o->guard_name = head[8];
    checking c = {.o = o,
                  .bad = text[0] || text[text_size - 1] || head[17] || o->guard > OL_GUARD_INEFFECTIVE};
    if (!c.bad)
        each_string(o, check_string, &c);
    if (c.bad || !records_ok(o)) {
        ol_free(&o);
        return OL_EDAMAGED;
    }
    *out = o;
    return OL_OK;
}
