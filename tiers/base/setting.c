/* setting.c - one setting: its row in the table, its value read from text and written as text. */
#include "tiers/base/profile.h"
#include <ctype.h>
#include <inttypes.h>

static const struct tier__key_info infos[TIER__KEY_COUNT] = {
#define TIER__PROFILE_INFO(id, name, kind, unit, min, max, dev, ci, production, help) \
    {name, unit, help, TIER__KIND_##kind, min, max, {dev, ci, production}},
    TIER__PROFILE_KEYS(TIER__PROFILE_INFO)
#undef TIER__PROFILE_INFO
};

const struct tier__key_info *tier__key_info(enum tier__key key)
{
    return &infos[key];
}

struct suffix {
    const char *text;
    int64_t factor;
};
static const struct suffix size_suffixes[] = {
    {"", 1},          {"B", 1},           {"bytes", 1},          {"K", 1 << 10},
    {"KiB", 1 << 10}, {"kB", 1000},       {"M", 1 << 20},        {"MiB", 1 << 20},
    {"MB", 1000000},  {"G", 1 << 30},     {"GiB", 1 << 30},      {"GB", 1000000000},
    {"T", 1ll << 40}, {"TiB", 1ll << 40}, {"TB", 1000000000000}, {NULL, 0},
};
static const struct suffix duration_suffixes[] = {
    {"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};
static const struct suffix hour_suffixes[] = {{"", 1}, {"h", 1}, {"d", 24}, {NULL, 0}};
static const struct suffix no_suffixes[] = {{"", 1}, {NULL, 0}};

static const char *read_digits(const char *s, int64_t *value)
{
    if (!isdigit((unsigned char)*s))
        return NULL;
    for (*value = 0; isdigit((unsigned char)*s); s++) {
        if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, *s - '0', value))
            return NULL;
    }
    return s;
}

static bool read_scaled(const char *text, const struct suffix *suffixes, int64_t *raw)
{
    const char *s = read_digits(text, raw);
    if (!s)
        return false;
    while (*s == ' ')
        s++;
    for (; suffixes->text; suffixes++) {
        if (!strcmp(s, suffixes->text))
            return !__builtin_mul_overflow(*raw, suffixes->factor, raw);
    }
    return false;
}

bool tier__duration_parse(const char *text, int64_t *ms)
{
    return read_scaled(text, duration_suffixes, ms);
}

/* "0.8", "1", ".75", "80%" in thousandths. By hand: strtod would want the locale's comma. */
static bool read_ratio(const char *s, int64_t *raw)
{
    int64_t whole = 0;
    if (*s != '.' && !(s = read_digits(s, &whole)))
        return false;
    if (!strcmp(s, "%"))
        return !__builtin_mul_overflow(whole, 10, raw);
    if (__builtin_mul_overflow(whole, 1000, raw))
        return false;
    if (!*s)
        return true;
    if (*s != '.' || !isdigit((unsigned char)s[1]))
        return false;
    int64_t weight = 100;
    for (s++; isdigit((unsigned char)*s); s++, weight /= 10) {
        if (__builtin_add_overflow(*raw, (*s - '0') * weight, raw))
            return false;
    }
    return !*s;
}

static bool read_rate(const char *s, int64_t *raw)
{
    return read_scaled(!strncmp(s, "1/", 2) ? s + 2 : s, no_suffixes, raw);
}

static bool read_word(const char *words, const char *text, int64_t *raw)
{
    size_t n = strlen(text);
    *raw = 0;
    for (const char *w = words;; w++, ++*raw) {
        size_t size = strcspn(w, "|");
        if (size == n && !memcmp(w, text, n))
            return true;
        w += size;
        if (!*w)
            return false;
    }
}

bool tier__key_parse(enum tier__key key, const char *text, int64_t *raw)
{
    const struct tier__key_info *k = &infos[key];
    bool read = false;
    switch (k->kind) {
    case TIER__KIND_SIZE:
        read = read_scaled(text, size_suffixes, raw);
        break;
    case TIER__KIND_DURATION:
        read = read_scaled(text, duration_suffixes, raw);
        break;
    case TIER__KIND_HOURS:
        read = read_scaled(text, hour_suffixes, raw);
        break;
    case TIER__KIND_COUNT:
        read = read_scaled(text, no_suffixes, raw);
        break;
    case TIER__KIND_RATIO:
        read = read_ratio(text, raw);
        break;
    case TIER__KIND_RATE:
        read = read_rate(text, raw);
        break;
    case TIER__KIND_ENUM:
        read = read_word(k->unit, text, raw);
        break;
    }
    return read && *raw >= k->min && *raw <= k->max;
}

static const char *word_at(const char *words, int64_t index, size_t *size)
{
    for (; index > 0; index--)
        words += strcspn(words, "|") + 1;
    *size = strcspn(words, "|");
    return words;
}

/* The largest unit that divides raw evenly. */
static void write_scaled(int64_t raw, const struct suffix *units, char *buf, size_t size)
{
    const struct suffix *best = units;
    for (const struct suffix *u = units; raw && u->text; u++) {
        if (raw % u->factor == 0)
            best = u;
    }
    snprintf(buf, size, "%" PRId64 " %s", raw / best->factor, best->text);
}

const char *tier__key_format(enum tier__key key, int64_t raw, char *buf, size_t size)
{
    static const struct suffix sizes[] = {
        {"bytes", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0}};
    static const struct suffix durations[] = {
        {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {NULL, 0}};
    const struct tier__key_info *k = &infos[key];
    size_t n;
    const char *word;
    switch (k->kind) {
    case TIER__KIND_SIZE:
        write_scaled(raw, sizes, buf, size);
        break;
    case TIER__KIND_DURATION:
        write_scaled(raw, durations, buf, size);
        break;
    case TIER__KIND_HOURS:
        snprintf(buf, size, "%" PRId64 " h", raw);
        break;
    case TIER__KIND_COUNT:
        snprintf(buf, size, "%" PRId64, raw);
        break;
    case TIER__KIND_RATIO:
        if (raw % 10)
            snprintf(buf, size, "%d.%03d", (int)(raw / 1000), (int)(raw % 1000));
        else
            snprintf(buf, size, "%d.%02d", (int)(raw / 1000), (int)(raw % 1000 / 10));
        break;
    case TIER__KIND_RATE:
        snprintf(buf, size, "%s%" PRId64, raw ? "1/" : "", raw);
        break;
    case TIER__KIND_ENUM:
        word = word_at(k->unit, raw, &n);
        snprintf(buf, size, "%.*s", (int)n, word);
        break;
    }
    return buf;
}

const char *tier__key_expects(enum tier__key key, char *buf, size_t size)
{
    static const char *const nouns[] = {
        [TIER__KIND_SIZE] = "a size",    [TIER__KIND_DURATION] = "a duration", [TIER__KIND_HOURS] = "hours",
        [TIER__KIND_COUNT] = "a number", [TIER__KIND_RATIO] = "a ratio",       [TIER__KIND_RATE] = "a rate",
    };
    const struct tier__key_info *k = &infos[key];
    if (k->kind == TIER__KIND_ENUM) {
        size_t used = (size_t)snprintf(buf, size, "one of ");
        for (const char *w = k->unit; *w && used + 3 < size; w++) {
            if (*w == '|')
                buf[used++] = ',';
            buf[used++] = *w == '|' ? ' ' : *w;
            buf[used] = 0;
        }
        return buf;
    }
    char low[32], high[32];
    snprintf(buf, size, "%s from %s to %s", nouns[k->kind], tier__key_format(key, k->min, low, sizeof low),
             tier__key_format(key, k->max, high, sizeof high));
    return buf;
}

const char *tier__profile_word(const struct tier__profile *p, enum tier__key key)
{
    /* Words with a 0 byte behind them; the table's rows have them joined. */
    static const char *const words[] = {"off",  "auto", "on",    "none",   "relaxed", "full",    "zlib",
                                        "gdsf", "lru",  "worth", "s3fifo", "exit",    "streams", "interval"};
    char text[32];
    tier__key_format(key, p->value[key].i, text, sizeof text);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!strcmp(words[i], text))
            return words[i];
    }
    return "";
}

