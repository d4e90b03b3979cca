/* What comments ask for: tierlint suppressions and IWYU pragmas. */
#include "tools/tierlint/outline_int.h"

#include <string.h>

static bool is_rule_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static const uint8_t *blanks(const uint8_t *p, const uint8_t *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p;
}

static bool word(const uint8_t **p, const uint8_t *end, const char *w)
{
    size_t n = strlen(w);
    if ((size_t)(end - *p) < n || memcmp(*p, w, n))
        return false;
    if (*p + n < end && is_rule_char((*p)[n]))
        return false;
    *p += n;
    return true;
}

static uint32_t line_of(const ol_builder *b, uint32_t byte)
{
    const uint32_t *lines = b->lines.v;
    uint32_t lo = 0, hi = b->lines.n;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (lines[mid] <= byte)
            lo = mid;
        else
            hi = mid;
    }
    return lo + 1;
}

static void add(ol_builder *b, const uint8_t *rule, size_t size, uint32_t line, uint32_t at)
{
    ol_suppress *s = ol__push(b, &b->suppress, sizeof *s);
    s->rule = lex_intern(&b->names, rule, size);
    s->line = line;
    s->at = at;
}

/* "rule, rule" or "[rule, rule]" or nothing, which is all rules. */
static void rules(ol_builder *b, const uint8_t *p, const uint8_t *end, uint32_t line, uint32_t at)
{
    unsigned found = 0;
    p = blanks(p, end);
    if (p < end && *p == '[')
        p = blanks(p + 1, end);
    while (p < end && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z'))) {
        const uint8_t *s = p;
        while (p < end && is_rule_char(*p))
            p++;
        add(b, s, (size_t)(p - s), line, at);
        found++;
        p = blanks(p, end);
        if (p >= end || *p != ',')
            break;
        p = blanks(p + 1, end);
    }
    if (!found)
        add(b, p, 0, line, at);
}

static void suppression(ol_builder *b, const uint8_t *p, const uint8_t *end, uint32_t start)
{
    uint32_t here = line_of(b, (uint32_t)(p - b->src));
    p = blanks(p, end);
    if (word(&p, end, "ignore-file"))
        b->file_flags |= OL_FILE_SUPPRESS_ALL;
    else if (word(&p, end, "ignore-next-line"))
        rules(b, p, end, line_of(b, (uint32_t)(end - b->src)) + 1, start);
    else if (word(&p, end, "ignore"))
        rules(b, p, end, here, start);
}

unsigned ol__note(ol_builder *b, uint32_t start, uint32_t end)
{
    static const char lint[] = "tierlint:", iwyu[] = "IWYU pragma:";
    const uint8_t *s = b->src + start, *e = b->src + end;
    const uint8_t *p = memmem(s, (size_t)(e - s), lint, sizeof lint - 1);
    if (p)
        suppression(b, p + sizeof lint - 1, e, start);
    p = memmem(s, (size_t)(e - s), iwyu, sizeof iwyu - 1);
    if (!p)
        return 0;
    p = blanks(p + sizeof iwyu - 1, e);
    if (word(&p, e, "keep"))
        return OL_NOTE_KEEP;
    if (word(&p, e, "export"))
        return OL_NOTE_EXPORT;
    if (word(&p, e, "begin_keep"))
        b->keep_depth++;
    if (word(&p, e, "begin_exports"))
        b->export_depth++;
    if (word(&p, e, "end_keep") && b->keep_depth)
        b->keep_depth--;
    if (word(&p, e, "end_exports") && b->export_depth)
        b->export_depth--;
    return 0;
}
