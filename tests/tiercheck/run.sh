#!/bin/sh
# run.sh TIERCHECK [TIERLINT]: the command line of tiercheck as its users meet it. Prints "N passed, N failed".
set -u
case $1 in /*) check=$1 ;; *) check=$PWD/$1 ;; esac
lint=${2:-$(dirname "$check")/tierlint}
case $lint in /*) ;; *) lint=$PWD/$lint ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset NO_COLOR TIERKIT_DIR TIERKIT_PROFILE CI
export HOME="$work/home" XDG_CACHE_HOME="$work/home/cache" XDG_CONFIG_HOME="$work/home/config" TERM=xterm
mkdir -p "$HOME" "$work/tree/sub"
cd "$work/tree" || exit 1
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
run() { # STATUS ARG...: runs tiercheck; out and err are kept
    want=$1
    shift
    "$check" "$@" >"$work/out" 2>"$work/err" </dev/null
    got=$?
    [ "$got" -eq "$want" ]
    ok "'$*' exits $want (it was $got)"
}
out() { # PATTERN
    grep -q -e "$1" "$work/out"
    ok "stdout has: $1"
}
err() {
    grep -q -e "$1" "$work/err"
    ok "stderr has: $1"
}
no_out() {
    ! grep -q -e "$1" "$work/out"
    ok "stdout has no: $1"
}
silent() {
    [ ! -s "$work/err" ]
    ok "nothing on stderr"
}
json() { # EXPRESSION over d
    if command -v python3 >/dev/null 2>&1; then
        python3 -c "
import json, sys
d = json.load(open(sys.argv[1]))
assert list(d)[0] == 'schema' and d['schema'] == 1
assert $1, d" "$work/out" 2>>"$work/err"
    else
        head -c 12 "$work/out" | grep -q '^{"schema":1,'
    fi
    ok "JSON: $1"
}

cat >a.h <<'END'
#ifndef A_H
#define A_H
int a_one(int x);
struct a_pair { int left, right; };
#endif
END
cat >a.c <<'END'
#include "a.h"
#include <stdio.h>
static int unused(int x) { return x; }
int a_one(int x) { return x + 1; }
END
cat >sub/b.c <<'END'
#include "../a.h"
int b(void) { return a_one(2); }
END
sleep 0.1 2>/dev/null || sleep 1 # stat identities settle

# ---- usage
run 0 --help
out '^usage: tiercheck '
out 'exit status'
silent
for command in check repair stats warm explain inspect prune invalidate profile; do
    run 0 "$command" --help
    out "tiercheck $command"
    run 0 --help "$command"
done
run 0 invalidate --help
head -1 "$work/out" | grep -q '^Files never need this'
ok 'help of invalidate begins so'
run 0 --version
out '^tiercheck [0-9]'
run 16
err 'no command'
run 0 --help
cp "$work/out" "$work/first"
for words in help '--json help' 'help help'; do
    # shellcheck disable=SC2086
    run 0 $words
    cmp -s "$work/first" "$work/out"
    ok "'$words' is --help"
done
run 0 help prune
out '^usage: tiercheck prune'
run 16 help chekc
err "unknown command 'chekc'; did you mean 'check'"
run 16 chekc
err "did you mean 'check'"
for pair in stat:stats wark:warm exlpain:explain repiar:repair; do
    run 16 "${pair%:*}"
    err "did you mean '${pair#*:}'"
done
for words in 'foo' 'x' 'hack' 'check --foo' 'check --fix' 'check --color' '--root1x2 check'; do
    # shellcheck disable=SC2086
    run 16 $words
    err 'unknown'
    ! grep -q 'did you mean' "$work/err"
    ok "no word is near to '$words'"
done
run 16 check --reed-data
err "did you mean '--read-data'"
run 16 stats --read-data
err "does not take --read-data"
run 16 --jason check
err "did you mean '--json'"
run 16 -x check
run 16 --profile prodction check
err "did you mean 'production'"
run 16 check extra
run 16 check --max-duration
err 'needs a value'
run 16 check --max-duration soon
err 'expected a time'
run 16 prune --max-size lots
err 'expected a size'
run 16 prune --older-than -1
for command in prune invalidate; do # a forgotten unit names everything
    run 16 "$command" --older-than 7
    err '7 has no unit: 7s, 7m, 7h or 7d$'
    run 0 "$command" --help
    out 's, m, h or d'
done
run 16 prune --max-size 2
err '2 has no unit: 2B, 2KiB, 2MiB or 2GiB$'
run 16 -n prune --max-size 2.5
run 0 prune --help
out 'B, KiB, MiB or GiB'
run 16 warm
run 16 warm --jobs 0x2 a.c
run 16 explain
run 16 explain a.c a.h
run 16 inspect
run 16 inspect tree:12
err 'no key'
run 16 inspect 2c26b46b68ffc68f
err 'value hashes cannot be looked up'
run 16 invalidate
run 16 invalidate a.c --tag t
run 16 invalidate --type t --older-than 1h
run 16 -n invalidate --older-than soon
run 16 -n invalidate --pattern ''
run 16 profile
run 16 profile lits
err "did you mean 'list'"
run 16 profile diff dev nowhere
run 16 -C
for command in 'chekc --json' '--json' '--json stats --read-data' '--json prune --older-than 7' '--json explain' \
    '--json profile lits' '--json invalidate --type t --tag u' '--profile prodction --json check' '--json -C'; do
    # shellcheck disable=SC2086
    run 16 $command
    json "list(d) == ['schema', 'error', 'exit'] and d['exit'] == 16 and d['error']"
done
run 16 trace record -- # what is behind -- is the command's
run 16 -- check --json
[ ! -s "$work/out" ]
ok 'no JSON where none is asked for'

# ---- nothing there, no cache, no directory
for command in check repair stats prune 'explain a.c' 'inspect tree:9f86d081_2c26b46b68ffc68f'; do
    # shellcheck disable=SC2086
    run 8 -d "$work/none" $command
    err 'does not exist'
    [ ! -e "$work/none" ]
    ok "'$command' makes no directory"
done
run 8 -d "$work/none" invalidate a.c
[ ! -e "$work/none" ]
ok 'invalidate makes no directory'
for command in check stats 'invalidate a.c'; do
    # shellcheck disable=SC2086
    run 8 --profile ci $command
    err 'set TIERKIT_DIR'
done
for command in check stats 'invalidate a.c' 'warm a.c'; do
    # shellcheck disable=SC2086
    HOME='' XDG_CACHE_HOME='' run 8 $command
    err 'set TIERKIT_DIR'
done
run 8 -d "$work/tree" check
err 'no cache directory'
# ---- a directory of someone else's with the names of a store: nothing in it is touched, whatever is asked
picture() { # DIR: names, modes, change times and bytes
    (cd "$1" && find . -exec stat -c '%n %a %s %z' {} + | sort && find . -type f -exec cksum {} + | sort)
}
mkdir -p "$work/foreign/v1" "$work/foreign/bad-00018f000000-00" "$work/foreign/new"
echo 'int x;' >"$work/foreign/v1/api.c"
echo 'int y;' >"$work/foreign/bad-00018f000000-00/data.mdb"
echo 'int z;' >"$work/foreign/new/state"
cp a.c a.h "$work/foreign/"
picture "$work/foreign" >"$work/before"
(cd "$work/foreign" && "$lint" -d . --no-system .) >"$work/out" 2>"$work/err"
[ $? -lt 8 ]
ok 'tierlint works beside a foreign directory'
err 'is not empty and no cache directory of ours'
for command in check 'check --sources' repair '-n repair' stats prune '-n prune' 'prune --older-than 0' 'explain a.c' \
    'inspect tree:9f86d081_2c26b46b68ffc68f' 'warm a.c' '-n warm a.c' 'invalidate a.c' '-n invalidate a.c'; do
    # shellcheck disable=SC2086
    run 8 -d "$work/foreign" $command
    err 'is not empty and no cache directory of ours'
    picture "$work/foreign" | cmp -s - "$work/before"
    ok "'$command' leaves a foreign directory as it is"
done
run 8 -d "$work/foreign/v1" warm a.c # one that holds a source alone
mkdir "$work/bare"
for command in check repair stats prune 'explain a.c' 'invalidate a.c'; do
    # shellcheck disable=SC2086
    run 8 -d "$work/bare" $command
    [ -z "$(ls -A "$work/bare")" ]
    ok "'$command' makes nothing in an empty directory"
done
run 0 -d "$work/bare" warm a.c
echo 'int x;' >"$work/bare/v1/api.c"
run 0 -d "$work/bare" check
printf 'damage' | dd of="$work/bare/v1/state" bs=1 conv=notrunc 2>/dev/null
picture "$work/bare/v1" >"$work/before"
(cd "$work/foreign" && "$lint" -d "$work/bare" --no-system .) >"$work/out" 2>"$work/err"
err 'v1 holds api.c, which is no file of ours'
for command in check repair stats prune 'warm a.c'; do
    # shellcheck disable=SC2086
    run 8 -d "$work/bare" $command
    err 'v1 holds api.c, which is no file of ours'
    picture "$work/bare/v1" | cmp -s - "$work/before"
    ok "'$command' leaves a foreign file in v1 as it is"
done
# ---- a cache directory that cannot be written answers, and keeps nothing new
"$lint" -d "$work/closed-cache" --no-system --stats . >"$work/first" 2>"$work/err"
closed() { # COMMAND...: with the directory not writable. Permissions do not stop root; a mount does.
    if [ "$(id -u)" -ne 0 ]; then
        "$@"
    else
        unshare -m sh -c 'dir=$1; shift; mount --bind "$dir" "$dir" && mount -o remount,bind,ro "$dir" && exec "$@"' \
            sh "$work/closed-cache" "$@"
    fi
}
[ "$(id -u)" -eq 0 ] || chmod -R a-w "$work/closed-cache"
if closed true 2>/dev/null; then
    closed "$lint" -d "$work/closed-cache" --no-system --stats . >"$work/out" 2>"$work/err"
    cmp -s "$work/first" "$work/out"
    ok 'findings from a directory that cannot be written'
    [ "$(grep -c 'closed-cache cannot be written: reading only, nothing new is kept' "$work/err")" -eq 1 ]
    ok 'that it cannot be written is said once'
    err 'files read 0, parsed 0;'
    for command in 'warm a.c' 'invalidate a.c'; do
        # shellcheck disable=SC2086
        closed "$check" -d "$work/closed-cache" $command >"$work/out" 2>"$work/err"
        [ $? -eq 8 ] && [ "$(grep -c 'cannot be written' "$work/err")" -eq 1 ]
        ok "'$command' cannot be done there, which is said once"
    done
    for command in check stats 'explain a.c'; do
        # shellcheck disable=SC2086
        closed "$check" -d "$work/closed-cache" $command >"$work/out" 2>"$work/err"
        ok "'$command' reads it"
    done
else
    echo 'skipped: a cache directory that cannot be written (root, and no mounts)'
fi
chmod -R u+w "$work/closed-cache"
run 8 -d "$work/tree/a.c" check
err 'no directory'
run 8 -d "$work/none" --json check
json "'error' in d and d['status'] == 8"
run 8 -d "$work/none" --json stats
json "'error' in d"
run 8 -C "$work/none" -d cache check
ln -s "$work/tree" "$work/link"
run 8 -d "$work/link" check
if [ "$(id -u)" -ne 0 ]; then
    mkdir "$work/closed" && chmod 0 "$work/closed"
    run 8 -d "$work/closed" check
    chmod 700 "$work/closed"
fi

# ---- no room: the reason is told
mkdir "$work/many" && i=0
while [ $i -lt 20 ]; do
    seq -f "int f${i}_%.0f(int x, char *text) { return x; }" 1 60 >"$work/many/$i.c"
    i=$((i + 1))
done
(
    ulimit -f 256
    "$lint" -d "$work/small" --no-system "$work/many"
) >"$work/out" 2>"$work/err"
err 'stays in memory: no space: this process may write files of [1-9][0-9]* bytes'
if mkdir "$work/full" && mount -t tmpfs -o size=300k none "$work/full" 2>"$work/err"; then # needs root
    "$lint" -d "$work/full" --no-system "$work/many" >"$work/out" 2>"$work/err"
    umount "$work/full"
    err 'stays in memory: no space: [0-9]* bytes free: free some or choose another directory with -d / TIERKIT_DIR$'
fi

# ---- a cache, clean
"$lint" -d "$work/cache" --no-system . >"$work/lint" 2>&1
d="-d $work/cache"
# shellcheck disable=SC2086
{
    run 0 $d check
    out 'clean'
    silent
    run 0 $d check --read-data --sources
    out 'files looked at'
    run 0 $d -q check
    [ ! -s "$work/out" ]
    ok '-q says nothing of a clean cache'
    run 0 $d check --max-duration 60
    run 0 $d --json check --sources --read-data
    json "d['damage'] == 0 and d['records'] > 10 and d['files'] > 0 and d['complete'] and d['problems'] == []"
    run 0 --json check $d
    json "d['command'] == 'check'"
    run 0 $d repair
    out 'clean'
    run 0 $d -n repair
    run 0 $d stats
    out '^cache  '
    out '^variants '
    out '^outline '
    out '^hint: '
    out '^on disk  .*of at most'
    run 0 $d --json stats
    json "d['file_bytes'] > 0 and any(t['name'] == 'variants' and t['records'] > 0 for t in d['tables'])"
    json "any(t['app'] == 'tierlint' and t['requests'] > 0 for t in d['types'])"
    TIERKIT_DIR="$work/cache" run 0 check
    run 0 "--cache=$work/cache" check

    # ---- explain and inspect
    run 0 $d explain a.h
    no_out '^  differs'
    out '^outline(a.h)'
    out 'app *tierlint'
    out 'computed because'
    out '= content of a.h'
    out ', direct dependencies hold now$'
    head -1 "$work/out" | grep -q '^a.h: [1-9][0-9]* results* remembered (.*outline 1'
    ok 'explain begins with a summary'
    out '^these depend on a.h:'
    cp a.h "$work/a.h"
    echo '/* changed */' >>a.h
    run 0 $d explain a.h
    out '! content of a.h: [0-9a-f]*, now [0-9a-f]*'
    ! sed -n '/^outline(a.h)/,/key/p' "$work/out" | grep -q 'hold now'
    ok 'what changed does not hold'
    out '[?] result of outline(a.h)'
    "$lint" -d "$work/cache" --no-system . >"$work/lint2" 2>&1
    cp "$work/a.h" a.h # two variants now, and the older one is true
    run 0 $d explain a.h
    sed -n '/^outline(a.h)/,/variant/p' "$work/out" | grep -q 'variant 2 of 2: .*, direct dependencies hold now$'
    ok 'the variant that holds comes first'
    run 0 $d --json explain a.h
    json "d['command'] == 'explain' and d['path'] == 'a.h' and len(d['requests']) > 1 and len(d['dependents']) > 0"
    json "all(r['variants'][0]['dependencies'] for r in d['requests'])"
    for path in a.h ./a.h sub/../a.h ./sub/.././a.h "$work/tree/a.h" "$work/tree/sub/../a.h"; do
        (cd sub && "$check" $d -C .. explain "$path") >"$work/out" 2>"$work/err"
        head -1 "$work/out" | grep -q '^a.h: [1-9]'
        ok "'$path' is below -C"
        run 0 $d explain "$path"
        head -1 "$work/out" | grep -q '^a.h: [1-9]'
        ok "'$path' is below the working directory"
        (cd sub && "$check" $d -C .. --json -n invalidate "$path") >"$work/out" 2>"$work/err"
        json "d['what'] == 'a.h' and d['matching'] > 0"
    done
    run 0 $d -C "$work/link" --json -n invalidate ./a.h
    json "d['what'] == 'a.h'"
    (cd sub && "$check" $d explain ../a.h) >"$work/out" 2>"$work/err"
    head -1 "$work/out" | grep -q '^a.h: [1-9]'
    ok 'a path that leads out of the working directory'
    (cd sub && "$check" -d "$work/warm-below" -C .. warm --depth 0 a.c sub/b.c) >"$work/out" 2>"$work/err"
    out '^2 files warmed'
    run 0 $d -C "$work/tree" explain sub/b.c
    sed -i '1i int only_for_the_chain(int a, int b);' a.h # what is above the outline runs because of this
    "$lint" -d "$work/cache" --no-system . >/dev/null 2>&1
    run 0 $d explain a.h
    out '^ *outline(a.h) was computed because: content of a.h was [0-9a-f]* and became [0-9a-f]*, at 20'
    run 0 $d --json explain a.h
    json "any(v.get('chain') and v['chain'][-1]['what'] == 'content of a.h' for r in d['requests'] for v in r['variants'])"
    cp "$work/a.h" a.h
    run 8 $d explain nothing.c
    err 'nothing is remembered of nothing.c below the root /.*-C ROOT'
    "$check" $d explain a.h >"$work/out" 2>"$work/err"
    key=$(sed -n 's/^ *key *\(tree:[0-9a-f_]*\)$/\1/p' "$work/out" | head -1)
    run 0 $d inspect "$key"
    out '^variants'
    run 0 $d --json inspect "$key"
    json "d['key'] == '$key' and d['records'][0]['table'] == 'variants'"
    "$check" $d explain a.h >"$work/out" 2>"$work/err"
    identity=$(sed -n 's/^ *identity *\([0-9a-f]*\)$/\1/p' "$work/out" | head -1)
    run 0 $d inspect "$identity"
    out "$identity"
    run 0 $d inspect "$(echo "$identity" | tr a-f A-F)"
    run 8 $d inspect tree:00000000_0000000000000000
    run 8 $d --json inspect 0000000000000000000000000000000000000000000000000000000000000000

    # ---- profiles
    run 0 $d profile list
    out '^\* dev'
    run 0 $d --profile ci profile list
    out '^\* ci '
    run 0 $d profile show
    out '^memory.file  *75 MiB  *default'
    out '^monitor.alerts\*'
    out '^\* nothing reads'
    TIERKIT_MEMROY_FILE=11MiB run 8 $d profile show
    err 'unknown variable TIERKIT_MEMROY_FILE'
    TIERKIT_MEMORY_FILE=11MiB run 0 $d profile show
    out '^memory.file  *11 MiB  *environment'
    printf 'memory.tree = 12MiB\n' >tierkit.ini
    run 0 $d profile show
    out '^memory.tree  *12 MiB  *.*tierkit.ini:1'
    printf '\nmemory.tree = lots\n' >tierkit.ini
    run 8 $d profile show
    err 'tierkit.ini:2.*memory.tree'
    rm tierkit.ini
    run 0 $d --json profile show
    json "d['profile'] == 'dev' and len(d['settings']) > 20"
    run 0 $d --json profile list
    json "len(d['profiles']) == 3"
    run 0 $d profile diff
    no_out ' $'
    out '^setting  *dev  *ci  *production'
    out '^memory.file  *75 MiB  *50 MiB  *150 MiB'
    run 0 $d profile diff dev
    [ "$(cat "$work/out")" = 'no difference: dev is compared with itself' ]
    ok 'no table where there is no difference'
    run 0 $d profile show
    no_out '^note'
    run 0 -d n/deep profile show
    no_out '^note'
    run 0 -d "$work/none/deep" profile show
    no_out '^note'
    run 0 -d a.c profile show
    out '^note: no cache can be kept there: it is no directory$'
    run 0 -d a.c/deep/er profile show
    out '^note: .*: it is not there and cannot be made: .*a.c: no directory$'
    run 0 --json -d a.c profile show
    json "d['note'] == 'it is no directory'"
    if [ "$(id -u)" -eq 0 ]; then
        mkdir "$work/theirs" && chown 12345 "$work/theirs"
        run 0 -d "$work/theirs" profile show
        out '^note: .*: it belongs to user 12345, not to us$'
    else
        mkdir "$work/shut" && chmod 500 "$work/shut"
        run 0 -d "$work/shut/cache" profile show
        out '^note: .*: it is not there and cannot be made: '
    fi
    run 0 $d profile diff dev ci
    no_out production
    run 0 $d --json profile diff ci production
    json "any(x['name'] == 'store.sync' and x['ci'] == 'none' and x['production'] == 'full' for x in d['differences'])"

    # ---- warm
    run 0 $d warm a.c sub
    out 'files warmed'
    run 0 -d "$work/warm" warm --depth 0 a.c
    out '^1 file warmed'
    run 0 $d --json warm --depth 0 a.c
    json "d['warmed'] + d['known'] == 1"
    run 0 $d --json warm --depth 2 --budget 1MiB --time 60 --jobs 2 .
    json "d['warmed'] + d['known'] >= 3"
    run 0 $d --json warm --budget 1 --depth 0 a.c
    json "d['over_budget'] == 1 or d['known'] == 1"
    run 0 -d "$work/never" -n warm .
    out 'would begin at [0-9]* files'
    [ ! -e "$work/never" ]
    ok 'a dry warm makes no directory'
    run 8 $d warm nothing.c
    err 'nothing.c'

    # ---- invalidate
    run 0 $d -n invalidate a.c
    out '^would invalidate'
    run 0 $d invalidate a.c
    out '^invalidated'
    out '; [1-9][0-9]* remembered results match now'
    run 0 $d invalidate --tag none
    out '; 0 remembered results match now'
    run 0 $d --json invalidate nowhere/at.all
    json "d['matching'] == 0"
    run 0 $d --json invalidate --pattern '\.c$'
    json "d['by'] == 'pattern' and not d['dry_run']"
    run 0 $d --json -n invalidate --type outline
    json 'd["by"] == "type" and d["matching"] > 0'
    run 0 $d --json invalidate --older-than 100d
    json 'd["by"] == "age" and d["what"] == "100d" and d["matching"] == 0'
    run 0 $d -n invalidate --older-than 0
    out 'remembered results match'
    run 16 $d invalidate --type-pattern '('
    run 16 $d invalidate --pattern '('
    run 0 $d check --read-data
    "$lint" -d "$work/cache" --no-system . 2>&1 | cmp -s - "$work/lint"
    ok 'findings after invalidation are those from before'

    # ---- streams: a pipe that closes, a disk that is full, no color, no terminal
    "$check" $d --json explain a.h 2>"$work/err" | head -c 10 >"$work/out"
    ok 'head'
    [ ! -s "$work/err" ]
    ok '| head is quiet'
    ( "$check" $d profile show 2>"$work/err"; echo $? >"$work/status" ) | true
    [ "$(cat "$work/status")" -eq 0 ] && [ ! -s "$work/err" ]
    ok 'a reader that went away is no trouble'
    if [ -w /dev/full ]; then
        "$check" $d check >/dev/full 2>"$work/err"
        [ $? -eq 8 ]
        ok 'a full disk below stdout is 8'
        err 'standard output'
    fi
    for variable in NO_COLOR=1 TERM=dumb X=1; do
        env "$variable" "$check" $d check --read-data >"$work/out" 2>"$work/err"
        ! grep -q "$(printf '\033')" "$work/out" "$work/err"
        ok "no escape sequences where there is no terminal ($variable)"
    done
    if command -v script >/dev/null 2>&1; then
        script -qec "$check $d -v check" /dev/null >"$work/out" 2>"$work/err" </dev/null
        NO_COLOR=1 script -qec "$check $d -v check" /dev/null >"$work/plain" 2>"$work/err" </dev/null
        ! grep -q "$(printf '\033')\[3" "$work/plain"
        ok 'no colors on a terminal with NO_COLOR'
    fi

    # ---- damage: bytes of the store's pages flipped, found, repaired, gone
    size=$(wc -c <"$work/cache/v1/data.mdb")
    cp "$work/cache/v1/data.mdb" "$work/data"
    cp "$work/cache/v1/state" "$work/state"
    at=$((size / 2))
    while [ $at -lt "$size" ]; do
        printf 'damage damage damage' | dd of="$work/cache/v1/data.mdb" bs=1 seek=$at conv=notrunc 2>/dev/null
        at=$((at + 1500))
    done
    run 4 $d check
    out '^damage store-'
    out 'tiercheck repair'
    run 4 $d --json check
    json "d['damage'] > 0 and d['left'] == d['damage'] and d['problems'][0]['code'].startswith('store-')"
    run 4 $d -n repair
    out 'would:'
    run 4 $d check
    run 1 $d repair
    out '^repaired store-'
    run 0 $d check --read-data --sources
    run 0 $d repair
    "$lint" -d "$work/cache" --no-system . 2>&1 | cmp -s - "$work/lint"
    ok 'findings after repair are those from before'
    run 0 $d check --read-data
    truncate -s 8192 "$work/cache/v1/data.mdb" 2>/dev/null || dd if=/dev/null of="$work/cache/v1/data.mdb" bs=1 seek=8192 2>/dev/null
    run 4 $d check
    run 8 $d stats
    err "repair it first"
    cp "$work/cache/v1/data.mdb" "$work/broken"
    for command in prune '-n prune' 'invalidate a.c' '-n invalidate a.c' 'warm a.c' '-n warm a.c'; do
        # shellcheck disable=SC2086
        run 8 $d $command
        err "repair it first"
        cmp -s "$work/broken" "$work/cache/v1/data.mdb"
        ok "'$command' leaves a damaged store where it is"
    done
    run 1 $d --json repair
    json "d['begun_anew'] and d['left'] == 0"
    run 0 $d check
    "$lint" -d "$work/cache" --no-system . 2>&1 | cmp -s - "$work/lint"
    ok 'findings from the new store are those from before'

    # ---- prune
    run 0 $d -v check
    out '^notice store-quarantined: bad-.*'
    out "^  what:   a store that was moved aside is kept: 'tiercheck prune' deletes it ([0-9.]* KiB)$"
    run 0 $d check
    out "^notice store-quarantined: .* is kept: 'tiercheck prune' deletes it ([0-9]* of these)$"
    run 0 $d --json check
    json "any(p['repair'].endswith(\"when the next is moved aside all but the newest two go; 'tiercheck prune' deletes all\") for p in d['problems'])"
    run 0 $d -n prune
    out '^would delete [12] store'
    ls -d "$work"/cache/bad-* >/dev/null 2>&1
    ok 'a dry prune deletes nothing'
    run 0 $d prune
    out '^deleted [12] store'
    ! ls -d "$work"/cache/bad-* >/dev/null 2>&1
    ok 'prune deletes what was moved aside'
    mkdir "$work/cache/bad-00018f000000-00"
    echo old >"$work/cache/bad-00018f000000-00/data.mdb"
    echo 'int x;' >"$work/cache/bad-00018f000000-00/api.c"
    run 0 $d prune
    err 'bad-00018f000000-00 holds api.c, which is no file of ours: it stays'
    no_out '^deleted'
    [ "$(cat "$work/cache/bad-00018f000000-00/api.c")" = 'int x;' ]
    ok 'prune leaves what is not ours'
    rm -r "$work/cache/bad-00018f000000-00"
    run 0 $d -n prune --older-than 0
    out '^would drop [1-9]'
    run 0 $d prune --older-than 1d
    out '^dropped 0 variants'
    run 0 $d --json prune --max-size 1KiB
    json "d['variants'] > 0 and d['left_bytes'] <= 1024"
    run 0 $d check --read-data --sources
    run 0 $d -n prune --max-size 0
    run 0 $d prune --older-than 0s
    out 'values of 0 bytes stay'
    run 0 $d check --read-data
    "$lint" -d "$work/cache" --no-system . 2>&1 | cmp -s - "$work/lint"
    ok 'findings after prune are those from before'
}

