# The steps, in order. Each: an edit, a run with the cache, one without, the comparison, a row, what was promised.

# All builds of passes over files, directories and the whole; the parse of a file and its printing are none.
PASSES='type.local.built type.usage.built type.program.built type.symbols.built type.provides.built
    type.members.built type.reach.built type.graph.built type.files.built type.links.built type.search.built'

# where PART: the line that the planted finding is reported at, or the line it points to.
where()
{
    sed -n "s/^.*:\([0-9]*\):[0-9]*: [a-z]*: '$name' is declared .*(defined here: .*:\([0-9]*\):[0-9]*).*/\\$1/p" \
        "$work/step.out"
}

planted()
{
    seen=$(grep -c "'$name' is declared .*(defined here: " "$work/step.out")
    [ -z "${DEMO_DIR:-}" ] && return
    [ "$seen" -eq 1 ] || note "the planted finding is not seen in this tree; positions are compared all the same"
}

step_uncached()
{
    step='without a cache'
    : >"$work/plain.ms"
    LD_PRELOAD="$BUILD/demo/probes.so" uncached 9>"$work/probes.raw"
    row "$step" "$(last "$work/plain.ms")" "$work/plain.err" ''
}

step_cold()
{
    step='empty cache'
    cached "$cache"
    same "$step"
    cold_ms=$(last "$work/step.ms")
    row "$step" "$cold_ms" "$work/step.err" same
    planted
    at_header=$(where 1)
    at_source=$(where 2)
    cp "$work/plain.out" "$work/first.out"
    [ -n "${DEMO_DIR:-}" ] || promise 'the planted disagreement is found, once' "$seen" = 1
}

# The distinct paths among those recorded, relative to the tree where below it; without the store's own files
# and what the linker and the C library look at.
distinct()
{
    awk -v tree="$tree" -v cache="$cache" '
        index($0, cache) == 1 || index($0, "/proc/") == 1 { next }
        { sub(/\/\.?$/, "") }
        $0 == tree { print "."; next }
        index($0, tree "/") == 1 { $0 = substr($0, length(tree) + 2) }
        { print }' "$@" | sort -u
}

# One run with counts first, as it comes right behind the cold one; then rounds that interleave what is compared,
# so that the machine's other load falls on all alike.
step_nothing()
{
    step='nothing changed'
    cached "$cache"
    same "$step"
    promise 'nothing changed: reads no file and no directory' "$(count "$work/step.err" file.read dir.read)" = 0
    promise 'nothing changed: parses, analyzes and renders nothing' \
        "$(count "$work/step.err" tree.built delta.built)" = 0
    cp "$work/step.err" "$work/nothing.err"
    times=$work/record.ms
    LD_PRELOAD="$BUILD/demo/probes.so" lint --cache="$cache" >"$work/step.out" 9>"$work/again.raw"
    same "$step"
    distinct "$work/again.raw" >"$work/again.list"
    distinct "$work/probes.raw" "$work/again.raw" >"$work/all.list"
    : >"$work/same.ms" && : >"$work/floor.ms" && : >"$work/bare.ms"
    for round in 1 2; do
        uncached
        for pair in 1 2 3 4 5 6 7 8; do
            times=$work/same.ms
            lint --cache="$cache" >"$work/step.out" 2>"$work/step.err"
            same "$step"
            "$BUILD/demo/timed" "$work/floor.ms" "$BUILD/demo/floor" . "$work/all.list" "$work/plain.out" \
                >"$work/floor.out" || die "the floor could not be measured"
            "$BUILD/demo/timed" "$work/bare.ms" "$BUILD/demo/floor" . "$work/again.list" "$work/plain.out" \
                >"$work/floor.out" || die "the floor could not be measured"
        done
    done
    same_ms=$(median "$work/same.ms")
    plain_ms=$(median "$work/plain.ms")
    floor_ms=$(median "$work/floor.ms")
    bare_ms=$(median "$work/bare.ms")
    row "$step (median of $(wc -l <"$work/same.ms"))" "$same_ms" "$work/nothing.err" same
    promise_speed
}

ratio()
{
    awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f\n", a / b }'
}

promise_speed()
{
    all=$(wc -l <"$work/all.list")
    again=$(wc -l <"$work/again.list")
    row_short 'floor: the same paths, one stat each' "$bare_ms" "$again paths, then the output written"
    row_short 'floor: all paths of an analysis' "$floor_ms" "$all paths, the absent ones too"
    recorded=$(wc -l <"$work/again.raw")
    promise 'the list of paths is whole: each look that is counted was seen from outside' "$recorded" '>=' \
        "$(count "$work/nothing.err" file.look)"
    if awk -v ms="$plain_ms" 'BEGIN { exit !(ms < 1000) }'; then
        note 'the tree is too small to judge speed: starting a process is most of a run'
        return
    fi
    times20=$(ratio "$plain_ms" "$same_ms")
    promise "nothing changed: $times20 times faster than without a cache, at least 20" "$times20" '>=' 20
    of_all=$(ratio "$same_ms" "$floor_ms")
    promise "nothing changed: $of_all of one stat a path of the analysis and writing the output, at most 2" "$of_all" '<=' 2
    of_bare=$(ratio "$same_ms" "$bare_ms")
    note "nothing changed: $of_bare of one stat a path that such a run looks at itself, process and store included"
}

