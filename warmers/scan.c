/* scan.c - the languages: what they skip, what they take.
 *
 * Each pattern is `(?:SKIP)(*SKIP)(*F)|TAKE`. A comment or string that matches SKIP is consumed whole and the
 * search goes on behind it, all inside one PCRE2 match, so a directive within it cannot be taken. Three rules
 * keep a scan linear on any input: repeats are possessive, what is unterminated ends at the line or at the
 * file instead of failing after a long walk, and recursion is bounded by the matcher's stack. */
#include "warmers/scan.h"
#include <string.h>

#define SKIPPED "(*SKIP)(*F)|"
#define LINE_COMMENT "//[^\\n]*+"
#define BLOCK_COMMENT "/\\*(?s:.*?)(?:\\*/|\\z)"
#define DOUBLE_QUOTED "\"(?:[^\"\\\\\\n]++|\\\\(?:\\r\\n|(?s:.)))*+\"?+"
#define SINGLE_QUOTED "'(?:[^'\\\\\\n]++|\\\\(?:\\r\\n|(?s:.)))*+'?+"

/* A C++ number is skipped whole because of its digit separators: 1'000 opens no character literal. A line
 * comment goes on behind a backslash at the end of its line. Groups: raw string delimiter, "", <>. */
#define C_GAP "(?:[ \\t]++|/\\*(?s:.*?)\\*/)*+"
static const char c_pattern[] =
    "(?://(?:[^\\\\\\n]++|\\\\(?:\\r\\n|(?s:.))?+)*+|" BLOCK_COMMENT
    "|\\bR\"([^()\\\\\\s\"]{0,16}+)\\((?s:.*?)(?:\\)\\1\"|\\z)"
    "|\\b(?:u8|[uUL])R\"([^()\\\\\\s\"]{0,16}+)\\((?s:.*?)(?:\\)\\2\"|\\z)"
    "|\\b[0-9](?:'?[0-9A-Za-z_.])*+|" DOUBLE_QUOTED "|" SINGLE_QUOTED ")" SKIPPED "#" C_GAP
    "(?:include(?:_next)?|import)" C_GAP "(?:\"([^\"\\n]++)\"|<([^>\\n]++)>)";

/* Groups: import list, from module, from names (in parentheses, perhaps over many lines). */
static const char python_pattern[] =
    "(?:\\#[^\\n]*+|\"\"\"(?:[^\"\\\\]++|\\\\(?s:.)|\"(?!\"\"))*+(?:\"\"\")?+"
    "|'''(?:[^'\\\\]++|\\\\(?s:.)|'(?!''))*+(?:''')?+|" DOUBLE_QUOTED "|" SINGLE_QUOTED ")" SKIPPED
    "\\bimport[ \\t]++((?:[^\\n;#\\\\]++|\\\\\\r?\\n)++)"
    "|\\bfrom[ \\t]*+(\\.[.\\w\\x80-\\xff]*+|(?<=[ \\t])[\\w\\x80-\\xff][.\\w\\x80-\\xff]*+)[ \\t]*+"
    "(?:\\\\\\r?\\n[ \\t]*+)?import\\b[ \\t]*+"
    "(\\((?:[^()#]++|#[^\\n]*+)*+|(?:[^\\n;#\\\\]++|\\\\\\r?\\n)++)";

/* A template literal nests code, which nests templates. A slash begins a regular expression only where an
 * operand may stand: behind an opening bracket, an operator or `return`. Group: the module, both quotes. */
static const char script_pattern[] =
    "(?(DEFINE)(?<tpl>`(?:[^`\\\\$]++|\\\\(?s:.)|\\$(?!\\{)|\\$\\{(?&code)\\}?+)*+`?+)"
    "(?<code>(?:[^{}`'\"/]++|(?&tpl)|" DOUBLE_QUOTED "|" SINGLE_QUOTED "|" LINE_COMMENT "|" BLOCK_COMMENT
    "|/|\\{(?&code)\\}?+)*+))"
    "(?:" LINE_COMMENT "|" BLOCK_COMMENT "|(?&tpl)|" DOUBLE_QUOTED "|" SINGLE_QUOTED
    "|(?:(?<=[(,=:\\[!&|?{};])|(?<=[(,=:\\[!&|?{};] )|(?<=\\breturn ))"
    "/(?![*/])(?:[^\\\\/\\n\\[]++|\\\\.|\\[(?:[^\\]\\\\\\n]++|\\\\.)*+\\]?+)++/?+)" SKIPPED
    "(?<![.$\\w])(?:from\\s*+|import\\s*+(?:\\(\\s*+)?|require\\s*+\\(\\s*+)(?:\"([^\"\\n]++)\"|'([^'\\n]++)'"
    ")";