# ---- explain from another directory: files are compared below the root that the program had
mkdir -p "$work/above/src/sub" "$work/above/elsewhere" && cp a.c a.h "$work/above/src/" && cd "$work/above" || exit 1
"$lint" -C src -d cache --no-system src >"$work/out" 2>"$work/err"
for path in a.h src/a.h "$work/above/src/a.h"; do
    run 0 -d cache explain "$path"
    head -1 "$work/out" | grep -q '^a.h: [1-9].*nothing changed$'
    ok "'$path' is found below the only root"
    err "^tiercheck: files are looked at below the root $work/above/src, "
    no_out 'absent'
done
run 0 -q -d cache explain a.h
silent
run 0 --json -d cache explain a.h
json "d['root'].endswith('/above/src')"
run 0 -C src -d cache explain a.h
silent
(cd src && "$check" -d ../cache explain a.h) >"$work/out" 2>"$work/err"
silent
run 0 -d cache -C elsewhere explain a.h
out '! content of a.h: [0-9a-f]*, now absent'
err "no program that keeps results here had the root $work/above/elsewhere, .*they had $work/above/src: -C ROOT$"
run 8 -d cache explain nothing.h
err "nothing is remembered of .*nothing.h below the root $work/above/src"
cp -r src src2
"$lint" -C src2 -d cache --no-system src2 >"$work/out" 2>"$work/err"
run 0 -d cache explain src2/a.h
err "below the root $work/above/src2, "
run 0 -d cache explain a.h # of which of them?
err "no program that keeps results here had the root $work/above, .*they had .*/src.*: -C ROOT$"
rm src2/a.h
run 0 -d cache explain a.h
err "below the root $work/above/src, "
run 8 -d cache explain elsewhere/a.h
err "below the root $work/above; programs that keep results here had .*/src"
cd "$work/tree" || exit 1

