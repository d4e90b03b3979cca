#!/bin/sh
# Checks that the oracle defines every public function, that rename.h and both.h name each of them, and that
# the renamed oracle exports nothing of the library's name space. Run from the root; CC and TMPDIR count.
set -eu
work=$(mktemp -d "${TMPDIR:-/tmp}/oracle-names.XXXXXX")
trap 'rm -rf "$work"' EXIT
cc=${CC:-gcc}
flags="-std=gnu11 -D_GNU_SOURCE -Iinclude -I."
passed=0 failed=0
verdict() { # what, file that must be empty
    if [ -s "$2" ]; then
        echo "FAILED: $1:" && cat "$2"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
}

# The header's functions: names of its declarations, typedefs left out.
$cc $flags -E -P include/tierkit.h | tr '\n' ' ' | tr ';' '\n' | grep -v typedef |
    grep -o 'tier_[a-z_]* *(' | tr -d ' (' | sort -u >"$work/public"
grep -o '^#define tier_[a-z_]*' tests/oracle/rename.h | sed 's/#define //' | sort -u >"$work/renamed"
grep -o 'X([a-z_]*)' tests/oracle/both.h | sed 's/X(\(.*\))/tier_\1/' | sort -u >"$work/both"
for source in tests/oracle/*.c; do
    name=$(basename "$source" .c)
    $cc $flags -c "$source" -o "$work/plain_$name.o"
    $cc $flags -include tests/oracle/rename.h -c "$source" -o "$work/side_$name.o"
done
nm -g --defined-only "$work"/plain_*.o | sed -n 's/.* T \(tier_[a-z_]*\)$/\1/p' | sort -u >"$work/defined"
nm -g --defined-only "$work"/side_*.o | sed -n 's/.* T \(tier_[a-z_]*\)$/\1/p' >"$work/left"

[ -s "$work/public" ] || { echo "FAILED: no public function found"; exit 1; }
comm -23 "$work/public" "$work/defined" >"$work/diff"
verdict "public, but the oracle does not define it" "$work/diff"
comm -13 "$work/public" "$work/defined" >"$work/diff"
verdict "defined by the oracle, but not public" "$work/diff"
comm -3 "$work/public" "$work/renamed" >"$work/diff"
verdict "public functions and rename.h differ" "$work/diff"
comm -3 "$work/public" "$work/both" >"$work/diff"
verdict "public functions and both.h differ" "$work/diff"
verdict "not renamed" "$work/left"

# both.h declares what the renamed oracle defines.
cat >"$work/both.c" <<'END'
#include "tests/oracle/both.h"
int main(void)
{
    static const struct oracle_side oracle = ORACLE_ORACLE;

    return oracle.file(0, "x", 0) != TIER_EINVAL;
}
END
: >"$work/diff"
$cc $flags -Wall -Wextra -Wpedantic -Werror "$work/both.c" "$work"/side_*.o -lsodium -lpthread -o "$work/both.out" \
    >"$work/diff" 2>&1 && "$work/both.out" >>"$work/diff" || echo "does not compile, link or run" >>"$work/diff"
verdict "both.h against the renamed oracle" "$work/diff"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
