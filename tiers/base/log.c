/* log.c - one line to the host's hook, or silence: the library writes to no stream of its own (I16). */
#include <stdarg.h>
#include "tiers/base/base.h"

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
    b->log(b->user, level, line);
    if (line != small)
        tier__free(b, line);
}