const char *tier__profile_name(enum tier__profile_id id)
{
    static const char *const names[TIER__PROFILE_COUNT] = {"dev", "ci", "production"};
    return names[id];
}

static int64_t raw_value(const struct tier__profile *p, enum tier__key key)
{
    return infos[key].kind == TIER__KIND_RATIO ? (int64_t)(p->value[key].d * 1000 + 0.5) : p->value[key].i;
}

const char *tier__profile_format(const struct tier__profile *p, enum tier__key key, char *buf, size_t size)
{
    return tier__key_format(key, raw_value(p, key), buf, size);
}

const char *tier__origin_format(const struct tier__origin *o, char *buf, size_t size)
{
    static const char *const kinds[] = {"default", "file", "environment", "argument"};
    if (o->kind == TIER__FROM_FILE)
        snprintf(buf, size, "%s:%u", o->file, o->line);
    else
        snprintf(buf, size, "%s", kinds[o->kind]);
    return buf;
}

void tier__profile_each(const struct tier__profile *p,
                        void (*each)(void *user, const struct tier__key_info *key, const char *value,
                                     const char *default_value, const char *origin),
                        void *user)
{
    for (int k = 0; k < TIER__KEY_COUNT; k++) {
        char value[64], standard[64], origin[512];
        each(user, &infos[k], tier__profile_format(p, k, value, sizeof value),
             tier__key_format(k, infos[k].defaults[p->id], standard, sizeof standard),
             tier__origin_format(&p->origin[k], origin, sizeof origin));
    }
}

void tier__profile_diff(enum tier__profile_id a, enum tier__profile_id b,
                        void (*each)(void *user, const struct tier__key_info *key, const char *value_a,
                                     const char *value_b),
                        void *user)
{
    for (int k = 0; k < TIER__KEY_COUNT; k++) {
        char text_a[64], text_b[64];
        if (infos[k].defaults[a] != infos[k].defaults[b])
            each(user, &infos[k], tier__key_format(k, infos[k].defaults[a], text_a, sizeof text_a),
                 tier__key_format(k, infos[k].defaults[b], text_b, sizeof text_b));
    }
}
