/* value.c - items, loans, what callbacks write, and reading records. */
#include <stdlib.h>
#include <string.h>
#include "tests/oracle/oracle.h"

struct o_item *o_item_of(const void *data, size_t size)
{
    struct o_item *i = o_alloc(sizeof *i);

    i->refs = 1;
    i->data = o_copy(data, size);
    i->size = size;
    i->hash = o_digest(i->data, size);
    return i;
}

struct o_item *o_item_ref(struct o_item *i)
{
    atomic_fetch_add(&i->refs, 1);
    return i;
}

static void item_free(struct o_item *i)
{
    if (i->object && i->destroy)
        i->destroy(i->object, i->user);
    free(i->holds);
    free(i->data);
    free(i);
}

/* Holds may form chains as long as the user likes, so they are followed with a list, not by recursion. */
void o_item_unref(struct o_item *i)
{
    struct o_item **todo = o_alloc(sizeof *todo);
    size_t count = 0;

    if (i)
        todo[count++] = i;
    while (count) {
        struct o_item *last = todo[--count];

        if (atomic_fetch_sub(&last->refs, 1) != 1)
            continue;
        todo = o_grow(todo, (count + last->hold_count + 1) * sizeof *todo);
        for (size_t h = 0; h < last->hold_count; h++)
            todo[count++] = last->holds[h];
        item_free(last);
    }
    free(todo);
}

void o_lend(tier_session *s, struct o_item *i, uint32_t from, tier_value *v)
{
    struct o_loan *l = o_alloc(sizeof *l);

    l->item = o_item_ref(i);
    l->session = s;
    l->cache = s->cache;
    l->frame = s->frame;
    l->next = s->loans;
    l->back = &s->loans;
    if (s->loans)
        s->loans->back = &l->next;
    s->loans = l;
    memset(v, 0, sizeof *v);
    v->data = i->data;
    v->size = i->size;
    v->object = i->object;
    v->hash = i->hash;
    v->from = from;
    v->pin = l;
}

static void loan_unlink(struct o_loan *l)
{
    *l->back = l->next;
    if (l->next)
        l->next->back = l->back;
    l->next = NULL;
    l->back = NULL;
}

static void loan_end(struct o_loan *l)
{
    if (l->session)
        loan_unlink(l);
    o_item_unref(l->item);
    free(l);
}

void o_loans_end(tier_session *s, const struct o_frame *f)
{
    while (s->loans && (!f || s->loans->frame == f))
        loan_end(s->loans);
}

int tier_release(tier_session *s, tier_value *v)
{
    struct o_loan *l;

    if (!v)
        return TIER_EINVAL;
    l = v->pin;
    if (l && l->session != s)
        return TIER_EINVAL;
    if (l && !s) {
        pthread_mutex_lock(&l->cache->lock);
        l->cache->detached--;
        pthread_mutex_unlock(&l->cache->lock);
    }
    if (l)
        loan_end(l);
    memset(v, 0, sizeof *v);
    return 0;
}

int tier_detach(tier_session *s, tier_value *v)
{
    struct o_loan *l = v ? v->pin : NULL;

    if (!s || !l || l->session != s)
        return TIER_EINVAL;
    loan_unlink(l);
    l->session = NULL;
    l->frame = NULL;
    pthread_mutex_lock(&s->cache->lock);
    s->cache->detached++;
    pthread_mutex_unlock(&s->cache->lock);
    return 0;
}

/* ---- results being written ---- */

int tier_out_object(tier_out *out, void *object, size_t bytes)
{
    (void)bytes;
    if (!out || !object || !out->type || out->object)
        return TIER_EINVAL;
    out->object = object;
    return 0;
}

int tier_out_bytes(tier_out *out, const void *data, size_t size)
{
    if (!out || (!data && size))
        return TIER_EINVAL;
    o_buf_add(&out->bytes, data, size);
    return 0;
}

/* A record is a tag, its length in four bytes, then itself and a 0: text is hardly ever taken for one. */
enum { RECORD_TAG = 0x1e, RECORD_HEAD = 5 };

int tier_out_record(tier_out *out, const void *data, size_t size)
{
    unsigned char head[RECORD_HEAD] = {RECORD_TAG, (unsigned char)size, (unsigned char)(size >> 8),
                                       (unsigned char)(size >> 16), (unsigned char)(size >> 24)};

    if (!out || (!data && size) || size > UINT32_MAX)
        return TIER_EINVAL;
    o_buf_add(&out->bytes, head, sizeof head);
    o_buf_add(&out->bytes, data, size);
    o_buf_add(&out->bytes, "", 1);
    return 0;
}

int tier_next(const tier_value *v, size_t *cursor, const void **data, size_t *size)
{
    const unsigned char *p;
    size_t left, length;

    if (!v || !cursor || !data || !size)
        return TIER_EINVAL;
    if (!v->data || *cursor == v->size)
        return TIER_END;
    if (*cursor > v->size || v->size - *cursor < RECORD_HEAD)
        return TIER_EDAMAGE;
    p = (const unsigned char *)v->data + *cursor;
    left = v->size - *cursor - RECORD_HEAD;
    length = (size_t)p[1] | (size_t)p[2] << 8 | (size_t)p[3] << 16 | (size_t)p[4] << 24;
    if (p[0] != RECORD_TAG || length >= left || p[RECORD_HEAD + length] != 0)
        return TIER_EDAMAGE;
    *data = p + RECORD_HEAD;
    *size = length;
    *cursor += RECORD_HEAD + length + 1;
    return 0;
}

int tier_out_hold(tier_out *out, const tier_value *v)
{
    struct o_loan *l = v ? v->pin : NULL;

    if (!out || !out->type || !l)
        return TIER_EINVAL;
    out->holds = o_grow(out->holds, (out->hold_count + 1) * sizeof *out->holds);
    out->holds[out->hold_count++] = o_item_ref(l->item);
    return 0;
}

void o_out_fini(tier_out *out)
{
    if (out->object && out->type->def.destroy)
        out->type->def.destroy(out->object, out->type->def.user);
    for (size_t i = 0; i < out->hold_count; i++)
        o_item_unref(out->holds[i]);
    free(out->holds);
    free(out->bytes.data);
    memset(out, 0, sizeof *out);
}
