#!/bin/sh
# merge-ini.sh CC INI.o OUT.o: joins our ini.o with inih's object and makes inih's names local, so that the
# archive needs no -linih and cannot clash with an embedder's own inih. Where only the shared inih exists the
# object stays as it is, and whoever links the archive adds -linih.
set -eu
cc=$1 object=$2 out=$3
archive=$($cc -print-file-name=libinih.a)
if [ ! -f "$archive" ]; then
    echo "merge-ini.sh: no libinih.a: programs that link libtierkit.a need -linih" >&2
    cp "$object" "$out"
    exit 0
fi
$cc -r -nostdlib -o "$out" "$object" -Wl,--whole-archive "$archive" -Wl,--no-whole-archive
${OBJCOPY:-objcopy} --wildcard --localize-symbol='ini_*' "$out"
