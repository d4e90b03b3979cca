/* The tests of warming once more, over the library itself, and what only a cache with memory shows. */
#define OVER_LIBRARY
#include "tests/unit/test_warm.c"
