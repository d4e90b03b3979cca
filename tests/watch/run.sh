#!/bin/sh
# Edits a small tree 100 times under `tierlint --watch`; after each its report must be that of a fresh run
# with --no-cache.
#
#   sh tests/watch/run.sh BUILD_DIRECTORY      ($SEED repeats a run)
#
# Ends with "N passed, N failed"; status 0 if none failed. Touches nothing but a directory of its own.
set -u
BUILD=${1:-build}
case $BUILD in
/*) ;;
*) BUILD=$(pwd)/$BUILD ;;
esac
SOURCE=$(cd "$(dirname "$0")/../.." && pwd)
TOP=$(mktemp -d "${TMPDIR:-/tmp}/watch.XXXXXX") || exit 2
trap 'rm -rf "$TOP"' EXIT
trap 'exit 130' INT TERM
TIERKIT_DIR=$TOP/cache
export TIERKIT_DIR
${CC:-cc} -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow -Werror ${CFLAGS:--O1 -g} -I"$SOURCE" \
    ${LDFLAGS:-} -o "$TOP/driver" "$SOURCE/tests/watch/driver.c" || exit 2
"$TOP/driver" "$BUILD/tierlint" "$TOP"
status=$?
[ $status -eq 0 ] || cat "$TOP/errors"
exit $status
