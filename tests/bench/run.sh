#!/bin/sh
# run.sh BUILD: the bench without peers runs, its JSON is well formed, its goals name rows that are there. No time is
# judged. Prints "N passed, N failed".
set -u
bench=${1:-build}/tests/bench
work=$(mktemp -d "${TMPDIR:-/tmp}/bench-test.XXXXXX")
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
check() { # WHAT COMMAND...
    what=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "not so: $what"
        tail -20 "$work/out"
    fi
}
status_of() { # STATUS COMMAND...
    want=$1
    shift
    "$@"
    [ $? -eq "$want" ]
}
# A reader of JSON in awk: strings become 0, then values, pairs, lists and objects shrink until one value is left.
well_formed() {
    tr -d ' \n' <"$1" | awk '{
        s = $0
        gsub(/\\./, "", s)
        gsub(/"[^"]*"/, "S", s)
        gsub(/S:-?[0-9][-+0-9.e]*|S:true|S:false|S:null|S:S/, "P", s)
        do {
            before = s
            gsub(/\{(P(,P)*)?\}|\[((S|O)(,(S|O))*)?\]/, "O", s)
            gsub(/S:O/, "P", s)
        } while (s != before)
        ok = s == "O"
    }
    END { exit !ok }'
}
holds() { # FILE PATTERN
    grep -q "$2" "$1"
}
lacks() {
    ! grep -q "$2" "$1"
}
has_rows() { # GROUP
    [ "$(grep -c "{ \"group\": \"$1\", \"row\"" "$work/all.json")" -gt 1 ]
}
nothing_left() {
    [ -z "$(find "$work/tmp" -mindepth 1)" ]
}

mkdir "$work/tmp"
check 'the bench runs, and its contenders agree' env TMPDIR="$work/tmp" "$bench" --quick --json "$work/all.json" --svg "$work/all.svg"
check 'nothing is left behind' nothing_left
check 'the JSON is well formed' well_formed "$work/all.json"
check 'it has its schema' holds "$work/all.json" '"schema": 1,'
check 'it says that its figures mean nothing' holds "$work/all.json" '"quick": true'
check 'every goal finds its rows, or says which peer is missing' lacks "$work/all.json" 'no such row'
check 'no time is zero' lacks "$work/all.json" '"unit": "ns", "best": 0,'
check 'the plot is an SVG' holds "$work/all.svg" '^</svg>$'
for group in $("$bench" --list | awk '{ print $1 }'); do
    check "group $group has rows" has_rows "$group"
done
mkdir "$work/build" && cp "$work/all.json" "$work/build/bench.json"
check 'figures of a quick run do not go into the README' status_of 1 sh tests/bench/readme.sh "$work/build"
check 'the README has room for figures' holds README.md '^<!-- /bench -->$'
check 'an unknown group is refused' status_of 2 "$bench" --group none
check 'help is given' holds /dev/stdin schema <<END
$("$bench" --help)
END
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
