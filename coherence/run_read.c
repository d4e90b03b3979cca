/* run_read.c - run logs read back into memory: see run_log.h. */
#include "coherence/run_log.h"
#include "tiers/checksum.h"

void tier__run_init(struct tier__run *r, struct tier__base *base)
{
    *r = (struct tier__run){.base = base};
}

void tier__run_fini(struct tier__run *r)
{
    tier__free(r->base, r->view);
    tier__free(r->base, r->seen.item);
    tier__free(r->base, r->asked.item);
    tier__run_init(r, r->base);
}

/* ---- lists */
static struct tier__run_item *add(struct tier__run *r, struct tier__run_list *l)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : 256;
        struct tier__run_item *item = tier__resize(r->base, l->item, capacity * sizeof *item);
        if (!item)
            return NULL;
        l->item = item;
        l->capacity = capacity;
    }
    l->item[l->count] = (struct tier__run_item){.kind = 0};
    return &l->item[l->count++];
}

static struct tier__run_of *view_add(struct tier__run *r)
{
    if (r->view_count == r->view_capacity) {
        size_t capacity = r->view_capacity ? 2 * r->view_capacity : 16;
        struct tier__run_of *view = tier__resize(r->base, r->view, capacity * sizeof *view);
        if (!view)
            return NULL;
        r->view = view;
        r->view_capacity = capacity;
    }
    r->view[r->view_count] = (struct tier__run_of){.run = 0};
    return &r->view[r->view_count++];
}

/* The newest first: what a record belongs to began not long ago. */
static struct tier__run_of *view_of(struct tier__run *r, uint64_t run, uint64_t id)
{
    for (size_t i = r->view_count; i-- > 0;)
        if (r->view[i].run == run && r->view[i].view == id && !r->view[i].ended)
            return &r->view[i];
    return NULL;
}

/* ---- records */
static struct tier__run_text text(struct tier__reader *r)
{
    struct tier__run_text t = {"", 0};
    size_t size;
    const char *at = tier__read_bytes(r, &size);
    if (at && !r->failed)
        t = (struct tier__run_text){at, size};
    return t;
}

static void digest(struct tier__reader *r, tier_digest *d)
{
    const void *at = tier__read_raw(r, sizeof d->byte);
    if (at)
        memcpy(d->byte, at, sizeof d->byte);
}

static int read_begin(struct tier__run *run, struct tier__reader *r, uint64_t of, uint64_t id)
{
    struct tier__run_of *v = view_add(run);
    if (!v)
        return TIER_ENOMEM;
    v->run = of;
    v->view = id;
    v->clock_ms = (int64_t)tier__read_u64(r);
    v->bans = tier__read_u64(r);
    digest(r, &v->workspace);
    v->app = text(r);
    return TIER_OK;
}

static int read_seen(struct tier__run *run, struct tier__reader *r, uint32_t view)
{
    for (uint32_t left = tier__read_u32(r); left && !r->failed; left--) {
        struct tier__run_item *i = add(run, &run->seen);
        if (!i)
            return TIER_ENOMEM;
        i->view = view;
        i->kind = tier__read_u8(r);
        i->flags = tier__read_u8(r);
        i->fields = tier__read_u32(r);
        i->path = text(r);
        if (tier__read_u8(r) || memchr(i->path.at, 0, i->path.size))
            r->failed = true;
        i->name = text(r);
        digest(r, &i->value);
        if (i->kind == TIER__K_RESULT) {
            digest(r, &i->key);
            i->label = text(r);
            r->failed |= i->name.size != sizeof(tier_digest);
        }
    }
    return TIER_OK;
}

static int read_asked(struct tier__run *run, struct tier__reader *r, uint32_t view)
{
    struct tier__run_item *i = add(run, &run->asked);
    if (!i)
        return TIER_ENOMEM;
    i->view = view;
    i->kind = TIER__K_RESULT;
    i->session = tier__read_u64(r);
    const char *identity = tier__read_raw(r, sizeof(tier_digest));
    i->name = (struct tier__run_text){identity, sizeof(tier_digest)};
    i->label = text(r);
    i->rc = (int32_t)tier__read_u32(r);
    i->from = tier__read_u32(r);
    i->flags = tier__read_u8(r);
    digest(r, &i->key);
    digest(r, &i->value);
    i->cost_us = tier__read_u32(r);
    i->why = text(r);
    r->failed |= i->rc > 0;
    return TIER_OK;
}

static int read_record(struct tier__run *run, uint32_t what, const unsigned char *bytes, size_t size)
{
    struct tier__reader r = tier__reader_of(bytes, size);
    uint64_t of = tier__read_u64(&r), id = tier__read_u64(&r);
    int rc = TIER_OK;
    if (what == TIER__RUN_BEGIN) {
        rc = read_begin(run, &r, of, id);
    } else {
        struct tier__run_of *v = view_of(run, of, id);
        if (!v || what > TIER__RUN_END)
            return TIER_EDAMAGE;
        if (what == TIER__RUN_SEEN) {
            rc = read_seen(run, &r, (uint32_t)(v - run->view));
        } else if (what == TIER__RUN_ASKED) {
            rc = read_asked(run, &r, (uint32_t)(v - run->view));
        } else {
            v->changed = tier__read_u32(&r);
            v->ended = true;
        }
    }
    return rc ? rc : r.failed || r.at != r.end ? TIER_EDAMAGE : TIER_OK;
}

int tier__run_read(struct tier__run *run, const void *data, size_t size, size_t *at)
{
    struct tier__reader r = tier__reader_of(data, size);
    int rc = size ? TIER_OK : TIER_EDAMAGE;
    for (*at = 0; !rc && r.at < r.end; *at = (size_t)(r.at - (const unsigned char *)data)) {
        struct tier__reader h = r;
        size_t left = (size_t)(r.end - r.at);
        const void *magic = tier__read_raw(&h, 8);
        uint32_t what = tier__read_u32(&h), bytes_size = tier__read_u32(&h);
        uint64_t sum = tier__read_u64(&h);
        bool header = !h.failed;
        const unsigned char *bytes = tier__read_raw(&h, bytes_size);
        if (memcmp(magic ? magic : r.at, TIER__RUN_MAGIC, left < 8 ? left : 8) != 0 ||
            (header && bytes_size > TIER__RUN_SIZE_MAX)) {
            rc = TIER_EDAMAGE;
        } else if (h.failed) { /* cut off */
            run->torn = true;
            return *at ? TIER_OK : TIER_EDAMAGE;
        } else if (tier__checksum(bytes, bytes_size, what) != sum) {
            rc = TIER_EDAMAGE;
        } else {
            rc = read_record(run, what, bytes, bytes_size);
        }
        if (rc)
            break;
        r = h;
    }
    return rc;
}
