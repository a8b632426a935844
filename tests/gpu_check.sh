#!/bin/bash
# gpu_check.sh BUILD: on a machine with a GPU, what `make gpu-check` has built: every operator's cases
# on the GPU beside the CPU, a trained model's known text, the toolkit's sanitizers, and the times.
# Ends in "N passed, N failed".
set -u
build=$1
plugin=$build/libinferd-cuda.so
optest=$build/tests/optest
ok=0 bad=0
step() { # step NAME COMMAND...
    local name=$1 t=$SECONDS
    shift
    echo "==== $name"
    if "$@"; then ok=$((ok + 1)); else bad=$((bad + 1)) && echo "==== $name FAILED"; fi
    echo "==== $name: $((SECONDS - t)) s"
}
sanitize() { # sanitize TOOL FILTER
    compute-sanitizer --tool "$1" --error-exitcode 9 --print-limit 20 \
        "$optest" --backend cuda --plugin "$plugin" --filter "$2"
}
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
step "case table" timeout 600 "$optest" --backend cuda --plugin "$plugin"
step "stories260K" env INFERD_CUDA_PLUGIN="$plugin" timeout 300 "$build/tests/unit/test_stories"
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck synccheck; do
        for cases in "attention bfloat16 H4" "linear bfloat16 T13" "linear bfloat16->int8 T5" "linear bfloat16->w8a16 T9" "rmsnorm quantised T3"; do
            step "$tool: $cases" timeout 300 bash -c "$(declare -f sanitize); optest=$optest plugin=$plugin; sanitize $tool '$cases'"
        done
    done
else
    echo "==== compute-sanitizer is not on the PATH: not run"
fi
step "times" timeout 300 "$optest" --bench --backend cuda --plugin "$plugin"
echo "$ok passed, $bad failed"
[ "$bad" -eq 0 ]
