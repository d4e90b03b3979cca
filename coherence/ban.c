/* ban.c - explicit invalidation: a ban at sequence b makes every matching result that was born before b a
 * miss. Issuing one costs a log row (I11: committed before the call returns); it is tested lazily, when a
 * variant is about to be walked. By path, tag, type, a pattern over one of these, or age. At most 64 live:
 * then the sweep applies them to what is stored, their rows go, and the tail mark says up to where. Who has
 * not heard of them by then raises its floor, which bans everything older: that is safe. */
#include "coherence/sweep.h"
#include <stdlib.h>

/* TIER_BY_... and these are in log rows, so for ever. Of TIER_BY_AGE the row has the moment, in ms. */
enum { BAN_EVERYTHING = 0, BAN_PATH_PATTERN = 3, BAN_TYPE_PATTERN = 6, BAN_TAG_PATTERN = 7 };

static bool is_pattern(const struct tier__ban *b)
{
    return b->by == BAN_PATH_PATTERN || b->by == BAN_TYPE_PATTERN || b->by == BAN_TAG_PATTERN;
}

/* What a ban says of one word: equal to it, or matched by the pattern. A pattern that nobody here can read
 * matches: too much is safe. */
static bool says(const tier_cache *c, const struct tier__ban *b, const char *text)
{
    if (!is_pattern(b))
        return strcmp(text, b->what) == 0;
    return !b->pattern || c->patterns->match(b->pattern, text, strlen(text));
}

static bool matches(const tier_cache *c, const struct tier__ban *b, const struct tier__ban_result *r)
{
    switch (b->by) {
    case TIER_BY_PATH:
    case BAN_PATH_PATTERN:
        return r->path && says(c, b, r->path);
    case TIER_BY_TYPE:
    case BAN_TYPE_PATTERN:
        return !r->type || says(c, b, r->type);
    case TIER_BY_TAG:
    case BAN_TAG_PATTERN:
        for (size_t at = 0; at < r->tags_size; at += strlen(r->tags + at) + 1)
            if (says(c, b, r->tags + at))
                return true;
        return false;
    case TIER_BY_AGE:
        return r->created_ms < strtoll(b->what, NULL, 10);
    default:
        return true;
    }
}

/* A row of another process has its pattern as text. World lock held. */
static void compile(tier_cache *c, struct tier__ban *b)
{
    if (is_pattern(b) && !b->pattern && !b->compiled && c->patterns) {
        b->compiled = true;
        b->pattern = c->patterns->compile(b->what);
    }
}

bool tier__ban_strikes(tier_cache *c, struct tier__ban *b, const struct tier__ban_result *r)
{
    compile(c, b);
    return matches(c, b, r);
}

bool tier__ban_blind(tier_cache *c, struct tier__ban *b)
{
    compile(c, b);
    return is_pattern(b) && !b->pattern;
}

bool tier__banned(tier_cache *c, const tier__node *n, const struct tier__variant *v, const tier__view *view)
{
    uint64_t at = view->bans;
    if (!view->unheard && v->born >= at) /* no ban that the view knows came since */
        return false;
    const struct tier__ban_result r = {.path = n->path ? n->path->key : NULL,
                                       .type = n->type ? n->type->name : NULL,
                                       .tags = v->tags,
                                       .tags_size = v->tags_size,
                                       .created_ms = v->created_ms};
    pthread_mutex_lock(&c->world_lock);
    /* which of the dropped ones a view from before the floor had seen is not known: all of them */
    bool banned = view->unheard || v->born < (c->ban_floor < at ? c->ban_floor : at);
    for (size_t i = 0; i < c->ban_count && !banned; i++) {
        struct tier__ban *b = &c->ban[i];
        banned = b->sequence > v->born && b->sequence <= at && tier__ban_strikes(c, b, &r);
    }
    pthread_mutex_unlock(&c->world_lock);
    return banned;
}

static void ban_fini(tier_cache *c, struct tier__ban *b)
{
    if (b->pattern)
        c->patterns->let_go(b->pattern);
    tier__free(&c->base, b->what);
    memset(b, 0, sizeof *b);
}

/* World lock held. Takes what and pattern. */
static void ban_add(tier_cache *c, uint64_t sequence, int by, char *what, void *pattern)
{
    struct tier__ban b = {sequence, what ? by : BAN_EVERYTHING, what, pattern, pattern != NULL};
    bool known = sequence <= c->ban_floor; /* a row of the log from before it, read again */
    for (size_t i = 0; i < c->ban_count && !known; i++)
        known = c->ban[i].sequence == sequence;
    if (known) {
        ban_fini(c, &b);
        return;
    }
    if (sequence > c->ban_sequence)
        c->ban_sequence = sequence;
    if (c->ban_count < TIER__BAN_KNOWN) {
        c->ban[c->ban_count++] = b;
        return;
    }
    while (c->ban_count) {
        if (c->ban[--c->ban_count].sequence > c->ban_floor)
            c->ban_floor = c->ban[c->ban_count].sequence;
        ban_fini(c, &c->ban[c->ban_count]);
    }
    if (sequence > c->ban_floor)
        c->ban_floor = sequence;
    ban_fini(c, &b);
}

