/* figures.c - tier_store_figures: how much of what the store holds. */
#include "coherence/admin.h"
#include <sys/stat.h>

struct type_figure {
    char *name, *app;
    tier_figure f;
};
struct figures {
    tier_admin *a;
    tier_figure table;
    struct type_figure *type;
    size_t count;
    uint64_t done;
};

static int count_record(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct figures *g = user;
    (void)key;
    (void)data;
    g->table.records++;
    g->table.bytes += key_size + size;
    return ++g->done % TIER__PROGRESS_EVERY ? 0 : tier__admin_progress(g->a, "counting", g->done, 0);
}

static struct type_figure *type_of(struct figures *g, const struct tier__request_record *q)
{
    for (size_t i = 0; i < g->count; i++)
        if (strcmp(g->type[i].name, q->type) == 0 && strcmp(g->type[i].app, q->app) == 0)
            return &g->type[i];
    struct type_figure *grown = tier__resize(g->a->base, g->type, (g->count + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    g->type = grown;
    grown += g->count;
    *grown = (struct type_figure){.name = tier__strdup(g->a->base, q->type),
                                  .app = tier__strdup(g->a->base, q->app)};
    if (grown->name && grown->app) {
        g->count++;
        return grown;
    }
    tier__free(g->a->base, grown->name);
    tier__free(g->a->base, grown->app);
    return NULL;
}

static int count_variants(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct figures *g = user;
    struct tier__request_record q;
    struct tier__variant_record d;
    struct tier__at at = {.store = g->a->store};
    struct tier__reader r = tier__reader_of(data, size);
    int rc = count_record(user, key, key_size, data, size);
    if (rc || !tier__get_node(&r, &q))
        return rc;
    struct type_figure *t = type_of(g, &q);
    if (!t)
        return TIER_ENOMEM;
    t->f.records++;
    bool newest = true;
    for (uint8_t left = tier__read_u8(&r); left && tier__get_variant(&r, &d); left--) {
        t->f.variants++;
        t->f.failures += d.rc != 0;
        if (!tier__value_apart(&d))
            t->f.bytes += d.small_size;
        else if (tier__at_has(g->a, &at, TIER__BLOB, d.key.byte, sizeof d.key.byte))
            t->f.bytes += d.size;
        else
            t->f.husks++;
        t->f.cost_us += newest ? d.cost_us : 0;
        newest = false;
    }
    return 0;
}

static void tell(void (*each)(void *user, const tier_figure *f), void *user, tier_figure f, const char *group,
                 const char *name, const char *app)
{
    f.struct_size = sizeof f;
    f.group = group;
    f.name = name;
    f.app = app;
    each(user, &f);
}

static int run(struct figures *g, void (*each)(void *user, const tier_figure *f), void *user)
{
    int rc = 0;
    for (int t = 0; t < TIER__TABLE_COUNT && !rc; t++) {
        g->table = (tier_figure){.records = 0};
        rc = tier__store_each(g->a->store, (enum tier__table)t,
                              t == TIER__VARIANT ? count_variants : count_record, g);
        if (!rc)
            tell(each, user, g->table, "table", tier__table_text((enum tier__table)t), "");
    }
    for (size_t i = 0; i < g->count && !rc; i++)
        tell(each, user, g->type[i].f, "type", g->type[i].name, g->type[i].app);
    if (rc)
        return rc;
    tier_figure disk = {.bytes = tier__store_bytes(g->a->store)};
    tell(each, user, disk, "disk", "file", "");
    char path[4200];
    struct stat st;
    snprintf(path, sizeof path, "%s/v1/data.mdb", g->a->profile->dir);
    disk.bytes = stat(path, &st) ? 0 : (uint64_t)st.st_size;
    tell(each, user, disk, "disk", "size", "");
    disk.bytes = (uint64_t)tier__profile_int(g->a->profile, TIER__KEY_STORE_MAX_BYTES);
    tell(each, user, disk, "disk", "limit", "");
    return 0;
}

int tier_store_figures(tier_admin *a, void (*each)(void *user, const tier_figure *f), void *user)
{
    if (!a || a->magic != TIER__ADMIN_MAGIC || !each)
        return TIER_EINVAL;
    struct figures g = {.a = a};
    int rc = tier__admin_store(a, false);
    if (!rc)
        rc = run(&g, each, user);
    for (size_t i = 0; i < g.count; i++) {
        tier__free(a->base, g.type[i].name);
        tier__free(a->base, g.type[i].app);
    }
    tier__free(a->base, g.type);
    tier__admin_done(a);
    if (rc && !*a->detail)
        tier__admin_fail(a, rc, "%s: %s", a->profile->dir, tier_strerror(rc));
    return rc;
}

/* ---- how many match ---- */
struct matching {
    int by;
    const char *what;
    int64_t moment_ms; /* by age */
    uint64_t count;
};

static bool has_tag(const struct tier__variant_record *d, const char *tag)
{
    for (const char *t = d->tags, *end = t + d->tags_size; t && t < end; t += strlen(t) + 1)
        if (strcmp(t, tag) == 0)
            return true;
    return false;
}

static int match(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct matching *m = user;
    struct tier__request_record q;
    struct tier__variant_record d;
    struct tier__reader r = tier__reader_of(data, size);
    (void)key;
    if (key_size != sizeof(tier_digest) || !tier__get_node(&r, &q))
        return 0;
    bool found = m->by == TIER_BY_PATH && q.request.has_path && strcmp(q.request.path, m->what) == 0;
    found |= m->by == TIER_BY_TYPE && strcmp(q.type, m->what) == 0;
    for (uint8_t left = tier__read_u8(&r); left && !found && tier__get_variant(&r, &d); left--)
        found = (m->by == TIER_BY_TAG && has_tag(&d, m->what)) ||
                (m->by == TIER_BY_AGE && d.created_ms < m->moment_ms);
    m->count += found;
    return 0;
}

int tier_count_results(tier_admin *a, int by, const char *what, uint64_t *count)
{
    int64_t age_ms = 0;
    if (!a || a->magic != TIER__ADMIN_MAGIC || !count || (by && !what) || by < 0 || by > TIER_BY_AGE ||
        (by == TIER_BY_AGE && !tier__duration_parse(what, &age_ms)))
        return TIER_EINVAL;
    struct matching m = {.by = by, .what = what, .moment_ms = tier__now_ms() - age_ms};
    int rc = tier__admin_store(a, false);
    if (!rc && by)
        rc = tier__store_each(a->store, TIER__VARIANT, match, &m);
    *count = m.count;
    tier__admin_done(a);
    if (rc && !*a->detail)
        tier__admin_fail(a, rc, "%s: %s", a->profile->dir, tier_strerror(rc));
    return rc;
}
