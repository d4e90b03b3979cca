/* codecs.c - what the disk's codec costs and saves on real data, in pieces of 16 KiB: this tree's C text. */
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include "tests/bench/bench.h"
#include "tiers/codec.h"

enum { PIECE = 16384, MAX_PIECES = 256 };

struct data {
    unsigned char *plain;
    size_t pieces;
};

/* Everything of the pattern, one file after the other. */
static void read_text(struct data *d, const char *pattern)
{
    glob_t found;
    size_t size = 0;
    *d = (struct data){.plain = bench_alloc(PIECE * MAX_PIECES)};
    if (glob(pattern, 0, NULL, &found))
        bench_die("the bench runs in the root of the source tree");
    for (size_t i = 0; i < found.gl_pathc; i++) {
        FILE *f = fopen(found.gl_pathv[i], "r");
        if (!f)
            bench_die(found.gl_pathv[i]);
        size += fread(d->plain + size, 1, PIECE * MAX_PIECES - size, f);
        fclose(f);
    }
    globfree(&found);
    d->pieces = size / PIECE;
}

/* ---- contenders: each compresses piece by piece, or gets its own compressed pieces back */
struct codec {
    const struct data *data;
    tier__codec *codec; /* NULL: a copy */
    struct tier__base base;
    struct tier__buf out, packed[MAX_PIECES];
    unsigned char *plain;
};

static uint64_t deflate_pieces(void *self, const struct bench_batch *batch)
{
    struct codec *c = self;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < batch->count; i++) {
        const unsigned char *from = c->data->plain + PIECE * (i % c->data->pieces);
        if (!c->codec) {
            memcpy(c->plain, from, PIECE);
            bench_keep(c->plain);
        } else if (!tier__codec_deflate(c->codec, from, PIECE, &c->out))
            sum += c->out.size;
    }
    return sum;
}

static uint64_t inflate_pieces(void *self, const struct bench_batch *batch)
{
    struct codec *c = self;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < batch->count; i++) {
        const struct tier__buf *from = &c->packed[i % c->data->pieces];
        if (!c->codec)
            memcpy(c->plain, from->data, PIECE);
        else if (tier__codec_inflate(c->codec, from->data, from->size, c->plain, PIECE))
            sum += 1000000;
        bench_keep(c->plain);
        sum += c->plain[i % PIECE];
    }
    return sum;
}

static double codec_begin(struct codec *c, const struct data *d, int level, bool libdeflate)
{
    size_t stored = 0;
    *c = (struct codec){.data = d, .plain = bench_alloc(PIECE)};
    tier__base_init(&c->base, NULL);
    if (level && tier__codec_create(&c->base, level, libdeflate, &c->codec))
        bench_die("codec");
    tier__buf_init(&c->out, &c->base);
    for (size_t i = 0; i < d->pieces; i++) {
        tier__buf_init(&c->packed[i], &c->base);
        if (!level || tier__codec_deflate(c->codec, d->plain + PIECE * i, PIECE, &c->packed[i]))
            tier__buf_put(&c->packed[i], d->plain + PIECE * i, PIECE);
        stored += c->packed[i].size;
    }
    return (double)(d->pieces * PIECE) / (double)stored;
}

static void codec_end(struct codec *c)
{
    for (size_t i = 0; i < c->data->pieces; i++)
        tier__buf_fini(&c->packed[i]);
    tier__buf_fini(&c->out);
    free(c->plain);
    tier__codec_destroy(&c->codec);
}

static void run(struct bench *b)
{
    static const struct {
        const char *name;
        int level;
        bool libdeflate;
    } kinds[] = {{"none", 0, false},
                 {"zlib 1", 1, false},
                 {"zlib 6", 6, false},
                 {"tierkit 1", 1, true},
                 {"tierkit 6", 6, true}};
    enum { KINDS = sizeof kinds / sizeof *kinds };
    struct codec *codec = bench_alloc(KINDS * sizeof *codec);
    struct bench_contender pack[KINDS], unpack[KINDS];
    struct data text;
    read_text(&text, "coherence/*.c");
    for (size_t i = 0; i < KINDS; i++) {
        double ratio = codec_begin(&codec[i], &text, kinds[i].level, kinds[i].libdeflate);
        pack[i] = (struct bench_contender){kinds[i].name, &codec[i], deflate_pieces, .bytes = PIECE};
        unpack[i] = (struct bench_contender){kinds[i].name, &codec[i], inflate_pieces, .bytes = PIECE};
        bench_figure(
            b, &(struct bench_figure){"C text: plain by stored", kinds[i].name, "", "none", ratio, false});
    }
    bench_race(b, &(struct bench_race){"C text: compress 16 KiB", pack, KINDS, .base = "zlib 1"});
    bench_race(
        b, &(struct bench_race){"C text: decompress 16 KiB", unpack, KINDS, .base = "zlib 1", .same = true});
    for (size_t i = 0; i < KINDS; i++)
        codec_end(&codec[i]);
    free(text.plain);
    free(codec);
}

const struct bench_group bench_codecs = {"codecs", "what compression costs and saves", run, NULL};
