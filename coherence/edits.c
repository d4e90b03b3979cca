/* edits.c - see edits.h. E. Myers, An O(ND) Difference Algorithm and Its Variations, Algorithmica 1986, with
 * the middle of a shortest path searched from both ends (linear space) and a stack in place of recursion. */
#include "coherence/edits.h"
#include "tiers/checksum.h"

/* Rounds of one search from both ends: it finds up to twice as many changed lines. The two frontiers are
 * arrays of this size, so memory beyond the lines themselves is constant (64 KiB). */
enum { ROUNDS = 2048 };
enum { FRONTIER = 2 * ROUNDS + 3 };
/* Steps of one call: unrelated texts of 10,000 to 320,000 lines end after 20 to 70 ms; without a cap the
 * search is quadratic. */
#define STEPS (UINT64_C(1) << 24)
/* Boxes that wait. The smaller half is searched first and the larger one waits, so at most one waits for each
 * halving of the number of lines. */
enum { WAITING = 80 };

struct line {
    uint64_t hash;
    uint32_t start, size;
};

struct side {
    const unsigned char *text;
    struct line *line;
    bool *changed; /* by line */
    size_t count;
};

struct box { /* lines [a0, a1) of old against [b0, b1) of new */
    int64_t a0, a1, b0, b1;
};

struct search {
    struct side a, b;
    int64_t *forward, *backward; /* furthest old line by diagonal; FRONTIER each, middle at ROUNDS + 1 */
    uint64_t steps;
};

static bool same(const struct search *s, int64_t i, int64_t j)
{
    const struct line *a = &s->a.line[i], *b = &s->b.line[j];

    return a->hash == b->hash && a->size == b->size &&
           memcmp(s->a.text + a->start, s->b.text + b->start, a->size) == 0;
}

/* The diagonals d = i - j that a frontier covers in this round; grows by one at both ends until it meets the
 * box's own, then shrinks by one to keep the parity. */
struct range {
    int64_t middle, low, high;
};

static int64_t *at(int64_t *frontier, const struct range *r, int64_t d)
{
    return &frontier[d - r->middle + ROUNDS + 1];
}

static void widen(struct range *r, int64_t *frontier, int64_t least, int64_t most, int64_t beyond)
{
    if (r->low > least) {
        r->low--;
        *at(frontier, r, r->low - 1) = beyond;
    } else {
        r->low++;
    }
    if (r->high < most) {
        r->high++;
        *at(frontier, r, r->high + 1) = beyond;
    } else {
        r->high--;
    }
}

static bool step_forward(struct search *s, const struct box *x, const struct range *f, const struct range *b,
                         bool odd, int64_t *mi, int64_t *mj)
{
    int64_t d;

    for (d = f->high; d >= f->low; d -= 2) {
        int64_t left = *at(s->forward, f, d - 1), right = *at(s->forward, f, d + 1);
        int64_t i = left >= right ? left + 1 : right, j = i - d;
        for (s->steps++; i < x->a1 && j < x->b1 && same(s, i, j); i++, j++)
            s->steps++;
        *at(s->forward, f, d) = i;
        if (odd && b->low <= d && d <= b->high && *at(s->backward, b, d) <= i) {
            *mi = i;
            *mj = j;
            return true;
        }
    }
    return false;
}

static bool step_backward(struct search *s, const struct box *x, const struct range *f, const struct range *b,
                          bool odd, int64_t *mi, int64_t *mj)
{
    int64_t d;

    for (d = b->high; d >= b->low; d -= 2) {
        int64_t left = *at(s->backward, b, d - 1), right = *at(s->backward, b, d + 1);
        int64_t i = left < right ? left : right - 1, j = i - d;
        for (s->steps++; i > x->a0 && j > x->b0 && same(s, i - 1, j - 1); i--, j--)
            s->steps++;
        *at(s->backward, b, d) = i;
        if (!odd && f->low <= d && d <= f->high && i <= *at(s->forward, f, d)) {
            *mi = i;
            *mj = j;
            return true;
        }
    }
    return false;
}

