/* record.h - how what is known looks on disk. Pure encoding: no store, no locks. Little endian; every record
 * begins with its format number and is framed and checksummed by the store. tiercheck reads the same records
 * through this door.
 *
 * variants  identity -> request, then the newest 8 variants; their edges are (id, observation version) of
 * names names     id -> a dependency's kind and name, and its observed values by version: the newest 64 ids
 * digest of kind and name -> id I1: nothing in a request or a name depends on a machine's paths. edge_sum
 * ties the edges of a variant to the names and values that they stood for when they were written: an id that
 * means something else by now makes no match. */
#ifndef TIER_RECORD_H
#define TIER_RECORD_H
#include "coherence/manager.h"

enum { TIER__RECORD_FORMAT = 1, TIER__DISK_VERSIONS = 64 };
/* Where a variant's value is; 0: in the variant, or nowhere. CHEAP: nowhere, as form 0 says already. */
enum { TIER__VALUE_APART = 1, TIER__VALUE_CHEAP = 2 };

struct tier__request_record {
    struct tier__request request;
    const char *type, *app; /* point into the record */
    uint32_t version, tier;
};
struct tier__variant_record { /* points into the record */
    tier_digest key, hash;
    int32_t rc;
    uint64_t born, size, edge_sum;
    int64_t created_ms, expires_ms;
    uint32_t cost_us, edge_count;
    uint8_t form;
    bool blob_stored, cheap;
    const char *text, *tags, *cause;
    const void *small; /* the blob, where it is in the record; small_size 0: it is not */
    size_t text_size, tags_size, small_size;
    tier_digest was, is;
    const unsigned char *edges; /* edge_count times u32 id, u32 version */
    const unsigned char *begin; /* of its bytes */
    size_t size_on_disk;
};
struct tier__name_record {
    uint8_t kind;
    uint32_t fields, first, count;
    const char *path; /* key path; "" and has_path false: none */
    bool has_path, has_request;
    const void *name;
    size_t name_size;
    struct tier__request request;
    const unsigned char *values; /* count digests */
};
struct tier__stat_record {
    struct tier__statid id;
    int64_t observed_at;
    tier_digest digest;
};

void tier__put_request(struct tier__buf *b, const struct tier__request *q);
void tier__put_node(struct tier__buf *b, tier_cache *c,
                    const tier__node *n); /* the head of a variants record */
bool tier__get_node(struct tier__reader *r,
                    struct tier__request_record *out); /* then u8 count, then variants */
bool tier__get_variant(struct tier__reader *r, struct tier__variant_record *out);
bool tier__get_name(const void *data, size_t size, struct tier__name_record *out);
void tier__put_stat(struct tier__buf *b, const struct tier__stat_record *s);
bool tier__get_stat(const void *data, size_t size, struct tier__stat_record *out);
/* Key of a path's stat identity: the workspace's digest (16 bytes), then the key path, or its digest when it
 * is long. */
size_t tier__stat_key(const tier_digest *workspace, const char *path, unsigned char key[TIER__KEY_MAX]);
enum { TIER__WORKSPACE_KEY = 16 };

/* load.c, for flush.c; graph lock held where the name says so */
bool tier__dep_learn_locked(tier_cache *c, struct tier__dep *d, uint32_t id, uint32_t first, uint32_t count,
                            const unsigned char *values);
uint64_t tier__edge_sum_locked(tier_cache *c, const struct tier__edge *edges, uint32_t count);
size_t tier__id_key(uint32_t id, unsigned char key[4]);
#endif
