/* groups.h - every group of the bench, in the order of the table. One line a group; its file defines
 * `const struct bench_group bench_NAME`. bytes is the first, as what it measures is by how much a fresh heap
 * grows. */
/* clang-format off */
#define BENCH_GROUPS(X) \
    X(bytes) \
    X(memory) \
    X(path) \
    X(store) \
    X(codecs) \
    X(cascade) \
    X(session) \
    X(evict)
