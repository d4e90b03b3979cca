#!/bin/sh
# run.sh BUILD: the recipes of docs/porting.md as their readers would run them: cold, again, and after an edit.
# Each time what was computed is counted, and what is printed equals a run that remembers nothing.
set -u
build=${1:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
work=$(mktemp -d "${TMPDIR:-/tmp}/examples.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
export TIERKIT_DIR="$work/cache" TIERKIT_VERIFY_SAMPLE=0
unset CI NO_CACHE TIERKIT_PROFILE
passed=0 failed=0
ok() { # WHAT: of the last command's status
    if [ $? -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $1"
        sed 's/^/    out: /' "$work/out" | head -20
        sed 's/^/    err: /' "$work/err" | head -20
    fi
}
# STEP COUNTS ARG...: runs the example; its counts are these (a pattern; lines joined by "|"), and what it
# prints is what it prints with nothing remembered.
example=
run() {
    step=$1 counts=$2
    shift 2
    "$build/examples/$example" "$@" >"$work/out" 2>"$work/err" </dev/null
    ok "$example $step: exits 0"
    tr '\n' '|' <"$work/err" | grep -qx -e "$counts|"
    ok "$example $step: $counts"
    NO_CACHE=1 "$build/examples/$example" "$@" >"$work/plain" 2>/dev/null </dev/null
    cmp "$work/out" "$work/plain" >&2
    ok "$example $step: prints what it prints without a cache"
}

mkdir -p "$work/tree/one/deep" "$work/tree/two"
cd "$work/tree" || exit 2
for f in a.c one/b.c one/deep/c.c two/d.c two/e.c; do
    printf '#include <x.h>\nstatic int f(void)\n{\n    return 1;\n}\n' >$f
done
long=$(printf '%0120d' 0)

example=worker_pool
run cold 'built 5, served 0' 3 a.c one/b.c one/deep/c.c two/d.c two/e.c
run again 'built 0, served 5' 4 a.c one/b.c one/deep/c.c two/d.c two/e.c
echo "// $long" >>one/b.c
run edited 'built 1, served 4' 2 a.c one/b.c one/deep/c.c two/d.c two/e.c
grep -q '^one/b.c:6: 123 columns$' "$work/out"
ok 'worker_pool: the finding has its line'
run 'with a file that is not there' 'built 1, served 1' 2 a.c gone.c

example=forking_host
run cold 'children: 1 words, 5 files; parent: 0' 3 .
run again 'children: 0 words, 0 files; parent: 0' 3 .
echo 'static int g;' >>two/d.c
run edited 'children: 0 words, 1 files; parent: 0' 3 .
echo int >word.cfg # it was asked for when there was none
run 'with another word' 'children: 1 words, 5 files; parent: 0' 3 .

# a file that is not saved is there all the time: without it, then with a comment more, then with a line more
example=whole_program
run cold 'built 6 files, 4 directories, 1 reports|built 1 files, 0 directories, 0 reports|built 1 files, 1 directories, 1 reports' .
none='built 0 files, 0 directories, 0 reports'
run again "$none|$none|$none" .
echo '// a comment' >>one/deep/c.c
run 'comment' "built 1 files, 0 directories, 0 reports|$none|$none" .
echo 'int line;' >>one/deep/c.c
# the directory of the file and those above; the report of that sum is known from the line that was typed
run 'line' 'built 1 files, 3 directories, 0 reports|built 0 files, 0 directories, 0 reports|built 0 files, 1 directories, 1 reports' .

example=memo
echo 3 >"$work/rate"
run cold 'built 1 rates, 2 prices' "$work/rate" 60000 7 8 7
run again 'built 0 rates, 0 prices' "$work/rate" 60000 7 8 7
run 'more' 'built 0 rates, 1 prices' "$work/rate" 60000 7 9
rm -r "$TIERKIT_DIR"
run 'short-lived' 'built 1 rates, 2 prices' "$work/rate" 700 7 8
sleep 0.8
run 'expired, the same' 'built 1 rates, 0 prices' "$work/rate" 700 7
sleep 0.8
echo 4 >"$work/rate"
run 'expired, another' 'built 1 rates, 1 prices' "$work/rate" 60000 7

example=incremental
i=0
while [ $i -lt 500 ]; do
    echo "word and word $i"
    i=$((i + 1))
done >text
for edit in '1i\more words' '250s/word/several words/' '250d' '$s/$/ at the end/' '$a\after the end' '1d' '100,200d;300s/^/x/'; do
    sed "$edit" text >edited
    rm -rf "$TIERKIT_DIR"
    "$build/examples/incremental" text edited >"$work/out" 2>"$work/err"
    parsed=$(sed -n '2s/.*parsed \([0-9]*\) bytes/\1/p' "$work/err")
    [ "$(sed -n '1s/.*parsed \([0-9]*\) bytes/\1/p' "$work/err")" = "$(($(wc -c <text)))" ]
    ok "incremental: the first parse is of everything ($edit)"
    [ "${parsed:-9999}" -le 4000 ]
    ok "incremental: $edit parses what it touched, not ${parsed:-}"
    NO_CACHE=1 "$build/examples/incremental" text edited 2>/dev/null | cmp - "$work/out" >&2
    ok "incremental: $edit gives what a parse from scratch gives"
    words=$(sed -n '2s/.*: \([0-9]*\) words/\1/p' "$work/out")
    [ "$words" = "$(($(wc -w <edited)))" ]
    ok "incremental: $edit gives the words of wc"
done
run again 'built 0 trees, parsed 0 bytes|built 0 trees, parsed 0 bytes' text edited

# The server is talked to: what it says is waited for before the next line is sent.
example=language_server
mkdir ls && printf 'int f(void) {}\n' >ls/a.c && printf 'int g(void) { { } }\n' >ls/b.c
says() { # PATTERN: the server printed such a line, within ten seconds
    tries=0
    while ! grep -q -e "$1" "$work/out"; do
        tries=$((tries + 1))
        [ $tries -lt 500 ] || break
        sleep 0.02
    done
    grep -q -e "$1" "$work/out"
    ok "language_server: says $1"
}
serve() {
    rm -f "$work/in" && mkfifo "$work/in"
    : >"$work/out"
    "$build/examples/language_server" ls <"$work/in" >"$work/out" 2>"$work/err" &
    server=$!
    exec 3>"$work/in"
}
ended() { # COUNTS
    exec 3>&-
    wait $server
    ok 'language_server: exits 0'
    grep -qx -e "$1" "$work/err"
    ok "language_server: $1"
}
serve
says 'ls/a.c: 1$'
says 'ls/b.c: 2$'
ended 'built 2, stale 0, cancelled 0'
serve
says 'ls/b.c: 2$'
echo 'change ls/a.c 2 int f(void) {{{}' >&3
says 'ls/a.c: 1, [0-9]* ms old$'
says 'ls/a.c: 3$'
echo 'change ls/a.c 1 late and from before' >&3
printf '{\n' >ls/new && mv ls/new ls/b.c # saved by another program
says 'ls/b.c: 2, [0-9]* ms old$'
says 'ls/b.c: 1$'
echo 'close ls/a.c' >&3
ended 'built 2, stale 2, cancelled 0' # a.c as it is on disk is known, so no old answer is given
[ "$(tail -n 1 "$work/out")" = 'ls/a.c: 1' ]
ok 'language_server: what was told before the end is answered'
serve
says 'ls/b.c: 1$'
echo "change ls/b.c 1 $(printf '{%.0s' $(seq 20000))" >&3 # 20 seconds of work
says 'ls/b.c: 1, [0-9]* ms old$'
sleep 1 # for the build to be under way
echo 'change ls/b.c 2 {{{{' >&3
says 'ls/b.c: 4$'
ended 'built 1, stale 2, cancelled 1'

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
