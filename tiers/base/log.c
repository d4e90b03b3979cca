/* log.c - one line to the host's hook, or silence: the library writes to no stream of its own (I16). It is
 * one line, whatever the names in it are. */
#include <stdarg.h>
#include "tiers/base/base.h"

static void say(struct tier__base *b, int level, char *line)
{
    struct tier__buf shown;
    bool plain = true;
    for (const unsigned char *at = (unsigned char *)line; *at; at++)
        plain &= *at >= 32 && *at != 127 && *at != 0xc2;
    if (plain) { /* nearly all: no memory is needed */
        b->log(b->user, level, line);
        return;
    }
    tier__buf_init(&shown, b);
    tier__buf_put(&shown, line, strlen(line));
    tier__buf_show(&shown, 0);
    if (shown.failed) /* no memory: no name is worth that, but it stays one line */
        for (char *at = line; *at; at++)
            *at = (unsigned char)*at < 32 || *at == 127 ? '?' : *at;
    b->log(b->user, level, shown.failed ? line : (char *)shown.data);
    tier__buf_fini(&shown);
}

void tier__log(struct tier__base *b, int level, const char *format, ...)
{
    if (!b->log)
        return;
    /* Most lines fit; a long path makes its own room, and where there is none the line is cut. */
    char small[512];
    char *line = small;
    va_list args;
    va_start(args, format);
    int size = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (size < 0)
        return;
    if ((size_t)size >= sizeof small) {
        char *large = tier__alloc(b, (size_t)size + 1);
        if (large) {
            va_start(args, format);
            vsnprintf(large, (size_t)size + 1, format, args);
            va_end(args);
            line = large;
        }
    }
    say(b, level, line);
    if (line != small)
        tier__free(b, line);
}
