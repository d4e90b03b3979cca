/* plan.c - see plan.h. */
#include "warmers/plan.h"
#include <string.h>

static int lock_init(pthread_mutex_t *lock, pthread_cond_t *a, pthread_cond_t *b)
{
    if (pthread_mutex_init(lock, NULL))
        return TIER_ENOMEM;
    if (pthread_cond_init(a, NULL)) {
        pthread_mutex_destroy(lock);
        return TIER_ENOMEM;
    }
    if (b && pthread_cond_init(b, NULL)) {
        pthread_cond_destroy(a);
        pthread_mutex_destroy(lock);
        return TIER_ENOMEM;
    }
    return TIER_OK;
}

int tier__plan_init(struct tier__plan *p)
{
    memset(p, 0, sizeof *p);
    return lock_init(&p->lock, &p->more, &p->finished);
}

void tier__plan_fini(struct tier__plan *p)
{
    size_t i;

    for (i = 0; i < p->count; i++) {
        tier__imports_fini(&p->item[i]->names);
        tier__warm_realloc(p->item[i], 0);
    }
    tier__warm_realloc(p->item, 0);
    tier__strings_fini(&p->paths);
    pthread_cond_destroy(&p->more);
    pthread_cond_destroy(&p->finished);
    pthread_mutex_destroy(&p->lock);
}

static int append(struct tier__plan *p, struct tier__item *item)
{
    void *array;
    int rc;

    pthread_mutex_lock(&p->lock);
    array = p->item;
    rc = tier__warm_grow(&array, &p->capacity, p->count + 1, sizeof *p->item);
    p->item = (struct tier__item **)array;
    if (!rc) {
        p->item[p->count++] = item;
        pthread_cond_signal(&p->more);
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

int tier__plan_add(struct tier__plan *p, const char *path, uint32_t depth, int language, int outcome)
{
    struct tier__item *item;
    size_t number;
    int rc = tier__strings_add(&p->paths, path, strlen(path), &number);

    if (rc <= 0)
        return rc;
    item = tier__warm_realloc(NULL, sizeof *item);
    if (!item)
        return TIER_ENOMEM;
    memset(item, 0, sizeof *item);
    item->path = p->paths.text[number];
    item->depth = depth;
    item->language = language;
    item->outcome = outcome;
    item->done = outcome != 0;
    rc = append(p, item);
    if (rc)
        tier__warm_realloc(item, 0);
    return rc;
}

struct tier__item *tier__plan_take(struct tier__plan *p, bool wait, uint64_t *turn)
{
    struct tier__item *item = NULL;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->taken < p->count && p->item[p->taken]->done)
            p->taken++;
        if (p->closed || p->taken < p->count || !wait)
            break;
        pthread_cond_wait(&p->more, &p->lock);
    }
    if (!p->closed && p->taken < p->count) {
        item = p->item[p->taken++];
        *turn = p->turns++;
    }
    pthread_mutex_unlock(&p->lock);
    return item;
}

void tier__plan_finish(struct tier__plan *p, struct tier__item *item)
{
    pthread_mutex_lock(&p->lock);
    item->done = true;
    pthread_cond_broadcast(&p->finished);
    pthread_mutex_unlock(&p->lock);
}

struct tier__item *tier__plan_wait(struct tier__plan *p, size_t i)
{
    struct tier__item *item;

    pthread_mutex_lock(&p->lock);
    item = p->item[i];
    while (!item->done)
        pthread_cond_wait(&p->finished, &p->lock);
    pthread_mutex_unlock(&p->lock);
    return item;
}

void tier__plan_close(struct tier__plan *p)
{
    pthread_mutex_lock(&p->lock);
    p->closed = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
}

int tier__budget_init(struct tier__budget *b, uint64_t limit)
{
    memset(b, 0, sizeof *b);
    b->limit = limit;
    return lock_init(&b->lock, &b->changed, NULL);
}

void tier__budget_fini(struct tier__budget *b)
{
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
}

/* Under the lock. Never adds to what might overflow: held + reserved <= limit always. */
static bool grant(struct tier__budget *b, uint64_t bytes)
{
    if (bytes > b->limit - b->held - b->reserved)
        return false;
    b->reserved += bytes;
    b->flying++;
    return true;
}

bool tier__budget_reserve(struct tier__budget *b, uint64_t turn, uint64_t bytes)
{
    bool granted;

    pthread_mutex_lock(&b->lock);
    while (b->turn != turn)
        pthread_cond_wait(&b->changed, &b->lock);
    while (!(granted = grant(b, bytes)) && b->flying > 0)
        pthread_cond_wait(&b->changed, &b->lock);
    b->turn++;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    return granted;
}

void tier__budget_pass(struct tier__budget *b, uint64_t turn)
{
    pthread_mutex_lock(&b->lock);
    while (b->turn != turn)
        pthread_cond_wait(&b->changed, &b->lock);
    b->turn++;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

bool tier__budget_extra(struct tier__budget *b, uint64_t bytes)
{
    bool granted;

    pthread_mutex_lock(&b->lock);
    granted = grant(b, bytes);
    pthread_mutex_unlock(&b->lock);
    return granted;
}

void tier__budget_settle(struct tier__budget *b, uint64_t bytes, uint64_t keep)
{
    pthread_mutex_lock(&b->lock);
    b->reserved -= bytes;
    b->held += keep;
    b->flying--;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}
