/* store_check.c - what tiercheck asks of a store: check and repair (I13). The file is walked by the gate
 * before LMDB sees it; then every record is fetched as a reader would. */
#include <fcntl.h>
#include <unistd.h>
#include "tiers/gate.h"
#include "tiers/problems.h"
#include "tiers/store_parts.h"

enum { LOCK_WAIT_MS = 5000, BATCH = 128 };

typedef void found_fn(void *user, const struct tier__store_problem *p);

struct check {
    struct tier__base *base;
    bool read_data;
    found_fn *found; /* NULL: nobody listens */
    void *user;
    bool aside; /* the store as a whole is damaged */
    uint64_t records;
};

static const char *table_name(enum tier__table t)
{
    static const char *const name[] = {
#define TIER__TABLE_NAME(id, text, k, v) text,
        TIER__TABLES(TIER__TABLE_NAME)
#undef TIER__TABLE_NAME
    };
    return name[t];
}

static void tell(struct check *c, const char *code, const char *detail)
{
    const struct tier__problem *known = tier__problem_of(code);
    if (known && known->severity == TIER__DAMAGE)
        c->aside = true;
    if (!c->found)
        return;
    struct tier__store_problem p = {.code = code};
    snprintf(p.detail, sizeof p.detail, "%s", detail);
    c->found(c->user, &p);
}

/* ---- the store as a whole ---- */

static void look_state(struct check *c, int dir, int data, bool sole)
{
    struct tier__state s;
    struct tier__boot boot;
    struct stat st;
    tier__boot_read(&boot);
    tier__state_read(dir, &boot, &s);
    if (s.left == TIER__LEFT_UNKNOWN && fstat(data, &st) == 0 && st.st_size > 0)
        tell(c, "store-state", "no valid line in v1/state");
    else if (s.left == TIER__LEFT_SUSPECT)
        tell(c, "store-suspect", "see the log of the program that used it");
    else if (s.left == TIER__LEFT_OPEN && sole && !s.this_boot && s.sync == TIER__SYNC_NONE)
        tell(c, "store-unsynced", "its transactions may be mixed");
    else if (s.left == TIER__LEFT_OPEN && sole)
        tell(c, "store-unclean", "no program has it open");
}

static int look_files(struct check *c, const struct tier__place *p, int dir)
{
    char text[200] = "";
    struct tier__why why = {text, sizeof text};
    int data = -1, lock = -1;
    int rc = tier__place_file(dir, "data.mdb", O_RDONLY, &data, &why);
    if (!rc)
        rc = tier__place_file(dir, "lock", p->writable ? O_RDWR : O_RDONLY, &lock, &why);
    if (rc) {
        tell(c, "store-files", text);
        rc = TIER_OK;
        goto out;
    }
    bool sole = !tier__lock_held(lock, TIER__LOCK_USERS, F_WRLCK);
    /* Others may be writing: nobody commits while the gate reads. */
    if (p->writable && tier__lock_take(lock, TIER__LOCK_WRITE, F_WRLCK, LOCK_WAIT_MS) != TIER_OK) {
        rc = TIER_EBUSY;
        goto out;
    }
    look_state(c, dir, data, sole);
    struct tier__gate_report report;
    rc = tier__gate_check(c->base, data, &report);
    if (rc == TIER_EDAMAGE || rc == TIER_EIO) {
        tell(c, report.code, report.detail);
        rc = TIER_OK;
    }
out:
    if (data >= 0)
        close(data);
    if (lock >= 0)
        close(lock);
    return rc;
}

/* TIER_END: there is no store. c->aside says whether it is damaged as a whole. */
static int look(struct check *c, const struct tier__place *p)
{
    int dir = -1;
    char text[200] = "";
    struct tier__why why = {text, sizeof text};
    if (p->lock >= 0 &&
        tier__lock_take(p->lock, TIER__LOCK_OPEN, p->writable ? F_WRLCK : F_RDLCK, LOCK_WAIT_MS) != TIER_OK)
        return TIER_EBUSY;
    unsigned kept = tier__place_quarantined(p);
    if (kept) {
        snprintf(text, sizeof text, "%u below %s", kept, p->path);
        tell(c, "store-quarantined", text);
    }
    int rc = tier__place_store(p, false, &dir, &why);
    if (rc == TIER_EABSENT)
        return TIER_END;
    if (rc) {
        tell(c, "store-files", text);
        return TIER_OK;
    }
    rc = look_files(c, p, dir);
    close(dir);
    return rc;
}

