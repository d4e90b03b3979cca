/* Key paths and names of files: see lint.h. */
#include "tools/tierlint/lint.h"

#include <string.h>

static bool listed(const char *word, const char *const *list)
{
    for (; *list; list++) {
        if (strcmp(word, *list) == 0) {
            return true;
        }
    }
    return false;
}

const char *lint_base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash) {
        return slash + 1;
    }
    const char *colon = strchr(path, ':');
    return colon ? colon + 1 : path;
}

static const char *extension(const char *path)
{
    const char *dot = strrchr(lint_base_of(path), '.');
    return dot ? dot + 1 : "";
}

bool lint_is_source(const char *path)
{
    static const char *const known[] = {"c", "cc", "cpp", "cxx", NULL};
    return listed(extension(path), known);
}

bool lint_is_header(const char *path)
{
    static const char *const known[] = {"h", "hh", "hpp", "hxx", "", NULL};
    return listed(extension(path), known);
}

bool lint_is_cxx(const char *path)
{
    static const char *const known[] = {"cc", "cpp", "cxx", "hh", "hpp", "hxx", NULL};
    return listed(extension(path), known);
}

bool lint_is_wanted(const char *path)
{
    static const char *const known[] = {"c", "h", "cc", "cpp", "cxx", "hh", "hpp", "hxx", "inc", NULL};
    return listed(extension(path), known);
}

void lint_dir_of(const char *path, lint_buf *b)
{
    const char *base = lint_base_of(path);
    size_t size = (size_t)(base - path);
    if (size > 1 && path[size - 1] == '/') {
        size--;
    }
    lint_buf_add(b, path, size);
    lint_buf_add(b, "", 1);
}

void lint_join(lint_buf *b, const char *dir, const char *name)
{
    size_t size = strlen(dir);
    if (name[0] != '/' && size) {
        lint_buf_add(b, dir, size);
        if (dir[size - 1] != '/' && dir[size - 1] != ':') {
            lint_buf_add(b, "/", 1);
        }
    }
    while (name[0] == '.' && name[1] == '/') {
        name += 2;
    }
    lint_buf_str(b, name);
}

bool lint_is_compilers(const char *name)
{
    /* What gcc and clang install in their own directories, which no -I names. */
    static const char *const known[] = {
        "stddef.h",    "stdarg.h",     "stdbool.h",      "stdalign.h", "stdnoreturn.h",
        "stdatomic.h", "stdint.h",     "float.h",        "limits.h",   "iso646.h",
        "tgmath.h",    "varargs.h",    "unwind.h",       "quadmath.h", "cpuid.h",
        "openacc.h",   "omp.h",        "mm_malloc.h",    "mm3dnow.h",  "arm_neon.h",
        "arm_acle.h",  "arm_sve.h",    "altivec.h",      "gcov.h",     "syslimits.h",
        "stdckdint.h", "ia32intrin.h", "x86gprintrin.h", NULL};
    size_t size = strlen(name);
    if (listed(name, known) || (size > 8 && strcmp(name + size - 8, "intrin.h") == 0)) {
        return true;
    }
    if (strncmp(name, "sanitizer/", 10) == 0) {
        return true;
    }
    return name[0] && !strpbrk(name, "./"); /* <vector>, <cstdio>: the C++ library */
}