void tier__bans_free(tier_cache *c)
{
    while (c->ban_count)
        ban_fini(c, &c->ban[--c->ban_count]);
}

void tier__log_key(uint64_t sequence, unsigned char key[8])
{
    for (int i = 0; i < 8; i++)
        key[i] = (unsigned char)(sequence >> (56 - 8 * i));
}

struct loading {
    tier_cache *c;
    uint64_t last, missing; /* sequence of the row before; the highest one that has no sound row */
    bool clash;             /* a new row bears a sequence that a ban of ours took without one */
    bool news;              /* there are rows that were not read before */
};

static int load_row(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct loading *l = user;
    tier_cache *c = l->c;
    struct tier__reader r = tier__reader_of(data, size);
    uint64_t sequence = 0;
    if (key_size != 8)
        return 0;
    for (int i = 0; i < 8; i++)
        sequence = sequence << 8 | ((const unsigned char *)key)[i];
    int by = tier__read_u8(&r);
    size_t n;
    const char *what = tier__read_bytes(&r, &n);
    if (r.failed || sequence != l->last + 1)
        l->missing = r.failed ? sequence : sequence - 1;
    l->last = sequence;
    pthread_mutex_lock(&c->world_lock);
    bool read = sequence <= c->log_read;
    l->clash |= !read && sequence <= c->ban_unlogged;
    if (!r.failed)
        ban_add(c, sequence, by, tier__memdup0(&c->base, what, n), NULL);
    pthread_mutex_unlock(&c->world_lock);
    if (!read && !r.failed && by == TIER_BY_PATH)
        tier__memo_forget(c, what, n);
    else if (!read && !r.failed && by == BAN_PATH_PATTERN)
        tier__memos_forget(c);
    return 0;
}

/* The counter of the log. false: the store could not be read. */
static bool sequence_read(tier_cache *c, bool *known, uint64_t *counter)
{
    struct tier__buf b;
    tier__buf_init(&b, &c->base);
    int rc = tier__store_get(c->store, NULL, TIER__META, "sequence", 8, &b);
    *known = rc == 0 && b.size == 8;
    if (*known) {
        struct tier__reader r = tier__reader_of(b.data, b.size);
        *counter = tier__read_u64(&r);
    }
    tier__buf_fini(&b);
    return rc == 0 || rc == TIER_EABSENT;
}

/* The rows of the log, and the counter that goes with them: where it moved while they were read, once more.
 * false: the store could not be read, or others ban faster than we read. */
static bool log_load(tier_cache *c, struct loading *l, uint64_t *tail, bool *known, uint64_t *counter)
{
    enum { TRIES = 8 };
    for (int i = 0; i < TRIES; i++) {
        uint64_t after = 0;
        bool known_after;
        *counter = 0;
        *tail = tier__log_tail(c->store, &c->base); /* rows up to it did their work and are gone */
        *l = (struct loading){.c = c, .last = *tail, .clash = l->clash};
        if (!sequence_read(c, known, counter))
            return false;
        pthread_mutex_lock(&c->world_lock);
        l->news = !*known || *counter > c->log_read;
        if (*tail > c->ban_sequence)
            c->ban_sequence = *tail;
        pthread_mutex_unlock(&c->world_lock);
        if (!l->news)
            return true;
        if (tier__store_each(c->store, TIER__LOG, load_row, l) || !sequence_read(c, &known_after, &after))
            return false;
        if (*known == known_after && *counter == after)
            return true;
    }
    return false;
}

/* Rows are numbered without gaps up to the counter: where one is missing or damaged, nobody can say what it
 * banned, so it bans everything (I11: it never assumes). */
static bool bans_load(tier_cache *c)
{
    uint64_t counter, tail;
    bool known;
    struct loading l = {.c = c};
    if (!c->store)
        return true;
    pthread_mutex_lock(&c->world_lock);
    uint64_t failures = c->unheard_times;
    pthread_mutex_unlock(&c->world_lock);
    if (!log_load(c, &l, &tail, &known, &counter))
        return false;
    if (l.news && !known) /* lost: as good as a row that is */
        counter = l.last ? l.last + 1 : 0;
    if (l.news && counter > l.last)
        l.missing = counter;
    pthread_mutex_lock(&c->world_lock);
    if (c->log_known && tail > c->log_read) { /* what they banned in memory is not known (I11) */
        l.missing = l.missing > tail ? l.missing : tail;
        l.clash |= c->ban_unlogged > c->log_read;
    }
    c->log_read = counter > c->log_read ? counter : c->log_read;
    bool raised = l.missing > c->ban_floor;
    if (raised)
        c->ban_floor = l.missing;
    if (c->ban_floor > c->ban_sequence)
        c->ban_sequence = c->ban_floor;
    if (l.clash) /* which of the two a result was born after is not known */
        c->ban_floor = c->ban_unlogged = ++c->ban_sequence;
    if (failures == c->unheard_times) /* else another failed since, perhaps at something newer */
        c->unheard = false;
    pthread_mutex_unlock(&c->world_lock);
    if (raised) /* which paths they named is not known */
        tier__memos_forget(c);
    return true;
}

