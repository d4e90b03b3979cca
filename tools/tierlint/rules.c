/* The table of rules: see rules.h. */
#include "tools/tierlint/rules.h"

#include <string.h>

static const lint_rule rules[] = {
#define LINT_RULE_ROW(id, name, on, severity, what, why) {name, on, severity, what, why},
    LINT_RULES(LINT_RULE_ROW)
#undef LINT_RULE_ROW
};

const lint_rule *lint_rule_at(uint32_t i)
{
    return i < LINT_RULE_COUNT ? &rules[i] : NULL;
}

uint32_t lint_rule_find(const char *name)
{
    uint32_t i = 0;
    while (i < LINT_RULE_COUNT && strcmp(rules[i].name, name) != 0) {
        i++;
    }
    return i;
}

uint32_t lint_rules_default(void)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < LINT_RULE_COUNT; i++) {
        bits |= rules[i].on ? 1u << i : 0;
    }
    return bits;
}
