/* admin.c - a cache directory looked at from outside: opening, errors, the store for the length of a call,
 * profiles. See tierkit_admin.h. */
#include "coherence/admin.h"
#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tiers/store_mark.h"

static bool is_admin(const tier_admin *a)
{
    return a && a->magic == TIER__ADMIN_MAGIC;
}

int tier__admin_fail(tier_admin *a, int rc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(a->detail, sizeof a->detail, format, args);
    va_end(args);
    return rc;
}

const char *tier__table_text(enum tier__table t)
{
    static const char *const name[] = {
#define TIER__TABLE_TEXT(id, text, k, v) text,
        TIER__TABLES(TIER__TABLE_TEXT)
#undef TIER__TABLE_TEXT
    };
    return name[t];
}

/* ---- open and close ---- */
static int resolve(tier_admin *a, const tier_admin_options *o, char *why, size_t why_size)
{
    char error[512] = "";
    struct tier__profile_request r = {.dir = o->dir,
                                      .name = o->profile,
                                      .settings = o->settings,
                                      .setting_count = o->setting_count,
                                      .root = o->root ? o->root : ".",
                                      .strict = true};
    int rc = tier__profile_resolve(a->base, &r, &a->profile, error, sizeof error);
    if (rc && why_size)
        snprintf(why, why_size, "%s", *error ? error : tier_strerror(rc));
    return rc;
}

int tier_admin_open(const tier_admin_options *o, tier_admin **out, char *why, size_t why_size)
{
    if (why_size)
        why[0] = 0;
    if (!out)
        return TIER_EINVAL;
    *out = NULL;
    if (!o || o->struct_size < sizeof *o)
        return TIER_EINVAL;
    struct tier__base base;
    tier_options t = TIER_INIT(tier_options);
    t.user = o->user;
    t.log = o->log;
    t.realloc = o->realloc;
    tier__base_init(&base, &t);
    tier_admin *a = tier__zalloc(&base, 1, sizeof *a);
    if (!a)
        return TIER_ENOMEM;
    tier__base_init(&a->own, &t);
    a->base = &a->own;
    a->magic = TIER__ADMIN_MAGIC;
    a->user = o->user;
    a->progress = o->progress;
    int rc = tier__digest_init() ? TIER_ENOMEM : resolve(a, o, why, why_size);
    if (!rc)
        rc = tier__admin_root(a, o->root ? o->root : ".", why, why_size);
    if (rc)
        tier_admin_close(&a);
    *out = a;
    return rc;
}

void tier_admin_close(tier_admin **ap)
{
    tier_admin *a = ap ? *ap : NULL;
    if (!is_admin(a))
        return;
    *ap = NULL;
    tier__store_close(&a->store);
    tier_close(&a->cache);
    tier__profile_free(&a->profile);
    a->magic = 0;
    struct tier__base base = a->own;
    tier__free(&base, a);
}

const char *tier_admin_dir(const tier_admin *a)
{
    return is_admin(a) ? a->profile->dir : "";
}

const char *tier_admin_detail(const tier_admin *a)
{
    return is_admin(a) ? a->detail : "";
}

int tier_admin_path(const tier_admin *a, const char *os_path, char *buf, size_t size)
{
    return is_admin(a) ? tier_path_in(a->cache, os_path, buf, size) : TIER_EINVAL;
}

