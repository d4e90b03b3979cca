/* synthesize.c - writes the synthetic traces: the same bytes from the same seed.
 * cc -std=gnu11 -D_GNU_SOURCE -Iinclude -I. -o /tmp/synthesize tests/bench/traces/synthesize.c
 * BUILD/libtierkit.a \ -llmdb -lz -lsodium -lpthread -lm && /tmp/synthesize zipf|churn FILE */
#include <math.h>
#include <stdlib.h>
#include "tiers/trace.h"

static uint64_t seed = 2026;

static uint64_t next(void) /* xorshift64* */
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * UINT64_C(0x2545f4914f6cdd1d);
}

static double unit(void)
{
    return (double)(next() >> 11) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2 * log(1 - unit())) * cos(6.283185307179586 * unit());
}

static uint64_t lognormal(double median, double sigma, uint64_t least, uint64_t most)
{
    double v = median * exp(sigma * normal());
    return v < (double)least ? least : v > (double)most ? most : (uint64_t)v;
}

/* What is asked for: a size of its own, and a cost of so many nanoseconds to the byte, unlike from one to the
 * next by a factor of up to a hundred. */
struct thing {
    uint64_t key, charge;
    uint32_t cost;
};

static struct thing thing_of(uint64_t key, double median, double ns)
{
    struct thing t = {key, lognormal(median, 1.2, 160, 1 << 20), 0};
    t.cost = (uint32_t)(1 + (double)t.charge * ns * exp(normal()) / 1000);
    return t;
}

static void get(struct tier__trace *t, int tier, const struct thing *x)
{
    if (tier__trace_add(t, TIER__TRACE_HIT, tier, x->key, x->charge, x->cost))
        abort();
}

/* ---- zipf 0.99 over 20,000 things of mixed sizes and costs */
enum { THINGS = 20000, GETS = 100000 };

static void zipf(struct tier__trace *t)
{
    static struct thing thing[THINGS];
    static double below[THINGS];
    double sum = 0;
    for (int i = 0; i < THINGS; i++) {
        thing[i] = thing_of((uint64_t)i, 4000, 60);
        sum += pow(i + 1, -0.99);
        below[i] = sum;
    }
    for (int n = 0; n < GETS; n++) {
        double u = unit() * sum;
        int low = 0;
        for (int high = THINGS - 1; low < high;) {
            int middle = (low + high) / 2;
            if (below[middle] < u)
                low = middle + 1;
            else
                high = middle;
        }
        get(t, TIER_TREE, &thing[low]);
    }
}

/* ---- a daemon's life: every round some files are edited and everything is gone over, in order; between
 * rounds people work on a hot set. An edit makes a new version of content and tree; one in eight takes the
 * last one back. */
enum { FILES = 2500, HOT = 150, ROUNDS = 40, HOT_GETS = 1500 };

struct file {
    struct thing content[2], tree[2]; /* as it is, and as it was before */
};

static void edit(struct tier__trace *t, struct file *f, uint64_t *keys)
{
    struct thing content = f->content[1], tree = f->tree[1];
    if (!content.key || next() % 8) {
        content = (struct thing){(*keys)++, f->content[0].charge + next() % 64, f->content[0].cost};
        tree = (struct thing){(*keys)++, f->tree[0].charge + next() % 256, f->tree[0].cost};
    }
    if (tier__trace_add(t, TIER__TRACE_DEAD, TIER_FILE, f->content[0].key, 0, 0) ||
        tier__trace_add(t, TIER__TRACE_DEAD, TIER_TREE, f->tree[0].key, 0, 0))
        abort();
    f->content[1] = f->content[0];
    f->tree[1] = f->tree[0];
    f->content[0] = content;
    f->tree[0] = tree;
    get(t, TIER_FILE, &content);
    get(t, TIER_TREE, &tree);
}

static void churn(struct tier__trace *t)
{
    static struct file file[FILES];
    uint64_t keys = 1;
    for (int i = 0; i < FILES; i++) {
        file[i].content[0] = thing_of(keys++, 6000, 2);
        file[i].tree[0] = thing_of(keys++, 15000, 80);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < FILES; i++) {
            get(t, TIER_FILE, &file[i].content[0]);
            get(t, TIER_TREE, &file[i].tree[0]);
        }
        for (int n = 0; n < HOT_GETS; n++) {
            struct file *f = &file[(uint64_t)(unit() * unit() * HOT) * 16];
            if (n % 50 == 0)
                edit(t, f, &keys);
            get(t, TIER_TREE, &f->tree[0]);
            if (n % 4 == 0)
                get(t, TIER_FILE, &f->content[0]);
        }
        for (int n = 0; n < 20; n++)
            edit(t, &file[next() % FILES], &keys);
    }
}

int main(int argc, char **argv)
{
    struct tier__base base;
    struct tier__trace t;
    struct tier__buf out;
    tier__base_init(&base, NULL);
    tier__trace_init(&t, &base);
    tier__buf_init(&out, &base);
    if (argc != 3)
        return 2;
    if (strcmp(argv[1], "zipf") == 0)
        zipf(&t);
    else
        churn(&t);
    FILE *f = fopen(argv[2], "wb");
    if (tier__trace_pack(&t, &out) || !f || fwrite(out.data, 1, out.size, f) != out.size || fclose(f))
        return 1;
    tier__buf_fini(&out);
    tier__trace_fini(&t);
    return 0;
}
