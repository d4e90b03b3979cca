/* groups.h - every group of the bench, in the order of the table. One line a group; its file defines
 * `const struct bench_group bench_NAME`. */
/* clang-format off */
#define BENCH_GROUPS(X) \
    X(memory) \
    X(path) \
    X(bytes) \
    X(store) \
    X(codecs) \
    X(cascade)
