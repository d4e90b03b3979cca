#!/bin/sh
# run-test.sh NAME COMMAND...: runs one test program and prints "NAME N passed, N failed"; its output is shown
#   only where something failed. Counted are cmocka's closing lines and lines "N passed, N failed"; a program
#   under examples/ counts as one test, by its exit status. A program that ran no test has failed.
# run-test.sh --sum LABEL RUNS...: adds up what the named runs left in $BUILD/results; fails if any failed.
set -u
results=$BUILD/results
mkdir -p "$results"

if [ "$1" = --sum ]; then
    label=$2
    shift 2
    passed=0 failed=0
    for run in "$@"; do
        name=${run#run-*-}
        case $run in
        run-example-*) name=example-$name ;;
        run-shell-*) name=tests-$name ;;
        esac
        read -r p f _ <"$results/$name" || p=0 f=1
        passed=$((passed + p)) failed=$((failed + f))
    done
    [ $((passed + failed)) -gt 0 ] || failed=1
    echo "$passed passed, $failed failed" | tee "$BUILD/$label.sum"
    [ $failed -eq 0 ]
    exit
fi

name=$1
shift
file=$results/$(echo "$name" | tr / -)
rm -f "$file"
# Nothing of the caller's own cache, profile or home may reach a test.
work=$(mktemp -d "${TMPDIR:-/tmp}/tierkit-test.XXXXXX")
trap 'chmod -R u+rwx "$work" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
unset CI TIERKIT_DIR TIERKIT_PROFILE MAKEFLAGS MAKELEVEL MFLAGS
export TIERKIT_VERIFY_SAMPLE=0 # tests count what is read
export TMPDIR="$work/tmp" HOME="$work/home" XDG_CACHE_HOME="$work/home/cache"
mkdir -p "$TMPDIR" "$HOME"
start=$(date +%s)
# A hang is a failure; nothing that works comes near the limit.
timeout -k 10 "${TEST_TIMEOUT:-280}" ${TEST_WRAP:-} "$@" >"$work/out" 2>&1 </dev/null
status=$?

counts=$(awk '
    match($0, /^\[  PASSED  \] [0-9]+ test/) { passed += $4 }
    match($0, /^\[  FAILED  \] [0-9]+ test/) { failed += $4 }
    match($0, /^\[  SKIPPED \] [0-9]+ test/) { skipped += $4 }
    /^[0-9]+ passed, [0-9]+ failed/ { passed += $1; failed += $3 }
    END { print passed + 0, failed + 0, skipped + 0 }' "$work/out")
read -r passed failed skipped <<EOF
$counts
EOF
case $name in
example-*) [ $status -ne 0 ] || passed=$((passed + 1)) ;;
esac
why=
[ "$skipped" -eq 0 ] || why=", $skipped skipped"
if [ $status -ne 0 ] && [ "$failed" -eq 0 ]; then
    failed=1 why="$why (exit status $status)"
elif [ $((passed + failed)) -eq 0 ]; then
    failed=1 why="$why (it ran no test)"
fi
echo "$passed $failed $(($(date +%s) - start)) s" >"$file"
[ "$failed" -eq 0 ] || cat "$work/out"
printf '%-28s %4d passed, %d failed%s\n' "$name" "$passed" "$failed" "$why"
exit 0
