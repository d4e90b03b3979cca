/* gate.c - see gate.h. Offsets and flags are those of LMDB 0.9 on a 64-bit little-endian machine. */
#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tiers/gate.h"

enum {
    PAGE_HEAD = 16,
    PAGE_MIN = 512,
    PAGE_MAX = 32768,
    NODE_HEAD = 8,
    META_BYTES = 152,
    DB_BYTES = 48,
    DEPTH_MAX = 32, /* LMDB's CURSOR_STACK */
    DBKEY_MAX = 511,
    BRANCH = 1,
    LEAF = 2,
    OVERFLOW = 4,
    META = 8,
    BIGDATA = 1,
    INTEGERKEY = 8,
    READ_STEP = 64 * 1024,
    /* Pages at the end that a transaction took and freed again were never written, so the file may be
     * shorter than its last page says; a transaction has at most 128 Ki dirty pages. */
    UNWRITTEN_MAX = 131072
};
#define NO_PAGE UINT64_MAX
#define BYTES_MAX (UINT64_C(1) << 46) /* of a map: far beyond any store, well within the address space */

struct db {
    unsigned flags, depth;
    uint64_t branches, leaves, overflows, entries, root;
};

struct meta {
    uint64_t psize, mapsize, last, txn;
    struct db db[2]; /* free list, main */
};

struct level {
    unsigned char *page;
    unsigned next, count;
    const unsigned char *low, *high; /* keys are >= low and < high; NULL: no bound */
    size_t low_size, high_size;
};

struct gate {
    struct tier__base *base;
    int fd;
    uint64_t file_size, file_pages;
    struct meta meta;
    unsigned char *seen; /* a bit per page */
    struct level level[DEPTH_MAX];
    uint16_t *starts; /* per two bytes of a page: size of the node that starts there, 0: none */
    bool free_list;
    struct db found;
    struct tier__gate_report *report;
};

