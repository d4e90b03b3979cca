#!/bin/sh
# peers.sh: which peers of the bench this compiler can build with. Prints two lines: flags to compile with
# (-DBENCH_NAME and where its headers are), libraries to link. Whoever is absent is left out, and the bench says so.
set -u
cc=${CC:-cc}
work=$(mktemp -d "${TMPDIR:-/tmp}/bench-peers.XXXXXX")
trap 'rm -rf "$work"' EXIT
flags='' libs=''
try() { # NAME HEADER LIBRARIES PKG-CONFIG-NAME
    more=$(pkg-config --cflags "$4" 2>/dev/null)
    printf '#include <%s>\nint main(void) { return 0; }\n' "$2" >"$work/t.c"
    # shellcheck disable=SC2086
    if $cc ${CPPFLAGS:-} -std=gnu11 $more -o "$work/t" "$work/t.c" $3 2>/dev/null; then
        flags="$flags -DBENCH_$1 $(echo "$more" | sed 's/-I/-isystem /g')" libs="$libs $3"
    fi
}
try GLIB glib.h -lglib-2.0 glib-2.0
try UTHASH uthash.h '' ''
try TKRZW tkrzw_langc.h -ltkrzw ''
try KYOTO kclangc.h -lkyotocabinet ''
try ROCKSDB rocksdb/c.h -lrocksdb ''
try SQLITE sqlite3.h -lsqlite3 ''
try ZSTD zstd.h -lzstd ''
try LZ4 lz4.h -llz4 ''
printf '%s\n%s\n' "$flags" "$libs"
