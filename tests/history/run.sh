#!/bin/sh
# Checks out the commits of a history one after another and lints each with one cache and without: the reports
# are equal, and what each commit cost is printed. Then goes back: what is remembered is not computed again.
#
#   sh tests/history/run.sh BUILD_DIRECTORY
#   HISTORY_COMMITS=N  so many of this repository's own commits, spread evenly (default 30; 0: none)
#   HISTORY_PATHS=...  what is linted of them (default: tiers include)
#
# Two histories: one that this script writes, and this repository's own, where the source lies in a clone that
# has one. Ends with "N passed, N failed"; touches nothing but a directory of its own.
set -u
BUILD=${1:-build}
case $BUILD in
/*) ;;
*) BUILD=$(pwd)/$BUILD ;;
esac
SOURCE=$(cd "$(dirname "$0")/../.." && pwd)
TOP=$(mktemp -d "${TMPDIR:-/tmp}/history.XXXXXX") || exit 2
trap 'rm -rf "$TOP"' EXIT
trap 'exit 130' INT TERM
LINT=$BUILD/tierlint
GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_CONFIG_GLOBAL GIT_CONFIG_NOSYSTEM
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
# Of each request the newest 8 variants are kept (keep.variants). The report of all is another one at each
# commit, so seven commits back is as far as everything is remembered.
RETAINED=7
passed=0 failed=0
check() { # what, status
    if [ "$2" -eq 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $1"
    fi
}
git_in() {
    git -C "$TOP/$history" "$@"
}

# ---- a history of 32 commits: edits, comments, renames, a header that shadows another, a revert, a branch
text() { # number, edition
    echo "#pragma once"
    echo "#include \"h$((($1 + 1) % 8)).h\""
    [ $(($2 % 3)) -eq 0 ] || echo "/* edition $2 */"
    echo "int f$1(void);"
    [ $(($2 % 4)) -ne 1 ] || echo "long f$((($1 + 3) % 8))(void);"
}
write_history() {
    history=$1
    mkdir -p "$TOP/$history/lib" "$TOP/$history/early"
    git_in init -q
    i=0
    while [ $i -lt 8 ]; do
        text $i 0 >"$TOP/$history/lib/h$i.h"
        printf '#include "h%d.h"\n#include "h%d.h"\nstatic int s%d(void) { return 1; }\nint f%d(void) { return f%d(); }\n' \
            $i $(((i + 5) % 8)) $i $i $(((i + 5) % 8)) >"$TOP/$history/lib/f$i.c"
        i=$((i + 1))
    done
    n=1
    while [ $n -le 32 ]; do
        (
            cd "$TOP/$history" || exit
            case $((n % 8)) in
            1 | 5) text $((n % 7)) $n >lib/h$((n % 7)).h ;;
            2) printf '/* %d */\n' $n >>lib/f$((n / 8)).c ;;
            3) { echo; cat lib/f$((n / 8 + 2)).c; } >new && mv new lib/f$((n / 8 + 2)).c ;;
            4) if [ -f early/h3.h ]; then rm early/h3.h; else text 3 $n >early/h3.h; fi ;;
            6) if [ -f lib/f7.c ]; then mv lib/f7.c lib/g7.c; else mv lib/g7.c lib/f7.c; fi ;;
            7) git show HEAD~3:lib/f1.c >lib/f1.c 2>/dev/null ;;
            0) text 5 $((n % 3)) >lib/h5.h; printf 'int g%d(void) { return 0; }\n' $n >lib/n$n.c ;;
            esac
            git add -A
            git -c user.name=n -c user.email=e -c commit.gpgsign=false commit -q --allow-empty -m "$n"
        ) || return 1
        n=$((n + 1))
    done
}

# ---- one commit
built() { # type: how many were computed
    awk -v name="type.$1.built" '$1 == name { print $2 }' "$TOP/stats"
}
# Lints with the cache into $TOP/out: the report and the exit status.
lint_cached() {
    (cd "$TOP/$history" && eval "$LINT" --stats -d "'$TOP/cache-$history'" --enable=all $options; echo "exit $?") \
        >"$TOP/out" 2>"$TOP/stats"
}
total_built() {
    awk '$1 == "tree.built" || $1 == "delta.built" { n += $2 } END { print n + 0 }' "$TOP/stats"
}
checkout() {
    git_in checkout -q -f --detach "$1" && git_in clean -q -f -d
}

