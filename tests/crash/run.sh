#!/bin/sh
# Kills tierlint at random moments, and damages the files of its cache directory: the next run must print what
# a run with --no-cache prints, and exit the same.
#
#   sh tests/crash/run.sh BUILD_DIRECTORY      ($SEED repeats the choices)
#
# Prints "N passed, N failed" for each part; status 0 if none failed. Touches nothing but a directory of its
# own.
set -u
BUILD=${1:-build}
case $BUILD in
/*) ;;
*) BUILD=$(pwd)/$BUILD ;;
esac
SOURCE=$(cd "$(dirname "$0")/../.." && pwd)
TOP=$(mktemp -d "${TMPDIR:-/tmp}/crash.XXXXXX") || exit 2
trap 'rm -rf "$TOP"' EXIT
trap 'exit 130' INT TERM
${CC:-cc} -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow -Werror ${CFLAGS:--O1 -g} -I"$SOURCE" \
    ${LDFLAGS:-} -o "$TOP/driver" "$SOURCE/tests/crash/driver.c" || exit 2
status=0
for part in kill damage; do
    mkdir "$TOP/$part"
    TIERKIT_DIR=$TOP/$part/cache "$TOP/driver" "$part" "$BUILD/tierlint" "$TOP/$part" || status=1
    [ ! -s "$TOP/$part/errors" ] || sort "$TOP/$part/errors" | uniq -c | sort -rn | head -20
done
exit $status