/* ---- a call ---- */
int tier__admin_begin(tier_admin *a, bool *empty)
{
    struct stat st;
    if (!is_admin(a))
        return TIER_EINVAL;
    const char *dir = a->profile->dir;
    a->detail[0] = 0;
    if (!*dir)
        return tier__admin_fail(a, TIER_EABSENT,
                                "no cache directory: none is given, and there is no HOME for one below it: "
                                "set TIERKIT_DIR (tiercheck: or -d DIR)");
    if (lstat(dir, &st)) {
        int error = errno;
        if ((error == ENOENT || error == ENOTDIR) && !tier__profile_persists(a->profile))
            return tier__admin_fail(
                a, TIER_EABSENT,
                "%s does not exist, and profile %s keeps a cache only where a directory is "
                "given: set TIERKIT_DIR (tiercheck: or -d DIR)",
                dir, a->profile->name);
        if (error == ENOENT || error == ENOTDIR)
            return tier__admin_fail(a, TIER_EABSENT, "%s does not exist: no program has kept a cache there",
                                    dir);
        return tier__admin_fail(a, tier__errno_rc(error), "%s: %s", dir, strerror(error));
    }
    if (!S_ISDIR(st.st_mode))
        return tier__admin_fail(a, TIER_EKIND, "%s is no directory, so it is no cache", dir);
    if (access(dir, R_OK | X_OK))
        return tier__admin_fail(a, TIER_EACCESS, "%s cannot be read: %s", dir, strerror(errno));
    bool store = false;
    int rc = tier__place_look(dir, false, &store, &(struct tier__why){a->detail, sizeof a->detail});
    *empty = !store;
    return rc;
}

int tier__admin_store(tier_admin *a, bool write)
{
    bool empty;
    char why[400] = "";
    int rc = tier__admin_begin(a, &empty);
    if (rc)
        return rc;
    if (empty)
        return tier__admin_fail(a, TIER_EABSENT, "%s: nothing is stored yet", a->profile->dir);
    static const enum tier__sync sync[] = {TIER__SYNC_NONE, TIER__SYNC_RELAXED, TIER__SYNC_FULL};
    struct tier__store_options o = {
        .dir = a->profile->dir,
        .read_only = !write,
        .sync = sync[tier__profile_int(a->profile, TIER__KEY_STORE_SYNC)],
        .max_bytes = (uint64_t)tier__profile_int(a->profile, TIER__KEY_STORE_MAX_BYTES),
        .write_deadline_ms = 5000,
        .compress_level = (int)tier__profile_int(a->profile, TIER__KEY_STORE_COMPRESS_LEVEL)};
    rc = tier__store_open(a->base, &o, &a->store, why, sizeof why);
    if (rc) {
        a->store = NULL;
        if (rc == TIER_EDAMAGE)
            return tier__admin_fail(a, rc, "the store in %s is damaged (%s): repair it first",
                                    a->profile->dir, why);
        return tier__admin_fail(a, rc, "%s", *why ? why : tier_strerror(rc));
    }
    return 0;
}

void tier__admin_done(tier_admin *a)
{
    tier__store_close(&a->store);
}

int tier__admin_progress(tier_admin *a, const char *what, uint64_t done, uint64_t total)
{
    if (!a->progress || !a->progress(a->user, what, done, total))
        return 0;
    return tier__admin_fail(a, TIER_ECANCELED, "stopped while %s", what);
}

/* ---- profiles ---- */
const char *tier_profile_name(uint32_t i)
{
    return i < TIER__PROFILE_COUNT ? tier__profile_name((enum tier__profile_id)i) : NULL;
}

int tier_profile_show(tier_admin *a, const char **name, char *origin, size_t origin_size,
                      void (*each)(void *user, const tier_setting *s), void *user)
{
    if (!is_admin(a))
        return TIER_EINVAL;
    const struct tier__profile *p = a->profile;
    if (name)
        *name = p->name;
    if (origin && origin_size)
        tier__origin_format(&p->name_origin, origin, origin_size);
    for (int k = 0; each && k < TIER__KEY_COUNT; k++) {
        char value[64], expects[160], from[512], defaults[TIER_PROFILES][64];
        const struct tier__key_info *info = tier__key_info((enum tier__key)k);
        tier_setting s = {.struct_size = sizeof s, .name = info->name, .help = info->help};
        s.expects = tier__key_expects((enum tier__key)k, expects, sizeof expects);
        s.value = tier__profile_format(p, (enum tier__key)k, value, sizeof value);
        s.origin = tier__origin_format(&p->origin[k], from, sizeof from);
        for (int i = 0; i < TIER_PROFILES; i++)
            s.defaults[i] =
                tier__key_format((enum tier__key)k, info->defaults[i], defaults[i], sizeof defaults[i]);
        each(user, &s);
    }
    return 0;
}

_Static_assert((int)TIER_PROFILES == (int)TIER__PROFILE_COUNT, "tierkit_admin.h counts the profiles");
