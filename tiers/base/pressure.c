/* pressure.c - the files of cgroups (kernel: cgroup-v2.rst, cgroup-v1/memory.rst), meminfo and PSI. */
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tiers/base/pressure.h"

#define NO_LIMIT (UINT64_C(1) << 60) /* v1 says "no limit" by a number near 2^63 */

/* The beginning of root/dir/name as text; false: there is no such file. */
static bool read_text(const char *root, const char *dir, const char *name, char *text, size_t size)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s%s/%s", root, dir, name) >= (int)sizeof path)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    return n > 0;
}

static bool read_number(const char *root, const char *dir, const char *name, uint64_t *value)
{
    char text[64], *end;
    if (!read_text(root, dir, name, text, sizeof text))
        return false;
    *value = strtoull(text, &end, 10);
    return end != text; /* "max" is no number */
}

/* The number behind "key " at the start of a line; 0: none. */
static uint64_t field(const char *text, const char *key)
{
    size_t n = strlen(key);
    while (text && strncmp(text, key, n) != 0)
        text = (text = strchr(text, '\n')) ? text + 1 : NULL;
    return text ? strtoull(text + n, NULL, 10) : 0;
}

static void tighter(struct tier__pressure *p, uint64_t limit, uint64_t used)
{
    used = used < limit ? used : limit;
    if (limit && limit < NO_LIMIT &&
        (!p->limit || (double)used * (double)p->limit > (double)p->used * (double)limit)) {
        p->limit = limit;
        p->used = used;
    }
}

static void read_stall(const char *root, const char *dir, const char *name, struct tier__pressure *p)
{
    char text[512];
    if (!read_text(root, dir, name, text, sizeof text))
        return;
    const char *some = strstr(text, "some avg10="), *full = strstr(text, "full avg10=");
    p->some = some ? strtod(some + strlen("some avg10="), NULL) : 0;
    p->full = full ? strtod(full + strlen("full avg10="), NULL) : 0;
}

/* Of one level of a hierarchy. */
struct cgroup_files {
    const char *mount, *limit, *usage, *inactive;
};
static const struct cgroup_files version_2 = {"/sys/fs/cgroup", "memory.max", "memory.current",
                                              "inactive_file "};
static const struct cgroup_files version_1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                              "memory.usage_in_bytes", "total_inactive_file "};

static void read_level(const char *root, const struct cgroup_files *f, const char *dir,
                       struct tier__pressure *p)
{
    char stat[8192];
    uint64_t limit, used;
    if (!read_number(root, dir, f->limit, &limit) || !read_number(root, dir, f->usage, &used))
        return;
    uint64_t inactive = read_text(root, dir, "memory.stat", stat, sizeof stat) ? field(stat, f->inactive) : 0;
    tighter(p, limit, used > inactive ? used - inactive : 0);
}

/* Every level from the process's own up to the mount: each limits it. In a container the path may be that of
 * the host, and only the mount's own files are there. */
static void read_cgroup(const char *root, const struct cgroup_files *f, const char *path,
                        struct tier__pressure *p)
{
    char dir[PATH_MAX];
    size_t mount = strlen(f->mount);
    int n = snprintf(dir, sizeof dir, "%s%s", f->mount, strcmp(path, "/") == 0 ? "" : path);
    if (n < 0 || n >= (int)sizeof dir || strstr(path, ".."))
        snprintf(dir, sizeof dir, "%s", f->mount);
    if (f == &version_2)
        read_stall(root, dir, "memory.pressure", p);
    for (;;) {
        read_level(root, f, dir, p);
        char *slash = strrchr(dir, '/');
        if (strlen(dir) <= mount || !slash || slash < dir + mount)
            return;
        *slash = 0;
    }
}

void tier__pressure_read(const char *root, struct tier__pressure *p)
{
    char text[4096];
    *p = (struct tier__pressure){0};
    if (read_text(root, "/proc", "meminfo", text, sizeof text)) {
        uint64_t total = field(text, "MemTotal:") * 1024, available = field(text, "MemAvailable:") * 1024;
        tighter(p, total, available < total ? total - available : 0);
    }
    read_stall(root, "/proc/pressure", "memory", p);
    if (!read_text(root, "/proc/self", "cgroup", text, sizeof text))
        return;
    for (char *line = text, *next; *line; line = next) {
        next = line + strcspn(line, "\n");
        next += *next && (*next = 0, 1);
        char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        if (names[1] == 0)
            read_cgroup(root, &version_2, path, p);
        else if (strcmp(names + 1, "memory") == 0)
            read_cgroup(root, &version_1, path, p);
    }
}
