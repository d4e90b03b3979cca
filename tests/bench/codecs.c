/* codecs.c - what compression on disk costs and saves on real data, piece by piece: this tree's C text, and
 * the records that tierlint keeps of it. "tierkit" is the library's codec, which finds libdeflate at run
 * time; "zlib" is the same without it. */
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include "tests/bench/bench.h"
#include "tiers/codec.h"
#include "tools/tierlint/outline.h"
#ifdef BENCH_ZSTD
#include <zstd.h>
#endif
#ifdef BENCH_LZ4
#include <lz4.h>
#endif

enum { PIECE = 16384, ROOM = 2 * PIECE, MAX_PIECES = 128 };

struct data {
    unsigned char *plain;
    size_t size, pieces;
};
static void add(struct data *d, const void *bytes, size_t size)
{
    size = size < PIECE * MAX_PIECES - d->size ? size : PIECE * MAX_PIECES - d->size;
    memcpy(d->plain + d->size, bytes, size);
    d->size += size;
    d->pieces = d->size / PIECE;
}

static void add_file(const char *path, struct data *text, struct data *trees)
{
    enum { MOST = 1 << 20 };
    char *source = bench_alloc(MOST);
    FILE *f = fopen(path, "r");
    ol_outline *o;
    if (!f)
        bench_die(path);
    size_t size = fread(source, 1, MOST, f);
    fclose(f);
    add(text, source, size);
    if (ol_parse(source, size, &o))
        bench_die(path);
    unsigned char *saved = bench_alloc(ol_saved_size(o));
    ol_save(o, saved);
    add(trees, saved, ol_saved_size(o));
    ol_free(&o);
    free(saved);
    free(source);
}

static void gather(struct data *text, struct data *trees)
{
    glob_t found;
    *text = (struct data){.plain = bench_alloc(PIECE * MAX_PIECES)};
    *trees = (struct data){.plain = bench_alloc(PIECE * MAX_PIECES)};
    if (glob("coherence/*.c", 0, NULL, &found) || glob("tiers/*.c", GLOB_APPEND, NULL, &found))
        bench_die("the bench runs in the root of the source tree");
    for (size_t i = 0; i < found.gl_pathc; i++)
        add_file(found.gl_pathv[i], text, trees);
    globfree(&found);
}

/* ---- codecs: size packed or unpacked, 0: it failed. packed is ROOM bytes, plain PIECE. */
struct codec {
    const struct kind *kind;
    const struct data *data;
    struct tier__base base;
    tier__codec *ours;
    struct tier__buf out;
    unsigned char *scratch, *packed[MAX_PIECES];
    size_t size[MAX_PIECES];
};
struct kind {
    const char *name;
    int level;
    size_t (*pack)(struct codec *c, const unsigned char *plain, unsigned char *packed);
    size_t (*unpack)(struct codec *c, const unsigned char *packed, size_t size, unsigned char *plain);
};

static size_t copy(struct codec *c, const unsigned char *plain, unsigned char *packed)
{
    (void)c;
    memcpy(packed, plain, PIECE);
    bench_keep(packed);
    return PIECE;
}
static size_t uncopy(struct codec *c, const unsigned char *packed, size_t size, unsigned char *plain)
{
    (void)size;
    return copy(c, packed, plain);
}

static size_t pack_ours(struct codec *c, const unsigned char *plain, unsigned char *packed)
{
    if (tier__codec_deflate(c->ours, plain, PIECE, &c->out) || c->out.size > ROOM)
        return 0;
    if (packed !=
        c->scratch) /* where it is kept; ours has a buffer to grow, others write where they are told */
        memcpy(packed, c->out.data, c->out.size);
    return c->out.size;
}
static size_t unpack_ours(struct codec *c, const unsigned char *packed, size_t size, unsigned char *plain)
{
    return tier__codec_inflate(c->ours, packed, size, plain, PIECE) ? 0 : PIECE;
}

#ifdef BENCH_ZSTD
static size_t pack_zstd(struct codec *c, const unsigned char *plain, unsigned char *packed)
{
    size_t n = ZSTD_compress(packed, ROOM, plain, PIECE, c->kind->level);
    return ZSTD_isError(n) ? 0 : n;
}
static size_t unpack_zstd(struct codec *c, const unsigned char *packed, size_t size, unsigned char *plain)
{
    (void)c;
    size_t n = ZSTD_decompress(plain, PIECE, packed, size);
    return ZSTD_isError(n) ? 0 : n;
}
#endif
#ifdef BENCH_LZ4
static size_t pack_lz4(struct codec *c, const unsigned char *plain, unsigned char *packed)
{
    (void)c;
    return (size_t)LZ4_compress_default((const char *)plain, (char *)packed, PIECE, ROOM);
}
static size_t unpack_lz4(struct codec *c, const unsigned char *packed, size_t size, unsigned char *plain)
{
    (void)c;
    int n = LZ4_decompress_safe((const char *)packed, (char *)plain, (int)size, PIECE);
    return n < 0 ? 0 : (size_t)n;
}
#endif

