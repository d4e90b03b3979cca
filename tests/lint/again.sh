# Runs after runs: edits, threads, no cache. What a run prints never depends on what was remembered.

# same NAME ARGS...: with a cache, without, and on 3 threads, the same
same()
{
    name=$1
    shift
    cached=$(lint "$@")
    check "$name: as without a cache" "$(lint --no-cache "$@")" "$cached"
    check "$name: as on 3 threads" "$(lint -j 3 "$@")" "$cached"
}

tree again
mkdir lib
i=0
while [ $i -lt 20 ]; do
    printf '#pragma once\n#include "f%d.h"\nint f%d(void);\n' $(((i + 1) % 20)) $i >lib/f$i.h
    printf '#include "f%d.h"\n#include "f%d.h"\nstatic int s%d(void) { return 1; }\nint f%d(void) { return f%d(); }\n' \
        $i $(((i + 7) % 20)) $i $i $(((i + 7) % 20)) >lib/f$i.c
    i=$((i + 1))
done
printf 'int f0(void);\nint main(void) { return f0(); }\n' >main.c
same "first" --enable=all .
lint --enable=all . >before
{ echo "/* a comment */"; cat lib/f3.h; } >new && mv new lib/f3.h
same "a comment above all" --enable=all .
check "the cycle's finding is where it was" "1" "$(lint . | grep -c '^lib/f0.h:2:1: warning: include cycle')"
printf '#pragma once\nlong f0(void);\n' >lib/f0.h
same "a declaration changed" --enable=all .
check "it disagrees now" "1" "$(lint . | grep -c "^lib/f0.h:2:6: error: 'f0' is declared as long(void), but defined as int(void) (defined here: lib/f0.c:4:5)")"
{ echo; echo; cat lib/f0.c; } >new && mv new lib/f0.c
same "the other file moved" --enable=all .
check "the place it points to moved" "1" "$(lint . | grep -c "(defined here: lib/f0.c:6:5)")"
rm lib/f5.h
same "a header gone" --enable=all .
mkdir early
printf '#pragma once\nint f6(void);\n' >early/f6.h
same "a directory more" --enable=all -I early -I lib .
printf '#pragma once\n#include "f7.h"\n' >lib/f6.h
same "a header changed" --enable=all -I early -I lib .
same "rules switched" --enable=transitive-include .
