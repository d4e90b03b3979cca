#!/bin/sh
# guards.sh [-j WORKERS] [NAME-PATTERN]: takes one guard of the coherence manager out at a time, in a copy of
#   the tree, and says which test fails without it: the tests that guards.list names with it, in that order,
#   else the contract's tests, else the random programs. Prints the rows of docs/guards.md; fails where a guard
#   is LOST or nothing fails. Not part of make check: each guard compiles a file and links a test or two.
# guards.sh --check: builds nothing. Does every script still take something out, and has every guard its row
#   in docs/guards.md, and every row its guard? make check asks that.
#
# A guard is: name, file, sed script that takes it out, tests to try first. A script that changes nothing (the
# source has moved on) is LOST, and is to be brought up to date.
set -u
jobs=1 check=
while :; do
    case ${1:-} in
    -j) jobs=$2 && shift 2 ;;
    --check) check=yes && shift ;;
    *) break ;;
    esac
done
only=${1:-.}
top=$(cd "$(dirname "$0")/../.." && pwd)
list=$top/tests/guards/guards.list
rows=$top/docs/guards.md
work=$(mktemp -d "${TMPDIR:-/tmp}/tierkit-guards.XXXXXX")
trap 'kill $workers 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
workers=

# ---- without a build
wrong() {
    echo "$1"
    failed=$((failed + 1))
}

table() { # NUMBER: name and file of each row of the first table of docs/guards.md, or of the second one
    awk -F ' [|] ' -v number="$1" '
        /^[|] guard [|]/ { table++; next }
        /^[|] [^-]/ && table == number { sub(/^[|] /, ""); print $1 " | " $2 }' "$rows"
}

check() {
    passed=0 failed=0
    guard() {
        before=$failed
        printf '%s | `%s`\n' "$1" "$2" >>"$work/listed"
        if [ ! -f "$top/$2" ]; then
            wrong "$1: LOST: there is no $2"
        elif sed "$3" "$top/$2" | cmp -s - "$top/$2"; then
            wrong "$1: LOST: its pattern matches nothing in $2; bring tests/guards/guards.list up to date"
        fi
        for test in ${4:-}; do
            [ -f "$top/tests/unit/$test.c" ] || [ -d "$top/tests/$test" ] || wrong "$1: there is no test $test"
        done
        [ $failed -ne $before ] || passed=$((passed + 1))
    }
    . "$list"
    sort "$work/listed" >"$work/names"
    table 1 | sort >"$work/rows"
    table 2 | sort >"$work/more"
    {
        uniq -d "$work/names" | sed 's/$/: it stands twice in guards.list/'
        uniq -d "$work/rows" | sed 's/$/: it has two rows in docs\/guards.md/'
        uniq "$work/names" | comm -23 - "$work/rows" | sed 's/$/: it has no row in docs\/guards.md/'
        sort -u "$work/rows" "$work/more" | comm -13 "$work/names" - | sed 's/$/: a row in docs\/guards.md without a guard/'
    } >"$work/unequal"
    cat "$work/unequal"
    failed=$((failed + $(wc -l <"$work/unequal")))
    echo "$((passed + 1)) passed, $failed failed"
    [ $failed -eq 0 ]
}

if [ -n "$check" ]; then
    check
    exit
fi

# ---- in a copy of the tree, one for each worker
compile() { # TARGETS
    make -j2 BUILD=build WARNINGS=-w CFLAGS=-O1 "$@" >make.log 2>&1
}

# How a test program ended, where it failed: its failing tests, the model's first difference.
failing() {
    limit=40
    [ "$1" != model ] || limit=${2:-120}
    timeout "$limit" "build/tests/$1" >out 2>&1
    status=$?
    [ $status -ne 0 ] || return 1
    names=$(sed -nE 's/^\[  (FAILED|ERROR ) +\] ([a-z_0-9]+)$/\2/p' out | sort -u | head -n 3 | tr '\n' ' ')
    case $1 in
    model) why=$(sed -n 's/^ERROR: MODEL_SEED=[0-9]*: //p' out | head -n 1 | cut -c 1-120) ;;
    *) why=$names ;;
    esac
    [ $status -ne 124 ] || why="it does not end"
    [ -n "$why" ] || why=${names:-status $status}
    printf '%s: %s' "$1" "${why% }" | tr '|`' '/ '
}

