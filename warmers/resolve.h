/* resolve.h - from a name in a source file to the files it stands for.
 *
 * Resolvers ask the session which paths exist (tier_stat) and hand each file found to a callback. They run on
 * the thread that owns the session. Where a language's own tool would need its configuration, a resolver
 * tries what is usual: a name resolved wrongly costs a warmed file too many or too few, never an answer. */
#ifndef TIER_RESOLVE_H
#define TIER_RESOLVE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "include/tierkit.h"
#include "warmers/memory.h"

/* Names as a scanner found them, in order. */
struct tier__name {
    char kind;     /* of the language's row in scan.c */
    uint32_t size; /* at most TIER__NAME_MAX */
    size_t offset; /* into text */
};
struct tier__imports {
    struct tier__name *name;
    size_t count, capacity;
    struct tier__text text; /* the names' bytes, each ended by a 0 byte */
};
enum {
    TIER__NAME_MAX = 65536,   /* bytes; an import list over many lines is one name */
    TIER__IMPORTS_MAX = 65536 /* names of one file */
};
/* TIER_EINVAL: too many. A name that is too long or has a 0 byte is left out: no path is like that. */
int tier__imports_add(struct tier__imports *n, char kind, const char *text, size_t size);
void tier__imports_fini(struct tier__imports *n);
static inline const char *tier__name_text(const struct tier__imports *n, size_t i)
{
    return n->text.data + n->name[i].offset;
}

struct tier__resolver {
    tier_session *session;
    const char *const *search; /* directories, as key paths; the caller's */
    size_t search_count;
    int (*found)(void *user, const char *path); /* path until it returns; non-zero stops the resolver */
    /* Reads a small file that resolution itself needs (go.mod) within the caller's byte budget: 0 and *v,
     * which the resolver releases, or an error. */
    int (*read)(void *user, const char *path, tier_value *v);
    void *user;
    uint64_t unresolved;         /* names that led to no file */
    int rc;                      /* sticky: cancelled, timed out, out of memory, or what found returned */
    struct tier__strings seen;   /* names resolved before in the same context */
    struct tier__strings go_mod; /* the go.mod files met, and */
    char **go_module;            /* the module path each declares, "" for none; owned */
    size_t go_capacity;
    struct tier__text path; /* scratch of the probes */
};
void tier__resolver_fini(struct tier__resolver *r);

/* For the languages' files. A path is written as the concatenation of `parts`, ended by NULL. */
/* Is there a regular file ('f') or directory ('d')? Its path is in r->path until the next probe. */
bool tier__probe(struct tier__resolver *r, char kind, const char *const parts[]);
#define TIER__PROBE(r, kind, ...) tier__probe(r, kind, (const char *const[]){__VA_ARGS__, NULL})
/* Hands the file at r->path on. A path with ".." goes through tier_realpath first, so that two ways to one
 * file are one, and a chain of them does not grow without end. */
void tier__found(struct tier__resolver *r);
/* Was (context, kind, name) not resolved before in this call? */
bool tier__first_time(struct tier__resolver *r, const char *context, char kind, const char *name);
/* Every file below dir whose name matches glob, but those that end in `except` (NULL: none). How many. */
size_t tier__found_all(struct tier__resolver *r, const char *dir, const char *glob, const char *except);
/* Length of the directory part of a path with its last '/', or with "name:" before a first component; 0 where
 * there is none. */
size_t tier__dir_size(const char *path);
/* The parent of the directory dir[0..size), which ends in '/' or ':' or is empty: its length, in the same
 * form. A root has no parent: its own length. */
size_t tier__parent_size(const char *dir, size_t size);
/* Takes "." components and doubled slashes out of t; ".." stays, it is the system's to follow. */
void tier__fold(struct tier__text *t);
/* What stands between a directory as a caller writes it and a name in it: "/" or "". */
const char *tier__slash(const char *dir);

int tier__resolve_c(struct tier__resolver *r, const char *path, const struct tier__imports *names);
int tier__resolve_python(struct tier__resolver *r, const char *path, const struct tier__imports *names);
int tier__resolve_script(struct tier__resolver *r, const char *path, const struct tier__imports *names);
int tier__resolve_go(struct tier__resolver *r, const char *path, const struct tier__imports *names);
int tier__resolve_rust(struct tier__resolver *r, const char *path, const struct tier__imports *names);
int tier__resolve_java(struct tier__resolver *r, const char *path, const struct tier__imports *names);
#endif
