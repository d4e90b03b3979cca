#!/bin/sh
# tidy.sh libtierkit.so.X: the rules of the house that a compiler does not know. Prints what is wrong and what
# to do about it, then "N passed, N failed" over the rules.
set -eu
shared=$1
rooms='tiers coherence warmers include tests tools examples'
list=$(mktemp) wrong=$(mktemp)
trap 'rm -f "$list" "$wrong"' EXIT
for room in $rooms; do
    [ ! -d "$room" ] || find "$room" -name '*.[ch]'
done | LC_ALL=C sort >"$list"
passed=0 failed=0

rule() { # NAME: reads complaints from $wrong
    if [ -s "$wrong" ]; then
        cat "$wrong"
        failed=$((failed + 1))
        echo "tidy: $1: $(wc -l <"$wrong") wrong"
    else
        passed=$((passed + 1))
    fi
}
in_all() { # AWK-PROGRAM over every source
    xargs awk "$1" <"$list" >"$wrong"
}

# base <- tiers <- coherence <- warmers; tools and examples see include/ and their own folder, nothing else.
in_all '
function layer(path) {
    if (path ~ /^tiers\/base\//) return 1
    if (path ~ /^tiers\//) return 2
    if (path ~ /^coherence\//) return 3
    if (path ~ /^warmers\//) return 4
    return 0
}
FNR == 1 { own = FILENAME; sub(/[^\/]*$/, "", own); mine = layer(FILENAME) }
/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, part, "\"")
    to = part[2]
    at = FILENAME ":" FNR ": "
    if (to ~ /^(include\/)?tierkit(_admin)?\.h$/) next
    if (to !~ /\//) { if (mine) print at "write \"" own to "\": library includes start at the root"; next }
    other = layer(to)
    if (mine && !other) print at to " is no part of the library: move what is needed into " own
    else if (mine && other > mine)
        print at to " lies above " own ": hand a function pointer down, or move the code up"
    else if (FILENAME ~ /^include\//) print at "a public header includes nothing from inside the house"
    else if (FILENAME ~ /^(tools|examples|tests\/oracle)\// && index(to, own) != 1)
        print at to ": only include/ and " own " may be included here"
    else if (FILENAME ~ /^tests\/conformance\// && other) print at to ": the public header is all it may know"
}'
rule 'law of dependence'

in_all '
/^[ \t]*#[ \t]*include[ \t]*<(lmdb|zlib|pcre2|sodium|xxhash|ini|libdeflate|cmocka)\.h>/ {
    split($0, part, /[<>]/)
    header = part[2]
    if (FILENAME ~ /^tests\//) next
    at = FILENAME ":" FNR ": "
    if (FILENAME !~ /^(tiers|coherence|warmers)\/.*\.c$/)
        print at header " belongs into one .c of the library: go through the library instead"
    else if (header in first && first[header] != FILENAME)
        print at header " is already included by " first[header] ": call that room instead"
    else
        first[header] = FILENAME
}'
rule 'one .c for each third-party header'

# What the header declares and what the shared library exports are the same names.
declared=$(mktemp) exported=$(mktemp)
trap 'rm -f "$list" "$wrong" "$declared" "$exported"' EXIT
for header in include/*.h; do
    ${CC:-cc} -E -P -Iinclude "$header"
done | tr '\n' ' ' | tr ';{}' '\n\n\n' | grep -v 'typedef' | grep -oE '\btier_[a-z0-9_]+ *\(' | tr -d ' (' |
    LC_ALL=C sort -u >"$declared"
nm -D --defined-only "$shared" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | LC_ALL=C sort -u >"$exported"
{
    LC_ALL=C comm -23 "$declared" "$exported" | sed "s|.*|include/: & is declared but not defined: define it or take it out|"
    LC_ALL=C comm -13 "$declared" "$exported" |
        sed "s|.*|$shared: exports &, which no public header declares: name it tier__ or make it static|"
    nm -g --defined-only "$(dirname "$shared")/libtierkit.a" 2>/dev/null | awk 'NF == 3 && $3 !~ /^tier_/ {
        print "libtierkit.a: defines " $3 ": make it static or name it tier__" }' | grep -v -E ' (__|_\.)' || true
} >"$wrong"
rule 'exported names'

# The registry of open environments is the one thing that all caches of a process share.
for room in tiers coherence warmers; do
    find "$(dirname "$shared")/obj/$room" -name '*.o' 2>/dev/null
done | xargs objdump -t 2>/dev/null | awk '
    /file format/ { object = $1; sub(/.*\/obj\//, "", object); sub(/\.o:$/, ".c", object) }
    (/ O \.t?(data|bss)/ && !/ O \.data\.rel\.ro/ || /\*COM\*/) && $NF !~ /registry/ {
        print object ": " $NF " is a mutable global: keep it in the cache, or make it const" }' >"$wrong"
rule 'no mutable globals'

xargs clang-format --dry-run -Werror <"$list" 2>&1 | awk -F: '/^[^:]+\.[ch]:[0-9]+:[0-9]+: error/ && !($1 in seen) {
    seen[$1] = 1; print $1 ":" $2 ": not formatted: clang-format -i " $1 }' >"$wrong" || true
rule 'format'

# A function body opens and closes with a brace in column 1 (clang-format sees to that).
in_all '
FNR == 1 { if (file && lines > 600) print file ": " lines " lines: over 600, a room is missing; split it"; open = 0 }
{ file = FILENAME; lines = FNR }
/^{/ { open = FNR }
/^}/ {
    if (open && FNR - open - 1 > 70)
        print FILENAME ":" open ": function of " FNR - open - 1 " lines: over 70, split it"
    open = 0
}
END { if (lines > 600) print file ": " lines " lines: over 600, a room is missing; split it" }'
rule 'sizes'

in_all '/(^|[^A-Za-z0-9_])(TODO|FIXME|XXX)([^A-Za-z0-9_]|$)/ { print FILENAME ":" FNR ": finish it, or say in docs/ that it is not done" }'
rule 'nothing left open'

# What a program's help offers, of each of its commands too, its manual page explains.
for page in docs/man/*.1; do
    name=$(basename "$page" .1)
    program=$(dirname "$shared")/$name
    [ -x "$program" ] || continue
    {
        "$program" --help
        for command in $("$program" --help | awk '/^  [a-z]+  / { print $1 }'); do
            "$program" "$command" --help
        done
    } | grep -oE -e '--[a-z]+(-[a-z]+)*' | sort -u | while read -r option; do
        grep -qE "Fl ${option#-}( |$)" "$page" ||
            echo "$page: $option of $name is missing: say what it does"
    done
done >"$wrong"
rule 'manual pages'

echo "$passed passed, $failed failed" | tee "$(dirname "$shared")/tidy.sum"
[ $failed -eq 0 ]