/* ---- its records ---- */

struct bad {
    const char *code;
    bool whole; /* key is a table's; else the database's */
    enum tier__table t;
    size_t key_size;
    unsigned char key[TIER__DBKEY_MAX];
};

struct scan {
    struct check *c;
    tier__store *st;
    unsigned char from[TIER__DBKEY_MAX];
    size_t from_size;
    struct tier__buf scratch;
    struct bad bad[BATCH];
    unsigned bad_count;
    bool more;
};

static void note(struct scan *s, const char *code, bool whole, enum tier__table t, const void *key,
                 size_t key_size)
{
    struct bad *b = &s->bad[s->bad_count++];
    b->code = code;
    b->whole = whole;
    b->t = t;
    b->key_size = key_size < sizeof b->key ? key_size : sizeof b->key;
    memcpy(b->key, key, b->key_size);
}

/* A chunk behind the first: its value must be there and count it. */
static bool is_orphan(tier__txn *txn, enum tier__table t, const void *key, size_t key_size, uint32_t index)
{
    unsigned char dbkey[TIER__DBKEY_MAX], head[TIER__HEAD_MAX];
    const void *record;
    size_t size, n = tier__frame_key(dbkey, t, key, key_size, 0);
    struct tier__frame f;
    if (tier__txn_get(txn, dbkey, n, &record, &size) != TIER__DB_OK)
        return true;
    return !tier__frame_read(record, size, t, key, key_size, 0, &f, head) && index >= f.chunks;
}

static int look_record(struct scan *s, tier__txn *txn, const unsigned char *dbkey, size_t n)
{
    enum tier__table t = TIER__META;
    const void *key = NULL;
    size_t key_size = 0;
    uint32_t index = 0;
    if (n > TIER__DBKEY_MAX || !tier__frame_unkey(dbkey, n, &t, &key, &key_size, &index)) {
        note(s, "store-key", false, TIER__META, dbkey, n);
        return TIER_OK;
    }
    if (index) {
        if (is_orphan(txn, t, key, key_size, index))
            note(s, "store-chunk-orphan", false, t, dbkey, n);
        return TIER_OK;
    }
    s->c->records++;
    struct tier__sink sink = {tier__sink_buf, &s->scratch};
    enum tier__db_rc db;
    const char *code = NULL;
    int rc = tier__fetch(s->c->base, s->c->read_data ? s->st->codec : NULL, txn, t, key, key_size, &sink, &db,
                         &code);
    if (rc == TIER_EDAMAGE) {
        note(s, code, true, t, key, key_size);
        return TIER_OK;
    }
    return rc == TIER_EIO ? tier__env_rc(s->c->base, s->st->env, db, "the check") : rc;
}

/* One snapshot's worth of records. */
static int scan_batch(struct scan *s)
{
    tier__read *r = NULL;
    tier__curs *c = NULL;
    s->bad_count = 0;
    s->more = false;
    int rc = tier__read_begin(s->st, &r);
    if (!rc)
        rc = tier__env_rc(s->c->base, s->st->env, tier__curs_open(r->txn, &c), "the check");
    for (unsigned n = 0; !rc; n++) {
        const unsigned char *found = NULL;
        const void *data = NULL;
        size_t found_size = 0, size = 0;
        enum tier__db_rc db =
            tier__curs_seek(c, n > 0, s->from, s->from_size, &found, &found_size, &data, &size);
        if (db == TIER__DB_ABSENT)
            break;
        rc = tier__env_rc(s->c->base, s->st->env, db, "the check");
        if (!rc && n == BATCH) {
            s->from_size = found_size < sizeof s->from ? found_size : sizeof s->from;
            memcpy(s->from, found, s->from_size);
            s->more = true;
            break;
        }
        if (!rc)
            rc = look_record(s, r->txn, found, found_size);
    }
    if (c)
        tier__curs_close(c);
    tier__read_end(&r);
    return rc;
}

