/* admin_names.c - the names behind edges, as on disk: an index of them in memory, and what load.c, flush.c
 * and graph.c derive from a name, derived once more from the record alone. That both agree is what a check of
 * a sound store tests. */
#include "coherence/admin.h"
#include "tiers/checksum.h"

uint32_t tier__id_of_key(const void *key, size_t size)
{
    const unsigned char *k = key;
    return size == 4 ? (uint32_t)k[0] << 24 | (uint32_t)k[1] << 16 | (uint32_t)k[2] << 8 | k[3] : 0;
}

static int load_name(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct {
        tier_admin *a;
        struct tier__names *n;
    } *u = user;
    struct tier__names *n = u->n;
    uint32_t id = tier__id_of_key(key, key_size);
    if (!id)
        return 0;
    if (n->count == n->capacity) {
        size_t more = n->capacity ? n->capacity * 2 : 1024;
        struct tier__name_entry *grown = tier__resize(u->a->base, n->entry, more * sizeof *grown);
        if (!grown)
            return TIER_ENOMEM;
        n->entry = grown;
        n->capacity = more;
    }
    if (n->count && n->entry[n->count - 1].id >= id)
        return 0; /* keys come in order: met twice at a seam of two snapshots */
    n->entry[n->count++] = (struct tier__name_entry){.id = id, .at = n->raw.size, .size = size};
    tier__buf_put(&n->raw, data, size);
    return n->raw.failed ? TIER_ENOMEM : 0;
}

int tier__names_load(tier_admin *a, struct tier__names *n)
{
    struct {
        tier_admin *a;
        struct tier__names *n;
    } u = {a, n};
    *n = (struct tier__names){.count = 0};
    tier__buf_init(&n->raw, a->base);
    return tier__store_each(a->store, TIER__NAME, load_name, &u);
}

void tier__names_fini(tier_admin *a, struct tier__names *n)
{
    tier__buf_fini(&n->raw);
    tier__free(a->base, n->entry);
    *n = (struct tier__names){.count = 0};
}

struct tier__name_entry *tier__names_find(const struct tier__names *n, uint32_t id)
{
    size_t low = 0, high = n->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (n->entry[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n->count && n->entry[low].id == id ? &n->entry[low] : NULL;
}

bool tier__names_get(const struct tier__names *n, uint32_t id, struct tier__name_record *out)
{
    const struct tier__name_entry *e = tier__names_find(n, id);
    return e && tier__get_name(n->raw.data + e->at, e->size, out);
}

void tier__name_key(const struct tier__name_record *n, tier_digest *key)
{
    struct tier__hasher h;
    tier__hash_begin(&h, "tierkit name");
    tier__hash_u64(&h, (uint64_t)n->kind << 32 | n->fields);
    tier__hash_str(&h, n->has_path ? n->path : NULL);
    tier__hash_field(&h, n->name, n->name_size);
    tier__hash_end(&h, key);
}

uint64_t tier__name_stable(const struct tier__name_record *n)
{
    struct {
        uint64_t kind_fields, path, name;
    } k = {(uint64_t)n->kind << 32 | n->fields, 0, 0};
    k.path = n->has_path ? tier__checksum(n->path, strlen(n->path), 0) : 0;
    k.name = n->name_size ? tier__checksum(n->name, n->name_size, 3) : 0;
    return tier__checksum(&k, sizeof k, 5);
}

uint64_t tier__edge_sum_add(uint64_t sum, uint64_t stable, const void *value)
{
    struct {
        uint64_t stable, sum;
        tier_digest value;
    } k;
    k.stable = stable;
    k.sum = sum;
    memcpy(k.value.byte, value, sizeof k.value.byte);
    return tier__checksum(&k, sizeof k, 6);
}

void tier__name_text(const struct tier__name_record *n, struct tier__buf *b)
{
    tier__buf_printf(b, "%s of ", tier__kind_name(n->kind));
    if (n->kind == TIER__K_RESULT && n->has_request) {
        tier__request_text(&n->request, "", b);
        return;
    }
    if (n->kind == TIER__K_RESULT) {
        tier__buf_printf(b, "request ");
        tier__hex(n->name, n->name_size < 8 ? n->name_size : 8, b);
        return;
    }
    if (n->has_path)
        tier__buf_printf(b, "%s", *n->path ? n->path : ".");
    if (n->kind == TIER__K_LISTING)
        tier__buf_printf(b, " by ");
    tier__buf_put(b, n->name, n->name_size);
}

bool tier__name_text_at(tier_admin *a, const struct tier__at *at, const struct tier__name_record *n,
                        struct tier__buf *b)
{
    struct tier__request_record q;
    struct tier__buf record;
    if (n->kind != TIER__K_RESULT) {
        tier__name_text(n, b);
        return true;
    }
    tier__buf_init(&record, a->base);
    bool ok = tier__at_get(at, TIER__VARIANT, n->name, n->name_size, &record) == 0;
    struct tier__reader r = tier__reader_of(record.data, record.size);
    ok = ok && tier__get_node(&r, &q);
    if (ok) {
        tier__buf_printf(b, "result of ");
        tier__request_text(&q.request, q.type, b);
    } else {
        tier__name_text(n, b);
    }
    tier__buf_fini(&record);
    return ok;
}