# after_edit STEP: the run with the cache, the one without, the comparison, the row
after_edit()
{
    step=$1
    cached "$cache"
    uncached
    same "$step"
    row "$step" "$(last "$work/step.ms")" "$work/step.err" same
}

step_comment()
{
    { echo '/* A line above all declarations. */' && cat "$work/H"; } >"$work/new"
    cat "$work/new" >"$H"
    after_edit 'a comment line above the header'
    comment_ms=$(last "$work/step.ms")
    promise 'a comment line: one file is read and parsed' "$(count "$work/step.err" type.outline.built)" = 1
    promise 'a comment line: no function is analyzed' "$(count "$work/step.err" type.judge.built)" = 0
    # shellcheck disable=SC2086
    promise 'a comment line: no pass runs, dependents are cut off' "$(count "$work/step.err" $PASSES)" = 0
    [ -z "$at_header" ] || promise 'a comment line: the finding moves by one line' "$(where 1)" = $((at_header + 1))
}

step_declaration()
{
    sed "s/^int $name(int x);/char *$name(int x);/" "$H" >"$work/new"
    cat "$work/new" >"$H"
    after_edit 'a declaration changed there'
    promise 'a declaration changed: one file is parsed' "$(count "$work/step.err" type.outline.built)" = 1
    [ -z "$at_header" ] || promise 'a declaration changed: the finding says so' \
        "$(grep -c "'$name' is declared as char" "$work/step.out")" = 1
}

step_function()
{
    awk -v middle=$(((functions + 1) / 2)) '
        { print }
        /^\{[ \t]*$/ && before ~ /\)[ \t]*$/ && ++seen == middle { print "    (void)0;" }
        { before = $0 }' "$work/F" >"$work/new"
    cat "$work/new" >"$F"
    after_edit "one of $functions functions edited"
    edit_ms=$(last "$work/step.ms")
    cp "$work/plain.out" "$work/edited.out"
    cp "$H" "$work/H.edited"
    cp "$F" "$work/F.edited"
    promise "one function edited: one of $functions is analyzed" "$(count "$work/step.err" type.judge.built)" = 1
    promise 'one function edited: one file is parsed' "$(count "$work/step.err" type.outline.built)" = 1
    [ -z "$at_source" ] || promise "one function edited: the header's finding points one line further" "$(where 2)" = \
        $((at_source + 1))
}

step_undone()
{
    cat "$work/H" >"$H"
    cat "$work/F" >"$F"
    after_edit 'all undone'
    promise 'undone: nothing is parsed, analyzed or rendered' "$(count "$work/step.err" tree.built delta.built)" = 0
    cmp -s "$work/first.out" "$work/step.out"
    promise "undone: the output is the first one" $? = 0
}

# damage CACHE values|anywhere COUNT; sets hit
damage()
{
    store=$(find "$1" -name data.mdb)
    [ -f "$store" ] || die "no store below $1"
    hit=$("$BUILD/demo/damage" "$store" "$2" "$3") || die "cannot damage $store"
}

# tool COMMAND WANTED PROMISE: tiercheck on the damaged copy
tool()
{
    "$BUILD/demo/timed" "$work/tool.ms" "$BUILD/tiercheck" -d "$damaged" -C . "$1" >"$work/tool.out" 2>"$work/tool.err"
    got=$?
    says=$(sed -n 's/^.*: \(.* records looked at\)$/\1/p' "$work/tool.out" | tail -n 1)
    row_short "tiercheck $1" "$(last "$work/tool.ms")" "exit $got: $says"
    [ $got -eq "$2" ] || sed 's/^/    /' "$work/tool.err" | head -n 5
    promise "$3" $got = "$2"
}

# The tree is what it was when the outputs were made that are compared with: no further run without a cache.
step_damage()
{
    damaged=$work/damaged
    cp -RP "$cache" "$damaged" || die "cannot copy the store"
    damage "$damaged" values 100
    row_short 'a copy of the store damaged' 0 "$hit values, 8 bytes in each"
    tool check 4 'damaged: check says so (exit 4)'
    tool repair 1 'repair: all damage is gone (exit 1)'
    tool check 0 'check after it: clean (exit 0)'
    step='damaged and repaired'
    cached "$damaged"
    same "$step"
    row "$step" "$(last "$work/step.ms")" "$work/step.err" same
    step='damaged, repaired, the edits again'
    cat "$work/H.edited" >"$H"
    cat "$work/F.edited" >"$F"
    cached "$damaged"
    cp "$work/edited.out" "$work/plain.out"
    same "$step"
    row "$step" "$(last "$work/step.ms")" "$work/step.err" same
    promise "damaged, repaired, the edits again: of $hit values hit, no more are built than are missed" \
        "$(count "$work/step.err" tree.built delta.built)" '<=' "$hit"
    rm -rf "$damaged"
    step='damaged all over, not repaired'
    damage "$cache" anywhere 100
    cached "$cache"
    same "$step"
    row "$step" "$(last "$work/step.ms")" "$work/step.err" same
}

run_steps()
{
    : >"$work/promises"
    step_uncached
    step_cold
    step_nothing
    step_comment
    step_declaration
    step_function
    step_undone
    step_damage
}
