/* visibility.h - what the shared library exports: the functions that the public headers declare, and no
 * others. The library is compiled with -fvisibility=hidden and this file in front of every source, so that
 * the headers themselves stay free of export macros. */
#include <stddef.h>
#include <stdint.h>
#pragma GCC visibility push(default)
#include <tierkit.h>
#include <tierkit_admin.h>
#pragma GCC visibility pop