# ---- errors are remembered, and said to be that
run 0 -d "$work/cache" stats
no_out '^failed: '
echo 'no database' >"$work/above/src/compile_commands.json"
"$lint" -C "$work/above/src" -p "$work/above/src/compile_commands.json" -d "$work/errors" --no-system "$work/above/src" \
    >"$work/out" 2>"$work/err"
run 0 -d "$work/errors" stats
out '^compdb  *1  *0  *1  *1 '
out '^failed: variants that are a remembered error, as that a file is not there'
run 0 -q -d "$work/errors" stats
no_out '^failed: '

# ---- two programs' requests that read the same: what differs is told
for rules in all unused-include; do
    "$lint" -d "$work/twins" --no-system --disable=all --enable=$rules . >/dev/null 2>&1
done
run 0 -d "$work/twins" explain a.c
out '^  differs  *from the same above: of another build of the program, version or options$'
awk 'NF && /^[^ ]/ { name = $0 } /^  differs/ && !seen[name] { bad = 1 } /^  identity/ { times[name]++ }
    /^  identity/ { seen[name] = times[name] > 1 } END { exit bad }' "$work/out"
ok 'only of those that were told before'
out '^    computed because: nothing was remembered of this build of the program, version and options; the result made 20[^ ]* is of another$'
out '^    computed because: nothing was remembered$' # the first one
run 0 --json -d "$work/twins" explain a.c
json "any('is of another' in v['cause']['what'] for r in d['requests'] for v in r['variants'] if 'cause' in v)"

