#!/bin/sh
# deps.sh [--tell] [library] [build] [tidy] [sanitize] [valgrind] [bench]: finds what these need and installs what is
# missing: with apt on Debian and its kin, elsewhere, and with --tell, it names the packages. With everything
# there it starts one compiler and touches no network. library: what the libraries and programs are built
# with; build: and the tests.
set -eu
cc=${CC:-cc}
tell=
if [ "${1:-}" = --tell ]; then
    tell=1
    shift
fi

# header or command, package for: apt, dnf, apk, pacman, brew
table='
stdio.h   libc6-dev       glibc-devel     musl-dev      glibc     -
lmdb.h    liblmdb-dev     lmdb-devel      lmdb-dev      lmdb      lmdb
zlib.h    zlib1g-dev      zlib-devel      zlib-dev      zlib      zlib
pcre2.h   libpcre2-dev    pcre2-devel     pcre2-dev     pcre2     pcre2
sodium.h  libsodium-dev   libsodium-devel libsodium-dev libsodium libsodium
xxhash.h  libxxhash-dev   xxhash-devel    xxhash-dev    xxhash    xxhash
ini.h     libinih-dev     inih-devel      inih-dev      libinih   inih
cmocka.h  libcmocka-dev   libcmocka-devel cmocka-dev    cmocka    cmocka
'
# What `make bench` compares with; it leaves out what cannot be had.
peers='
glib.h        libglib2.0-dev      glib2-devel    glib-dev     glib2    glib
uthash.h      uthash-dev          uthash-devel   uthash-dev   uthash   uthash
tkrzw_langc.h libtkrzw-dev        -              -            -        tkrzw
kclangc.h     libkyotocabinet-dev kyotocabinet-devel -        kyotocabinet kyoto-cabinet
rocksdb/c.h   librocksdb-dev      rocksdb-devel  rocksdb-dev  rocksdb  rocksdb
sqlite3.h     libsqlite3-dev      sqlite-devel   sqlite-dev   sqlite   sqlite
zstd.h        libzstd-dev         libzstd-devel  zstd-dev     zstd     zstd
lz4.h         liblz4-dev          lz4-devel      lz4-dev      lz4      lz4
'
includes() {
    printf '#define PCRE2_CODE_UNIT_WIDTH 8\n'
    printf '#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <setjmp.h>\n'
    for header; do
        printf '#include <%s>\n' "$header"
    done
    printf 'int main(void) { return 0; }\n'
}
has() {
    includes "$@" | $cc ${CPPFLAGS:-} -x c -fsyntax-only - 2>/dev/null
}

missing=
for part; do
    case $part in
    library | build)
        headers=$(echo "$table" | awk -v part="$part" 'NF && (part == "build" || $1 != "cmocka.h") { print $1 }')
        has $headers && continue
        for header in $headers; do
            has "$header" || missing="$missing $header"
        done
        ;;
    bench)
        flags=$(pkg-config --cflags glib-2.0 2>/dev/null || true)
        for header in $(echo "$peers" | awk 'NF { print $1 }'); do
            CPPFLAGS="${CPPFLAGS:-} $flags" has "$header" || missing="$missing $header"
        done
        table=$table$peers
        ;;
    tidy) command -v clang-format >/dev/null || missing="$missing clang-format" ;;
    valgrind) command -v valgrind >/dev/null || missing="$missing valgrind" ;;
    sanitize)
        echo 'int main(void) { return 0; }' | clang -x c -fsanitize=address,undefined -o /dev/null - 2>/dev/null ||
            missing="$missing clang"
        ;;
    *)
        echo "deps.sh: unknown part '$part'" >&2
        exit 2
        ;;
    esac
done
[ -n "$missing" ] || exit 0

packages() { # COLUMN
    for want in $missing; do
        name=$(echo "$table" | awk -v want="$want" -v column="$1" '$1 == want { print $column }')
        case $want in
        clang-format)
            case $1 in 2 | 6) name=clang-format ;; 4) name=clang-extra-tools ;; 5) name=clang ;; *) name=clang-tools-extra ;; esac
            ;;
        clang)
            case $1 in 2) name='clang libclang-rt-dev' ;; 3 | 4 | 5) name='clang compiler-rt' ;; *) name=llvm ;; esac
            ;;
        valgrind) name=valgrind ;;
        esac
        [ "$name" = - ] || printf ' %s' "$name"
    done
}

if [ "$tell" ] || ! command -v apt-get >/dev/null; then
    {
        if command -v apt-get >/dev/null; then
            echo "missing:$missing. Run make deps, which does, as root or with sudo:"
            echo "    apt-get install$(packages 2)"
            exit 1
        fi
        echo "missing:$missing. Install by one of:"
        echo "    dnf install$(packages 3)"
        echo "    apk add$(packages 4)"
        echo "    pacman -S$(packages 5)"
        echo "    brew install$(packages 6)"
    } >&2
    exit 1
fi
sudo=
if [ "$(id -u)" -ne 0 ]; then
    sudo='sudo -n'
    if ! command -v sudo >/dev/null || { ! sudo -n true 2>/dev/null && ! [ -t 0 ]; }; then
        echo "deps.sh: missing:$missing. As root: apt-get install$(packages 2)" >&2
        exit 1
    fi
    sudo -n true 2>/dev/null || sudo=sudo
fi
echo "installing$(packages 2)"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
$sudo apt-get -q update >"$log" 2>&1 || echo "deps.sh: apt-get update failed; trying with the lists there are" >&2
# shellcheck disable=SC2046
if ! $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $(packages 2) >>"$log" 2>&1; then
    cat "$log" >&2
    echo "deps.sh: could not install$(packages 2)" >&2
    exit 1
fi