/* Those of others are heard no more. */
static void bans_lost(tier_cache *c)
{
    pthread_mutex_lock(&c->world_lock);
    c->ban_floor = ++c->ban_sequence;
    pthread_mutex_unlock(&c->world_lock);
    tier__log(&c->base, TIER_LOG_WARNING,
              "store: what other processes invalidate from now on is not heard here; all that is remembered "
              "counts as invalidated now, and a restart of this program finds the store that is there then");
}

void tier__news(tier_cache *c)
{
    if (!c->store)
        return;
    uint64_t news = tier__store_glance(c->store);
    if (news == atomic_load_explicit(&c->last_news, memory_order_acquire))
        return;
    /* What a snapshot holds, asked before reading, is what has been read: news may be ahead of it. */
    uint64_t read = news, number = 0;
    if (news == TIER__NEWS_LOST) {
        bans_lost(c);
    } else if (tier__store_reads(c->store, &read) || !bans_load(c) || !tier__replaced_read(c, &number)) {
        pthread_mutex_lock(&c->world_lock); /* I11: it never assumes; and the next session tries again */
        c->unheard = true;
        c->unheard_times++;
        pthread_mutex_unlock(&c->world_lock);
        return;
    }
    pthread_mutex_lock(&c->graph); /* after the bans: who sees no news sees all of them */
    c->epoch += read != c->last_news;
    if (news != TIER__NEWS_LOST)
        tier__replaced_heard(c, number, read);
    c->last_news = read;
    pthread_mutex_unlock(&c->graph);
}

struct forgetting { /* stat identities on disk that a ban by path makes nobody believe */
    tier_cache *c;
    const struct tier__ban *ban;
    struct tier__buf keys; /* each with its size */
};

static int list_stat(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct forgetting *f = user;
    char path[TIER__KEY_MAX + 1];
    (void)data;
    (void)size;
    if (key_size < TIER__WORKSPACE_KEY || key_size > TIER__KEY_MAX)
        return 0;
    size_t n = key_size - TIER__WORKSPACE_KEY;
    memcpy(path, (const char *)key + TIER__WORKSPACE_KEY, n);
    path[n] = 0;
    if ((n && !*path) || says(f->c, f->ban, path)) /* of a long path there is only the digest: it may be */
        tier__buf_bytes(&f->keys, key, key_size);
    return f->keys.failed ? TIER_ENOMEM : 0;
}

static int stats_forget(tier_cache *c, tier__write *w, const struct tier__ban *ban)
{
    struct forgetting f = {.c = c, .ban = ban};
    unsigned char key[TIER__KEY_MAX];
    size_t n;
    if (ban->by == TIER_BY_PATH)
        return tier__write_del(w, TIER__STAT, key, tier__stat_key(&c->workspace, ban->what, key));
    if (ban->by != BAN_PATH_PATTERN)
        return 0;
    tier__buf_init(&f.keys, &c->base);
    int rc = tier__store_each(c->store, TIER__STAT, list_stat, &f);
    struct tier__reader r = tier__reader_of(f.keys.data, f.keys.size);
    while (!rc && r.at < r.end) {
        const void *at = tier__read_bytes(&r, &n);
        rc = tier__write_del(w, TIER__STAT, at, n);
    }
    tier__buf_fini(&f.keys);
    return rc;
}

/* The row, under the next sequence of the store. */
static int log_row(tier_cache *c, const struct tier__ban *ban, uint64_t *sequence)
{
    tier__write *w;
    struct tier__buf b;
    unsigned char key[8];
    int rc = tier__write_begin(c->store, &w);
    if (rc)
        return rc;
    tier__buf_init(&b, &c->base);
    if (tier__write_get(w, TIER__META, "sequence", 8, &b) == 0 && b.size == 8) {
        struct tier__reader r = tier__reader_of(b.data, b.size);
        uint64_t last = tier__read_u64(&r);
        *sequence = last >= *sequence ? last + 1 : *sequence;
    }
    rc = tier__sweep(c, w, tier__now_ms()); /* a long log is cut before it grows */
    tier__buf_clear(&b);
    tier__buf_u64(&b, *sequence);
    if (!rc)
        rc = tier__write_put(w, TIER__META, "sequence", 8, b.data, b.size, 0);
    tier__buf_clear(&b);
    tier__buf_u8(&b, (uint8_t)ban->by);
    tier__buf_str(&b, ban->what);
    tier__log_key(*sequence, key);
    if (!rc)
        rc = b.failed ? TIER_ENOMEM : tier__write_put(w, TIER__LOG, key, sizeof key, b.data, b.size, 0);
    if (!rc)
        rc = stats_forget(c, w, ban);
    tier__buf_fini(&b);
    if (!rc)
        return tier__write_commit(&w);
    tier__write_abort(&w);
    return rc;
}