static int delete_batch(struct scan *s, uint64_t *deleted)
{
    tier__write *w = NULL;
    if (!s->bad_count)
        return TIER_OK;
    int rc = tier__write_begin(s->st, &w);
    for (unsigned i = 0; !rc && i < s->bad_count; i++) {
        struct bad *b = &s->bad[i];
        rc = b->whole ? tier__write_del(w, b->t, b->key, b->key_size)
                      : tier__write_del_raw(w, b->key, b->key_size);
    }
    if (rc) {
        tier__write_abort(&w);
        return rc;
    }
    rc = tier__write_commit(&w);
    if (!rc)
        *deleted += s->bad_count;
    return rc;
}

static void tell_batch(struct scan *s)
{
    for (unsigned i = 0; s->c->found && i < s->bad_count; i++) {
        struct bad *b = &s->bad[i];
        bool named = b->whole || b->code[6] == 'c'; /* store-chunk-...: the table is known */
        struct tier__store_problem p = {.code = b->code,
                                        .table = named ? table_name(b->t) : NULL,
                                        .key = b->key,
                                        .key_size = b->key_size};
        const struct tier__problem *known = tier__problem_of(b->code);
        snprintf(p.detail, sizeof p.detail, "%s", known ? known->what : "");
        s->c->found(s->c->user, &p);
    }
}

/* All records; deleted NULL: tell, else delete the unsound ones. */
static int scan_all(struct check *c, tier__store *st, uint64_t *deleted)
{
    struct scan *s = tier__zalloc(c->base, 1, sizeof *s);
    if (!s)
        return TIER_ENOMEM;
    s->c = c;
    s->st = st;
    s->from_size = 1; /* a key of one zero byte: before all */
    tier__buf_init(&s->scratch, c->base);
    int rc;
    do {
        rc = scan_batch(s);
        if (!rc && deleted)
            rc = delete_batch(s, deleted);
        else
            tell_batch(s);
    } while (!rc && s->more);
    tier__buf_fini(&s->scratch);
    tier__free(c->base, s);
    return rc;
}

int tier__store_check(struct tier__base *base, const char *dir, bool read_data, found_fn *found, void *user,
                      uint64_t *records)
{
    struct check c = {.base = base, .read_data = read_data, .found = found, .user = user};
    struct tier__place p;
    *records = 0;
    int rc = tier__place_open(base, dir, true, &p, NULL);
    if (rc)
        return rc;
    rc = look(&c, &p);
    tier__place_close(base, &p);
    if (rc || c.aside)
        return rc == TIER_END ? TIER_OK : rc;
    tier__store *st = NULL;
    char why[200] = "";
    struct tier__store_options o = {.dir = dir, .read_only = true};
    rc = tier__store_open(base, &o, &st, why, sizeof why);
    if (!rc)
        rc = scan_all(&c, st, NULL);
    tier__store_close(&st);
    *records = c.records;
    return rc;
}

int tier__store_repair(struct tier__base *base, const char *dir, uint64_t *deleted, bool *quarantined)
{
    struct check c = {.base = base, .read_data = true};
    struct tier__place p;
    *deleted = 0;
    *quarantined = false;
    int rc =
        tier__place_open(base, dir, true, &p, NULL); /* as a reader: a directory is not made to repair it */
    if (rc)
        return rc;
    if (!p.writable)
        rc = TIER_EACCESS;
    if (!rc)
        rc = look(&c, &p);
    if (!rc && c.aside) {
        rc = tier__place_quarantine(&p, NULL);
        *quarantined = !rc;
    }
    tier__place_close(base, &p);
    if (rc)
        return rc == TIER_END ? TIER_OK : rc;
    tier__store *st = NULL;
    char why[200] = "";
    struct tier__store_options o = {.dir = dir, .sync = TIER__SYNC_FULL};
    rc = tier__store_open(base, &o, &st, why, sizeof why);
    if (!rc)
        rc = scan_all(&c, st, deleted);
    tier__store_close(&st);
    return rc;
}
