#!/bin/sh
# readme.sh BUILD: puts the last `make bench` into the README, between its two marks, and its plot into docs/.
set -eu
build=${1:-build}
json=$build/bench.json
grep -q '"quick": false' "$json" || { echo "readme.sh: $json is of a quick run, which means nothing" >&2; exit 1; }
work=$(mktemp)
trap 'rm -f "$work"' EXIT
awk '
function field(name,   v) { # of the object on this line
    if (!match($0, "\"" name "\": (\"[^\"]*\"|[-0-9.e+]+)")) return ""
    v = substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 4)
    gsub(/"/, "", v)
    return v
}
function shown(ns) {
    return ns == "" ? "" : ns + 0 >= 9950 ? sprintf("%.0f us", ns / 1000) : sprintf("%.0f ns", ns)
}
/"machine":/ { cpu = field("cpu"); kernel = field("kernel"); cores = field("cores") }
/"date":/ { date = substr(field("date"), 1, 10) }
/"passes":/ { passes = field("passes") }
/"verdict":/ {
    ratio = field("ratio")
    g = field("group")
    missed = field("verdict") == "missed"
    if (!(g in count)) groups[++group_count] = g
    count[g]++
    kept[g] += field("verdict") == "kept"
    line = sprintf("| %s | %s | %s | %s | %s %s%s |\n", g, field("name"), ratio == "" ? "not measured" : sprintf("%.2f", ratio),
        ratio == "" ? "" : sprintf("%.2f", field("best")),
        field("keep") == "<=" ? "≤" : "≥", field("bound"), missed ? ", missed" : "")
    all[g] = all[g] line
    if (missed) misses[g] = misses[g] line
}
/"group": "memory", "row":/ {
    best[field("row"), field("contender")] = field("best")
    if (!(field("contender") in seen) && field("contender") !~ / /) { seen[field("contender")] = 1; order[++n] = field("contender") }
}
END {
    for (i = 1; i <= group_count; i++) { # of many goals those alone that are missed
        g = groups[i]
        goals = goals (count[g] <= 12 ? all[g] : sprintf("| %s | %d goals | %d kept | | |\n", g, count[g], kept[g]) misses[g])
    }
    printf "%s, %s cores, %s, %s. Measured: the median of the ratios of %s passes; best: the ratio of the best batch means. The times below are best batch means.\n\n", cpu, cores, kernel, date, passes
    printf "| | what | measured | best | goal |\n| --- | --- | --- | --- | --- |\n%s\n", goals
    columns = split("view and read 64 B|view and read 16 KiB|get 64 B|get 16 KiB|put 64 B|evicting put 64 B|2 threads: view and read 64 B", column, "|")
    printf "| one operation |"
    for (c = 1; c <= columns; c++) printf " %s |", column[c]
    printf "\n| --- |"
    for (c = 1; c <= columns; c++) printf " --- |"
    printf "\n"
    for (i = 1; i <= n; i++) {
        printf "| %s |", order[i]
        for (c = 1; c <= columns; c++) printf " %s |", shown(best[column[c], order[i]])
        printf "\n"
    }
    printf "\n![Tierkit and its peers](docs/bench.svg)\n"
}' "$json" >"$work"
cp "$build/bench.svg" docs/bench.svg
awk -v text="$work" '
/^<!-- \/bench -->$/ { on = 0 }
!on { print }
/^<!-- bench -->$/ { on = 1; while ((getline line < text) > 0) print line }' README.md >"$work.new"
cat "$work.new" >README.md
rm "$work.new"
echo "README.md and docs/bench.svg are those of $json"
