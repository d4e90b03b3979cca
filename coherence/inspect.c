/* inspect.c - tier_inspect: the record behind a key, in full or printed short form. */
#include "coherence/admin_tell.h"
#include <ctype.h>

struct inspect {
    struct tier__tell t;
    tier_digest key; /* in full */
    int tier;        /* short: TIER_FILE, ... */
    unsigned char path[4], content[8];
    bool is_short;
    uint64_t found;
};

static bool hex_read(const char *text, size_t digits, unsigned char *out)
{
    for (size_t i = 0; i < digits; i++) {
        int c = tolower((unsigned char)text[i]);
        int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (v < 0)
            return false;
        out[i / 2] = (unsigned char)(i % 2 ? out[i / 2] | v : v << 4);
    }
    return true;
}

static bool key_read(const char *text, struct inspect *x)
{
    static const char *const name[] = {"", "file:", "tree:", "delta:"};
    size_t n = strlen(text);
    if (n == 64 && hex_read(text, 64, x->key.byte))
        return true;
    for (int t = TIER_FILE; t <= TIER_DELTA; t++) {
        size_t head = strlen(name[t]);
        if (strncmp(text, name[t], head) != 0 || n != head + 8 + 1 + 16 || text[head + 8] != '_')
            continue;
        x->tier = t;
        x->is_short = hex_read(text + head, 8, x->path) && hex_read(text + head + 9, 16, x->content);
    }
    return x->is_short;
}

static void open_record(struct inspect *x, const char *table)
{
    if (x->t.json)
        tier__buf_printf(&x->t.out, "%s{\"table\":\"%s\"", x->found ? "," : "", table);
    else
        tier__buf_printf(&x->t.out, "%s%s\n", x->found ? "\n" : "", table);
    x->found++;
}

static void close_record(struct inspect *x)
{
    if (x->t.json)
        tier__buf_printf(&x->t.out, "}");
}

static void number(struct inspect *x, const char *name, uint64_t value)
{
    tier__buf_printf(&x->t.out, x->t.json ? ",\"%s\":%llu" : "  %-12s %llu\n", name,
                     (unsigned long long)value);
}

static void hex_field(struct inspect *x, const char *name, const void *data, size_t size)
{
    struct tier__buf b;
    tier__buf_init(&b, x->t.a->base);
    tier__hex(data, size, &b);
    tier__buf_u8(&b, 0);
    if (!b.failed)
        tier__tell_field(&x->t, name, (char *)b.data);
    tier__buf_fini(&b);
}

static void tell_request(struct inspect *x, const void *identity, const void *data, size_t size)
{
    open_record(x, "variants");
    if (x->t.json)
        tier__buf_printf(&x->t.out, ",\"record\":");
    tier__tell_request(&x->t, identity, data, size);
    close_record(x);
}

static bool path_matches(const struct inspect *x, const char *path)
{
    tier_digest d;
    tier__digest_of(path, strlen(path), &d);
    return memcmp(d.byte, x->path, sizeof x->path) == 0;
}

/* ---- short forms: one pass ---- */
static int short_variant(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct inspect *x = user;
    struct tier__request_record q;
    struct tier__variant_record d;
    struct tier__reader r = tier__reader_of(data, size);
    if (key_size != sizeof(tier_digest) || !tier__get_node(&r, &q) || (int)q.tier != x->tier ||
        !path_matches(x, q.request.path))
        return 0;
    for (uint8_t left = tier__read_u8(&r); left && tier__get_variant(&r, &d); left--)
        if (memcmp(d.key.byte, x->content, sizeof x->content) == 0) {
            tell_request(x, key, data, size);
            break;
        }
    return 0;
}

