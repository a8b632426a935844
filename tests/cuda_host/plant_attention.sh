#!/bin/bash
# Plants one error at a time into a copy of the attention kernels and runs their test: every error
# must be caught.  Prints which schedule catches it; exit status 1 when one is missed.
#
#   plant_attention.sh [NUMBER...]   from the top of the repository; JOBS=2
# An error that only a sanitizer can see is marked asan: then the test is built with it.
set -u
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
FLAGS="-std=c++17 -g -O1 -fno-strict-aliasing -ffp-contract=off -DINFERD_HOST_SHIM -I. -D_GNU_SOURCE -march=x86-64-v3 -DINFERD_DEBUG_CHECKS=1"
KERNELS="attention_mma attention_simple attention_merge"
HOST="cuda/attention.c config/base/status.c config/base/check.c config/base/str.c engine/ops.c"

# file ~ perl substitution ~ what is wrong
errors=(
    'attention_mma.cuh~s/key >= hi\) st/key > hi) st/~mma: a row sees the key behind its own'
    'attention_mma.cuh~s/key < lo \|\| key/key < lo - 1 || key/~mma: the window is one key too wide'
    'attention_mma.cuh~s/table\[key \/ a.block_size\]/table[key \/ a.block_size - (key > 64 \&\& key % a.block_size == 0)]/~mma: a block too early in the table'
    'attention_mma.cuh~s/key0 \+ r < w.hi/key0 + r <= w.hi/~mma: loads the slot behind the end'
    'attention_mma.cuh~s/>= w.hi\) scales/>= w.hi + 32) scales/~mma: uses scales behind the end'
    'attention_mma.cuh~s/st.l\[mt\]\[h\] = fmaf\(st.l\[mt\]\[h\], keep, sum\)/st.l[mt][h] += sum/~mma: the sum of weights is not rescaled'
    'attention_mma.cuh~s/if \(!__any_sync\(FULL, keep/if (__any_sync(FULL, keep/~mma: results are rescaled at the wrong steps'
    'attention_mma.cuh~s/widen\(r\[i\], &b\[0\]\[i\], &b\[1\]\[i\]\)/widen(r[i], \&b[1][i], \&b[0][i])/~mma: even and odd columns of int8 swapped'
    'attention_mma.cuh~s/\(span - w.item.span\) \* w.item.n_rows/span * w.item.n_rows/~mma: partial results at the wrong place'
    'attention_mma.cuh~s/r >= w.item.n_rows\) continue/r > w.item.n_rows) continue/~mma: writes a row too many'
    'attention_mma.cuh~s/chunk \^ \(row & 7\)/chunk ^ (row \& 3)/~mma: a swizzle that only costs time (must pass)'
    'attention_mma.cu~s/cp_async_wait<SLOTS - 2>/cp_async_wait<SLOTS - 1>/~mma: waits for one copy too few'
    'attention_mma.cu~s/team_sync<BLOCK>\(\);\n(\s+const int next)/$1/~mma: no barrier before a slot is filled again'
    'attention_mma.cu~s/at == 0 \? SLOTS - 1 : at - 1/at/~mma: fills the slot that is being read'
    'attention_mma.cu~s/if \(!started\) start_span\(st\)/if (u == 0) start_span(st)/~mma: a span goes on where the last one ended'
    'attention.cuh~s/n \+ n_takers - 1/n + n_takers/~tickets are not set back'
    'attention.cuh~s/fmaxf\(m, ms\), ref/m, ref/~merging: the maximum of the first span stays'
    'attention_merge.cu~s/if \(lane == 0\) before = m;//~merge: the first span of a batch has no predecessor'
    'attention_merge.cu~s/first_seen\(pos, a.shape.window\) \/ ATTN_SPAN/0/~merge: takes spans that nobody wrote'
    'attention_merge.cu~s/row.n = pos \/ ATTN_SPAN - span \+ 1/row.n = (pos - 1) \/ ATTN_SPAN - span + 1/~merge: a span too few at a border'
    'attention_simple.cu~s/min\(pos \+ 1,/min(pos + 2,/~simple: a row sees the key behind its own'
    'attention_simple.cu~s/max\(lo, key0\), min/key0, min/~simple: no window within a step'
    'attention_simple.cu~s/p \* value_scale/p/~simple: no scales of values'
    'attention_simple.cu~s/__syncwarp\(\);\n(\s+for \(int e = lane)/$1/~simple: the query is replaced too early'
    'attention.c~s/unit.part = part \+ s \* unit.n_rows/unit.part = part + s/~plan: partial rows overlap'
    'attention.c~s/unit.n_spans = min_int\(n_spans - s, p->piece_spans\)/unit.n_spans = p->piece_spans/~plan: spans that do not exist'
)

