/* The types: defining them, asking for them, giving their results. See lint.h. */
#include "tools/tierlint/lint.h"

#include <stdlib.h>
#include <string.h>

/* ---- live outlines: one set of callbacks for the four types whose values are outlines -------------------
 */
static void outline_destroy(void *object, void *user)
{
    (void)user;
    ol_outline *o = object;
    ol_free(&o);
}

static int outline_save(const void *object, tier_out *out, void *user)
{
    (void)user;
    size_t size = ol_saved_size(object);
    void *bytes = malloc(size ? size : 1);
    if (!bytes) {
        return TIER_ENOMEM;
    }
    ol_save(object, bytes);
    int rc = tier_out_bytes(out, bytes, size);
    free(bytes);
    return rc;
}

static int outline_load(const tier_value *saved, tier_out *out, void *user)
{
    (void)user;
    ol_outline *o = NULL;
    int rc = ol_load(saved->data, saved->size, &o);
    if (rc) {
        return rc == OL_ENOMEM ? TIER_ENOMEM : TIER_EDAMAGE;
    }
    return tier_out_object(out, o, ol_weight(o));
}

/* ---- the table -------------------------------------------------------------------------------------------
 */
static const struct row {
    const char *name;
    uint32_t tier, version, uses, rules;
    int (*build)(tier_session *s, const tier_query *q, tier_out *out, void *user);
} rows[] = {
#define LINT_TYPE_ROW(id, name, tier, version, uses, rules) \
    {#name, tier, version, uses, rules, lint_build_##name},
    LINT_TYPES(LINT_TYPE_ROW)
#undef LINT_TYPE_ROW
};

static int define_one(tier_cache *c, lint *l, const struct row *row, const tier_type **type)
{
    lint_buf config = {0};
    if (row->uses & LINT_USES_SEARCH) {
        lint_buf_str(&config, l->compdb ? l->compdb : "");
        for (size_t i = 0; i < l->search_count; i++) {
            lint_buf_str(&config, l->search[i]);
        }
    }
    lint_buf_u32(&config, row->rules & l->rules);
    if (config.failed) {
        lint_buf_free(&config);
        return TIER_ENOMEM;
    }
    tier_type_def def = TIER_INIT(tier_type_def);
    def.name = row->name;
    def.tier = row->tier;
    def.version = row->version;
    def.config = config.data;
    def.config_size = config.size;
    def.user = l;
    def.build = row->build;
    if (row->tier == TIER_TREE) {
        def.destroy = outline_destroy;
        def.save = outline_save;
        def.load = outline_load;
    }
    int rc = tier_define(c, &def, type);
    lint_buf_free(&config);
    return rc;
}

int lint_define(tier_cache *c, lint *l)
{
    for (int i = 0; i < LINT_TYPE_COUNT; i++) {
        int rc = define_one(c, l, &rows[i], &l->type[i]);
        if (rc) {
            return rc;
        }
    }
    return TIER_OK;
}

/* ---- asking and giving -----------------------------------------------------------------------------------
 */
int lint_get(tier_session *s, const lint *l, int type, const char *path, const lint_buf *args, tier_value *v)
{
    tier_query q = {.type = l->type[type], .path = path};
    if (args) {
        q.args = args->data;
        q.args_size = args->size;
    }
    return tier_get(s, &q, v);
}

int lint_get_outline(tier_session *s, const lint *l, int type, const char *path, tier_value *v,
                     const ol_outline **o)
{
    int rc = lint_get(s, l, type, path, NULL, v);
    *o = rc ? NULL : v->object;
    return rc;
}

bool lint_absent(int rc)
{
    return rc == TIER_EABSENT || rc == TIER_EACCESS || rc == TIER_EKIND || rc == TIER_EBUILD;
}

int lint_nomem(tier_session *s)
{
    return tier_fail(s, TIER_ENOMEM, "out of memory");
}

int lint_give(tier_session *s, tier_out *out, lint_buf *b)
{
    int rc = b->failed ? lint_nomem(s) : tier_out_bytes(out, b->data, b->size);
    lint_buf_free(b);
    return rc;
}

int lint_give_record(tier_session *s, tier_out *out, lint_buf *b)
{
    int rc = b->failed ? lint_nomem(s) : tier_out_record(out, b->data, b->size);
    lint_buf_free(b);
    return rc;
}

int lint_give_finding(tier_session *s, tier_out *out, const lint_finding *f)
{
    lint_buf b = {0};
    lint_buf_u32(&b, LINT_RECORD_FINDING);
    lint_finding_put(&b, f);
    return lint_give_record(s, out, &b);
}
