/* The tree tier: the outline of a file, and its projections. */
#include "tools/tierlint/lint.h"

#include <stdlib.h>
#include <string.h>

static int give_outline(tier_session *s, tier_out *out, int rc, ol_outline *o)
{
    switch (rc) {
    case OL_OK:
        return tier_out_object(out, o, ol_weight(o));
    case OL_ENOMEM:
        return lint_nomem(s);
    case OL_ETOOBIG:
        return tier_fail(s, TIER_EBUILD, "the file is too large");
    default:
        return tier_fail(s, TIER_EBUILD, "no such declaration");
    }
}

int lint_build_outline(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    (void)user;
    tier_value text;
    int rc = tier_file(s, q->path, &text);
    if (rc) {
        return rc; /* handed on: it is remembered that the file is absent, and looked at again */
    }
    ol_outline *o = NULL;
    rc = ol_parse(text.data, text.size, &o);
    return give_outline(s, out, rc, o);
}

/* What every projection does: read the outline, keep a part. The part's hash changes only with the part, so
 * that whoever asked for it is left alone by every other edit. */
static int project(tier_session *s, const tier_query *q, tier_out *out, const lint *l,
                   int (*part)(const ol_outline *, ol_outline **))
{
    tier_value v;
    const ol_outline *whole;
    int rc = lint_get_outline(s, l, LINT_TYPE_OUTLINE, q->path, &v, &whole);
    if (rc) {
        return rc;
    }
    ol_outline *o = NULL;
    rc = part(whole, &o);
    return give_outline(s, out, rc, o);
}

int lint_build_face(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    return project(s, q, out, user, ol_face);
}

int lint_build_names(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    return project(s, q, out, user, ol_names);
}

/* args: the declaration's qualified name, '#', its ordinal. */
int lint_build_fragment(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    const char *args = q->args;
    const char *mark = args ? memrchr(args, '#', q->args_size) : NULL;
    if (!mark) {
        return tier_fail(s, TIER_EINVAL, "fragment: the argument is name#ordinal");
    }
    char *name = strndup(args, (size_t)(mark - args));
    if (!name) {
        return lint_nomem(s);
    }
    tier_value v;
    const ol_outline *whole;
    int rc = lint_get_outline(s, user, LINT_TYPE_OUTLINE, q->path, &v, &whole);
    if (rc == TIER_OK) {
        uint32_t decl = ol_find(whole, name, (uint32_t)strtoul(mark + 1, NULL, 10));
        ol_outline *o = NULL;
        rc = decl == OL_NONE ? OL_EINVAL : ol_fragment(whole, decl, &o);
        rc = give_outline(s, out, rc, o);
    }
    free(name);
    return rc;
}

/* The names used outside of function definitions, in order of the outline, each with its 0, once. */
int lint_build_outer(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    tier_value v;
    const ol_outline *o;
    int rc = lint_get_outline(s, user, LINT_TYPE_OUTLINE, q->path, &v, &o);
    if (rc) {
        return rc;
    }
    lint_map names = {0};
    for (uint32_t i = 0; i < o->use_count; i++) {
        const ol_use *u = &o->uses[i];
        const ol_decl *owner = u->owner == OL_NONE ? NULL : &o->decls[u->owner];
        bool within = owner && owner->kind == OL_FUNCTION && (owner->flags & OL_DEFINITION);
        if (!within && u->kinds != OL_USE_MEMBER) {
            lint_map_add(&names, ol_text(o, u->name));
        }
    }
    rc = names.failed ? lint_nomem(s) : tier_out_bytes(out, names.text.data, names.text.size);
    lint_map_free(&names);
    return rc;
}