build() { # folder of the copy, flags
    cd "$1" || exit 2
    local f out=obj
    mkdir -p $out
    for f in $KERNELS; do
        [ "$out/$f.o" -nt "cuda/$f.cu" ] && [ "$out/$f.o" -nt cuda/attention_mma.cuh ] &&
            [ "$out/$f.o" -nt cuda/attention.cuh ] && continue
        g++ $FLAGS -x c++ -c "cuda/$f.cu" -o "$out/$f.o" || exit 2
    done
    [ -e $out/test.o ] || g++ $FLAGS -x c++ -c tests/cuda_host/test_attention.cu -o $out/test.o || exit 2
    for f in cuda_host device_host; do
        [ -e $out/$f.o ] || g++ $FLAGS -O2 -c tests/cuda_host/$f.cpp -o $out/$f.o || exit 2
    done
    for f in $HOST; do
        gcc -std=c11 -g -O1 -I. -D_GNU_SOURCE -DINFERD_DEBUG_CHECKS=0 -c "$f" -o "$out/$(basename "$f").o" || exit 2
    done
    g++ $out/*.o -lpthread -o $out/test || exit 2
}

run() { # folder, arguments: true when the test passes
    timeout 120 "$1/obj/test" "${@:2}" >"$1/log" 2>&1
}

plant() { # number
    local file what edit caught="" s dir=$work/$1
    IFS='~' read -r file edit what <<<"${errors[$1]}"
    mkdir -p "$dir" && cp -rp "$work/base/." "$dir"
    perl -0pi -e "$edit" "$dir/cuda/$file"
    if cmp -s "$dir/cuda/$file" "$work/base/cuda/$file"; then
        echo "$1 STALE: $what ($edit changes nothing)"
        return 1
    fi
    touch "$dir/cuda/$file"
    (build "$dir") >"$dir/build.log" 2>&1 || { echo "$1 DOES NOT BUILD: $what"; return 1; }
    for s in forward reverse 1 2 3; do run "$dir" $s quick || caught="$caught $s"; done
    rm -rf "$dir"
    case $what in
    *"(must pass)") [ -z "$caught" ] && echo "$1 passes: $what" && return 0 ;;
    *) [ -n "$caught" ] && echo "$1 caught ($caught ): $what" && return 0 ;;
    esac
    echo "$1 WRONG: $what"
    return 1
}

mkdir -p "$work/base/cuda" "$work/base/tests"
cp -rp cuda "$work/base/" && cp -rp config engine "$work/base/" && cp -rp tests/cuda_host "$work/base/tests/" || exit 2
(build "$work/base") || exit 2
run "$work/base" forward quick || { cat "$work/base/log"; echo "the test fails as it is"; exit 2; }
failed=0
for i in "${@:-}" ; do
    [ -n "$i" ] && { plant "$i" || failed=1; }
done
[ $# -gt 0 ] && exit $failed
pids=()
for i in "${!errors[@]}"; do
    plant "$i" & pids+=($!)
    [ "$(jobs -r | wc -l)" -ge "${JOBS:-2}" ] && wait -n
done
for p in "${pids[@]}"; do wait "$p" || failed=1; done
exit $failed
