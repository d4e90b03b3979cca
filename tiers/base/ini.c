/* ini.c - the only user of inih. Debian's inih is built with multi-line values and without line numbers in
 * its handler: so lines are handed to it one by one from here, counted and without their indentation (an
 * indented key would be taken for the continuation of the one before). */
#include "tiers/base/profile.h"
#include <ini.h>

enum { SECTION_LIMIT = 49, NAME_SIZE = 512 }; /* inih cuts section names silently to 49 bytes */

struct source {
    const struct tier__ini_calls *calls;
    const char *at, *end;
    unsigned line;
    int rc;
    bool told; /* of a bad line */
};

static void report_bad(struct source *s, unsigned line)
{
    s->told = true;
    int rc = s->calls->bad ? s->calls->bad(s->calls->user, line) : 0;
    if (rc && !s->rc)
        s->rc = rc;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* Whether inih will understand the line, which has no spaces around it. */
static bool is_good(const char *line, size_t size, size_t room)
{
    if (!size || *line == ';' || *line == '#')
        return true;
    if (size + 2 > room || memchr(line, 0, size))
        return false;
    if (*line == '[') {
        const char *close = memchr(line, ']', size);
        return close && close - line - 1 <= SECTION_LIMIT;
    }
    return *line != '=' && *line != ':' && (memchr(line, '=', size) || memchr(line, ':', size));
}

static char *next_line(char *out, int num, void *user)
{
    struct source *s = user;
    if (s->at == s->end || s->rc || num < 3)
        return NULL;
    const char *line = s->at, *newline = memchr(line, '\n', (size_t)(s->end - line));
    const char *stop = newline ? newline : s->end;
    s->at = newline ? newline + 1 : s->end;
    if (!s->line++ && stop - line >= 3 && !memcmp(line, "\xef\xbb\xbf", 3))
        line += 3; /* a byte order mark */
    while (line < stop && is_space(*line))
        line++;
    while (line < stop && is_space(stop[-1]))
        stop--;
    size_t size = (size_t)(stop - line);
    if (!is_good(line, size, (size_t)num)) {
        report_bad(s, s->line);
        size = 0;
    }
    if (size && (*line == ';' || *line == '#'))
        size = 0;
    memcpy(out, line, size);
    out[size] = '\n';
    out[size + 1] = 0;
    return out;
}

static int one_pair(void *user, const char *section, const char *name, const char *value)
{
    struct source *s = user;
    char full[NAME_SIZE];
    if (s->rc || !name)
        return 1;
    snprintf(full, sizeof full, "%s%s%s", section, *section ? "." : "", name);
    int rc = s->calls->each(s->calls->user, s->line, full, value ? value : "");
    if (rc)
        s->rc = rc;
    return 1;
}

int tier__ini_parse(const void *data, size_t size, const struct tier__ini_calls *calls)
{
    struct source s = {.calls = calls, .at = data, .end = (const char *)data + size};
    if (!size)
        return 0;
    int first_bad = ini_parse_stream(next_line, &s, one_pair, &s);
    if (first_bad > 0 && !s.told && !s.rc)
        report_bad(&s, (unsigned)first_bad);
    return first_bad == -2 && !s.rc ? TIER_ENOMEM : s.rc;
}
