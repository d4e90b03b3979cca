# The command line: usage, suppression, baseline, where paths are relative to.

tree usage
printf 'int main(void) { return 0; }\n' >a.c
check "wrong option" "tierlint: unknown option '--formt'; did you mean '--format'?
tierlint: 'tierlint --help' lists the options
status 2" "$(lint --formt=json .)"
check "wrong rule" "tierlint: unknown rule 'unused-inclde'; did you mean 'unused-include'?
tierlint: 'tierlint --help' lists the options
status 2" "$(lint --enable=unused-inclde .)"
check "no path" "tierlint: no PATH given; 'tierlint .' checks the working directory, --help says more
status 2" "$(lint)"
check "absent path" "tierlint: gone: No such file or directory
status 2" "$(lint gone)"
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
check "order and doubling of paths do not matter" "$(lint sub sub/deep)" "$(lint sub/deep sub sub)"
