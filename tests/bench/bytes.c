/* bytes.c - what an entry takes beyond what is in it, in memory and on disk. Each peer of memory is filled in
 * a child, so that it begins with an empty heap. */
#include <ftw.h>
#include <malloc.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/bench/peer.h"
#include "tiers/memory.h"
#include "tiers/store.h"

struct growth { /* bytes by which a child grew */
    uint64_t resident, heap, charged;
};

static uint64_t resident_now(void)
{
    unsigned long total, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%lu %lu", &total, &resident) != 2)
        bench_die("/proc/self/statm");
    fclose(f);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t heap_now(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static void fill(const struct peer *p, void *state, const struct peer_world *w)
{
    struct peer_run r = {.peer = state, .w = w, .sequence = w->sweep, .length = w->keys};
    r.thread[0].value = bench_alloc(PEER_VALUE_MAX);
    memcpy(r.thread[0].value, w->noise, PEER_VALUE_MAX);
    p->run[PEER_PUT](&r, &(struct bench_batch){0, 0, w->keys});
    free(r.thread[0].value);
}

static struct growth fill_in_child(const struct peer *p, const struct peer_world *w)
{
    struct growth g = {0};
    int fds[2];
    fflush(stdout);
    malloc_trim(0);
    if (pipe(fds))
        bench_die("pipe");
    pid_t child = fork();
    if (child < 0)
        bench_die("fork");
    if (child == 0) {
        uint64_t resident = resident_now(), heap = heap_now();
        void *state = p->open(&(struct peer_setup){w, 0, NULL});
        fill(p, state, w);
        g = (struct growth){resident_now() - resident, heap_now() - heap, 0};
        if (p == &peer_tierkit)
            peer_tierkit_bytes(state, &g.heap, &g.charged);
        _exit(write(fds[1], &g, sizeof g) != sizeof g);
    }
    close(fds[1]);
    if (read(fds[0], &g, sizeof g) != sizeof g)
        bench_die("a child");
    close(fds[0]);
    waitpid(child, NULL, 0);
    return g;
}

/* Beyond key and value; of ours also beyond the value hash, which the others do not keep. */
static void memory_bytes(struct bench *b, uint32_t keys, size_t size, const char *row)
{
    static const struct peer *const peers[] = {&peer_floor,  &peer_tierkit, &peer_glib,
                                               &peer_uthash, &peer_tkrzw,   &peer_kyoto};
    struct peer_world *w = peer_world_new(keys, size);
    for (size_t i = 0; i < sizeof peers / sizeof *peers; i++) {
        if (!peers[i]->open)
            continue;
        struct growth g = fill_in_child(peers[i], w);
        uint64_t known = size + (peers[i] == &peer_tierkit ? 64 : peers[i] == &peer_floor ? 0 : 32);
        double each = (double)g.resident / keys - (double)known;
        bench_figure(b, &(struct bench_figure){row, peers[i]->name, "B", "floor", each, true});
    }
    peer_world_free(w);
}

static void charged_bytes(struct bench *b, uint32_t keys)
{
    static const char *const row = "1M entries of 64 B: each";
    struct peer_world *w = peer_world_new(keys, 64);
    struct growth g = fill_in_child(&peer_tierkit, w);
    bench_figure(b, &(struct bench_figure){row, "heap", "B", "heap", (double)g.heap / keys, false});
    bench_figure(b, &(struct bench_figure){row, "resident", "B", "heap", (double)g.resident / keys, false});
    double beyond = (double)g.heap / keys - 64 - 2 * (double)sizeof(tier_digest);
    bench_figure(b, &(struct bench_figure){row, "tierkit beyond", "B", "heap", beyond, false});
    bench_figure(
        b, &(struct bench_figure){row, "tierkit charged", "B", "heap", (double)g.charged / keys, false});
    peer_world_free(w);
}

/* ---- disk: blocks of the directory once everything was put and closed */
static uint64_t blocks;
static int add_blocks(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)path, (void)f;
    blocks += type == FTW_F ? (uint64_t)st->st_blocks * 512 : 0;
    return 0;
}

static void put_ours(const struct peer_world *w, const char *dir)
{
    struct tier__base base;
    struct tier__store_options o = {.dir = dir, .sync = TIER__SYNC_NONE};
    tier__store *st;
    tier__write *t = NULL;
    char why[256];
    unsigned char *value = bench_alloc(w->size);
    tier__base_init(&base, NULL);
    memcpy(value, w->noise, w->size);
    if (tier__store_open(&base, &o, &st, why, sizeof why))
        bench_die(why);
    for (uint32_t k = 0; k < w->keys; k++) {
        uint64_t stamp = peer_stamp(k);
        memcpy(value, &stamp, sizeof stamp);
        if (!t && tier__write_begin(st, &t))
            bench_die("store");
        tier__write_put(t, TIER__BLOB, &w->key[k], sizeof w->key[k], value, w->size, 0);
        if ((k % 1000 == 999 || k + 1 == w->keys) && tier__write_commit(&t))
            bench_die("store");
    }
    tier__store_close(&st);
    free(value);
}

static void disk_bytes(struct bench *b, uint32_t keys, size_t size, const char *row)
{
    static const struct peer *const peers[] = {&peer_lmdb, NULL, &peer_rocksdb, &peer_sqlite, &peer_files};
    struct peer_world *all = peer_world_new(keys, size), *few = peer_world_new(keys / 10, size);
    for (size_t i = 0; i < sizeof peers / sizeof *peers; i++) {
        const struct peer *p = peers[i];
        if (p && !p->open)
            continue;
        const char *name = p ? p->name : "tierkit";
        const struct peer_world *w = p && p->most ? few : all;
        char *dir = bench_text("%s/disk-%s-%zu", b->dir, name, size);
        if (mkdir(dir, 0700))
            bench_die(dir);
        if (p) {
            void *state = p->open(&(struct peer_setup){w, 0, dir});
            fill(p, state, w);
            p->close(state);
        } else
            put_ours(w, dir);
        blocks = 0;
        nftw(dir, add_blocks, 16, FTW_PHYS);
        bench_figure(b, &(struct bench_figure){row, name, "B", "lmdb", (double)blocks / w->keys, true});
        free(dir);
    }
    peer_world_free(all);
    peer_world_free(few);
}

static void run(struct bench *b)
{
    for (size_t i = 0; i < PEER_COUNT; i++)
        if (!peer_all[i]->open)
            bench_missing(b, peer_all[i]->name, "not there when this was compiled");
    memory_bytes(b, b->quick ? 2000 : 200000, 64, "memory, 64 B: bytes beyond");
    memory_bytes(b, b->quick ? 2000 : 100000, 1024, "memory, 1 KiB: bytes beyond");
    charged_bytes(b, b->quick ? 2000 : 1000000);
    disk_bytes(b, b->quick ? 200 : 100000, 64, "disk, 64 B: bytes an entry");
    disk_bytes(b, b->quick ? 200 : 50000, 1024, "disk, 1 KiB: bytes an entry");
    disk_bytes(b, b->quick ? 100 : 8192, 16384, "disk, 16 KiB: bytes an entry");
}

static const struct bench_goal goals[] = {
    {"bytes beyond key, value, value hash", "1M entries of 64 B: each", "tierkit beyond", NULL, NULL, '<',
     64},
    {"charged / heap, at least", "1M entries of 64 B: each", "tierkit charged", NULL, "heap", '>', 0.97},
    {"charged / heap, at most", "1M entries of 64 B: each", "tierkit charged", NULL, "heap", '<', 1.03},
    {.name = NULL}};
const struct bench_group bench_bytes = {
    "bytes", "what an entry takes in memory beyond key and value (ours: and value hash), and on disk", run,
    goals};
