#!/bin/sh
# run.sh BUILD: what an embedder sees of the build: which libraries a small program needs, what the shared
# library exports, and whether the installed files are enough to compile against.
set -u
build=$1
cc=${CC:-cc}
here=tests/link
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
expect() { # WHAT COMMAND...
    what=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "not so: $what"
        cat "$work/log"
    fi
}
counts() { # PROGRAM: does it count this file's bytes?
    "$1" "$PWD/$here/embed.c" >"$work/said" && cat "$work/said" &&
        [ "$(cat "$work/said")" = "$(($(wc -c <$here/embed.c))) bytes" ]
}
lacks() { # PROGRAM LIBRARY...
    program=$1
    shift
    for library; do
        ! readelf -d "$program" | grep NEEDED | tee "$work/needed" | grep -q "$library" || { cat "$work/needed"; return 1; }
    done
}

# The sanitizers' and other flags of this build must reach the link of an archive built with them.
flags=${CFLAGS:-}
expect 'the archive links with lmdb, zlib and libsodium alone' \
    $cc $flags -Wall -Werror -Iinclude -o "$work/static" $here/embed.c "$build/libtierkit.a" -llmdb -lz -lsodium -lpthread
expect 'that program runs' counts "$work/static"
expect 'it needs neither PCRE2 nor inih' lacks "$work/static" pcre2 inih

expect 'an embedder may have an inih of its own' sh -c "
    echo 'int ini_parse(void); int ini_parse(void) { return 0; }' >'$work/own.c' &&
    $cc $flags -Iinclude -o '$work/clash' $here/embed.c '$work/own.c' '$build/libtierkit.a' -llmdb -lz -lsodium -lpthread"

for header in include/*.h; do
    expect "$header is C11" sh -c "echo '#include <$(basename "$header")>' |
        $cc -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude -x c -fsyntax-only -"
    if command -v c++ >/dev/null; then
        expect "$header is C++11" sh -c "printf '#include <$(basename "$header")>\ntier_options o = TIER_INIT(tier_options);\n' |
            c++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -Iinclude -x c++ -fsyntax-only -"
    fi
done

expect 'make install' ${MAKE:-make} -s install BUILD="$build" PREFIX=/opt/tk DESTDIR="$work/root"
installed=$work/root/opt/tk
expect 'programs, libraries and the .pc file are installed' test -x "$installed/bin/tiercheck" -a -f \
    "$installed/lib/libtierkit.a" -a -f "$installed/lib/libtierkit.so" -a -f "$installed/lib/pkgconfig/tierkit.pc"
expect 'the installed shared library links' $cc $flags -Wall -Werror "-I$installed/include" -o "$work/shared" $here/embed.c \
    "-L$installed/lib" -ltierkit "-Wl,-rpath,$installed/lib"
expect 'that program runs' counts "$work/shared"
expect 'its soname is libtierkit.so.0' sh -c "readelf -d '$work/shared' | grep -q 'libtierkit\.so\.0\]'"
expect 'it exports tier_ names only' sh -c "! nm -D --defined-only '$installed/lib/libtierkit.so' |
    awk '\$2 != \"A\" { print \$3 }' | grep -vE '^tier_[a-z]'"
if command -v pkg-config >/dev/null; then
    expect 'pkg-config gives the flags' sh -c "
        PKG_CONFIG_PATH='$installed/lib/pkgconfig' pkg-config --cflags --libs tierkit | grep -q -- '-ltierkit'"
fi
expect 'make uninstall' ${MAKE:-make} -s uninstall BUILD="$build" PREFIX=/opt/tk DESTDIR="$work/root"
expect 'nothing is left after it' sh -c "[ -z \"\$(find '$work/root' ! -type d)\" ]"

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
