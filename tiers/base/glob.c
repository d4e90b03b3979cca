/* glob.c - see glob.h.
 *
 * Both levels, bytes in a name and names in a path, are matched with one remembered star: after a later star
 * was reached, an earlier one need not be reconsidered, because the later one can absorb whatever the earlier
 * one would have. The dot rule keeps this true on the upper level: a component of the pattern matches dotted
 * names exactly if it begins with a dot, so a run of components that matched at one place and would match
 * further right leaves no dotted name between that the later ** would have to absorb (the test's naive
 * matcher agrees on random patterns). */
#include "tiers/base/glob.h"
#include <stddef.h>
#include <string.h>

struct part { /* one component; at == NULL: none left */
    const char *at;
    size_t size;
    const char *rest; /* behind it */
};

static struct part next_part(const char *s)
{
    for (;;) {
        while (*s == '/')
            s++;
        if (!*s)
            return (struct part){NULL, 0, s};
        size_t n = strcspn(s, "/");
        if (n != 1 || *s != '.')
            return (struct part){s, n, s + n};
        s += n;
    }
}

static bool is_any_dirs(struct part p)
{
    return p.at && p.size == 2 && p.at[0] == '*' && p.at[1] == '*';
}

/* The byte behind the set that begins at *p == '[', or NULL where there is no ']' and '[' is itself. */
static const char *set_end(const char *p, const char *end)
{
    p++;
    if (p < end && (*p == '!' || *p == '^'))
        p++;
    if (p < end && *p == ']')
        p++;
    const char *close = p < end ? memchr(p, ']', (size_t)(end - p)) : NULL;
    return close ? close + 1 : NULL;
}

static bool set_has(const char *p, const char *behind, unsigned char c)
{
    const char *close = behind - 1;
    bool negated = p[1] == '!' || p[1] == '^', has = false;
    p += negated ? 2 : 1;
    while (p < close) {
        unsigned char low = (unsigned char)*p, high = low;
        if (close - p > 2 && p[1] == '-') {
            high = (unsigned char)p[2];
            p += 2;
        }
        p++;
        if (c >= low && c <= high)
            has = true;
    }
    return has != negated;
}

/* Matches one byte c against the pattern at *p; moves *p behind what matched it. */
static bool one_byte(const char **p, const char *end, char c)
{
    if (*p == end)
        return false;
    const char *behind = **p == '[' ? set_end(*p, end) : NULL;
    if (behind) {
        bool has = set_has(*p, behind, (unsigned char)c);
        *p = behind;
        return has;
    }
    bool same = **p == '?' || **p == c;
    (*p)++;
    return same;
}

static bool name_matches(struct part pattern, struct part name)
{
    const char *p = pattern.at, *p_end = p + pattern.size, *n = name.at, *n_end = n + name.size;
    const char *star = NULL, *star_n = NULL;
    if (*n == '.' && *p != '.')
        return false;
    while (n < n_end) {
        if (p < p_end && *p == '*') {
            star = ++p;
            star_n = n;
            continue;
        }
        const char *q = p;
        if (one_byte(&q, p_end, *n)) {
            p = q;
            n++;
            continue;
        }
        if (!star)
            return false;
        p = star;
        n = ++star_n;
    }
    while (p < p_end && *p == '*')
        p++;
    return p == p_end;
}

static bool rooted_alike(const char *pattern, const char *path)
{
    if (*pattern == '/')
        return *path == '/';
    return *path != '/' || is_any_dirs(next_part(pattern));
}

/* Consumes path; `below`: names may follow it. */
static bool walk(const char *pattern, const char *path, bool below)
{
    static const struct part any_name = {"*", 1, ""};
    struct part p = next_part(pattern), n = next_part(path);
    struct part star = {NULL, 0, NULL},
                star_n = star; /* behind the last **, and the name it would absorb next */
    for (;;) {
        while (is_any_dirs(p)) {
            p = next_part(p.rest);
            if (!p.at)
                p = any_name; /* a ** at the end needs a name */
            star = p;
            star_n = n;
        }
        if (!n.at && (below ? p.at != NULL : p.at == NULL))
            return true;
        if (n.at && p.at && name_matches(p, n)) {
            p = next_part(p.rest);
            n = next_part(n.rest);
            continue;
        }
        if (!star.at || !star_n.at || *star_n.at == '.')
            return false;
        p = star;
        n = star_n = next_part(star_n.rest);
    }
}

bool tier__glob_match(const char *pattern, const char *path)
{
    return rooted_alike(pattern, path) && next_part(path).at && walk(pattern, path, false);
}

bool tier__glob_dir_may_match(const char *pattern, const char *dir)
{
    return (!*dir || rooted_alike(pattern, dir)) && walk(pattern, dir, true);
}
