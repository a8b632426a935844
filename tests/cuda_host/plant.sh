#!/bin/bash
# plant.sh TEST BUGS [PATTERN]: whether a test of the kernels can fail.  Each line of BUGS names a file, a sed
# command that breaks one line of it, and what that is, separated by tabs.  The broken copy is compiled
# in place of the file (with all that include it), linked with the rest of $BUILD, and must fail
# under one of the schedules.  With PATTERN (grep -E), only the lines that it finds.  Needs `make tests`.
set -u
cd "$(dirname "$0")/../.." || exit 2
BUILD=${BUILD:-build/release}
test=$1 bugs=$2 pattern=${3:-}
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
CXX="${CXX:-g++} -std=c++17 -O1 -fno-strict-aliasing -ffp-contract=off -march=x86-64-v3"
CC="${CC:-gcc} -std=c11 -O1 -ffp-contract=off -march=x86-64-v3"
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
    g++ "$tmp"/*.o "$BUILD/cuda_host/tests/cuda_host/$test.cu.o" "$BUILD/libinferd-cuda-host.a" \
        "$BUILD/libinferd.a" -lpthread -lm -o "$tmp/$test"
}

planted=0 missed=0
while IFS=$'\t' read -r file edit what; do
    case $file in '' | '#'*) continue ;; esac
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
    for schedule in f r 1 2 3; do
        # In a shell of its own, which keeps the word of a crash to itself.
        (timeout 120 "$tmp/$test" $schedule; exit $?) >"$tmp/log" 2>&1 || { caught=$schedule && break; }
    done
    if [ -n "$caught" ]; then
        echo "ok   $what (schedule $caught)"
    else
        echo "FAIL $what: nobody noticed"
        missed=$((missed + 1))
    fi
done < <(grep -E -e "$pattern" "$bugs")
echo "$((planted - missed)) errors caught, $missed missed"
[ "$planted" -gt 0 ] && [ "$missed" -eq 0 ]
