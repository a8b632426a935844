#!/bin/bash
# gpu_check.sh BUILD [PLUGIN [PATTERN]]: on a machine with a GPU, what `make gpu-check` has built: every operator's
# cases on the GPU beside the CPU, what two trained models say there, the toolkit's sanitizers, and the times.
# PATTERN (grep -E): only the steps whose names it finds.  PLUGIN libinferd-cuda-host.so: the kernels as host code, where there is
# no GPU.  Ends in "N passed, N failed, N not run".
set -u
cd "$(dirname "$0")/.." || exit 2
build=$1
plugin=${2:-$build/libinferd-cuda.so}
pattern=${3:-}
optest=$build/tests/optest
ok=0 bad=0 none=0
case $plugin in
*-host.so) ;; # beside the tests, which find it and take less of it
*) export INFERD_CUDA_PLUGIN=$plugin ;;
esac
wanted() { [[ -z $pattern ]] || grep -qE -e "$pattern" <<<"$1"; }
step() { # step NAME COMMAND...
    local name=$1 t=$SECONDS
    shift
    wanted "$name" || return 0
    echo "==== $name"
    if "$@"; then ok=$((ok + 1)); else bad=$((bad + 1)) && echo "==== $name FAILED"; fi
    echo "==== $name: $((SECONDS - t)) s"
}
not_run() { # not_run NAME WHY
    wanted "$1" || return 0
    none=$((none + 1))
    echo "==== $1: not run: $2"
}
sanitize() { # sanitize TOOL FILTER
    compute-sanitizer --tool "$1" --error-exitcode 9 --print-limit 20 \
        "$optest" --backend cuda --plugin "$plugin" --filter "$2"
}
backends() { timeout 300 "$build/tests/unit/test_backends" "test_$1"; }

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true
step "case table: operators against float64" timeout 600 "$optest" --backend cuda --plugin "$plugin"
step "case table: the CPU's bits of integer linears" timeout 300 "$optest" --backend cuda --plugin "$plugin" --filter '->int8 '
if [ -f "${INFERD_SHARED:-../shared}/models/stories260K/expected.json" ]; then
    step "stories260K: greedy ids and log-probabilities of expected.json, captured and launched steps with the same bits" \
        timeout 300 "$build/tests/unit/test_stories"
else
    not_run "stories260K: greedy ids of expected.json" "INFERD_SHARED names no folder with models/stories260K"
fi
step "demo model: log-probabilities of CPU and GPU, float32" backends float32
step "demo model: log-probabilities of CPU and GPU, bfloat16" backends bfloat16
step "demo model: log-probabilities of CPU and GPU, int8" backends int8
step "demo model: log-probabilities of CPU and GPU, int8-w8a16" backends w8a16
step "demo model: log-probabilities of CPU and GPU, cache in int8" backends int8_cache
step "demo model: captured and launched steps, the same bits in every precision" backends captured_steps
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck synccheck; do
        for cases in "attention bfloat16 H4" "linear bfloat16 T13" "linear bfloat16->int8 T5" "linear bfloat16->w8a16 T9" "rmsnorm quantised T3"; do
            step "$tool: $cases" timeout 300 bash -c "$(declare -f sanitize); optest=$optest plugin=$plugin; sanitize $tool '$cases'"
        done
    done
else
    not_run "compute-sanitizer" "not on the PATH"
fi
step "times" timeout 300 "$optest" --bench --backend cuda --plugin "$plugin"
echo "$ok passed, $bad failed, $none not run"
[ "$bad" -eq 0 ]