static const struct kind kinds[] = {
    {"none", 0, copy, uncopy},
    {"zlib 1", 1, pack_ours, unpack_ours},
    {"zlib 6", 6, pack_ours, unpack_ours},
    {"tierkit 1", 1, pack_ours, unpack_ours},
    {"tierkit 6", 6, pack_ours, unpack_ours},
#ifdef BENCH_ZSTD
    {"zstd 1", 1, pack_zstd, unpack_zstd},
#endif
#ifdef BENCH_LZ4
    {"lz4", 0, pack_lz4, unpack_lz4},
#endif
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static uint64_t pack_pieces(void *self, const struct bench_batch *batch)
{
    struct codec *c = self;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < batch->count; i++)
        sum += c->kind->pack(c, c->data->plain + PIECE * (i % c->data->pieces), c->scratch);
    return sum;
}

static uint64_t unpack_pieces(void *self, const struct bench_batch *batch)
{
    struct codec *c = self;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < batch->count; i++) {
        size_t at = i % c->data->pieces;
        sum += c->kind->unpack(c, c->packed[at], c->size[at], c->scratch) + c->scratch[i % PIECE];
    }
    return sum;
}

static double codec_begin(struct codec *c, const struct data *d, const struct kind *k)
{
    size_t stored = 0;
    *c = (struct codec){.kind = k, .data = d, .scratch = bench_alloc(ROOM)};
    tier__base_init(&c->base, NULL);
    tier__buf_init(&c->out, &c->base);
    if (k->pack == pack_ours && tier__codec_create(&c->base, k->level, k->name[0] == 't', &c->ours))
        bench_die("codec");
    for (size_t i = 0; i < d->pieces; i++) {
        c->packed[i] = bench_alloc(ROOM);
        c->size[i] = k->pack(c, d->plain + PIECE * i, c->packed[i]);
        stored += c->size[i];
    }
    return (double)(d->pieces * PIECE) / (double)stored;
}

static void codec_end(struct codec *c)
{
    for (size_t i = 0; i < c->data->pieces; i++)
        free(c->packed[i]);
    tier__buf_fini(&c->out);
    free(c->scratch);
    tier__codec_destroy(&c->ours);
}

static void compare(struct bench *b, const struct data *d, const char *what)
{
    struct codec *codec = bench_alloc(KINDS * sizeof *codec);
    struct bench_contender pack[KINDS], unpack[KINDS];
    char *row = bench_text("%s: times smaller", what);
    for (size_t i = 0; i < KINDS; i++) {
        double ratio = codec_begin(&codec[i], d, &kinds[i]);
        pack[i] = (struct bench_contender){
            .name = kinds[i].name, .self = &codec[i], .run = pack_pieces, .bytes = PIECE};
        unpack[i] = pack[i];
        unpack[i].run = unpack_pieces;
        bench_figure(b, &(struct bench_figure){row, kinds[i].name, "", NULL, ratio, false});
    }
    free(row);
    row = bench_text("%s: compress 16 KiB", what);
    bench_race(b, &(struct bench_race){.row = row, .contender = pack, .count = KINDS, .base = "zlib 1"});
    free(row);
    row = bench_text("%s: decompress 16 KiB", what);
    bench_race(b, &(struct bench_race){row, unpack, KINDS, "zlib 1", .same = true, .plot = true});
    free(row);
    for (size_t i = 0; i < KINDS; i++)
        codec_end(&codec[i]);
    free(codec);
}

static void run(struct bench *b)
{
    struct data text, trees;
#ifndef BENCH_ZSTD
    bench_missing(b, "zstd 1", "not there when this was compiled");
#endif
#ifndef BENCH_LZ4
    bench_missing(b, "lz4", "not there when this was compiled");
#endif
    gather(&text, &trees);
    compare(b, &text, "C text");
    compare(b, &trees, "trees");
    free(text.plain);
    free(trees.plain);
}

const struct bench_group bench_codecs = {"codecs", "what compression on disk costs and saves", run, NULL};
