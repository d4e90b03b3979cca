# The tree: copied, searched for what the steps edit, and given one finding that points from file to file.
# Sets: work, tree, cache, store, files, H (the header), F (the source), functions, name.

# Kilobytes free where the copy goes, and needed: the copy, a store of up to 3 times its size (the parsed
# files of a /usr/include take 1.6 times), and the store's copy that gets damaged.
check_space()
{
    need=$((100 * 1024))
    for from; do
        size=$(du -sk "$from" 2>/dev/null | awk '{ print $1 }')
        need=$((need + ${size:-0} * 7))
    done
    free=$(df -Pk "$work" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$need" ] ||
        die "needs up to $((need / 1024)) MB below ${TMPDIR:-/tmp}, where $((free / 1024)) MB are free; set TMPDIR"
}

copy_tree()
{
    mkdir "$tree" || die "cannot make $tree"
    if [ -n "${DEMO_DIR:-}" ]; then
        [ -d "$DEMO_DIR" ] || die "DEMO_DIR=$DEMO_DIR: no such directory"
        source=$(cd "$DEMO_DIR" && pwd) || die "DEMO_DIR=$DEMO_DIR cannot be entered"
        [ -n "$(find "$source/" -type f \( -name '*.c' -o -name '*.h' -o -name '*.cc' -o -name '*.cpp' -o \
            -name '*.hpp' \) 2>/dev/null | head -n 1)" ] || die "DEMO_DIR=$DEMO_DIR holds no C or C++ file"
        check_space "$source"
        cp -RP "$source/." "$tree/" 2>"$work/copy.err"
    else
        check_space /usr/include "$top/tests" "$top/coherence" "$top/tools"
        mkdir "$tree/tierkit"
        cp -RP /usr/include "$tree/include" 2>"$work/copy.err"
        for room in coherence examples include tests tiers tools warmers; do
            cp -RP "$top/$room" "$tree/tierkit/" 2>>"$work/copy.err"
        done
    fi
    [ ! -s "$work/copy.err" ] ||
        echo "demo: $(wc -l <"$work/copy.err") files could not be copied; the first: $(head -n 1 "$work/copy.err")" >&2
    chmod -R u+rwX "$tree"
}

# Where includes are looked for: the copy alone, so that each edit is one that the analysis sees.
set_search()
{
    search=
    if [ -n "${DEMO_DIR:-}" ]; then
        search=.
        [ ! -d include ] || search="include ."
    else
        for dir in include include/*-linux-gnu include/*-linux-gnuabi* tierkit tierkit/include; do
            [ ! -d "$dir" ] || search="$search $dir"
        done
    fi
}

# The file that an include of this name most likely means: found by -I, else somewhere.
resolve()
{
    for dir in $search; do
        if [ -f "$dir/$1" ] && [ ! -h "$dir/$1" ]; then
            echo "$dir/$1"
            return
        fi
    done
    find . -type f -path "*/$1" | sort | head -n 1 | sed 's|^\./||'
}

# The line of "#define X" right behind the file's first "#ifndef X"; nothing: no plain include guard.
guard_line()
{
    awk '/^[ \t]*#[ \t]*ifndef[ \t]/ && !name { name = $0; sub(/.*ifndef[ \t]+/, "", name); sub(/[ \t].*/, "", name); next }
        name && /^[ \t]*#[ \t]*define[ \t]/ {
            line = $0; sub(/.*define[ \t]+/, "", line); sub(/[ \t].*/, "", line)
            if (line == name) print NR
            exit
        }
        name && /^[ \t]*[^ \t\/*]/ { exit }' "$1"
}

# The header most often included by name, among those with a guard.
choose_header()
{
    find . -type f \( -name '*.h' -o -name '*.c' -o -name '*.cc' -o -name '*.cpp' -o -name '*.hpp' \) -exec \
        sed -n 's/^[ \t]*#[ \t]*include[ \t]*[<"]\([A-Za-z0-9_.\/+-]*\.h\)[">].*/\1/p' {} + 2>/dev/null |
        sed 's|^\(\.\.*/\)*||' | sort | uniq -c | sort -k1,1nr -k2 | head -n 40 >"$work/included"
    H=
    while read -r included name; do
        H=$(resolve "$name")
        [ -z "$H" ] || [ -z "$(guard_line "$H")" ] || return 0
        H=
    done <"$work/included"
    return 1
}

# The C file with most functions, and how many: a line "{" below one that ends with ')'.
choose_source()
{
    F=
    functions=0
    find . -type f -name '*.c' -exec awk '
        FNR == 1 { before = "" }
        /^\{[ \t]*$/ && before ~ /\)[ \t]*$/ { count[FILENAME]++ }
        { before = $0 }
        END { for (f in count) print count[f], f }' {} + 2>/dev/null |
        sort -k1,1nr -k2 | head -n 1 >"$work/most"
    read -r functions F <"$work/most" || return 1
    F=${F#./}
    [ -n "$F" ]
}

# A declaration in H that disagrees with its definition in F: a finding in one file that points into another,
# so that a wrong position shows on either side.
plant()
{
    name=tierkit_demo_probe
    awk -v at="$(guard_line "$H")" -v name=$name '{ print } NR == at { print "int " name "(int x);" }' "$H" >"$work/new"
    cat "$work/new" >"$H"
    printf '\nlong %s(int x)\n{\n    return x;\n}\n' $name >>"$F"
    cp "$H" "$work/H"
    cp "$F" "$work/F"
}

prepare()
{
    for program in tierlint tiercheck demo/timed demo/floor demo/damage demo/probes.so; do
        [ -e "$BUILD/$program" ] || die "$BUILD/$program is not there: run make demo"
    done
    work=$(mktemp -d "${TMPDIR:-/tmp}/tierkit-demo.XXXXXX") || die "cannot make a directory below ${TMPDIR:-/tmp}"
    work=$(cd "$work" && pwd -P)
    tree=$work/tree
    cache=$work/cache
    copy_tree
    cd "$tree" || die "cannot enter $tree"
    set_search
    choose_header || die "no header with an include guard is included by name in this tree: nothing to edit"
    choose_source || die "no C file with functions in this tree: nothing to edit"
    files=$(find . -type f | wc -l)
    plant
}

say_what()
{
    if [ -n "${DEMO_DIR:-}" ]; then
        what=$DEMO_DIR
    else
        what="/usr/include and of the sources here"
    fi
    printf '%sA copy of %s: %d files, %d MB. tierlint runs over all of it.%s\n' "$bold" "$what" "$files" \
        "$(du -sk . | awk '{ print int($1 / 1024) }')" "$plain"
    printf 'the copy      %s, with its caches at most %d MB; gone at the end\n' "$work" $((need / 1024))
    printf 'the header    %s, included by name %d times\n' "$H" "$included"
    printf 'the source    %s, %d functions\n' "$F" "$functions"
    printf 'planted       %s in both, declared unlike its definition: a finding that points from the one to the other\n\n' \
        $name
}