# ---- traces
trace=$work/a.trace
run 16 trace
err 'trace takes record, replay or pack$'
run 16 trace play
err "pack, not 'play'"
run 16 trace replay
run 16 trace record
run 8 trace replay a.h
err 'a.h is no trace'
run 8 trace replay "$work/none"
run 16 trace replay --policy fifo "$work/none"
run 16 --json trace replay --policy fifo "$work/none"
json "d['exit'] == 16"
err 'expected worth, s3fifo, gdsf, lru or belady$'
run 16 trace replay --size much "$work/none"
run 3 trace record --output "$trace" -- sh -c 'exit 3'
run 8 trace record --output "$work/no.trace" -- true
err 'true asked no cache for anything: no trace was made$'
run 127 trace record --output "$trace" -- "$work/none"
run 0 trace record --output "$trace" -- "$lint" -d "$work/traced" --no-system .
echo 'int g(void);' >>a.h
run 0 trace record --output "$trace" -- "$lint" -d "$work/traced" --no-system .
run 8 trace record --output "$trace" -- true
err 'nothing was added to the trace$'
run 0 --json trace replay --policy belady --size 1000MiB "$trace"
json "[r['tier'] for r in d['rows']] == ['file', 'tree', 'delta'] and all(r['misses'] <= r['keys'] for r in d['rows'])"
cp "$work/out" "$work/first"
run 0 trace pack "$work/packed" "$trace"
run 8 trace pack "$work/packed" "$trace"
run 0 --json trace replay --policy belady --size 1000MiB "$work/packed"
cmp -s "$work/first" "$work/out"
ok 'a packed trace replays as the trace did'
[ "$(wc -c <"$work/packed")" -lt "$(wc -c <"$trace")" ]
ok 'a packed trace is smaller'
run 0 trace replay --size 5% "$trace" "$work/packed"
out '^lru '