without() { # TESTS: which of them notices that the guard is gone
    for test in $*; do
        if ! compile "build/tests/$test"; then
            echo "does not compile: $(grep -m 1 error make.log | cut -c 1-100)"
            return
        fi
        failing "$test" && return
    done
    echo "NOTHING FAILS"
}

row() { # name, file, what fails
    printf '| %s | `%s` | %s |\n' "$1" "$2" "$3" >"$work/row.part.$mine"
    mv "$work/row.part.$mine" "$work/row.$number"
}

take_out() { # name, file, sed script, tests
    object=build/obj/${2%.c}.o
    if [ ! -f "$2" ]; then
        row "$1" "$2" "LOST: no such file"
        return 0
    fi
    cp -p "$2" kept.c
    cp -p "$object" kept.o
    sed -i "$3" "$2"
    if cmp -s "$2" kept.c; then
        row "$1" "$2" "LOST: the pattern matches nothing"
        return 0
    fi
    others=
    for test in conformance model; do
        case " ${4:-} " in *" $test "*) ;; *) others="$others $test" ;; esac
    done
    row "$1" "$2" "$(without ${4:-} $others)"
    cp -p kept.c "$2" # older than its object, which is as it was before: nothing is compiled twice
    cp kept.o "$object"
}

worker() { # NUMBER: every so many-th guard is its own
    mine=$1 number=0
    trap 'touch "$work/over.$mine"' EXIT
    cd "$work/tree.$mine" || exit 1
    mkdir tmp
    export TMPDIR="$work/tree.$mine/tmp" MODEL_SHRINK=0
    export MODEL_SEED="${MODEL_SEED:-20261121}" MODEL_OPS="${MODEL_OPS:-5000}"
    guard() {
        echo "$1" | grep -q -- "$only" || return 0
        number=$((number + 1))
        [ $((number % jobs)) -ne $((mine % jobs)) ] || take_out "$@"
    }
    . "$list"
    exit
}

# What the chosen guards name, built once with every guard in place.
count=0 tests=
guard() {
    echo "$1" | grep -q -- "$only" || return 0
    count=$((count + 1))
    tests="$tests ${4:-conformance model}"
}
. "$list"
if [ $count -eq 0 ]; then
    echo "no guard has a name like $only"
    exit 1
fi
tests=$(echo "$tests" | tr ' ' '\n' | sort -u)
mkdir "$work/tree.1"
tar -C "$top" --exclude=./.git --exclude=./build -cf - . | tar -C "$work/tree.1" -xf -
cd "$work/tree.1" || exit 1
if ! compile $(for test in $tests; do echo "build/tests/$test"; done); then
    tail -n 5 make.log
    exit 1
fi
for test in $tests; do
    if text=$(TMPDIR="$work/tree.1" MODEL_OPS="${MODEL_OPS:-5000}" failing "$test" 280); then
        echo "with every guard in place: $text"
        exit 1
    fi
done
for mine in $(seq 2 "$jobs"); do
    cp -a "$work/tree.1" "$work/tree.$mine"
done
for mine in $(seq "$jobs"); do
    worker "$mine" &
    workers="$workers $!"
done

echo '| guard | where | fails without it |'
echo '| --- | --- | --- |'
bad=0
for number in $(seq "$count"); do
    while [ ! -f "$work/row.$number" ] && [ $(ls "$work" | grep -c '^over') -lt "$jobs" ]; do
        sleep 0.2
    done
    cat "$work/row.$number" || exit 1 # its worker ended early, and said why
    ! grep -qE 'LOST: |NOTHING FAILS|does not compile' "$work/row.$number" || bad=1
done
wait
exit $bad
