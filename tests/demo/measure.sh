# Runs, counts, the table and what is promised.

lint()
{
    set -- "$BUILD/tierlint" --no-system "$@"
    for dir in $search; do
        set -- "$@" -I "$dir"
    done
    "$BUILD/demo/timed" "$times" "$@" .
}

# uncached: to plain.out, counts to plain.err, time to plain.ms. Findings (1) are no trouble.
uncached()
{
    times=$work/plain.ms
    lint --no-cache --stats >"$work/plain.out" 2>"$work/plain.err"
    [ $? -le 1 ] || die "tierlint --no-cache failed: $(tail -n 1 "$work/plain.err")"
}

# cached CACHE: to step.out, step.err, step.ms
cached()
{
    times=$work/step.ms
    : >"$times"
    lint --cache="$1" --stats >"$work/step.out" 2>"$work/step.err"
    status=$?
    [ $status -le 1 ] || fail_now "tierlint ended with status $status: $(tail -n 1 "$work/step.err")"
}

# count FILE NAME...: the sum of these counters
count()
{
    from=$1
    shift
    awk -v names=" $* " 'index(names, " " $1 " ") { sum += $2 } END { printf "%.0f\n", sum }' "$from"
}

median()
{
    sort -n "$1" | awk '{ value[NR] = $1 } END { print NR % 2 ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2 }'
}

last()
{
    tail -n 1 "$1"
}

# ---- the table
header()
{
    printf '%s%-36s %9s %7s %6s %7s %6s %7s %8s   %-20s%s\n' "$bold" '' '' 'paths' 'files' 'files' 'func-' '' '' \
        'remembered, %' "$plain"
    printf '%s%-36s %9s %7s %6s %7s %6s %7s %8s   %6s %6s %6s  %s%s\n' "$bold" 'step' 'time ms' 'probed' 'read' 'parsed' \
        'tions' 'passes' 'rendered' 'file' 'tree' 'delta' 'output' "$plain"
}

# row STEP MS COUNTS OUTPUT: remembered is the share of what a run without a cache reads, builds in the tree
# tier and computes in the delta tier that this run did not have to; 100 only where it is all.
row()
{
    awk -v step="$1" -v ms="$2" -v counts="$3" -v output="$4" -v ok="$green" -v off="$plain" '
        function share(name,    all, part) {
            all = plain[name]
            if (all <= 0) return "-"
            part = int((1 - now[name] / all) * 10000) / 100
            return sprintf(part == 100 || part <= 0 ? "%d" : "%.2f", part < 0 ? 0 : part)
        }
        $2 !~ /^[0-9.e+]+$/ { next }
        FILENAME == counts { now[$1] = $2 }
        FILENAME != counts { plain[$1] = $2 }
        END {
            passes = 0
            for (name in now)
                if (name ~ /^type\..*\.built$/ && name !~ /\.(outline|face|names|fragment|judge|outer|render|report)\.built$/)
                    passes += now[name]
            printf "%-36s %9s %7d %6d %7d %6d %7d %8d   %6s %6s %6s  %s%s%s\n", step, \
                sprintf(ms < 100 ? "%.1f" : "%.0f", ms), now["file.look"], now["file.read"], now["type.outline.built"], \
                now["type.judge.built"], passes, now["type.render.built"], \
                share("file.read"), share("tree.built"), share("delta.built"), ok, output, off
        }' "$work/plain.err" "$3"
    sed -n "s|$work/||; s/^tierlint: /    tierlint says: /p" "$3"
}

# row_short STEP MS TEXT: of a run that is not an analysis
row_short()
{
    printf '%-36s %9s   %s\n' "$1" "$(awk -v ms="$2" 'BEGIN { if (ms) printf ms < 100 ? "%.1f" : "%.0f", ms }')" "$3"
}

# same STEP: the step's output is the uncached one, to the byte; otherwise that is the end.
same()
{
    cmp -s "$work/plain.out" "$work/step.out" && return
    printf '%sdemo: %s: the output is not that of a run without a cache%s\n' "$red" "$1" "$plain"
    echo 'the first lines that differ (< without, > with the cache):'
    diff "$work/plain.out" "$work/step.out" | head -n 12
    exit 1
}

fail_now()
{
    printf '%sdemo: %s: %s%s\n' "$red" "$step" "$*" "$plain"
    exit 1
}

# ---- promises
passed=0
failed=0

# promise TEXT ACTUAL TEST LIMIT: TEST is one of = < <= > >=, over numbers.
promise()
{
    if awk -v a="$2" -v t="$3" -v b="$4" 'BEGIN {
        exit !(t == "=" ? a == b : t == "<" ? a < b : t == "<=" ? a <= b : t == ">" ? a > b : a >= b) }'; then
        passed=$((passed + 1))
        printf '  %skept%s    %s\n' "$green" "$plain" "$1" >>"$work/promises"
    else
        failed=$((failed + 1))
        printf '  %sBROKEN%s  %s: it is %s, not %s %s\n' "$red" "$plain" "$1" "$2" "$3" "$4" >>"$work/promises"
    fi
}

note()
{
    printf '  %snote%s    %s\n' "$dim" "$plain" "$*" >>"$work/promises"
}

close_table()
{
    echo
    cat "$work/promises"
    echo
    awk -v plain="$plain_ms" -v cold="$cold_ms" -v same="$same_ms" -v floor="$floor_ms" -v comment="$comment_ms" \
        -v edit="$edit_ms" '
        function time(ms) { return ms < 1000 ? sprintf("%.0f ms", ms) : sprintf("%.1f s", ms / 1000) }
        BEGIN {
            printf "A run over this tree takes %s without a cache and %s while it fills one; after that %s where nothing\n", \
                time(plain), time(cold), time(same)
            printf "changed (%.0f times faster), %s after a comment in the header, %s after an edit in one function.\n", \
                plain / same, time(comment), time(edit)
        }'
    printf '%d passed, %d failed, %d s\n' $passed $failed $(($(date +%s) - began))
    echo "$passed passed, $failed failed" >"$BUILD/demo.sum"
    [ $failed -eq 0 ] || exit 1
}