# ---- recorded runs
log=$work/run.log
TIERKIT_RUN_LOG=$log "$lint" --no-cache --no-system . >"$work/out" 2>"$work/err"
[ "$(grep -c "no run log: TIERKIT_RUN_LOG=$log: this cache has no store" "$work/err")" -eq 1 ]
ok 'a run without a store is not recorded, and says so once'
run 16 replay
run 8 -d "$work/recorded" replay "$work/none"
run 8 -d "$work/recorded" replay a.h
err 'a.h is no run log'
TIERKIT_RUN_LOG=$log "$lint" -d "$work/recorded" --no-system . >"$work/out" 2>"$work/err"
echo 'int h(void);' >>a.h
TIERKIT_RUN_LOG=$log "$lint" -d "$work/recorded" --no-system . >"$work/out" 2>"$work/err"
echo 'int i(void);' >>a.h
run 0 -d "$work/recorded" replay "$log"
out '^  same  .* report('
no_out '^  gone'
cp "$work/out" "$work/first"
mv sub/b.c "$work/b.c"
mkdir "$work/elsewhere" && cp -r "$work/recorded" "$work/elsewhere/"
(cd "$work/elsewhere" && "$check" -d recorded replay "$log") >"$work/out" 2>"$work/err"
cmp -s "$work/first" "$work/out"
ok 'a replay says the same elsewhere'
mv "$work/b.c" sub/b.c
run 0 --json -d "$work/recorded" replay "$log"
json "d['sum']['same'] == d['sum']['all'] == len(d['requests']) and d['sum_below']['all'] == d['sum_below']['same'] > 20"
run 0 -q -d "$work/recorded" prune --older-than 0
run 4 -d "$work/recorded" replay "$log"
out '^  gone  .* report('
head -c 3000 "$log" >"$work/cut.log"
run 0 -d "$work/elsewhere/recorded" replay "$work/cut.log"
out 'the log is cut off'
printf '%s' x | dd of="$log" bs=1 seek=200 conv=notrunc 2>/dev/null
run 8 -d "$work/elsewhere/recorded" replay "$log"
err 'damaged, from byte'