/* A ban whose row could not be written counts here: results born after it must not look younger than the next
 * ban of another process. The row that is missing then bans everything, for everybody. */
int tier__ban_sequence(tier_cache *c, tier__write *w, struct tier__buf *b, bool *heard)
{
    uint64_t last = 0;
    pthread_mutex_lock(&c->world_lock);
    uint64_t ours = c->ban_sequence, read = c->log_read;
    pthread_mutex_unlock(&c->world_lock);
    if (tier__write_get(w, TIER__META, "sequence", 8, b) == 0 && b->size == 8) {
        struct tier__reader r = tier__reader_of(b->data, b->size);
        last = tier__read_u64(&r);
    }
    *heard = last <= read;
    if (last >= ours)
        return 0;
    tier__buf_clear(b);
    tier__buf_u64(b, ours);
    return b->failed ? TIER_ENOMEM : tier__write_put(w, TIER__META, "sequence", 8, b->data, b->size, 0);
}

int tier__ban(tier_cache *c, int by, const char *what, void *pattern)
{
    int rc = 0;
    uint64_t sequence;
    struct tier__path *p = by == TIER_BY_PATH ? tier__path_of(c, what, &rc) : NULL;
    if (p)
        what = p->key;
    char *copy = tier__strdup(&c->base, what);
    if (rc || !copy) {
        tier__free(&c->base, copy);
        return rc ? rc : TIER_ENOMEM;
    }
    if (p)
        tier__memo_forget(c, p->key, p->key_size);
    tier__pending_flush(c, true); /* what was computed before the ban is born before it on disk too */
    pthread_mutex_lock(&c->world_lock);
    sequence = c->ban_sequence + 1;
    pthread_mutex_unlock(&c->world_lock);
    const struct tier__ban ban = {.by = by, .what = copy, .pattern = pattern};
    if (c->store && !(c->flags & TIER_READ_ONLY))
        rc = log_row(c, &ban, &sequence);
    if (by == BAN_PATH_PATTERN)
        tier__memos_forget(c);
    pthread_mutex_lock(&c->world_lock);
    ban_add(c, sequence, by, copy, pattern);
    bool unlogged = rc || c->flags & TIER_READ_ONLY, behind = !unlogged && sequence > c->log_read + 1;
    if (unlogged)
        c->ban_unlogged = sequence;
    else if (sequence == c->log_read + 1)
        c->log_read = sequence; /* our own: who cuts it off tells us nothing new */
    pthread_mutex_unlock(&c->world_lock);
    if (behind) /* others' rows before it: no later than now, as many bans of ours would have them cut off */
        tier__news(c);
    tier__mark(c, TIER__K_CONTENT, p ? what : NULL);
    return rc ? TIER_EIO : 0; /* this process honours it; others may not have heard */
}

int tier_invalidate(tier_cache *c, int by, const char *what)
{
    char moment[32];
    int64_t age_ms, now = tier__now_ms();
    if (!c || c->magic != TIER__CACHE_MAGIC || !what || !*what)
        return TIER_EINVAL;
    if (by == TIER_BY_AGE) {
        if (!tier__duration_parse(what, &age_ms))
            return TIER_EINVAL;
        snprintf(moment, sizeof moment, "%lld", (long long)(age_ms < now ? now - age_ms : 0));
        what = moment;
    } else if (by != TIER_BY_PATH && by != TIER_BY_TAG && by != TIER_BY_TYPE) {
        return TIER_EINVAL;
    }
    return tier__ban(c, by, what, NULL);
}

void tier__cache_patterns(tier_cache *c, const struct tier__patterns *room)
{
    pthread_mutex_lock(&c->world_lock);
    c->patterns = room;
    pthread_mutex_unlock(&c->world_lock);
}

int tier__cache_ban_pattern(tier_cache *c, int by, const char *regex, void *pattern)
{
    int row = by == TIER_BY_PATH ? BAN_PATH_PATTERN : by == TIER_BY_TYPE ? BAN_TYPE_PATTERN : BAN_TAG_PATTERN;
    return tier__ban(c, row, regex, pattern);
}
