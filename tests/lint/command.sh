# The command line: usage, suppression, baseline, where paths are relative to.

tree usage
printf 'int main(void) { return 0; }\n' >a.c
check "wrong option" "tierlint: unknown option '--formt'; did you mean '--format'?
tierlint: 'tierlint --help' lists the options
status 2" "$(lint --formt=json .)"
check "wrong rule" "tierlint: unknown rule 'unused-inclde'; did you mean 'unused-include'?
tierlint: 'tierlint --list-rules' lists the rules
status 2" "$(lint --enable=unused-inclde .)"
check "no path" "tierlint: no PATH given; 'tierlint .' checks the working directory, --help says more
status 2" "$(lint)"
check "a value that is not asked for" "tierlint: no value goes with '--help=3'
tierlint: 'tierlint --help' lists the options
status 2" "$(lint --help=3)"
for wrong in '{}' '[{"file": "a.c"}' ''; do
    printf '%s' "$wrong" >db.json
    check "no compilation database: '$wrong'" "tierlint: warning: -p db.json: not a compilation database
status 0" "$(lint -p db.json a.c)"
    check "and said again" "tierlint: warning: -p db.json: not a compilation database
status 0" "$(lint -p db.json a.c)"
done
check "a directory is none" "tierlint: warning: -p .: cannot read an empty path (the root): not a regular file, or larger than 256 MiB
status 0" "$(lint -p . a.c)"
rm db.json
check "absent path" "tierlint: gone: No such file or directory
status 2" "$(lint gone)"
mkdir shut
chmod 000 shut
bare() { # without root's right to read everything
    if [ "$(id -u)" = 0 ]; then
        setpriv --bounding-set=-dac_override,-dac_read_search "$LINT" --no-system "$@" 2>&1
    else
        "$LINT" --no-system "$@" 2>&1
    fi
    echo "status $?"
}
if [ "$(id -u)" != 0 ] || command -v setpriv >/dev/null; then
    check "a directory that cannot be read" "tierlint: shut: Permission denied
status 2" "$(bare shut)"
fi
rmdir shut
check "clean" "status 0" "$(lint .)"
check "version" "tierlint 0.1.0" "$("$LINT" --version)"
check "help names the options" "20" "$("$LINT" --help | grep -c '^  .*--')"
check "rules are listed" "15" "$("$LINT" --list-rules | wc -l | tr -d ' ')"
check "a rule is explained" "1" "$("$LINT" --explain-rule include-cycle | grep -c '^include-cycle (warning, on by default)')"
if [ -w /dev/full ]; then
    check "a full disk is told" "tierlint: the report: No space left on device
status 2" "$("$LINT" --help 2>&1 >/dev/full; echo "status $?")"
fi
check "a closed pipe is quiet" "" "$("$LINT" --help 2>&1 | true)"

tree suppress
cat >a.c <<'END'
static int one(void) { return 1; } // tierlint: ignore unused-static-function
/* tierlint: ignore-next-line */
static int two(void) { return 2; }
static int three(void) { return 3; } // tierlint: ignore include-cycle
int main(void) { return 0; }
END
printf '/* tierlint: ignore-file */\nstatic int four(void) { return 4; }\n' >b.c
check suppression "a.c:4:12: warning: static function 'three' is never used [unused-static-function]
status 1" "$(lint .)"

tree lines
printf 'static int one(void) { return 1; }\nint main(void) { return 0; }\n' >"$(printf 'x\ny\033.c')"
check "a name forges no line" "x\\ny\\x1b.c:1:12: warning: static function 'one' is never used [unused-static-function]
status 1" "$(lint .)"
lint --write-baseline=base . >/dev/null
check "and is found in a baseline" "status 0" "$(lint --baseline=base .)"

tree baseline
printf 'static int one(void) { return 1; }\nint main(void) { return 0; }\n' >a.c
check "the baseline is written" "status 0" "$(lint --write-baseline=base .)"
check "what it lists is left out" "status 0" "$(lint --baseline=base .)"
printf '\n\nstatic int two(void) { return 2; }\nstatic int one(void) { return 1; }\nint main(void) { return 0; }\n' >a.c
check "what is new is not" "a.c:3:12: warning: static function 'two' is never used [unused-static-function]
status 1" "$(lint --baseline=base .)"
printf 'rubbish\n' >wrong
check "no baseline" "tierlint: wrong: no baseline (its first line is '# tierlint baseline 1')
status 2" "$(lint --baseline=wrong .)"

