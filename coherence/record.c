/* record.c - encodings of what is known; see record.h. */
#include "coherence/record.h"

void tier__put_request(struct tier__buf *b, const struct tier__request *q)
{
    tier__buf_put(b, q->type.byte, sizeof q->type.byte);
    tier__buf_u8(b, (uint8_t)(q->has_path | q->has_args << 1 | q->content << 2));
    tier__buf_str(b, q->path);
    tier__buf_u8(b, 0);
    tier__buf_bytes(b, q->args, q->args_size);
}

static const char *get_string(struct tier__reader *r)
{
    size_t n;
    const char *s = tier__read_bytes(r, &n);
    if (!s || tier__read_u8(r) != 0 || memchr(s, 0, n)) /* the 0 behind it makes it a string in place */
        r->failed = true;
    return r->failed ? "" : s;
}

static void put_string(struct tier__buf *b, const char *s)
{
    tier__buf_str(b, s);
    tier__buf_u8(b, 0);
}

static void get_digest(struct tier__reader *r, tier_digest *d)
{
    const void *p = tier__read_raw(r, sizeof d->byte);
    if (p)
        memcpy(d->byte, p, sizeof d->byte);
    else
        memset(d, 0, sizeof *d);
}

static void get_request(struct tier__reader *r, struct tier__request *q)
{
    get_digest(r, &q->type);
    uint8_t flags = tier__read_u8(r);
    q->has_path = flags & 1;
    q->has_args = flags & 2;
    q->content = flags & 4;
    q->path = get_string(r);
    q->args = tier__read_bytes(r, &q->args_size);
    if (flags & ~7 || (q->content && q->args_size != sizeof(tier_digest)))
        r->failed = true;
}

void tier__put_node(struct tier__buf *b, tier_cache *c, const tier__node *n)
{
    struct tier__request q = {.type = n->type->identity,
                              .has_path = n->path != NULL,
                              .has_args = n->args != NULL,
                              .content = n->content,
                              .path = n->path ? n->path->key : "",
                              .args = n->args ? n->args : "",
                              .args_size = n->args_size};
    tier__buf_u8(b, TIER__RECORD_FORMAT);
    tier__put_request(b, &q);
    put_string(b, n->type->name);
    put_string(b, c->app);
    tier__buf_u32(b, n->type->def.version);
    tier__buf_u32(b, n->type->def.tier);
}

bool tier__get_node(struct tier__reader *r, struct tier__request_record *out)
{
    if (tier__read_u8(r) != TIER__RECORD_FORMAT)
        r->failed = true;
    get_request(r, &out->request);
    out->type = get_string(r);
    out->app = get_string(r);
    out->version = tier__read_u32(r);
    out->tier = tier__read_u32(r);
    return !r->failed;
}

bool tier__get_variant(struct tier__reader *r, struct tier__variant_record *v)
{
    v->begin = r->at;
    get_digest(r, &v->key);
    get_digest(r, &v->hash);
    v->rc = (int32_t)tier__read_u32(r);
    v->born = tier__read_u64(r);
    v->created_ms = (int64_t)tier__read_u64(r);
    v->expires_ms = (int64_t)tier__read_u64(r);
    v->size = tier__read_u64(r);
    v->edge_sum = tier__read_u64(r);
    v->cost_us = tier__read_u32(r);
    v->form = tier__read_u8(r);
    uint8_t where = tier__read_u8(r);
    v->blob_stored = where == TIER__VALUE_APART;
    v->cheap = where == TIER__VALUE_CHEAP;
    v->text = tier__read_bytes(r, &v->text_size);
    v->tags = tier__read_bytes(r, &v->tags_size);
    v->small = tier__read_bytes(r, &v->small_size);
    v->cause = get_string(r);
    get_digest(r, &v->was);
    get_digest(r, &v->is);
    v->edge_count = tier__read_u32(r);
    v->edges = tier__read_raw(r, (size_t)v->edge_count * 8);
    v->size_on_disk = (size_t)(r->at - v->begin);
    if (v->form > 3 || where > TIER__VALUE_CHEAP || (v->cheap && v->form) || v->rc > 0 ||
        (v->tags_size && v->tags && v->tags[v->tags_size - 1]))
        r->failed = true;
    return !r->failed;
}

bool tier__get_name(const void *data, size_t size, struct tier__name_record *n)
{
    struct tier__reader r = tier__reader_of(data, size);
    memset(n, 0, sizeof *n);
    if (tier__read_u8(&r) != TIER__RECORD_FORMAT)
        return false;
    n->kind = tier__read_u8(&r);
    n->fields = tier__read_u32(&r);
    uint8_t flags = tier__read_u8(&r);
    n->has_path = flags & 1;
    n->has_request = flags & 2;
    n->path = get_string(&r);
    n->name = tier__read_bytes(&r, &n->name_size);
    if (n->has_request)
        get_request(&r, &n->request);
    n->first = tier__read_u32(&r);
    n->count = tier__read_u32(&r);
    if (n->count > TIER__DISK_VERSIONS)
        return false;
    n->values = tier__read_raw(&r, (size_t)n->count * sizeof(tier_digest));
    return !r.failed && n->kind >= TIER__K_CONTENT && n->kind <= TIER__K_TOOL;
}

void tier__put_stat(struct tier__buf *b, const struct tier__stat_record *s)
{
    tier__buf_u8(b, TIER__RECORD_FORMAT);
    tier__buf_u64(b, s->id.dev);
    tier__buf_u64(b, s->id.ino);
    tier__buf_u64(b, s->id.size);
    tier__buf_u64(b, (uint64_t)s->id.mtime_ns);
    tier__buf_u64(b, (uint64_t)s->id.ctime_ns);
    tier__buf_u32(b, s->id.mode);
    tier__buf_u64(b, (uint64_t)s->observed_at);
    tier__buf_put(b, s->digest.byte, sizeof s->digest.byte);
}

bool tier__get_stat(const void *data, size_t size, struct tier__stat_record *s)
{
    struct tier__reader r = tier__reader_of(data, size);
    if (tier__read_u8(&r) != TIER__RECORD_FORMAT)
        return false;
    memset(s, 0, sizeof *s);
    s->id.dev = tier__read_u64(&r);
    s->id.ino = tier__read_u64(&r);
    s->id.size = tier__read_u64(&r);
    s->id.mtime_ns = (int64_t)tier__read_u64(&r);
    s->id.ctime_ns = (int64_t)tier__read_u64(&r);
    s->id.mode = tier__read_u32(&r);
    s->observed_at = (int64_t)tier__read_u64(&r);
    get_digest(&r, &s->digest);
    return !r.failed && r.at == r.end;
}

size_t tier__stat_key(const tier_digest *workspace, const char *path, unsigned char key[TIER__KEY_MAX])
{
    size_t n = strlen(path);
    memcpy(key, workspace->byte, TIER__WORKSPACE_KEY);
    if (n <= TIER__KEY_MAX - TIER__WORKSPACE_KEY - 40) {
        memcpy(key + TIER__WORKSPACE_KEY, path, n);
        return TIER__WORKSPACE_KEY + n;
    }
    tier_digest d;
    tier__digest_of(path, n, &d);
    memcpy(key + TIER__WORKSPACE_KEY, "\0long", 5);
    memcpy(key + TIER__WORKSPACE_KEY + 5, d.byte, sizeof d.byte);
    return TIER__WORKSPACE_KEY + 5 + sizeof d.byte;
}