/* A point on a shortest path through the box, whose corners differ. false: it would cost too much. */
static bool find_middle(struct search *s, const struct box *x, int64_t *mi, int64_t *mj)
{
    struct range f = {x->a0 - x->b0, x->a0 - x->b0, x->a0 - x->b0};
    struct range b = {x->a1 - x->b1, x->a1 - x->b1, x->a1 - x->b1};
    int64_t least = x->a0 - x->b1, most = x->a1 - x->b0;
    bool odd = ((f.middle - b.middle) & 1) != 0;
    int round;

    *at(s->forward, &f, f.middle) = x->a0;
    *at(s->backward, &b, b.middle) = x->a1;
    for (round = 1; round <= ROUNDS && s->steps < STEPS; round++) {
        widen(&f, s->forward, least, most, -1);
        if (step_forward(s, x, &f, &b, odd, mi, mj))
            return true;
        widen(&b, s->backward, least, most, INT64_MAX);
        if (step_backward(s, x, &f, &b, odd, mi, mj))
            return true;
    }
    return false;
}

static int64_t lines_of(const struct box *x)
{
    return x->a1 - x->a0 + x->b1 - x->b0;
}

/* Marks the changed lines of both sides. */
static void compare(struct search *s)
{
    struct box waiting[WAITING], x = {0, (int64_t)s->a.count, 0, (int64_t)s->b.count};
    int64_t mi = 0, mj = 0;
    size_t n = 0;

    for (;;) {
        struct box low, high;
        while (x.a0 < x.a1 && x.b0 < x.b1 && same(s, x.a0, x.b0))
            x.a0++, x.b0++;
        while (x.a0 < x.a1 && x.b0 < x.b1 && same(s, x.a1 - 1, x.b1 - 1))
            x.a1--, x.b1--;
        if (x.a0 == x.a1 || x.b0 == x.b1 || n == WAITING || !find_middle(s, &x, &mi, &mj)) {
            memset(s->a.changed + x.a0, true, (size_t)(x.a1 - x.a0));
            memset(s->b.changed + x.b0, true, (size_t)(x.b1 - x.b0));
            if (n == 0)
                return;
            x = waiting[--n];
            continue;
        }
        low = (struct box){x.a0, mi, x.b0, mj};
        high = (struct box){mi, x.a1, mj, x.b1};
        x = lines_of(&low) < lines_of(&high) ? low : high;
        waiting[n++] = lines_of(&low) < lines_of(&high) ? high : low;
    }
}

/* Cuts text[from, to) into lines; the last may lack its newline. */
static int split(struct tier__base *base, struct side *side, const unsigned char *text, size_t from,
                 size_t to)
{
    size_t count = 0, i, end;
    const unsigned char *newline;

    for (i = from; i < to; i = end, count++) {
        newline = memchr(text + i, '\n', to - i);
        end = newline ? (size_t)(newline - text) + 1 : to;
    }
    side->text = text;
    side->count = count;
    side->line = tier__zalloc(base, count + 1, sizeof *side->line);
    side->changed = tier__zalloc(base, count + 1, sizeof *side->changed);
    if (!side->line || !side->changed)
        return TIER_ENOMEM;
    for (i = from, count = 0; i < to; i = end, count++) {
        newline = memchr(text + i, '\n', to - i);
        end = newline ? (size_t)(newline - text) + 1 : to;
        side->line[count].start = (uint32_t)i;
        side->line[count].size = (uint32_t)(end - i);
        side->line[count].hash = tier__checksum(text + i, end - i, 0);
    }
    side->line[count].start = (uint32_t)to; /* where a hunk at the end begins */
    return TIER_OK;
}

/* What is written: edits, and the point in the new text up to which rows were counted. */
struct writer {
    struct tier__base *base;
    const unsigned char *a, *b;
    tier_edit *edit;
    size_t count, capacity;
    size_t done;
    tier_point point;
};

static tier_point advance(tier_point from, const unsigned char *text, size_t size)
{
    const unsigned char *newline, *end = text + size;

    while ((newline = memchr(text, '\n', (size_t)(end - text))) != NULL) {
        from.row++;
        from.column = 0;
        text = newline + 1;
    }
    from.column += (uint32_t)(end - text);
    return from;
}

/* Steps of at most 3: no UTF-8 character has more bytes behind its first; anything longer is not UTF-8. */
enum { CHARACTER_REST = 3 };