static uint16_t get16(const unsigned char *at)
{
    uint16_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

static uint32_t get32(const unsigned char *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

static uint64_t get64(const unsigned char *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

__attribute__((format(printf, 3, 4))) static int refuse(struct gate *g, const char *code, const char *format,
                                                        ...)
{
    g->report->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(g->report->detail, sizeof g->report->detail, format, args);
    va_end(args);
    return TIER_EDAMAGE;
}

static int read_at(struct gate *g, uint64_t offset, void *to, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(g->fd, (char *)to + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            refuse(g, "store-gate-read", "read at byte %llu: %s", (unsigned long long)(offset + done),
                   strerror(errno));
            return TIER_EIO;
        }
        if (n == 0)
            return refuse(g, "store-gate-truncated", "the file ends at byte %llu",
                          (unsigned long long)(offset + done));
        done += (size_t)n;
    }
    return TIER_OK;
}

/* Marks count pages from pgno as used: each within bounds and never before. */
static int claim(struct gate *g, uint64_t pgno, uint64_t count, bool written)
{
    if (pgno < 2 || count == 0 || pgno > g->meta.last || count > g->meta.last - pgno + 1)
        return refuse(g, "store-gate-bounds", "page %llu (%llu pages) is outside of the store",
                      (unsigned long long)pgno, (unsigned long long)count);
    if (written && pgno + count > g->file_pages)
        return refuse(g, "store-gate-truncated", "page %llu (%llu pages) is behind the end of the file",
                      (unsigned long long)pgno, (unsigned long long)count);
    for (uint64_t p = pgno; p < pgno + count; p++) {
        if (g->seen[p / 8] & (1u << (p % 8)))
            return refuse(g, "store-gate-double", "page %llu is used twice", (unsigned long long)p);
        g->seen[p / 8] |= (unsigned char)(1u << (p % 8));
    }
    g->report->pages += count;
    return TIER_OK;
}

static void parse_db(const unsigned char *at, struct db *d)
{
    d->flags = get16(at + 4);
    d->depth = get16(at + 6);
    d->branches = get64(at + 8);
    d->leaves = get64(at + 16);
    d->overflows = get64(at + 24);
    d->entries = get64(at + 32);
    d->root = get64(at + 40);
}

static int check_db(struct gate *g, const struct meta *m, const struct db *d, unsigned flags)
{
    if (d->flags != flags)
        return refuse(g, "store-gate-meta", "database flags %#x", d->flags);
    if (d->root == NO_PAGE ? d->depth != 0 || d->entries != 0
                           : d->depth < 1 || d->depth > DEPTH_MAX || d->root < 2 || d->root > m->last)
        return refuse(g, "store-gate-meta", "root %llu at depth %u", (unsigned long long)d->root, d->depth);
    return TIER_OK;
}

static int read_meta(struct gate *g, uint64_t offset, uint64_t pgno, struct meta *m)
{
    unsigned char raw[META_BYTES];
    int rc = read_at(g, offset, raw, sizeof raw);
    if (rc)
        return rc;
    if (get16(raw + 10) != META || get64(raw) != pgno || get32(raw + 16) != 0xBEEFC0DEu ||
        get32(raw + 20) != 1)
        return refuse(g, "store-gate-meta", "meta page %llu has no valid head", (unsigned long long)pgno);
    m->mapsize = get64(raw + 32);
    m->psize = get32(raw + 40);
    m->last = get64(raw + 136);
    m->txn = get64(raw + 144);
    parse_db(raw + 40, &m->db[0]);
    parse_db(raw + 88, &m->db[1]);
    if (m->psize < PAGE_MIN || m->psize > PAGE_MAX || (m->psize & (m->psize - 1)))
        return refuse(g, "store-gate-meta", "page size %llu", (unsigned long long)m->psize);
    if (get64(raw + 24) != 0 || m->mapsize > BYTES_MAX || m->txn > UINT64_MAX / 4 || m->last < 1)
        return refuse(g, "store-gate-meta", "meta page %llu: map %llu, transaction %llu, last page %llu",
                      (unsigned long long)pgno, (unsigned long long)m->mapsize, (unsigned long long)m->txn,
                      (unsigned long long)m->last);
    if (m->last >= g->file_size / m->psize + UNWRITTEN_MAX)
        return refuse(g, "store-gate-truncated", "%llu bytes, but the last page is %llu",
                      (unsigned long long)g->file_size, (unsigned long long)m->last);
    rc = check_db(g, m, &m->db[0], INTEGERKEY);
    return rc ? rc : check_db(g, m, &m->db[1], 0);
}

/* The key of node i of a page that was checked. */
static const unsigned char *node_key(const unsigned char *page, unsigned i, size_t *size)
{
    const unsigned char *node = page + get16(page + PAGE_HEAD + 2 * i);
    *size = get16(node + 6);
    return node + NODE_HEAD;
}

static int compare(const struct gate *g, const unsigned char *a, size_t a_size, const unsigned char *b,
                   size_t b_size)
{
    if (g->free_list) {
        uint64_t x = a_size == 8 ? get64(a) : 0, y = b_size == 8 ? get64(b) : 0;
        return (x > y) - (x < y);
    }
    size_t least = a_size < b_size ? a_size : b_size;
    int d = least ? memcmp(a, b, least) : 0;
    return d ? d : (a_size > b_size) - (a_size < b_size);
}

/* Bounds and bytes of one node; the size that it takes, or 0. */
static size_t node_size(const struct gate *g, const unsigned char *page, size_t offset, bool leaf)
{
    size_t psize = g->meta.psize;
    if (offset % 2 || offset + NODE_HEAD > psize)
        return 0;
    const unsigned char *node = page + offset;
    size_t size = NODE_HEAD + get16(node + 6);
    unsigned flags = get16(node + 4);
    if (leaf) {
        if (flags & ~(unsigned)BIGDATA) /* no nested trees, no duplicates in our stores */
            return 0;
        size += flags & BIGDATA ? sizeof(uint64_t) : get32(node);
    }
    size += size % 2;
    return size > psize - offset ? 0 : size;
}

/* Nodes tile the page from upper to its end, each is pointed at once. */
static int check_tiles(struct gate *g, const unsigned char *page, uint64_t pgno, bool leaf, unsigned count)
{
    size_t psize = g->meta.psize, upper = get16(page + 14);
    memset(g->starts, 0, psize / 2 * sizeof *g->starts);
    for (unsigned i = 0; i < count; i++) {
        size_t offset = get16(page + PAGE_HEAD + 2 * i);
        size_t size = offset < upper ? 0 : node_size(g, page, offset, leaf);
        if (!size || g->starts[offset / 2])
            return refuse(g, "store-gate-node", "page %llu, node %u", (unsigned long long)pgno, i);
        g->starts[offset / 2] = (uint16_t)size;
    }
    unsigned met = 0;
    size_t at = upper;
    while (at < psize && g->starts[at / 2]) {
        at += g->starts[at / 2];
        met++;
    }
    if (at != psize || met != count)
        return refuse(g, "store-gate-node", "page %llu: its nodes overlap or leave gaps",
                      (unsigned long long)pgno);
    return TIER_OK;
}

static int check_order(struct gate *g, const struct level *l, uint64_t pgno, bool leaf)
{
    const unsigned char *last = l->low;
    size_t last_size = l->low_size;
    for (unsigned i = leaf ? 0 : 1; i < l->count; i++) { /* a branch's first key is not looked at by LMDB */
        size_t size;
        const unsigned char *key = node_key(l->page, i, &size);
        if (size < 1 || size > DBKEY_MAX || (g->free_list && size != sizeof(uint64_t)))
            return refuse(g, "store-gate-key", "page %llu: a key of %zu bytes", (unsigned long long)pgno,
                          size);
        /* Equal is right for a leaf's first key and the separator it came from, never within a page. */
        int d = last ? compare(g, last, last_size, key, size) : -1;
        bool first = i == (leaf ? 0u : 1u);
        if (d > 0 || (d == 0 && !(first && leaf)))
            return refuse(g, "store-gate-key", "page %llu: key %u is out of order", (unsigned long long)pgno,
                          i);
        last = key;
        last_size = size;
    }
    if (last && l->high && last != l->low && compare(g, last, last_size, l->high, l->high_size) >= 0)
        return refuse(g, "store-gate-key", "page %llu: a key belongs to its neighbour",
                      (unsigned long long)pgno);
    return TIER_OK;
}

/* Reads page pgno into level d, whose bounds are set, and checks all that can be seen in it alone. */
static int enter(struct gate *g, unsigned d, uint64_t pgno, const struct db *db)
{
    struct level *l = &g->level[d];
    bool leaf = d + 1 == db->depth;
    size_t psize = g->meta.psize;
    if (!l->page && !(l->page = tier__alloc(g->base, psize)))
        return TIER_ENOMEM;
    int rc = claim(g, pgno, 1, true);
    if (!rc)
        rc = read_at(g, pgno * psize, l->page, psize);
    if (rc)
        return rc;
    unsigned flags = get16(l->page + 10);
    size_t lower = get16(l->page + 12), upper = get16(l->page + 14);
    if (get64(l->page) != pgno || flags != (leaf ? (unsigned)LEAF : (unsigned)BRANCH))
        return refuse(g, "store-gate-page", "page %llu: says number %llu, kind %#x", (unsigned long long)pgno,
                      (unsigned long long)get64(l->page), flags);
    if (lower < PAGE_HEAD || lower % 2 || upper % 2 || lower > upper || upper > psize)
        return refuse(g, "store-gate-page", "page %llu: bounds %zu, %zu", (unsigned long long)pgno, lower,
                      upper);
    l->count = (unsigned)(lower - PAGE_HEAD) / 2;
    l->next = 0;
    if (l->count < (leaf || g->free_list ? 1u : 2u)) /* LMDB aborts on a branch of one in the main tree */
        return refuse(g, "store-gate-page", "page %llu: %u nodes", (unsigned long long)pgno, l->count);
    rc = check_tiles(g, l->page, pgno, leaf, l->count);
    if (!rc)
        rc = check_order(g, l, pgno, leaf);
    *(leaf ? &g->found.leaves : &g->found.branches) += 1;
    return rc;
}

/* A value outside of its leaf: a head and whole pages. */
static int check_overflow(struct gate *g, uint64_t pgno, uint64_t size)
{
    unsigned char head[PAGE_HEAD];
    uint64_t need = (PAGE_HEAD - 1 + size) / g->meta.psize + 1;
    if (pgno < 2 || pgno >= g->file_pages)
        return refuse(g, pgno < 2 || pgno > g->meta.last ? "store-gate-bounds" : "store-gate-truncated",
                      "overflow page %llu", (unsigned long long)pgno);
    int rc = read_at(g, pgno * g->meta.psize, head, sizeof head);
    if (rc)
        return rc;
    uint64_t have = get32(head + 12);
    if (get64(head) != pgno || get16(head + 10) != OVERFLOW || have < need)
        return refuse(g, "store-gate-overflow", "overflow page %llu: says number %llu, kind %#x, %llu pages",
                      (unsigned long long)pgno, (unsigned long long)get64(head), get16(head + 10),
                      (unsigned long long)have);
    g->found.overflows += have;
    return claim(g, pgno, have, true);
}

struct idl { /* reads a list of page numbers from a node or from overflow pages */
    const unsigned char *inside;
    uint64_t offset, size, at;
    unsigned char step[READ_STEP];
};

static int idl_next(struct gate *g, struct idl *l, uint64_t *id)
{
    if (l->inside) {
        *id = get64(l->inside + l->at);
    } else {
        if (l->at % READ_STEP == 0) {
            uint64_t left = l->size - l->at;
            int rc = read_at(g, l->offset + l->at, l->step, left < READ_STEP ? (size_t)left : READ_STEP);
            if (rc)
                return rc;
        }
        *id = get64(l->step + l->at % READ_STEP);
    }
    l->at += 8;
    return TIER_OK;
}

static int check_free(struct gate *g, struct idl *l)
{
    uint64_t count, last = NO_PAGE, id;
    if (l->size < 8)
        return refuse(g, "store-gate-free", "a list of free pages of %llu bytes",
                      (unsigned long long)l->size);
    int rc = idl_next(g, l, &count);
    if (!rc && count > l->size / 8 - 1)
        rc = refuse(g, "store-gate-free", "%llu free pages in %llu bytes", (unsigned long long)count,
                    (unsigned long long)l->size);
    while (!rc && count-- > 0) {
        rc = idl_next(g, l, &id);
        if (!rc && id >= last)
            rc = refuse(g, "store-gate-free", "free page %llu is out of order", (unsigned long long)id);
        if (!rc)
            rc = claim(g, id, 1, false);
        last = id;
    }
    return rc;
}

static int check_leaf(struct gate *g, const struct level *l)
{
    int rc = TIER_OK;
    for (unsigned i = 0; !rc && i < l->count; i++) {
        size_t key_size;
        const unsigned char *key = node_key(l->page, i, &key_size), *node = key - NODE_HEAD;
        bool big = get16(node + 4) & BIGDATA;
        uint64_t size = get32(node), pgno = big ? get64(key + key_size) : 0;
        if (big)
            rc = check_overflow(g, pgno, size);
        if (!rc && g->free_list) {
            uint64_t txn = get64(key);
            if (txn > g->meta.txn)
                return refuse(g, "store-gate-free", "pages freed by transaction %llu, not yet run",
                              (unsigned long long)txn);
            struct idl *list = tier__alloc(g->base, sizeof *list);
            if (!list)
                return TIER_ENOMEM;
            list->inside = big ? NULL : key + key_size;
            list->offset = pgno * g->meta.psize + PAGE_HEAD;
            list->size = size;
            list->at = 0;
            rc = check_free(g, list);
            tier__free(g->base, list);
        }
        g->found.entries++;
    }
    return rc;
}

/* Bounds of the child that level d stands at, for the level below. */
static void bound(struct gate *g, unsigned d)
{
    const struct level *l = &g->level[d];
    struct level *below = &g->level[d + 1];
    unsigned i = l->next;
    below->low = l->low;
    below->low_size = l->low_size;
    below->high = l->high;
    below->high_size = l->high_size;
    if (i > 0)
        below->low = node_key(l->page, i, &below->low_size);
    if (i + 1 < l->count)
        below->high = node_key(l->page, i + 1, &below->high_size);
}

static int walk(struct gate *g, const struct db *db)
{
    memset(&g->found, 0, sizeof g->found);
    if (db->root != NO_PAGE) {
        unsigned d = 0;
        g->level[0].low = g->level[0].high = NULL;
        int rc = enter(g, 0, db->root, db);
        while (!rc) {
            struct level *l = &g->level[d];
            if (d + 1 == db->depth) {
                rc = check_leaf(g, l);
                l->next = l->count;
            }
            if (rc)
                break;
            if (l->next == l->count) {
                if (d == 0)
                    break;
                g->level[--d].next++;
                continue;
            }
            const unsigned char *node = l->page + get16(l->page + PAGE_HEAD + 2 * l->next);
            uint64_t child = get32(node) | (uint64_t)get16(node + 4) << 32;
            bound(g, d);
            rc = enter(g, ++d, child, db);
        }
        if (rc)
            return rc;
    }
    if (g->found.branches != db->branches || g->found.leaves != db->leaves ||
        g->found.overflows != db->overflows || g->found.entries != db->entries)
        return refuse(g, "store-gate-count", "the meta page counts other pages or records than there are");
    return TIER_OK;
}

static int check_metas(struct gate *g)
{
    struct meta second;
    int rc = read_meta(g, 0, 0, &g->meta);
    if (!rc)
        rc = read_meta(g, g->meta.psize, 1, &second);
    if (!rc && second.psize != g->meta.psize)
        rc = refuse(g, "store-gate-meta", "the meta pages disagree on the page size");
    if (!rc && second.txn > g->meta.txn) /* LMDB uses the newer one, the first of equals */
        g->meta = second;
    return rc;
}

int tier__gate_check(struct tier__base *base, int fd, struct tier__gate_report *report)
{
    memset(report, 0, sizeof *report);
    struct stat st;
    struct gate *g = tier__zalloc(base, 1, sizeof *g);
    if (!g)
        return TIER_ENOMEM;
    g->base = base;
    g->fd = fd;
    g->report = report;
    int rc = TIER_OK;
    if (fstat(fd, &st) != 0) {
        rc = TIER_EIO;
        refuse(g, "store-gate-read", "fstat: %s", strerror(errno));
    }
    g->file_size = rc ? 0 : (uint64_t)st.st_size;
    if (rc || g->file_size == 0)
        goto out;
    if ((rc = check_metas(g)) != TIER_OK)
        goto out;
    g->file_pages = g->file_size / g->meta.psize;
    g->seen = tier__zalloc(base, (size_t)(g->meta.last / 8 + 1), 1);
    g->starts = tier__zalloc(base, g->meta.psize / 2, sizeof *g->starts);
    rc = g->seen && g->starts ? TIER_OK : TIER_ENOMEM;
    if (!rc)
        rc = walk(g, &g->meta.db[1]);
    report->entries = g->found.entries;
    g->free_list = true;
    if (!rc)
        rc = walk(g, &g->meta.db[0]);
out:
    for (unsigned i = 0; i < DEPTH_MAX; i++)
        tier__free(base, g->level[i].page);
    tier__free(base, g->seen);
    tier__free(base, g->starts);
    tier__free(base, g);
    return rc;
}
