/* both.h - the library's prototypes and the oracle's, for a test that links both.
 *
 * The types are the same; the objects are not: a session of one side is never handed to the other. A struct
 * oracle_side holds every public function of one side, so that one test drives either. */
#ifndef TESTS_ORACLE_BOTH_H
#define TESTS_ORACLE_BOTH_H
#include "include/tierkit.h"

#define ORACLE_NAMES(X)   \
    X(strerror)           \
    X(errname)            \
    X(next)               \
    X(open)               \
    X(close)              \
    X(cache_detail)       \
    X(flush)              \
    X(path_in)            \
    X(path_out)           \
    X(define)             \
    X(undefine)           \
    X(out_object)         \
    X(out_bytes)          \
    X(out_record)         \
    X(out_hold)           \
    X(fail)               \
    X(once)               \
    X(tag)                \
    X(expires)            \
    X(begin)              \
    X(fork)               \
    X(end)                \
    X(session_id)         \
    X(cancel)             \
    X(cancelled)          \
    X(detail)             \
    X(file)               \
    X(stat)               \
    X(stat_fields)        \
    X(realpath)           \
    X(list)               \
    X(env)                \
    X(config)             \
    X(input)              \
    X(read_elsewhere)     \
    X(get)                \
    X(peek)               \
    X(release)            \
    X(detach)             \
    X(previous)           \
    X(edits)              \
    X(set_input)          \
    X(overlay)            \
    X(invalidate)         \
    X(invalidate_pattern) \
    X(sync)               \
    X(stream_open)        \
    X(stream_fd)          \
    X(stream_next)        \
    X(stream_close)       \
    X(warm)               \
    X(explain)            \
    X(stats)

#define ORACLE_PROTOTYPE(name) extern __typeof__(tier_##name) oracle_##name;
ORACLE_NAMES(ORACLE_PROTOTYPE)
#undef ORACLE_PROTOTYPE

struct oracle_side {
#define ORACLE_MEMBER(name) __typeof__(tier_##name) *name;
    ORACLE_NAMES(ORACLE_MEMBER)
#undef ORACLE_MEMBER
};

#define ORACLE_OF_LIBRARY(name) .name = tier_##name,
#define ORACLE_OF_ORACLE(name) .name = oracle_##name,
/* Initializers: struct oracle_side library = ORACLE_LIBRARY, oracle = ORACLE_ORACLE; */
#define ORACLE_LIBRARY                  \
    {                                   \
        ORACLE_NAMES(ORACLE_OF_LIBRARY) \
    }
#define ORACLE_ORACLE                  \
    {                                  \
        ORACLE_NAMES(ORACLE_OF_ORACLE) \
    }
#endif