tree where
mkdir -p sub/deep
printf 'static int one(void) { return 1; }\nint main(void) { return 0; }\n' >sub/a.c
check "paths are relative to the working directory" "a.c:1:12: warning: static function 'one' is never used [unused-static-function]
status 1" "$(cd sub && lint -C .. .)"
check "a file of another root" "../sub/a.c:1:12: warning: static function 'one' is never used [unused-static-function]
status 1" "$(mkdir -p side && cd side && lint ../sub/a.c)"
quiet() { lint "$@" | grep -v "^tierlint: note:"; }
check "order and doubling of paths do not matter" "$(quiet sub sub/deep)" "$(quiet sub/deep sub sub)"

mkdir -p my/inc
printf '#pragma once\n#include "c.h"\n' >my/inc/b.h
printf '#pragma once\n#include "b.h"\n' >my/inc/c.h
cycle="my/inc/b.h:2:1: warning: include cycle: my/inc/b.h -> my/inc/c.h -> my/inc/b.h [include-cycle]
status 1"
check "paths in a message are as those before it" "$cycle" "$(lint my)"
check "with a root elsewhere too" "$cycle" "$(lint -C my -I my/inc my)"
check "and below it" "inc/b.h:2:1: warning: include cycle: inc/b.h -> inc/c.h -> inc/b.h [include-cycle]
status 1" "$(cd my && lint -C .. .)"
for format in json sarif; do
    check "in $format" "1" "$(lint --format=$format -C my my | grep -c 'include cycle: my/inc/b.h -> my/inc/c.h -> my/inc/b.h"')"
done
lint -C my --write-baseline=base my >told
check "a baseline holds paths below the root" "include-cycle	inc/b.h	include cycle: inc/b.h -> inc/c.h -> inc/b.h" \
    "$(tail -n 1 base)"
check "and is found again" "status 0" "$(cd my && lint --baseline=../base .)"

tree notes
mkdir empty
: >nothing
check "nothing to check" "tierlint: note: no C or C++ files below empty
status 0" "$(lint empty)"
printf 'once upon a time\n' >tale.txt
check "no C at all" "tierlint: note: nothing in tale.txt was understood as C or C++
status 0" "$(lint tale.txt)"
printf '#include "gone.h"\nint main(void) { return 0; }\n' >a.c
check "a file that is judged in part" "tierlint: note: 1 file includes headers that were not found and was judged in part; --enable=unresolved-include lists them, -I adds directories" \
    "$("$LINT" . 2>&1)"
printf '#ifdef NEVER\n#include "gone.h"\n#endif\n#include "too.h"\n' >b.c
check "two of them" "tierlint: note: 2 files include headers that were not found and were judged in part; --enable=unresolved-include lists them, -I adds directories" \
    "$("$LINT" . 2>&1)"
check "again, from the cache" "1" "$("$LINT" . 2>&1 | grep -c "note: 2 files include headers")"
check "not where they are listed" "0" "$("$LINT" --enable=unresolved-include . 2>&1 | grep -c note)"
check "nor on the output" "" "$("$LINT" . 2>/dev/null)"
check "a budget too small for one scan is told" "1 0" "$(TIERKIT_MEMORY_TREE=1KiB "$LINT" -d ../small-budget --no-system --stats a.c 2>&1 |
    grep -c '^hint: one run needs .* KiB of the tree tier.* is 1 KiB') $("$LINT" -d ../small-budget --no-system --stats a.c 2>&1 | grep -c '^hint:')"
check "the counters begin with a summary" "1" "$("$LINT" --no-cache --no-system --stats a.c 2>&1 |
    head -n 1 | grep -c '^this run: files read [0-9]*, parsed 1; functions judged 1; files rendered 0$')"
check "a wrong option far from all" "tierlint: unknown option '--bogus'
tierlint: 'tierlint --help' lists the options
status 2" "$(lint --bogus .)"
check "a wrong format" "tierlint: unknown format 'xml'
tierlint: the formats are text, json and sarif
status 2" "$(lint --format xml .)"
check "one message for a cache directory that cannot be" "1" "$(lint -d "$PWD/nothing" a.c | grep -c tierlint:)"
check "a profile that is none is told once" "1" "$(lint --profile=bogus a.c | grep -c tierlint:)"