forward() {
    printf '%-10s %6s %8s %8s %8s %9s %9s\n' commit files outlines judged rendered 'all built' findings
    last=
    while read -r commit; do
        checkout "$commit" || return 1
        lint_cached
        (cd "$TOP/$history" && eval "$LINT" --no-cache --enable=all $options; echo "exit $?") >"$TOP/plain" 2>/dev/null
        cmp -s "$TOP/out" "$TOP/plain"
        check "$history $commit: as without a cache" $?
        cp "$TOP/out" "$TOP/was-$history-$commit"
        files=-
        [ -z "$last" ] || files=$(git_in diff --name-only "$last" "$commit" -- $where | grep -c '\.[ch]$')
        printf '%-10.10s %6s %8s %8s %8s %9s %9s\n' "$commit" "$files" "$(built outline)" "$(built judge)" \
            "$(built render)" "$(total_built)" "$(grep -c '\[[a-z-]*\]$' "$TOP/out")"
        last=$commit
    done <"$TOP/commits"
}

# Files that had more versions since than are kept of each: how many of them are parsed again.
forgotten() { # commit
    sed -n "/^$1/,\$p" "$TOP/commits" | while read -r commit; do
        [ -z "${last:-}" ] || git_in diff --name-only --no-renames "$last" "$commit"
        last=$commit
    done | grep '\.[ch]$' | sort | uniq -c | awk -v kept=$((RETAINED + 1)) '$1 >= kept { n++ } END { print n + 0 }'
}

back() {
    computed=0
    for commit in $(tail -n $((RETAINED + 1)) "$TOP/commits" | sed '$d' | sed '1!G;h;$!d'); do
        checkout "$commit"
        lint_cached
        cmp -s "$TOP/out" "$TOP/was-$history-$commit"
        check "$history: back at $commit its report is what it was" $?
        computed=$((computed + $(total_built)))
    done
    test $computed -eq 0
    check "$history: up to $RETAINED commits back nothing is computed, not $computed results" $?
    for commit in $(sed -n '1p;$p;8p' "$TOP/commits"); do
        checkout "$commit"
        lint_cached
        cmp -s "$TOP/out" "$TOP/was-$history-$commit"
        check "$history: far back at $commit its report is what it was" $?
        may=$(forgotten "$commit") outlines=$(built outline)
        echo "far back at $(printf %.10s "$commit"): $outlines outlines (of $may files that had more than" \
            "$((RETAINED + 1)) versions since), $(total_built) results computed"
        test "$outlines" -le "$may"
        check "$history: what is kept is not parsed again, $outlines files and not $may" $?
    done
}

replay() { # history, options, paths whose changes are counted
    history=$1 options=$2 where=$3
    echo "$history: $(wc -l <"$TOP/commits") commits"
    forward
    check "$history: every commit was replayed" $?
    back
}

command -v git >/dev/null || {
    echo "FAILED: git is not installed"
    echo "0 passed, 1 failed"
    exit 1
}
write_history written
check "a history is written" $?
git_in log --reverse --format=%H >"$TOP/commits"
replay written '--no-system -I early -I lib .' .

wanted=${HISTORY_COMMITS:-30}
own=$(git -C "$SOURCE" rev-list --count HEAD 2>/dev/null || echo 0)
if [ "$wanted" -gt 0 ] && [ "$own" -ge "$wanted" ] &&
    [ "$(git -C "$SOURCE" rev-parse --is-shallow-repository 2>/dev/null)" = false ] &&
    git clone -q --shared --no-checkout "$SOURCE" "$TOP/own" 2>/dev/null; then
    history=own
    git_in rev-list --reverse --first-parent HEAD |
        awk -v n="$wanted" '{ c[NR] = $0 } END { for (i = 1; i <= n; i++) print c[int(i * NR / n)] }' >"$TOP/commits"
    paths=${HISTORY_PATHS:-tiers include}
    replay own "--no-system -I . -I include \$(ls -d $paths 2>/dev/null || echo .)" "$paths"
fi
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
