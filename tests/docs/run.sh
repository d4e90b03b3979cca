#!/bin/sh
# run.sh BUILD: what README.md and docs/DESIGN.md show of the code is the code's: hello world, the table of
# settings with those that nothing reads marked, counters, problems, names of tests and files.
# run.sh BUILD --settings: the table, to be put into the README.
set -u
build=$1
cc=${CC:-cc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
same() { # WHAT EXPECTED FOUND: files
    if diff "$2" "$3" >"$work/diff" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "not so: $1 (< the code, > the document)"
        cat "$work/diff"
    fi
}
none() { # WHAT FILE: lines of what is missing
    same "$1" /dev/null "$2"
}

# shellcheck disable=SC2086
$cc ${CFLAGS:-} -std=gnu11 -D_GNU_SOURCE -Iinclude -I. -o "$work/tables" tests/docs/tables.c "$build/libtierkit.a" \
    -llmdb -lz -lsodium -lpthread || exit 1

# ---- README
awk '/^<!-- examples\/hello.c -->$/ { on = 1; next } on && /^```c$/ { next } on && /^```$/ { exit } on' README.md >"$work/hello"
same 'README: hello world is examples/hello.c' examples/hello.c "$work/hello"

# A setting is read where its key, or in a tool its name, stands in code outside of the room of settings.
"$work/tables" keys | while read -r id name; do
    if [ "$id" = STORE_PERSIST ]; then
        grep -q tier__profile_persists coherence/open.c && continue
    elif grep -rq --include='*.c' --exclude=profile.c "TIER__KEY_$id\b" tiers coherence warmers; then
        continue
    fi
    grep -rq --exclude=cmd_profile.c "\"$name\"" tools || echo "$name"
done >"$work/unread"
"$work/tables" settings | awk -v list="$work/unread" '
    BEGIN { while ((getline name < list) > 0) unread["`" name "`"] = 1 }
    { if ($2 in unread) sub(/` /, "` * "); print }' >"$work/settings"
if [ "${2:-}" = --settings ]; then
    cat "$work/settings"
    exit
fi
awk '/^<!-- settings -->$/ { on = 1; next } on && /^$/ { exit } on' README.md >"$work/shown"
same 'README: the table of settings' "$work/settings" "$work/shown"

sort "$work/unread" >"$work/idle"
"$build/tiercheck" -d "$work/none" profile show | awk 'sub(/\*$/, "", $1) && $1 != "" { print $1 }' | sort >"$work/marked"
same 'tiercheck profile show: settings that are marked with *' "$work/idle" "$work/marked"

# ---- manuals: each synopsis of a command is a line of its own
if command -v groff >/dev/null 2>&1; then
    printf '%s\n' 'tiercheck trace record' 'tiercheck trace replay' 'tiercheck trace pack' >"$work/want"
    groff -mdoc -Tascii -P-cbou docs/man/tiercheck.1 2>/dev/null | grep -oE '^ +tiercheck trace (record|replay|pack)' |
        sed 's/^ *//; s/  */ /g' | head -3 >"$work/got"
    same 'man tiercheck: the lines of trace' "$work/want" "$work/got"
fi

awk '/^## The house/ { on = 1 } on && /^```$/ { if (++marks == 2) exit; next } on && marks == 1 { print $1 }' README.md |
    while read -r room; do [ -e "$room" ] || echo "$room"; done >"$work/gone"
none 'README: rooms of the house that are not there' "$work/gone"
grep -oE '`(examples/)?[a-z_]+\.c`' README.md | tr -d '`' | sort -u | while read -r file; do
    [ -e "$file" ] || [ -e "examples/$file" ] || echo "$file"
done >"$work/gone"
none 'README: examples that are not there' "$work/gone"

# ---- DESIGN
section() { # NUMBER
    awk -v from="^## $1\\." '$0 ~ from { on = 1; next } /^## / { on = 0 } on' docs/DESIGN.md
}
section 14 | grep -oE '`[a-z_.]+`' | tr -d '`' | sed 's/^\././' >"$work/listed"
"$work/tables" metrics | while read -r name; do
    grep -qx "$name" "$work/listed" || echo "$name"
done >"$work/gone"
none 'DESIGN 14: counters that are not listed' "$work/gone"

section 18 | awk '/^\*\*Settings/ { on = 1 } on && /^$/ { exit } on' | tr '\n' ' ' | sed 's/([^)]*)//g; s/`warm.depth` and.*//' >"$work/thin"
while read -r name; do
    case $name in
    monitor*) grep -q '`monitor\.\*`' "$work/thin" || echo "$name" ;;
    *) grep -q "\`$name\`" "$work/thin" || echo "$name" ;;
    esac
done <"$work/unread" >"$work/gone"
none 'DESIGN 18: settings that nothing reads and that are not listed' "$work/gone"
grep -oE '`[a-z_]+(\.[a-z_]+)?`' "$work/thin" | tr -d '`' | while read -r name; do
    case $name in
    tier_warm | store.compress_level) ;;
    *) grep -qx "$name" "$work/unread" || echo "$name" ;;
    esac
done >"$work/gone"
none 'DESIGN 18: settings that are listed and that something reads' "$work/gone"

section 2 | grep '^| I[0-9]' >"$work/invariants"
sed 's/.*| \([^|]*\) |$/\1/' "$work/invariants" | grep -oE '`[a-z_/.]+`' | tr -d '`' | sort -u | while read -r name; do
    [ -e "$name" ] || grep -rqw "$name" tests/unit tests/conformance || echo "$name"
done >"$work/gone"
none 'DESIGN 2: tests that are not there' "$work/gone"
grep -oE '`(tier_[a-z]+|tier__[a-z_]+|TIER_[A-Z_]+|TIER__[A-Z_]+)`' docs/DESIGN.md docs/porting.md README.md -h | tr -d '`' | sort -u |
    while read -r name; do
        grep -rq -- "$name" include tiers coherence warmers || echo "$name"
    done >"$work/gone"
none 'names in the documents that are not in the code' "$work/gone"
grep -ohE '`[a-z_/]+\.(c|h)`' docs/DESIGN.md docs/porting.md | tr -d '`' | sort -u | while read -r file; do
    [ -e "$file" ] || find tiers coherence warmers tools examples tests -name "$(basename "$file")" | grep -q . || echo "$file"
done >"$work/gone"
none 'files in DESIGN and porting that are not there' "$work/gone"

# ---- porting
for setting in $("$work/tables" keys | sed 's/.* //') $("$work/tables" metrics) tierkit.ini; do echo "$setting"; done >"$work/known"
grep -oE '`[a-z]+\.[a-z_]+`' docs/porting.md | tr -d '`' | sort -u | while read -r name; do
    grep -qx "$name" "$work/known" || case $name in *.c | *.h) ;; *) echo "$name" ;; esac
done >"$work/gone"
none 'porting: settings and counters that are not there' "$work/gone"

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
