/* admin_roots.c - the roots of the programs that keep results in a directory, and which of them is looked
 * below. */
#include "coherence/admin.h"
#include <sys/stat.h>

int tier__admin_root(tier_admin *a, const char *path, char *why, size_t why_size)
{
    tier_options t = TIER_INIT(tier_options);
    tier_root root = {"", path};
    tier_cache *c = NULL;
    t.app = "tiercheck";
    t.app_version = "1";
    t.dir = "";
    t.profile = a->profile->name;
    t.roots = &root;
    t.root_count = 1;
    t.user = a->own.user;
    t.realloc = a->own.realloc;
    int rc = tier_open(&t, &c);
    if (rc) {
        if (why_size)
            snprintf(why, why_size, "%s: %s", path,
                     rc == TIER_EINVAL ? "no directory that could be a root" : tier_strerror(rc));
        return rc;
    }
    tier_close(&a->cache);
    a->cache = c;
    return 0;
}

int tier_admin_look_below(tier_admin *a, const char *root)
{
    if (!a || a->magic != TIER__ADMIN_MAGIC || !root)
        return TIER_EINVAL;
    return tier__admin_root(a, root, a->detail, sizeof a->detail);
}

const char *tier_admin_root(const tier_admin *a)
{
    return a && a->magic == TIER__ADMIN_MAGIC ? a->cache->root[0].path : "";
}

static int met_root(void *user, const void *key, size_t key_size, const void *data, size_t size)
{
    struct tier__buf *list = user; /* each with a 0 behind it */
    struct stat st;
    (void)key;
    if (key_size != sizeof(tier_digest) || !size || memchr(data, 0, size))
        return 0;
    size_t from = list->size;
    tier__buf_put(list, data, size);
    tier__buf_u8(list, 0);
    if (list->failed)
        return TIER_ENOMEM;
    const char *all = (char *)list->data, *path = all + from;
    bool news = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    for (size_t at = 0; news && at < from; at += strlen(all + at) + 1)
        news = strcmp(all + at, path) != 0; /* one that was replaced has two records */
    if (!news)
        list->size = from;
    return 0;
}

int tier_admin_roots(tier_admin *a, void (*each)(void *user, const char *root), void *user)
{
    struct tier__buf list;
    if (!a || !each)
        return TIER_EINVAL;
    int rc = tier__admin_store(a, false);
    if (rc)
        return rc;
    tier__buf_init(&list, a->base);
    rc = tier__store_each(a->store, TIER__WORKSPACE, met_root, &list);
    tier__admin_done(a);
    if (rc && !*a->detail)
        tier__admin_fail(a, rc, "%s: %s", a->profile->dir, tier_strerror(rc));
    for (size_t at = 0; !rc && at < list.size; at += strlen((char *)list.data + at) + 1)
        each(user, (char *)list.data + at);
    tier__buf_fini(&list);
    return rc;
}
