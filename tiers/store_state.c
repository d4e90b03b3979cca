/* store_state.c - the marker of how a store was left: one line of text in one sector, with a checksum. See
 * store_dir.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "tiers/checksum.h"
#include "tiers/shield.h"
#include "tiers/store_dir.h"

enum { LINE = 320 }; /* within a sector of 512 bytes: written whole or not at all */

static const char *const LEFT[] = {"unknown", "open", "clean", "suspect"};
static const char *const SYNC[] = {"full", "relaxed", "none"};
enum { FIELDS = 8 };
static const char *const NAME[FIELDS] = {
    "tierkit-store 1 generation ", "left ", "sync ", "boot ", "ino ", "size ", "mtime ", "ctime "};
static const char SUM[] = " sum ";

void tier__boot_read(struct tier__boot *boot)
{
    char *id = boot->id;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, id, sizeof boot->id - 1) : -1;
    if (fd >= 0)
        close(fd);
    id[n > 0 ? n : 0] = 0;
    id[strcspn(id, " \n")] = 0;
    if (!id[0])
        snprintf(id, sizeof boot->id, "-");
}

static int index_of(const char *const *names, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

/* Cuts the line into its values, in the order of NAME. */
static bool cut(char *at, char *value[FIELDS])
{
    for (size_t i = 0; i < FIELDS; i++) {
        size_t size = strlen(NAME[i]);
        if (strncmp(at, NAME[i], size) != 0)
            return false;
        value[i] = at + size;
        at = value[i] + strcspn(value[i], " ");
        if (*at)
            *at++ = 0;
    }
    return true;
}

void tier__state_read(int dir, const struct tier__boot *boot, struct tier__state *s)
{
    char line[LINE], *v[FIELDS];
    int fd;
    memset(s, 0, sizeof *s);
    if (tier__place_file(dir, "state", O_RDONLY, &fd, NULL) != TIER_OK)
        return;
    ssize_t n = pread(fd, line, sizeof line - 1, 0);
    close(fd);
    if (n <= 0)
        return;
    line[n] = 0;
    char *sum = strstr(line, SUM);
    if (!sum || tier__checksum(line, (size_t)(sum - line), 0) != strtoull(sum + sizeof SUM - 1, NULL, 16))
        return;
    *sum = 0;
    if (!cut(line, v))
        return;
    int left = index_of(LEFT, 4, v[1]), sync = index_of(SYNC, 3, v[2]);
    uint64_t generation = strtoull(v[0], NULL, 16);
    if (left < 0 || sync < 0 || !generation)
        return;
    *s = (struct tier__state){.left = (enum tier__left)left,
                              .sync = (enum tier__sync)sync,
                              .generation = generation,
                              .this_boot = boot && strcmp(boot->id, "-") != 0 && strcmp(boot->id, v[3]) == 0,
                              .ino = strtoull(v[4], NULL, 10),
                              .size = strtoull(v[5], NULL, 10),
                              .mtime_ns = strtoll(v[6], NULL, 10),
                              .ctime_ns = strtoll(v[7], NULL, 10)};
}

int tier__state_write(int dir, const struct tier__boot *boot, const struct tier__state *s, bool durable)
{
    struct tier__shield shield;
    char line[LINE];
    int fd;
    int n = snprintf(line, sizeof line,
                     "tierkit-store 1 generation %016" PRIx64 " left %s sync %s boot %s ino %" PRIu64
                     " size %" PRIu64 " mtime %" PRId64 " ctime %" PRId64,
                     s->generation, LEFT[s->left], SYNC[s->sync], boot->id, s->ino, s->size, s->mtime_ns,
                     s->ctime_ns);
    uint64_t sum = tier__checksum(line, (size_t)n, 0);
    snprintf(line + n, sizeof line - (size_t)n, " sum %016" PRIx64 "\n", sum);
    size_t size = strlen(line);
    memset(line + size, ' ', sizeof line - size); /* over what a longer line left */
    line[sizeof line - 1] = '\n';
    if (tier__place_file(dir, "state", O_RDWR | O_CREAT, &fd, NULL) != TIER_OK)
        return TIER_EIO;
    tier__shield_up(&shield);
    int rc = pwrite(fd, line, sizeof line, 0) == (ssize_t)sizeof line ? TIER_OK : TIER_EIO;
    tier__shield_down(&shield);
    if (!rc && durable && fdatasync(fd) != 0)
        rc = TIER_EIO;
    close(fd);
    return rc;
}

static int64_t ns_of(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int tier__state_stamp(int data, struct tier__state *s)
{
    /* A write within the clock tick of the close would leave size and stamps as they are; a random fraction
     * of a second is none that the kernel's tick will give again. */
    struct timespec t[2] = {{0, UTIME_OMIT}, {0, 0}};
    uint32_t fraction = 0;
    clock_gettime(CLOCK_REALTIME, &t[1]);
    t[1].tv_sec--; /* not in the future, whatever the fraction */
    if (getrandom(&fraction, sizeof fraction, GRND_NONBLOCK) == (ssize_t)sizeof fraction)
        t[1].tv_nsec = (long)(fraction % 1000000000u);
    struct stat st;
    if (futimens(data, t) != 0 || fstat(data, &st) != 0)
        return TIER_EIO;
    s->ino = st.st_ino;
    s->size = (uint64_t)st.st_size;
    s->mtime_ns = ns_of(st.st_mtim);
    s->ctime_ns = ns_of(st.st_ctim);
    return TIER_OK;
}

bool tier__state_matches(const struct tier__state *s, const struct stat *data)
{
    return s->ino == data->st_ino && s->size == (uint64_t)data->st_size &&
           s->mtime_ns == ns_of(data->st_mtim) && s->ctime_ns == ns_of(data->st_ctim);
}

uint64_t tier__state_new_generation(void)
{
    uint64_t g = 0;
    if (getrandom(&g, sizeof g, GRND_NONBLOCK) != (ssize_t)sizeof g)
        g = (uint64_t)tier__now_ms() << 20 ^ (uint64_t)getpid() ^ tier__monotonic_us();
    return g ? g : 1;
}
