#!/bin/bash
# plant.sh TEST BUGS [PATTERN]: whether a test of the kernels can fail.  Each line of BUGS names a file, a sed
# command that breaks one line of it, and what that is, separated by tabs.  The broken copy is compiled
# in place of the file (with all that include it), linked with the rest of $BUILD, and must fail
# under one of the schedules.  With PATTERN (grep -E), only the lines that it finds.  Needs `make tests`.
#
# TEST: one of test_*.cu in this folder, or optest, the case table; - where each line says so itself, in a fourth
# column: TEST and its arguments, in place of the schedules.  optest's are the cases' filter.  quick.bugs has one error
# of each family, for every run of the suite.
set -u
cd "$(dirname "$0")/../.." || exit 2
BUILD=${BUILD:-build/release}
test=$1 bugs=$2 pattern=${3:-}
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
CXX="${CXX:-g++} -std=c++17 -O1 -fPIC -fno-strict-aliasing -ffp-contract=off -march=x86-64-v3"
CC="${CC:-gcc} -std=c11 -O1 -fPIC -ffp-contract=off -march=x86-64-v3"
DEFS="-D_GNU_SOURCE -DINFERD_HOST_SHIM -DINFERD_DEBUG_CHECKS=0 -I$tmp -I."

compile() { # source files that are, or include, $1
    local src out
    for src in $(grep -l " $1" "$BUILD"/cuda_host/cuda/*.d); do
        src=${src#"$BUILD"/cuda_host/} src=${src%.d}
        [ -e "$tmp/$src" ] || cp "$src" "$tmp/$src"
        out=$tmp/$(basename "$src").o
        case $src in
        *.c) $CC $DEFS -c "$tmp/$src" -o "$out" || return 1 ;;
        *.cu) $CXX $DEFS -x c++ -c "$tmp/$src" -o "$out" || return 1 ;;
        esac
    done
    # Objects come first: the library's own of that name is not looked at any more.
    if [ "$program" = optest ]; then
        g++ -shared "$tmp"/*.o $(plug_in_objects) "$BUILD/libinferd.a" -Wl,-z,defs,--exclude-libs,libinferd.a \
            -lpthread -lm -o "$tmp/plugin.so"
    else
        g++ "$tmp"/*.o "$BUILD/cuda_host/tests/cuda_host/$program.cu.o" "$BUILD/libinferd-cuda-host.a" \
            "$BUILD/libinferd.a" -lpthread -lm -o "$tmp/$program"
    fi
}
plug_in_objects() { # those that were not broken
    local o
    for o in "$BUILD"/cuda_host/cuda/*.o "$BUILD"/cuda_host/tests/cuda_host/*.cpp.o; do
        [ -e "$tmp/$(basename "$o")" ] || echo "$o"
    done
}
run_test() { # with $args
    if [ "$program" = optest ]; then
        timeout 120 "$BUILD/tests/optest" --backend cuda --plugin "$tmp/plugin.so" ${args:+--filter "$args"}
    else
        timeout 120 "$tmp/$program" $args
    fi
}

planted=0 missed=0
while IFS=$'\t' read -r file edit what own; do
    case $file in '' | '#'*) continue ;; esac
    read -r program args <<<"${own:-$test}"
    schedules="f r 1 2 3"
    [ -z "$own" ] && [ "$program" != optest ] || schedules=once
    rm -rf "$tmp"/*
    mkdir -p "$tmp/$(dirname "$file")"
    planted=$((planted + 1))
    sed "$edit" "$file" >"$tmp/$file"
    if [ "$(diff "$file" "$tmp/$file" | grep -c '^<')" != 1 ]; then
        echo "FAIL $what: the edit must change one line of $file"
        missed=$((missed + 1))
        continue
    fi
    if ! compile "$file" >"$tmp/log" 2>&1; then
        echo "FAIL $what: does not compile"
        head -5 "$tmp/log"
        missed=$((missed + 1))
        continue
    fi
    caught=
    for schedule in $schedules; do
        [ "$schedule" = once ] || args=$schedule
        # In a shell of its own, which keeps the word of a crash to itself.
        (run_test; exit $?) >"$tmp/log" 2>&1 || { caught=$schedule && break; }
    done
    if grep -q '^optest: 0 cases passed, 0 failed' "$tmp/log"; then
        echo "FAIL $what: the case table has no $args"
        missed=$((missed + 1))
    elif [ -n "$caught" ]; then
        echo "ok   $what${own:+: $own}$([ "$caught" = once ] || echo " (schedule $caught)")"
    else
        echo "FAIL $what: nobody noticed"
        missed=$((missed + 1))
    fi
done < <(grep -E -e "$pattern" "$bugs")
echo "$((planted - missed)) passed, $missed failed: errors that were noticed, and not"
[ "$planted" -gt 0 ] && [ "$missed" -eq 0 ]