/* Groups: one import, quoted either way, or the text between the parentheses of many. */
static const char go_pattern[] =
    "(?:" LINE_COMMENT "|" BLOCK_COMMENT "|`[^`]*+`?+|" DOUBLE_QUOTED "|" SINGLE_QUOTED ")" SKIPPED
    "\\bimport\\b[ \\t]*+(?:[\\w.\\x80-\\xff]++[ \\t]*+)?(?:\"([^\"\\n]++)\"|`([^`\\n]++)`"
    "|\\(((?:[^()\"`/]++|\"[^\"\\n]*+\"?+|`[^`]*+`?+|" LINE_COMMENT "|" BLOCK_COMMENT "|/)*+))";

/* Block comments nest. A quote is a character literal only where one character and a quote follow; else it
 * is a lifetime. Groups: raw string hashes, path of `#[path = ""] mod x;`, its name, plain mod, use. */
static const char rust_pattern[] =
    "(?(DEFINE)(?<rem>/\\*(?:[^*/]++|(?&rem)|\\*(?!/)|/(?!\\*))*+(?:\\*/)?+))"
    "(?:" LINE_COMMENT "|(?&rem)|\\bb?r(#*+)\"(?s:.*?)(?:\"\\2|\\z)"
    "|\"(?:[^\"\\\\]++|\\\\(?s:.))*+\"?+|'(?:\\\\[^\\n][^'\\n]{0,10}|[^\\\\'\\n][\\x80-\\xbf]{0,3})')" SKIPPED
    "#\\[\\s*+path\\s*+=\\s*+\"([^\"\\n]++)\"\\s*+\\]\\s*+(?:pub\\b(?:\\([^()]*+\\))?\\s*+)?mod\\s++\\w++\\s*"
    "+;"
    "|\\bmod\\s++(?:r#)?([\\w\\x80-\\xff]++)\\s*+;|\\buse\\s++([^;\"]++);?+";

/* Groups: package, import. */
#define JAVA_NAME "([\\w$\\x80-\\xff]++(?:\\s*+\\.\\s*+(?:[\\w$\\x80-\\xff]++|\\*))*+)"
static const char java_pattern[] =
    "(?:" LINE_COMMENT "|" BLOCK_COMMENT
    "|\"\"\"(?:[^\"\\\\]++|\\\\(?s:.)|\"(?!\"\"))*+(?:\"\"\")?+|" DOUBLE_QUOTED "|" SINGLE_QUOTED ")" SKIPPED
    "\\bpackage\\s++" JAVA_NAME "\\s*+;|\\bimport\\s++(?:static\\s++)?" JAVA_NAME "\\s*+;";

static const struct tier__language languages[TIER__LANGUAGES] = {
    {"c",
     " .c .h .cc .hh .cpp .hpp .cxx .hxx .c++ .h++ .C .H .inl .ipp .tpp .tcc .inc .m .mm .cu .cuh ",
     c_pattern,
     "--q<",
     {"include", "import"},
     "#/",
     "\n/",
     tier__resolve_c},
    {"python",
     " .py .pyi .pyw .pyx .pxd ",
     python_pattern,
     "ifn",
     {"import"},
     NULL,
     "\n;:",
     tier__resolve_python},
    {"javascript",
     " .js .mjs .cjs .jsx .ts .mts .cts .tsx ",
     script_pattern,
     "--qq",
     {"from", "import", "require"},
     NULL,
     NULL,
     tier__resolve_script},
    {"go", " .go ", go_pattern, "qqb", {"import"}, NULL, "\n;/", tier__resolve_go},
    {"rust", " .rs ", rust_pattern, "--pmu", {"mod", "use"}, NULL, NULL, tier__resolve_rust},
    {"java", " .java ", java_pattern, "pi", {"import", "package"}, NULL, "\n;/", tier__resolve_java},
};

const struct tier__language *tier__language(int number)
{
    return number >= 0 && number < TIER__LANGUAGES ? &languages[number] : NULL;
}