# ---- an interrupt ends cleanly; others at work do not disturb
mkdir big && i=0
while [ $i -lt 60 ]; do
    printf '#include "a.h"\nint f%d(void) { return a_one(%d); }\n' $i $i >"big/f$i.c"
    i=$((i + 1))
done
(
    n=0
    while [ $n -lt 6 ]; do
        echo "int g$n(void);" >>a.h
        "$lint" -d "$work/cache" --no-system . >/dev/null 2>&1
        n=$((n + 1))
    done
) &
writer=$!
# A name is shown so that it forges no line and sends a terminal nothing.
esc=$(printf '\033')
evil=$(printf 'evil\n  forged.c%s[31m.c' "$esc")
cp a.c "$evil"
if "$lint" -d "$work/evil" . >"$work/out" 2>"$work/err" </dev/null; [ $? -lt 2 ]; then
    for format in '' -v; do
        run 0 -d "$work/evil" explain $format "$evil"
        out 'evil\\n  forged\.c\\x1b\[31m\.c'
        no_out "$esc"
        no_out '^ *forged'
        run 0 -d "$work/evil" explain $format a.h
        no_out "$esc"
        no_out '^ *forged'
    done
    run 0 -d "$work/evil" explain --json "$evil"
    no_out "$esc"
    run 0 -d "$work/evil" invalidate "$evil"
    no_out "$esc"
    out 'evil\\n'
    run 16 -d "$work/evil" inspect "12$esc"
    ! grep -q "$esc" "$work/err"
    ok 'no escape on stderr'
fi
rm -f "$evil"

n=0
while [ $n -lt 6 ]; do
    run 0 -d "$work/cache" check --read-data
    n=$((n + 1))
done
wait $writer
run 0 -d "$work/cache" check --read-data --sources
timeout -s INT 0.02 "$check" -d "$work/cache" check --read-data --sources >"$work/out" 2>"$work/err" </dev/null
status=$?
[ $status -eq 124 ] || [ $status -eq 0 ] # it was too quick, or was interrupted
ok 'an interrupt'
"$lint" -d "$work/large" --no-system "$work/many" >/dev/null 2>&1
for command in 'check --read-data' '-n repair'; do # some of these delays fall into the work
    for delay in 002 004 006 008 010 014 018 024 030; do
        # shellcheck disable=SC2086
        timeout -s INT "0.$delay" "$check" -d "$work/large" $command >"$work/out" 2>>"$work/told" </dev/null
    done
done
sort -u "$work/told" | grep 'interrupted' >"$work/err"
! grep -qv 'interrupted; nothing was changed$' "$work/err"
ok 'interrupted where nothing is repaired'
run 0 -d "$work/cache" check

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