static int short_stat(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct inspect *x = user;
    struct tier__stat_record s;
    char path[TIER__KEY_MAX + 1];
    struct tier__buf when;
    if (key_size <= TIER__WORKSPACE_KEY || !tier__get_stat(data, size, &s) ||
        memcmp(s.digest.byte, x->content, sizeof x->content) != 0)
        return 0;
    size_t n = key_size - TIER__WORKSPACE_KEY;
    memcpy(path, (const char *)key + TIER__WORKSPACE_KEY, n);
    path[n] = 0;
    if (!path_matches(x, path))
        return 0;
    open_record(x, "stats");
    tier__tell_field(&x->t, "path", path);
    hex_field(x, "digest", s.digest.byte, sizeof s.digest.byte);
    hex_field(x, "workspace", key, TIER__WORKSPACE_KEY);
    number(x, "device", s.id.dev);
    number(x, "inode", s.id.ino);
    number(x, "bytes", s.id.size);
    tier__buf_init(&when, x->t.a->base);
    tier__when_text(s.id.mtime_ns / 1000000, &when);
    tier__tell_field(&x->t, "modified", when.failed ? "" : (char *)when.data);
    tier__buf_clear(&when);
    tier__when_text(s.observed_at / 1000000, &when);
    tier__tell_field(&x->t, "observed", when.failed ? "" : (char *)when.data);
    tier__buf_fini(&when);
    close_record(x);
    return 0;
}

/* ---- 64 digits: wherever they are a key ---- */
static void full_blob(struct inspect *x, const struct tier__buf *b)
{
    size_t n = b->size < sizeof(tier_digest) ? b->size : b->size - sizeof(tier_digest);
    open_record(x, "blobs");
    number(x, "bytes", n);
    if (n < b->size)
        hex_field(x, "value_hash", b->data + n, sizeof(tier_digest));
    hex_field(x, "begins", b->data, n < 64 ? n : 64);
    close_record(x);
}

static int full(struct inspect *x)
{
    tier__store *st = x->t.a->store;
    const unsigned char *key = x->key.byte;
    struct tier__buf b;
    tier__buf_init(&b, x->t.a->base);
    if (tier__store_get(st, NULL, TIER__VARIANT, key, sizeof x->key.byte, &b) == 0)
        tell_request(x, key, b.data, b.size);
    if (tier__store_get(st, NULL, TIER__BLOB, key, sizeof x->key.byte, &b) == 0)
        full_blob(x, &b);
    if (tier__store_get(st, NULL, TIER__ID, key, sizeof x->key.byte, &b) == 0) {
        struct tier__reader r = tier__reader_of(b.data, b.size);
        open_record(x, "names");
        tier__tell_name(&x->t, tier__read_u32(&r));
        close_record(x);
    }
    if (tier__store_get(st, NULL, TIER__WORKSPACE, key, sizeof x->key.byte, &b) == 0) {
        open_record(x, "workspaces");
        tier__tell_field(&x->t, "path", (char *)b.data);
        close_record(x);
    }
    int rc = b.failed ? TIER_ENOMEM : 0;
    tier__buf_fini(&b);
    return rc;
}

int tier_inspect(tier_admin *a, const char *key, const char *format, tier_sink *sink, void *user)
{
    if (!a || a->magic != TIER__ADMIN_MAGIC || !key || !sink)
        return TIER_EINVAL;
    struct inspect x = {.tier = 0};
    if (!key_read(key, &x))
        return tier__admin_fail(
            a, TIER_EINVAL,
            strspn(key, "0123456789abcdefABCDEF") == strlen(key)
                ? "'%s' is no key: value hashes cannot be looked up; keys as printed by "
                  "explain can"
                : "'%s' is no key: 64 hex digits, or as in tree:9f86d081_2c26b46b68ffc68f",
            key);
    int rc = tier__tell_begin(&x.t, a, format);
    x.t.all = x.t.full = true;
    if (!rc && x.t.json) {
        tier__buf_printf(&x.t.out, "{\"schema\":1,\"command\":\"inspect\",\"key\":");
        tier__json_text(&x.t.out, key);
        tier__buf_printf(&x.t.out, ",\"records\":[");
    }
    if (!rc && !x.is_short)
        rc = full(&x);
    else if (!rc)
        rc = tier__store_each(a->store, x.tier == TIER_FILE ? TIER__STAT : TIER__VARIANT,
                              x.tier == TIER_FILE ? short_stat : short_variant, &x);
    if (!rc && !x.found)
        rc = tier__admin_fail(a, TIER_EABSENT, "no record has the key %s", key);
    if (!rc && x.t.json)
        tier__buf_printf(&x.t.out, "]}\n");
    return tier__tell_end(&x.t, rc, sink, user);
}
