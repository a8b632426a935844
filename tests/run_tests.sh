#!/bin/bash
# run_tests.sh [SUITE...]: runs the suites (default: all) of the build in $BUILD and ends in one line
# `N passed, N failed`.  Exit status 1 when anything failed.  Suites:
#   layers  include directions        unit  CMocka programs         ops   operator case table
#   sim     scheduler simulation      diff  against PyPI tokenizers and Jinja2
#   fuzz    a few seconds per target  http  pytest against the server    load  http under load
#   cuda    GPU kernels as host code  docs  the commands that the documentation shows
# As many programs run at once as TEST_JOBS says (one a core), of one suite or of several that have only
# programs of one thread.
set -u
cd "$(dirname "$0")/.." || exit 2
BUILD=${BUILD:-build/release}
VENV=${VENV:-build/venv}
export INFERD_SHARED=${INFERD_SHARED:-../shared}
export INFERD_BIN=${INFERD_BIN:-$PWD/$BUILD/inferd}
export INFERD_BUILD=$BUILD
logs=$BUILD/test-logs
mkdir -p "$logs"
counts=$logs/counts
: >"$counts"
TEST_JOBS=${TEST_JOBS:-$(nproc)}
started=0

# number LOG PATTERN: the last number that the pattern's first group finds in the log
number() { sed -nE "s/$2/\\1/p" "$1" | tail -n 1; }
# judge NAME COMMAND...: output to the log; counts by what the program says, else by its exit code
judge() {
    local name=$1 log=$logs/$1.log rc n_ok n_bad n_skip
    shift
    "$@" >"$log" 2>&1
    rc=$?
    n_ok=$(number "$log" '.*[^0-9]([0-9]+) ([a-z]+ )?passed.*')
    [ -n "$n_ok" ] || n_ok=$(number "$log" '^([0-9]+) ([a-z]+ )?passed.*')
    [ -n "$n_ok" ] || n_ok=$(number "$log" '.*\[  PASSED  \] ([0-9]+) test.*')
    n_bad=$(number "$log" '.*[^0-9]([0-9]+) failed.*')
    [ -n "$n_bad" ] || n_bad=$(number "$log" '^([0-9]+) failed.*')
    [ -n "$n_bad" ] || n_bad=$(number "$log" '.*\[  FAILED  \] ([0-9]+) test.*')
    n_skip=$(number "$log" '.*[^0-9]([0-9]+) skipped.*')
    [ -n "$n_skip" ] || n_skip=$(number "$log" '.*\[  SKIPPED \] ([0-9]+) test.*')
    : "${n_ok:=0}" "${n_bad:=0}" "${n_skip:=0}"
    if [ "$rc" -ne 0 ] && [ "$n_bad" -eq 0 ]; then
        n_bad=1
        echo "exit status $rc" >>"$log"
    fi
    [ "$rc" -eq 0 ] && [ "$n_ok" -eq 0 ] && [ "$n_skip" -eq 0 ] && n_ok=1
    echo "$n_ok $n_bad $n_skip" >>"$counts"
    if [ "$n_bad" -gt 0 ]; then
        printf 'FAIL %-28s %s passed, %s failed (log: %s)\n' "$name" "$n_ok" "$n_bad" "$log"
        grep -aE '\[  FAILED  \]|\[   LINE   \]|^FAILED|^ERROR|ERROR: |SUMMARY|assert|MISMATCH|failed|error:' "$log" | head -40
        tail -n 15 "$log"
    else
        printf 'ok   %-28s %s passed%s\n' "$name" "$n_ok" "$([ "$n_skip" -gt 0 ] && echo ", $n_skip skipped")"
    fi
}
# run NAME COMMAND...: one of a suite's programs, when there is room for it
run() {
    started=$((started + 1))
    while [ "$(jobs -rp | wc -l)" -ge "$TEST_JOBS" ]; do wait -n; done
    {
        text=$(judge "$@")
        echo "$text"
    } &
}
suite_layers() {
    run layers tests/check_layers.sh
    run symbols tests/check_symbols.sh "$BUILD/libinferd.a"
}
suite_unit() {
    local t
    for t in tests/unit/test_*.c; do
        t=$(basename "$t" .c)
        run "$t" timeout 300 "$BUILD/tests/unit/$t"
    done
}
suite_ops() { run optest timeout 600 "$BUILD/tests/optest"; }
suite_cuda() {
    local t args=()
    # Fewer shapes where each access is checked; the schedule and `quick` mean nothing to some tests.
    case $BUILD in *asan | *tsan) args=(f quick) ;; esac
    # The whole backend: sanitizers see the kernels in the tests below.  The longest comes first.
    if [ ${#args[@]} -eq 0 ]; then
        run cuda_optest timeout 900 "$BUILD/tests/optest" --backend cuda --plugin "$BUILD/libinferd-cuda-host.so"
        # Whether the tests notice an error in each family of kernels; other builds link in other ways.
        case $BUILD in *release)
            run cuda_planted timeout 600 tests/cuda_host/plant.sh - tests/cuda_host/quick.bugs ;;
        esac
        # Fresh memory holds large numbers, not NaN and -1.
        run cuda_fill env INFERD_CUDA_HOST_FILL=7f timeout 300 "$BUILD/tests/cuda_host/test_fused" f quick
    fi
    for t in tests/cuda_host/test_*.cu; do
        t=$(basename "$t" .cu)
        run "cuda_$t" timeout 300 "$BUILD/tests/cuda_host/$t" "${args[@]}"
    done
}
suite_sim() { run simtest timeout 900 "$BUILD/tests/simtest"; }
suite_diff() {
    run tokenizer_diff timeout 900 "$VENV/bin/python" tests/golden/tokenizer_diff.py
    run sentencepiece_diff timeout 300 "$VENV/bin/python" tests/golden/sentencepiece_diff.py
    run tiktoken_diff timeout 300 "$VENV/bin/python" tests/golden/tiktoken_diff.py
    run template_diff timeout 300 "$VENV/bin/python" tests/golden/template_diff.py
    run chat_diff timeout 300 "$VENV/bin/python" tests/golden/chat_diff.py
}
suite_fuzz() {
    local t dir
    for t in tests/fuzz/fuzz_*.c; do
        t=$(basename "$t" .c)
        dir=$logs/$t.corpus
        mkdir -p "$dir"
        run "$t" timeout 120 "build/fuzz/$t" -max_total_time="${FUZZ_SECONDS:-6}" -timeout=20 \
            -rss_limit_mb=4096 -artifact_prefix="$logs/$t." \
            $([ -f "tests/fuzz/$t.dict" ] && echo "-dict=tests/fuzz/$t.dict") "$dir" $([ -d "tests/fuzz/seeds/$t" ] && echo "tests/fuzz/seeds/$t")
    done
}
pytest() { "$VENV/bin/python" -m pytest -q -p no:cacheprovider --tb=short "$@"; }
suite_http() { run http pytest tests/http -m "not load" -n "$TEST_JOBS" --dist loadfile ${HTTP_ARGS:-}; }
suite_load() { run load pytest tests/http -m load; }
suite_docs() { run docs "$VENV/bin/python" tests/run_docs.py; }

# Two of the longest first.
suites=${*:-layers unit cuda diff ops sim fuzz http load docs}
start=$SECONDS t=$SECONDS together=
finish() {
    wait
    [ -z "$together" ] || echo "----$together: $((SECONDS - t)) s"
    t=$SECONDS together=
}
shares() { [[ " ops cuda diff sim fuzz " == *" $1 "* ]]; } # the cores with others of these
for s in $suites; do
    shares "$s" || finish
    "suite_$s"
    together="$together $s"
    shares "$s" || finish
done
finish
read -r passed failed skipped < <(awk '{ p += $1; f += $2; s += $3 } END { print p + 0, f + 0, s + 0 }' "$counts")
lost=$((started - $(wc -l <"$counts"))) # programs of which nobody heard
[ "$lost" -eq 0 ] || echo "FAIL $lost programs gave no result"
failed=$((failed + lost))
echo "all suites: $((SECONDS - start)) s, $skipped skipped"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
