#!/bin/sh
# demo.sh [BUILD]: what the cache saves on a real tree, and that it never changes an answer.
#
# Works on a private copy of /usr/include and of this project's own sources, or of DEMO_DIR, with a cache of its
# own; both lie below TMPDIR (or /tmp) and are removed at the end, also after an interrupt. After every step the
# output is compared with that of a run without a cache. What is counted comes from `tierlint --stats`.
#
# Exit status: 0, 1 where an output differs or a promise is not kept, 2 where it could not run, 130 interrupted.
set -u
LC_ALL=C
export LC_ALL
here=$(cd "$(dirname "$0")" && pwd) || exit 2
top=$(cd "$here/../.." && pwd) || exit 2
BUILD=${1:-${BUILD:-build}}
case $BUILD in
/*) ;;
*) BUILD=$(pwd)/$BUILD ;;
esac
work=
began=$(date +%s)

# Nothing of the caller's own cache or profile may take part; sampled audits would count as work.
unset CI TIERKIT_DIR MAKEFLAGS MAKELEVEL MFLAGS
TIERKIT_PROFILE=dev
export TIERKIT_PROFILE

bold='' dim='' red='' green='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    escape=$(printf '\033')
    bold="${escape}[1m" dim="${escape}[2m" red="${escape}[31m" green="${escape}[32m" plain="${escape}[0m"
fi

cleanup()
{
    [ -z "$work" ] || rm -rf "$work"
}
trap cleanup EXIT
trap 'echo "demo: interrupted" >&2; exit 130' INT TERM HUP

die()
{
    printf 'demo: %s\n' "$*" >&2
    exit 2
}

for part in prepare measure steps; do
    . "$here/$part.sh"
done

prepare
say_what
header
run_steps
close_table
