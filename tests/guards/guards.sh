#!/bin/sh
# guards.sh [NAME-PATTERN]: takes one guard of the coherence manager out at a time, in a copy of the tree, and
# says which test fails without it: the random programs, else the contract's tests, else the unit tests named
# with the guard. Prints the rows of docs/guards.md. Not part of make check: each guard is a build and a run.
#
# A guard is: name, file, sed script that takes it out, unit tests to try besides. A script that changes
# nothing (the source has moved on) is reported as LOST, and is to be brought up to date.
set -u
only=${1:-.}
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/tierkit-guards.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cp -a "$top/." "$work/tree" 2>/dev/null
rm -rf "$work/tree/.git" "$work/tree/build"
cd "$work/tree" || exit 1
build=${GUARDS_BUILD:-$work/build}
export TMPDIR="$work" MODEL_SHRINK=0 MODEL_SEED="${MODEL_SEED:-20261121}" MODEL_OPS="${MODEL_OPS:-5000}"
compile() {
    make BUILD="$build" WARNINGS=-w CFLAGS=-O1 "$@" >"$work/make.log" 2>&1
}
row() { # name, file, what fails
    printf '| %s | `%s` | %s |\n' "$1" "$2" "$3"
}

# The tests that fail in a cmocka program, or how else it ended.
failing() {
    program=$1
    timeout "${2:-120}" "$build/tests/$program" >"$work/out" 2>&1
    status=$?
    [ $status -ne 0 ] || return 1
    names=$(sed -n 's/^\[  FAILED  \] \([a-z_]*\)$/\1/p' "$work/out" | sort -u | head -n 3 | tr '\n' ' ')
    case $program in
    model) why=$(sed -n 's/^ERROR: MODEL_SEED=[0-9]*: //p' "$work/out" | head -n 1 | cut -c 1-120) ;;
    *) why=$names ;;
    esac
    [ $status -ne 124 ] || why="it does not end"
    [ -n "$why" ] || why=${names:-status $status}
    printf '%s: %s' "$program" "$why" | tr '|`' '/ '
}

guard() { # name, file, sed script, unit tests
    echo "$1" | grep -q -- "$only" || return 0
    if [ ! -f "$2" ]; then
        row "$1" "$2" "LOST: no such file"
        return 0
    fi
    cp -p "$2" "$work/kept"
    sed -i "$3" "$2"
    if cmp -s "$2" "$work/kept"; then
        row "$1" "$2" "LOST: the pattern matches nothing"
        return 0
    fi
    found="NOTHING FAILS"
    if compile "$build/tests/model" "$build/tests/conformance" $(printf "$build/tests/%s " ${4:-}); then
        for test in ${4:-} model conformance; do
            if text=$(failing "$test"); then
                found=$text
                break
            fi
        done
    else
        found="does not compile: $(grep -m 1 error "$work/make.log" | cut -c 1-100)"
    fi
    row "$1" "$2" "$found"
    cp "$work/kept" "$2"
}

compile "$build/tests/model" "$build/tests/conformance" || {
    tail -n 5 "$work/make.log"
    exit 1
}
for test in model conformance; do
    if text=$(failing "$test" 280); then
        echo "with every guard in place: $text"
        exit 1
    fi
done
echo '| guard | where | fails without it |'
echo '| --- | --- | --- |'
. "$top/tests/guards/guards.list"
