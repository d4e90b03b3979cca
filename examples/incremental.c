/* incremental.c FILE [EDITED] - a parser that parses again only the lines that an edit touched. EDITED holds
 * what an editor shows of FILE, not saved yet. */
/* run: examples/hello.c examples/memo.c */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tierkit.h>

struct line {
    size_t end; /* behind its newline */
    unsigned words;
};

struct tree {
    const char *text; /* the file's content, held as long as this lives */
    size_t size, count;
    struct line line[];
};

struct parser {
    const tier_type *tree, *words;
    unsigned trees;
    size_t parsed; /* bytes */
};

/* What was old, as far as it may be taken over. */
struct reuse {
    const struct tree *tree; /* NULL: nothing may */
    size_t first, new_end;   /* the edits lie between, in the old text and in the new one */
};

static unsigned count_words(const char *p, const char *end)
{
    unsigned words = 0;
    for (; p < end; p++)
        words += p[0] > ' ' && (p + 1 == end || p[1] <= ' ');
    return words;
}

/* Equal to a parse from scratch, whatever the old tree is: a line depends on its bytes alone, and what is
 * taken over begins behind a newline that no edit touched. */
static void parse(struct tree *t, const struct reuse *r, struct parser *parser)
{
    const struct tree *old = r->tree;
    size_t at = 0, i = 0;
    for (; old && i < old->count && old->line[i].end <= r->first && old->text[old->line[i].end - 1] == '\n';
         i++)
        t->line[t->count++] = old->line[i], at = old->line[i].end;
    while (at < t->size) {
        size_t shift = old ? t->size - old->size : 0; /* modulo, where the text became shorter */
        for (; old && at > r->new_end && i < old->count; i++)
            if (old->line[i].end > at - shift)
                t->line[t->count++] = (struct line){at = old->line[i].end + shift, old->line[i].words};
        if (at == t->size)
            break;
        const char *newline = memchr(t->text + at, '\n', t->size - at);
        size_t end = newline ? (size_t)(newline - t->text) + 1 : t->size;
        t->line[t->count++] = (struct line){end, count_words(t->text + at, t->text + end)};
        parser->parsed += end - at;
        at = end;
    }
}

static int build_tree(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    struct parser *parser = user;
    struct reuse r = {.tree = NULL};
    const tier_edit *edit;
    size_t edits, lines = 1;
    tier_digest from;
    tier_value text, old;
    int rc = tier_file(s, q->path, &text);
    if (rc)
        return rc;
    for (size_t i = 0; i < text.size; i++)
        lines += ((const char *)text.data)[i] == '\n';
    struct tree *t = malloc(sizeof *t + lines * sizeof t->line[0]);
    if (!t)
        return TIER_ENOMEM;
    *t = (struct tree){.text = text.data, .size = text.size};
    if (!tier_previous(s, q, &old, &from) && !tier_edits(s, q->path, &from, &edit, &edits)) {
        r.tree = old.object;
        r.first = edits ? (size_t)edit[0].start : r.tree->size;
        r.new_end = edits ? (size_t)edit[edits - 1].new_end : text.size; /* in the newest text */
    }
    parse(t, &r, parser);
    parser->trees++;
    rc = tier_out_object(out, t, sizeof *t + lines * sizeof t->line[0]); /* the cache's from here on */
    return rc ? rc : tier_out_hold(out, &text);                          /* what it points into */
}

static void destroy_tree(void *object, void *user)
{
    (void)user;
    free(object);
}

/* What readers want of the tree: small, of bytes, kept on disk. The tree itself is a live object and is not.
 */
static int build_words(tier_session *s, const tier_query *q, tier_out *out, void *user)
{
    const struct parser *parser = user;
    tier_value v;
    unsigned words = 0;
    int rc = tier_get(s, &(tier_query){.type = parser->tree, .path = q->path}, &v);
    const struct tree *t = rc ? NULL : v.object;
    for (size_t i = 0; t && i < t->count; i++)
        words += t->line[i].words;
    return rc ? rc : tier_out_bytes(out, &words, sizeof words);
}

/* Where there is an edited file, it is from then on what path holds for new sessions. */
static int look(tier_cache *cache, struct parser *parser, const char *path, const char *edited)
{
    tier_session *s = NULL;
    tier_value v;
    size_t parsed = parser->parsed;
    unsigned trees = parser->trees;
    int rc = tier_begin(cache, NULL, &s);
    rc = rc ? rc : tier_get(s, &(tier_query){.type = parser->words, .path = path}, &v);
    printf("%s: %u words\n", path, rc ? 0 : *(const unsigned *)v.data);
    fprintf(stderr, "built %u trees, parsed %zu bytes\n", parser->trees - trees, parser->parsed - parsed);
    if (!rc && edited && !(rc = tier_file(s, edited, &v)))
        rc = tier_overlay(cache, path, 1, v.data, v.size);
    tier_end(&s);
    return rc;
}

int main(int argc, char **argv)
{
    struct parser parser = {.trees = 0};
    const tier_options o = {
        .struct_size = sizeof o, .app = "incremental", .flags = getenv("NO_CACHE") ? TIER_NO_MEMORY : 0};
    tier_type_def tree = {.struct_size = sizeof tree, .name = "tree", .tier = TIER_TREE, .build = build_tree};
    tier_type_def words = {
        .struct_size = sizeof words, .name = "words", .tier = TIER_DELTA, .build = build_words};
    tier_cache *cache = NULL;
    tree.destroy = destroy_tree;
    tree.flags = TIER_EXCLUSIVE; /* not for an array: for trees that two threads may not read at a time */
    tree.user = words.user = &parser;
    if (argc < 2 || tier_open(&o, &cache))
        return fprintf(stderr, "usage: incremental FILE [EDITED]\n"), 2;
    int rc = tier_define(cache, &tree, &parser.tree);
    rc = rc ? rc : tier_define(cache, &words, &parser.words);
    rc = rc ? rc : look(cache, &parser, argv[1], argv[2]);
    if (!rc && argc > 2)
        rc = look(cache, &parser, argv[1], NULL);
    return tier_close(&cache) || rc;
}
