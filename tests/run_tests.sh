#!/bin/bash
# run_tests.sh [SUITE...]: runs the suites (default: all) of the build in $BUILD and ends in one line
# `N passed, N failed`.  Exit status 1 when anything failed.  Suites:
#   layers  include directions        unit  CMocka programs         ops   operator case table
#   sim     scheduler simulation      diff  against PyPI tokenizers and Jinja2
#   fuzz    a few seconds per target  http  pytest against the server    load  http under load
#   cuda    GPU kernels as host code  docs  the commands that the documentation shows
set -u
cd "$(dirname "$0")/.." || exit 2
BUILD=${BUILD:-build/release}
VENV=${VENV:-build/venv}
export INFERD_SHARED=${INFERD_SHARED:-../shared}
export INFERD_BIN=${INFERD_BIN:-$PWD/$BUILD/inferd}
export INFERD_BUILD=$BUILD
logs=$BUILD/test-logs
mkdir -p "$logs"
passed=0 failed=0 skipped=0

# add NAME PASSED FAILED [SKIPPED]
add() {
    passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + ${4:-0}))
    if [ "$3" -gt 0 ]; then
        printf 'FAIL %-28s %s passed, %s failed (log: %s)\n' "$1" "$2" "$3" "$log"
        grep -aE '\[  FAILED  \]|\[   LINE   \]|^FAILED|^ERROR|ERROR: |SUMMARY|assert|MISMATCH|failed|error:' "$log" | head -40
        tail -n 15 "$log"
    else
        printf 'ok   %-28s %s passed%s\n' "$1" "$2" "$([ "${4:-0}" -gt 0 ] && echo ", $4 skipped")"
    fi
}
# number PATTERN: the last number that the pattern's first group finds in the log
number() { sed -nE "s/$1/\\1/p" "$log" | tail -n 1; }
# run NAME COMMAND...: output to the log; counts by what the program says, else by its exit code
run() {
    local name=$1 rc n_ok n_bad n_skip
    shift
    log=$logs/$name.log
    "$@" >"$log" 2>&1
    rc=$?
    n_ok=$(number '.*[^0-9]([0-9]+) ([a-z]+ )?passed.*')
    [ -n "$n_ok" ] || n_ok=$(number '^([0-9]+) ([a-z]+ )?passed.*')
    [ -n "$n_ok" ] || n_ok=$(number '.*\[  PASSED  \] ([0-9]+) test.*')
    n_bad=$(number '.*[^0-9]([0-9]+) failed.*')
    [ -n "$n_bad" ] || n_bad=$(number '^([0-9]+) failed.*')
    [ -n "$n_bad" ] || n_bad=$(number '.*\[  FAILED  \] ([0-9]+) test.*')
    n_skip=$(number '.*[^0-9]([0-9]+) skipped.*')
    [ -n "$n_skip" ] || n_skip=$(number '.*\[  SKIPPED \] ([0-9]+) test.*')
    : "${n_ok:=0}" "${n_bad:=0}" "${n_skip:=0}"
    if [ "$rc" -ne 0 ] && [ "$n_bad" -eq 0 ]; then
        n_bad=1
        echo "exit status $rc" >>"$log"
    fi
    [ "$rc" -eq 0 ] && [ "$n_ok" -eq 0 ] && [ "$n_skip" -eq 0 ] && n_ok=1
    add "$name" "$n_ok" "$n_bad" "$n_skip"
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
    for t in tests/cuda_host/test_*.cu; do
        t=$(basename "$t" .cu)
        run "cuda_$t" timeout 300 "$BUILD/tests/cuda_host/$t" "${args[@]}"
    done
    # The whole backend: sanitizers see the kernels in the tests above.
    [ ${#args[@]} -eq 0 ] && run cuda_optest timeout 900 "$BUILD/tests/optest" --backend cuda \
        --plugin "$BUILD/libinferd-cuda-host.so"
    return 0
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
suite_http() { run http pytest tests/http -m "not load" ${HTTP_ARGS:-}; }
suite_load() { run load pytest tests/http -m load; }
suite_docs() { run docs "$VENV/bin/python" tests/run_docs.py; }

suites=${*:-layers unit ops cuda sim diff fuzz http load docs}
start=$SECONDS
for s in $suites; do
    t=$SECONDS
    "suite_$s"
    echo "---- $s: $((SECONDS - t)) s"
done
echo "all suites: $((SECONDS - start)) s, $skipped skipped"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
