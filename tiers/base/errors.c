/* errors.c - the public errors' names and sentences, from their one table. */
#include "tiers/base/base.h"

const char *tier_strerror(int rc)
{
    switch (rc) {
#define TIER_ERROR_TEXT(name, number, text) \
    case number:                            \
        return text;
        TIER_ERRORS(TIER_ERROR_TEXT)
#undef TIER_ERROR_TEXT
    default:
        return "unknown error";
    }
}

const char *tier_errname(int rc)
{
    switch (rc) {
#define TIER_ERROR_NAME(name, number, text) \
    case number:                            \
        return "TIER_" #name;
        TIER_ERRORS(TIER_ERROR_NAME)
#undef TIER_ERROR_NAME
    default:
        return "TIER_UNKNOWN";
    }
}
