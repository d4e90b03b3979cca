/* admin_text.c - records as people and programs read them. */
#include "coherence/admin.h"
#include <time.h>

void tier__json_string(struct tier__buf *b, const void *text, size_t size)
{
    const unsigned char *s = text;
    tier__buf_u8(b, '"');
    for (size_t i = 0; i < size; i++) {
        if (s[i] == '"' || s[i] == '\\')
            tier__buf_printf(b, "\\%c", s[i]);
        else if (s[i] < 32 || s[i] > 126)
            tier__buf_printf(b, "\\u%04x", s[i]); /* bytes, one by one: paths need not be UTF-8 */
        else
            tier__buf_u8(b, s[i]);
    }
    tier__buf_u8(b, '"');
}

void tier__json_text(struct tier__buf *b, const char *text)
{
    tier__json_string(b, text, strlen(text));
}

void tier__hex(const void *data, size_t size, struct tier__buf *b)
{
    for (size_t i = 0; i < size; i++)
        tier__buf_printf(b, "%02x", ((const unsigned char *)data)[i]);
}

void tier__digest_text(const tier_digest *d, struct tier__buf *b)
{
    static const int failures[] = {TIER_EABSENT, TIER_EACCESS, TIER_EKIND};
    static const char *const words[] = {"absent", "no access", "of another kind"};
    tier_digest f;
    for (size_t i = 0; i < 3; i++) {
        tier__failure_digest(failures[i], NULL, &f);
        if (tier__digest_equal(&f, d)) {
            tier__buf_printf(b, "%s", words[i]);
            return;
        }
    }
    if (d->byte[0] == 'k' && d->byte[2] == 0 && d->byte[31] == 0) { /* a kind is its own value */
        tier__buf_printf(b, "%s",
                         d->byte[1] == 'f'   ? "a file"
                         : d->byte[1] == 'd' ? "a directory"
                                             : "something else");
        return;
    }
    tier__hex(d->byte, 8, b);
}

static void text_of(const void *data, size_t size, struct tier__buf *b)
{
    const unsigned char *s = data;
    size_t binary = 0;
    for (size_t i = 0; i < size && i < 60; i++)
        binary += s[i] < 32 || s[i] >= 127;
    if (size > 8 && binary > 3) { /* numbers and digests: nobody reads them */
        tier__buf_printf(b, "%zu bytes ", size);
        tier__hex(s, 8, b);
        tier__buf_printf(b, "...");
        return;
    }
    for (size_t i = 0; i < size && i < 60; i++)
        tier__buf_printf(b, s[i] >= 32 && s[i] < 127 ? "%c" : "\\x%02x", s[i]);
    if (size > 60)
        tier__buf_printf(b, "...");
}

void tier__request_text(const struct tier__request *q, const char *type, struct tier__buf *b)
{
    bool something = q->has_path || q->content || q->has_args;
    if (*type)
        tier__buf_printf(b, "%s(", type);
    else
        tier__buf_printf(b, something ? "a request for " : "a request");
    if (q->has_path)
        tier__buf_printf(b, "%s", *q->path ? q->path : ".");
    if (q->content) {
        tier__buf_printf(b, "content ");
        tier__hex(q->args, 8, b);
    } else if (q->has_args) {
        tier__buf_printf(b, "%s", q->has_path ? ", " : "");
        text_of(q->args, q->args_size, b);
    }
    tier__buf_printf(b, *type ? ")" : "");
}

void tier__short_key(int tier, const char *path, const tier_digest *content, struct tier__buf *b)
{
    static const char *const name[] = {"?", "file", "tree", "delta", "stream"};
    tier_digest d;
    tier__digest_of(path, strlen(path), &d);
    tier__buf_printf(b, "%s:", name[tier >= TIER_FILE && tier <= TIER_STREAM ? tier : 0]);
    tier__hex(d.byte, 4, b);
    tier__buf_u8(b, '_');
    tier__hex(content->byte, 8, b);
}

void tier__when_text(int64_t ms, struct tier__buf *b)
{
    char text[40] = "never";
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    if (ms && gmtime_r(&t, &tm))
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    tier__buf_printf(b, "%s", text);
}

void tier__bytes_text(uint64_t n, struct tier__buf *b)
{
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)n;
    int u = 0;
    for (; v >= 1024 && u < 4; u++)
        v /= 1024;
    tier__buf_printf(b, u ? "%.1f %s" : "%.0f %s", v, unit[u]);
}
