# A watch: what it prints after an edit is what a run from scratch would print. Where the implementation has no
# watcher (its streams then end at once), there is nothing to test.

# until FILE PATTERN COUNT: waits, 10 s at most, for COUNT lines that match
until_lines()
{
    tries=0
    while [ "$(grep -c "$2" "$1")" -lt "$3" ] && [ $tries -lt 100 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
}

tree watch
printf 'static int one(void) { return 1; }\nint main(void) { return 0; }\n' >a.c
mkdir ../watch-out && : >../watch-out/full && : >../watch-out/changes
"$LINT" --no-system --watch --full . >../watch-out/full 2>&1 &
full=$!
"$LINT" --no-system --watch . >../watch-out/changes 2>&1 &
changes=$!
until_lines ../watch-out/full '^-- ' 1
until_lines ../watch-out/changes '^-- ' 1
if kill -0 $full 2>/dev/null && kill -0 $changes 2>/dev/null; then
    check "the first report" "a.c:1:12: warning: static function 'one' is never used [unused-static-function]
-- 1 finding" "$(cat ../watch-out/full)"
    sleep 0.2
    printf '\nstatic int two(void) { return 1; }\nint main(void) { return 0; }\n' >a.c
    until_lines ../watch-out/changes '^-- ' 2
    check "what changed" "a.c:1:12: warning: static function 'one' is never used [unused-static-function]
-- 1 finding
- a.c:1:12: warning: static function 'one' is never used [unused-static-function]
+ a.c:2:12: warning: static function 'two' is never used [unused-static-function]
-- 1 finding" "$(cat ../watch-out/changes)"
    sleep 0.2
    printf 'static int three(void) { return 1; }\n' >b.c
    until_lines ../watch-out/changes '^-- ' 3
    check "a new file" "+ b.c:1:12: warning: static function 'three' is never used [unused-static-function]
-- 2 findings" "$(tail -n 2 ../watch-out/changes)"
    until_lines ../watch-out/full '^-- 2' 1
    check "the whole report" "$(lint --no-cache . | grep -v '^status')
-- 2 findings" "$(tail -n 3 ../watch-out/full)"
    # A shell's background jobs may ignore SIGINT; SIGTERM ends a watch in the same way.
    kill -TERM $full
    wait $full
    check "a watch that is ended" "130" "$?"
    kill -TERM $changes
    wait $changes 2>/dev/null
    check "the store is whole" "$(lint --no-cache .)" "$(lint .)"
else
    kill $full $changes 2>/dev/null
    wait
fi
