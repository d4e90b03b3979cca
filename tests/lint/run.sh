#!/bin/sh
# Runs tierlint over small trees made here: every rule once where it must speak and once where it must not,
# formats, baseline, suppression, wrong usage, threads, and what an edit makes it do again.
#
#   sh tests/lint/run.sh PATH_TO_TIERLINT
#
# Ends with "N passed, N failed"; status 0 if none failed. Touches nothing but a directory of its own.
LINT=${1:-build/tierlint}
case $LINT in
/*) ;;
*) LINT=$(pwd)/$LINT ;;
esac
HERE=$(cd "$(dirname "$0")" && pwd)
TOP=$(mktemp -d "${TMPDIR:-/tmp}/lint.XXXXXX") || exit 2
trap 'rm -rf "$TOP"' EXIT
trap 'exit 130' INT TERM
TIERKIT_DIR=$TOP/cache
export TIERKIT_DIR
passed=0
failed=0

# check NAME EXPECTED ACTUAL
check()
{
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s\n--- expected\n%s\n--- got\n%s\n' "$1" "$2" "$3"
    fi
}

# tree NAME: an empty directory to work in, with a cache of its own
tree()
{
    mkdir -p "$TOP/$1" && cd "$TOP/$1" || exit 2
    TIERKIT_DIR=$TOP/cache-$1
}

# lint ARGS...: output, then the status
lint()
{
    "$LINT" --no-system "$@" 2>&1
    echo "status $?"
}

for part in rules command formats again watch; do
    . "$HERE/$part.sh"
done

cd / || exit 2
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