static bool inside_character(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* old[a0, a1) became new[b0, b1): trims what both have at the ends, and writes an edit if anything is left.
 */
static int hunk(struct writer *w, size_t a0, size_t a1, size_t b0, size_t b1)
{
    size_t low_a = a0, high_a = a1;
    int back;
    tier_edit *e;

    while (a0 < a1 && b0 < b1 && w->a[a0] == w->b[b0])
        a0++, b0++;
    if (a0 == a1 && b0 == b1)
        return TIER_OK;
    for (back = 0; back < CHARACTER_REST && a0 > low_a && a0 < a1 && inside_character(w->a[a0]); back++)
        a0--, b0--; /* the bytes before are the same, so w->b[b0] is inside one too */
    while (a1 > a0 && b1 > b0 && w->a[a1 - 1] == w->b[b1 - 1])
        a1--, b1--;
    for (back = 0; back < CHARACTER_REST && a1 < high_a && inside_character(w->a[a1]); back++)
        a1++, b1++; /* w->b[b1] is the same byte */
    if (w->count == w->capacity) {
        size_t capacity = w->capacity ? w->capacity * 2 : 8;
        e = tier__resize(w->base, w->edit, capacity * sizeof *e);
        if (!e)
            return TIER_ENOMEM;
        w->edit = e;
        w->capacity = capacity;
    }
    e = &w->edit[w->count++];
    w->point = advance(w->point, w->b + w->done, b0 - w->done);
    e->start = b0;
    e->old_end = b0 + (a1 - a0);
    e->new_end = b1;
    e->start_at = w->point;
    e->old_end_at = advance(w->point, w->a + a0, a1 - a0);
    e->new_end_at = w->point = advance(w->point, w->b + b0, b1 - b0);
    w->done = b1;
    return TIER_OK;
}

static int hunks(struct writer *w, const struct search *s)
{
    size_t i = 0, j = 0;
    int rc = TIER_OK;

    while (!rc && (i < s->a.count || j < s->b.count)) {
        size_t a0 = s->a.line[i].start, b0 = s->b.line[j].start;
        if (!s->a.changed[i] && !s->b.changed[j]) {
            i++, j++;
            continue;
        }
        while (i < s->a.count && s->a.changed[i])
            i++;
        while (j < s->b.count && s->b.changed[j])
            j++;
        rc = hunk(w, a0, s->a.line[i].start, b0, s->b.line[j].start);
    }
    return rc;
}

/* The bytes at both ends that the texts share, cut back to whole lines so that lines stay aligned. */
static void shared_ends(const unsigned char *a, size_t an, const unsigned char *b, size_t bn, size_t *head,
                        size_t *tail)
{
    size_t least = an < bn ? an : bn, h = 0, t = 0;

    while (h < least && a[h] == b[h])
        h++;
    while (h > 0 && a[h - 1] != '\n')
        h--;
    while (t < least - h && a[an - 1 - t] == b[bn - 1 - t])
        t++;
    while (t > 0 && (an == t || a[an - t - 1] != '\n' || bn == t || b[bn - t - 1] != '\n'))
        t--;
    *head = h;
    *tail = t;
}

int tier__edits_find(struct tier__base *base, const void *old_text, size_t old_size, const void *new_text,
                     size_t new_size, tier_edit **edits, size_t *count)
{
    struct writer w = {.base = base,
                       .a = old_size ? (const unsigned char *)old_text : (const unsigned char *)"",
                       .b = new_size ? (const unsigned char *)new_text : (const unsigned char *)""};
    struct search s = {0};
    size_t head, tail;
    int rc = TIER_ENOMEM;

    *edits = NULL;
    *count = 0;
    if (old_size > UINT32_MAX || new_size > UINT32_MAX)
        return TIER_EINVAL;
    if (old_size == new_size && (old_size == 0 || memcmp(old_text, new_text, old_size) == 0))
        return TIER_OK;
    shared_ends(w.a, old_size, w.b, new_size, &head, &tail);
    s.forward = tier__zalloc(base, FRONTIER, sizeof *s.forward);
    s.backward = tier__zalloc(base, FRONTIER, sizeof *s.backward);
    if (s.forward && s.backward)
        rc = split(base, &s.a, w.a, head, old_size - tail);
    if (!rc)
        rc = split(base, &s.b, w.b, head, new_size - tail);
    if (!rc) {
        compare(&s);
        rc = hunks(&w, &s);
    }
    tier__free(base, s.a.line);
    tier__free(base, s.a.changed);
    tier__free(base, s.b.line);
    tier__free(base, s.b.changed);
    tier__free(base, s.forward);
    tier__free(base, s.backward);
    if (rc) {
        tier__free(base, w.edit);
        return rc;
    }
    *edits = w.edit;
    *count = w.count;
    return TIER_OK;
}
