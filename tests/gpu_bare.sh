#!/bin/bash
# gpu_bare.sh: whether a machine with nothing but nvcc, gcc, make and Python can build what `make gpu-check` and
# `make gpu-bench` run.  In a mount namespace of its own, where the headers and libraries that Debian's packages have
# installed are hidden, it builds both, with the folder of `make gpu-deps` (made here where it is missing) alone; looks that no
# library of theirs comes from elsewhere; and runs the small form of gpu-bench with the kernels as host code.  Needs root.
set -eu
cd "$(dirname "$0")/.."
if [ "${1:-}" != hidden ]; then
    [ "$(id -u)" = 0 ] || { echo "gpu_bare.sh: needs root, to hide packages" >&2; exit 2; }
    [ -d build/gpu-deps ] || make gpu-deps
    exec unshare --mount "$0" hidden
fi
runtime="libuv1 libmicrohttpd12 libcjson1 libutf8proc2 libyaml-0-2 libxxhash0 libedit2 libcmocka0"
n=0
for file in $(dpkg -L $(make -s gpu-packages) $runtime 2>/dev/null | grep -E '^/usr/(include|lib)/' | sort -u); do
    [ -f "$file" ] && [ ! -L "$file" ] || continue
    mount --bind /dev/null "$file"
    n=$((n + 1))
done
echo "$n files are hidden"
if echo '#include <uv.h>
uv_loop_t loop;' | gcc -xc -c -o /dev/null - 2>/dev/null; then
    echo "gpu_bare.sh: uv.h is still there" >&2
    exit 1
fi
bare="make -j${JOBS:-2} CUDA=1 WERROR=1 BUILD_ROOT=build/bare GPU_DEPS=build/gpu-deps"
$bare BARE=engine gpu-check-bins
$bare BARE=server all build/bare/release/libinferd-cuda-host.so
for program in inferd tests/optest tests/unit/test_stories; do
    libs=$(ldd "build/bare/release/$program")
    if echo "$libs" | grep -E 'not found'; then exit 1; fi
    # Of the system: the C library and what gcc brings.
    if echo "$libs" | grep -v "$PWD/build/gpu-deps/" | grep -vE 'linux-vdso|ld-linux|lib(c|m|dl|rt|pthread|resolv|gcc_s|stdc\+\+)\.so'; then
        echo "gpu_bare.sh: $program takes these from the system" >&2
        exit 1
    fi
    echo "$program: $(echo "$libs" | grep -c "$PWD/build/gpu-deps/") libraries, all of build/gpu-deps"
done
python3 tests/bench/gpu_bench.py --tiny --binary build/bare/release/inferd --plugin build/bare/release/libinferd-cuda-host.so \
    --out build/gpu-bare
