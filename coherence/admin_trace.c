/* admin_trace.c - traces for tools: replayed, and packed. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "coherence/admin.h"
#include "tiers/replay.h"

static int cannot(tier_admin *a, const char *what, const char *path)
{
    int rc = tier__errno_rc(errno);
    return tier__admin_fail(a, rc, "%s: cannot %s it: %s", path, what, tier_strerror(rc));
}

int tier__admin_slurp(tier_admin *a, const char *path, struct tier__buf *b)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc = 0;
    if (fd < 0)
        return cannot(a, "open", path);
    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        rc = tier__admin_fail(a, TIER_EKIND, "%s is no regular file", path);
    while (!rc) {
        unsigned char *at = tier__buf_space(b, 65536);
        ssize_t n = at ? read(fd, at, 65536) : 0;
        if (!at)
            rc = tier__admin_fail(a, TIER_ENOMEM, "%s: no memory to read it", path);
        else if (n < 0 && errno != EINTR)
            rc = cannot(a, "read", path);
        else if (n > 0)
            b->size += (size_t)n;
        else if (n == 0)
            break;
    }
    close(fd);
    return rc;
}

static int load(tier_admin *a, const char *const *files, size_t count, struct tier__trace *t)
{
    int rc = 0;
    for (size_t i = 0; i < count && !rc; i++) {
        struct tier__buf b;
        size_t at = 0;
        tier__buf_init(&b, a->base);
        rc = tier__admin_slurp(a, files[i], &b);
        if (!rc && (rc = tier__trace_read(t, b.data, b.size, &at)) != 0)
            rc = tier__admin_fail(a, rc,
                                  rc == TIER_EDAMAGE ? "%s is no trace, or damaged, from byte %zu on"
                                                     : "%s: no memory, from byte %zu on",
                                  files[i], at);
        tier__buf_fini(&b);
        if (!rc)
            rc = tier__admin_progress(a, "traces", i + 1, count);
    }
    return rc;
}

static int replay(tier_admin *a, const struct tier__trace *t, const tier_replay_options *o, int tier,
                  const struct tier__policy *policy)
{
    tier_replay_row row = {.struct_size = sizeof row, .tier = (uint32_t)tier};
    struct tier__replay_result r;
    row.footprint = tier__trace_footprint(t, tier, &row.keys);
    row.budget = o->bytes ? o->bytes : (uint64_t)((double)row.footprint * o->part);
    row.policy = policy ? policy->name : "belady";
    struct tier__replay_options each = {.policy = policy, .tier = tier, .budget = row.budget};
    int rc = tier__replay(t, &each, &r);
    if (rc)
        return tier__admin_fail(a, rc, "no memory to replay the trace");
    row.gets = r.gets;
    row.hits = r.hits;
    row.bytes = r.bytes;
    row.hit_bytes = r.hit_bytes;
    row.cost_us = r.cost_us;
    row.hit_cost_us = r.hit_cost_us;
    row.evicted = r.evicted;
    if (r.gets)
        o->each(o->user, &row);
    return tier__admin_progress(a, "replays", 1, 0);
}

int tier_trace_replay(tier_admin *a, const tier_replay_options *o)
{
    if (!a || a->magic != TIER__ADMIN_MAGIC || !o || o->struct_size < sizeof *o || !o->each)
        return TIER_EINVAL;
    a->detail[0] = 0;
    const struct tier__policy *only = o->policy ? tier__policy_named(o->policy) : NULL;
    bool belady = o->policy && strcmp(o->policy, "belady") == 0;
    if ((o->policy && !only && !belady) || o->part < 0)
        return tier__admin_fail(a, TIER_EINVAL, "no such policy or size");
    struct tier__trace t;
    tier__trace_init(&t, a->base);
    int rc = load(a, o->files, o->file_count, &t);
    for (int tier = TIER_FILE; tier <= TIER_DELTA && !rc; tier++) {
        for (size_t p = 0; !rc && tier__policy_at(p); p++)
            if (!o->policy || only == tier__policy_at(p))
                rc = replay(a, &t, o, tier, tier__policy_at(p));
        if (!rc && !only)
            rc = replay(a, &t, o, tier, NULL);
    }
    tier__trace_fini(&t);
    return rc;
}

int tier_trace_pack(tier_admin *a, const char *const *files, size_t count, const char *to)
{
    if (!a || a->magic != TIER__ADMIN_MAGIC || !to)
        return TIER_EINVAL;
    a->detail[0] = 0;
    struct tier__trace t;
    struct tier__buf b;
    tier__trace_init(&t, a->base);
    tier__buf_init(&b, a->base);
    int rc = load(a, files, count, &t), fd = -1;
    if (!rc && (rc = tier__trace_pack(&t, &b)) != 0)
        rc = tier__admin_fail(a, rc, "no memory to pack the trace");
    if (!rc && (fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) < 0)
        rc = cannot(a, "make", to);
    for (size_t done = 0; !rc && done < b.size;) {
        ssize_t n = write(fd, b.data + done, b.size - done);
        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            rc = cannot(a, "write", to);
    }
    if (fd >= 0 && close(fd) && !rc)
        rc = cannot(a, "write", to);
    tier__buf_fini(&b);
    tier__trace_fini(&t);
    return rc;
}