int tier__language_of(const char *path)
{
    const char *name = path + tier__dir_size(path), *dot = strrchr(name, '.');
    size_t size;
    int i;

    if (!dot || dot == name || strchr(dot, ' '))
        return -1;
    size = strlen(dot);
    for (i = 0; i < TIER__LANGUAGES; i++) {
        const char *at = languages[i].extensions;
        for (; (at = strstr(at, dot)) != NULL; at++)
            if (at[-1] == ' ' && at[size] == ' ')
                return i;
    }
    return -1;
}

int tier__scanners_init(struct tier__scanners *s)
{
    int i, rc;

    memset(s, 0, sizeof *s);
    for (i = 0; i < TIER__LANGUAGES; i++) {
        rc = tier__pattern_compile(languages[i].pattern, strlen(languages[i].pattern), &s->pattern[i], NULL);
        if (rc) {
            tier__scanners_fini(s);
            return rc;
        }
    }
    return TIER_OK;
}

void tier__scanners_fini(struct tier__scanners *s)
{
    int i;

    for (i = 0; i < TIER__LANGUAGES; i++)
        tier__pattern_free(&s->pattern[i]);
}

int tier__scan_init(struct tier__scan *s, const struct tier__scanners *shared)
{
    int i, rc;

    memset(s, 0, sizeof *s);
    for (i = 0; i < TIER__LANGUAGES; i++) {
        rc = tier__matcher_create(shared->pattern[i], &s->matcher[i]);
        if (rc) {
            tier__scan_fini(s);
            return rc;
        }
    }
    return TIER_OK;
}

void tier__scan_fini(struct tier__scan *s)
{
    int i;

    for (i = 0; i < TIER__LANGUAGES; i++)
        tier__matcher_free(&s->matcher[i]);
}

/* Does a directive that starts at `at` stand where one may: first on its line, or behind one of `before`? */
static bool stands_well(const char *before, const char *data, size_t at)
{
    if (!before)
        return true;
    while (at > 0 && (data[at - 1] == ' ' || data[at - 1] == '\t' || data[at - 1] == '\f'))
        at--;
    if (at == 0 || (at == 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0))
        return true;
    return strchr(before, data[at - 1]) != NULL && data[at - 1] != 0;
}

static bool in_word(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* May data[at] begin a word that a directive holds? "important" is none, and most that are lie in comments.
 */
static bool leads(const struct tier__language *row, const char *data, size_t at)
{
    if (at == 0)
        return row->lead == NULL;
    if (!row->lead)
        return !in_word(data[at - 1]);
    while (at > 1 && (data[at - 1] == ' ' || data[at - 1] == '\t'))
        at--;
    return data[at - 1] != 0 && strchr(row->lead, data[at - 1]) != NULL;
}

/* Where the last of the row's words begins; false: there is none. Most of a source stands behind its last
 * import: 43 MB of system headers take 49 ms instead of 163 when the pattern need not cross that. */
static bool last_word(const struct tier__language *row, const char *data, size_t size, size_t *last)
{
    const char *end = data + size;
    bool any = false;
    size_t i;

    *last = 0;
    for (i = 0; i < 4 && row->words[i]; i++) {
        size_t length = strlen(row->words[i]);
        const char *at = data + *last;
        while ((at = memmem(at, (size_t)(end - at), row->words[i], length)) != NULL) {
            if (leads(row, data, (size_t)(at - data))) {
                any = true;
                *last = (size_t)(at - data);
            }
            at += length;
        }
    }
    return any;
}

int tier__scan(struct tier__scan *s, int language, const char *data, size_t size, struct tier__imports *names)
{
    const struct tier__language *row = tier__language(language);
    struct tier__span group[TIER__PATTERN_GROUPS];
    size_t at = 0, last, i;
    int found;

    if (!row || size == 0 || !last_word(row, data, size, &last))
        return TIER_OK;
    while (at <= last &&
           (found = tier__matcher_find(s->matcher[language], data, size, at, last, group)) != 0) {
        if (found < 0)
            return found;
        for (i = 0; row->kinds[i] && stands_well(row->before, data, group[0].start); i++) {
            const struct tier__span *g = &group[i + 1];
            int rc;
            if (row->kinds[i] == '-' || g->start == SIZE_MAX)
                continue;
            rc = tier__imports_add(names, row->kinds[i], data + g->start, g->end - g->start);
            if (rc)
                return rc;
        }
        at = group[0].end > group[0].start ? group[0].end : group[0].end + 1;
    }
    return TIER_OK;
}
