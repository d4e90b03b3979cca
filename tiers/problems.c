/* problems.c - see problems.h. */
#include <string.h>
#include "tiers/problems.h"

static const struct tier__problem TABLE[] = {
#define TIER__PROBLEM_ROW(id, code, severity, what, repair) {code, TIER__##severity, what, repair},
    TIER__PROBLEMS(TIER__PROBLEM_ROW)
#undef TIER__PROBLEM_ROW
};

const struct tier__problem *tier__problem_of(const char *code)
{
    for (size_t i = 0; code && i < sizeof TABLE / sizeof *TABLE; i++)
        if (strcmp(TABLE[i].code, code) == 0)
            return &TABLE[i];
    return 0;
}
