/* pcre.c - PCRE2 behind pattern.h. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "warmers/pattern.h"
#include "warmers/memory.h"
#include "include/tierkit.h"
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Backtracking steps of one match over a short text. PCRE2's default of 10 million is about 0.1 s of one
 * core; a pattern over paths that needs more than 200,000 is a mistake or an attack. */
#define STEPS 200000u
#define STEPS_PER_BYTE 16u /* and for a scanner's match, which may cross a whole file */
#define HEAP_KIB 4096u     /* of the interpreter, where there is no JIT */
#define DEPTH 20000u       /* nested backtracking points, likewise */
#define JIT_STACK_START (32u * 1024u)
#define JIT_STACK_MAX                                                                     \
    (1024u * 1024u) /* recursion in the scanners' patterns: nested comments and templates \
                     */

struct tier__pattern {
    pcre2_general_context *memory;
    pcre2_code *code;
    pcre2_match_context *limits;
};
struct tier__matcher {
    const struct tier__pattern *pattern;
    pcre2_match_context *limits;
    pcre2_match_data *data;
    pcre2_jit_stack *stack;
};

static void *pcre_malloc(size_t size, void *user)
{
    (void)user;
    return tier__warm_realloc(NULL, size ? size : 1);
}

static void pcre_free(void *p, void *user)
{
    (void)user;
    tier__warm_realloc(p, 0);
}

static pcre2_match_context *limits_create(pcre2_general_context *memory)
{
    pcre2_match_context *limits = pcre2_match_context_create(memory);

    if (limits) {
        pcre2_set_match_limit(limits, STEPS);
        pcre2_set_depth_limit(limits, DEPTH);
        pcre2_set_heap_limit(limits, HEAP_KIB);
    }
    return limits;
}

static void explain(struct tier__pattern_error *error, int number, size_t offset)
{
    PCRE2_UCHAR text[128];

    if (!error)
        return;
    if (pcre2_get_error_message(number, text, sizeof text) == PCRE2_ERROR_BADDATA)
        snprintf((char *)text, sizeof text, "error %d of PCRE2", number);
    error->offset = offset;
    snprintf(error->text, sizeof error->text, "bad pattern at offset %zu: %s", offset, (const char *)text);
}

static int compile_code(struct tier__pattern *p, const char *text, size_t size,
                        struct tier__pattern_error *error)
{
    pcre2_compile_context *rules = pcre2_compile_context_create(p->memory);
    PCRE2_SIZE offset = 0;
    int number = 0;

    if (!rules)
        return TIER_ENOMEM;
    pcre2_set_max_pattern_length(rules, TIER__PATTERN_MAX_SIZE);
    pcre2_set_parens_nest_limit(rules, TIER__PATTERN_MAX_NEST);
    p->code =
        pcre2_compile((PCRE2_SPTR)text, size, PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_USE_OFFSET_LIMIT,
                      &number, &offset, rules);
    pcre2_compile_context_free(rules);
    if (!p->code) {
        explain(error, number, offset);
        return number == PCRE2_ERROR_HEAP_FAILED ? TIER_ENOMEM : TIER_EINVAL;
    }
    /* Where there is no JIT (or no executable memory) the interpreter gives the same answers. */
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
    return TIER_OK;
}

int tier__pattern_compile(const char *text, size_t size, struct tier__pattern **out,
                          struct tier__pattern_error *error)
{
    struct tier__pattern *p = tier__warm_realloc(NULL, sizeof *p);
    int rc = TIER_ENOMEM;

    *out = NULL;
    if (error)
        memset(error, 0, sizeof *error);
    if (!p)
        return TIER_ENOMEM;
    memset(p, 0, sizeof *p);
    p->memory = pcre2_general_context_create(pcre_malloc, pcre_free, NULL);
    if (p->memory)
        p->limits = limits_create(p->memory);
    if (p->limits)
        rc = compile_code(p, text, size, error);
    if (rc)
        tier__pattern_free(&p);
    *out = p;
    return rc;
}

void tier__pattern_free(struct tier__pattern **p)
{
    if (!p || !*p)
        return;
    pcre2_code_free((*p)->code);
    pcre2_match_context_free((*p)->limits);
    pcre2_general_context_free((*p)->memory);
    tier__warm_realloc(*p, 0);
    *p = NULL;
}

/* Whatever stopped a match short of an answer is the pattern's cost, or memory. */
static int answer(int found)
{
    if (found >= 0)
        return 1;
    if (found == PCRE2_ERROR_NOMATCH)
        return 0;
    return found == PCRE2_ERROR_NOMEMORY ? TIER_ENOMEM : TIER_EINVAL;
}

int tier__pattern_match(const struct tier__pattern *p, const char *data, size_t size)
{
    pcre2_match_data *groups = pcre2_match_data_create(1, p->memory);
    int found;

    if (!groups)
        return TIER_ENOMEM;
    found = pcre2_match(p->code, (PCRE2_SPTR)data, size, 0, 0, groups, p->limits);
    pcre2_match_data_free(groups);
    return answer(found);
}

int tier__matcher_create(const struct tier__pattern *p, struct tier__matcher **out)
{
    struct tier__matcher *m = tier__warm_realloc(NULL, sizeof *m);

    *out = NULL;
    if (!m)
        return TIER_ENOMEM;
    memset(m, 0, sizeof *m);
    m->pattern = p;
    m->limits = limits_create(p->memory);
    m->data = pcre2_match_data_create(TIER__PATTERN_GROUPS, p->memory);
    m->stack = pcre2_jit_stack_create(JIT_STACK_START, JIT_STACK_MAX, p->memory);
    if (!m->limits || !m->data) {
        tier__matcher_free(&m);
        return TIER_ENOMEM;
    }
    if (m->stack) /* without one JIT code uses 32 KiB of the thread's own stack */
        pcre2_jit_stack_assign(m->limits, NULL, m->stack);
    *out = m;
    return TIER_OK;
}

void tier__matcher_free(struct tier__matcher **m)
{
    if (!m || !*m)
        return;
    pcre2_jit_stack_free((*m)->stack);
    pcre2_match_data_free((*m)->data);
    pcre2_match_context_free((*m)->limits);
    tier__warm_realloc(*m, 0);
    *m = NULL;
}

int tier__matcher_find(struct tier__matcher *m, const char *data, size_t size, size_t from, size_t last,
                       struct tier__span group[TIER__PATTERN_GROUPS])
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(m->data);
    uint64_t steps = STEPS + (uint64_t)STEPS_PER_BYTE * (size - from);
    int found, i;

    pcre2_set_match_limit(m->limits, steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX);
    pcre2_set_offset_limit(m->limits, last);
    found = pcre2_match(m->pattern->code, (PCRE2_SPTR)data, size, from, 0, m->data, m->limits);
    for (i = 0; i < TIER__PATTERN_GROUPS; i++) {
        bool unset = found <= 0 ? found < 0 : i >= found;
        group[i].start = unset ? SIZE_MAX : at[2 * i];
        group[i].end = unset ? SIZE_MAX : at[2 * i + 1];
    }
    return answer(found);
}
