#!/bin/sh
# cuda_docs.sh PAGE FILE.ptxas...: whether the page's table of kernels, lines of "| `k_x` | registers |
# static shared memory |" for sm_90, is what the compiler named in the page's "nvcc N.N" says.  Another
# compiler may differ; then nothing is compared.
page=$1
shift
says=$("${NVCC:-nvcc}" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')
grep -q "nvcc $says" "$page" || { echo "docs: the table is not of nvcc $says"; exit 0; }
"$(dirname "$0")/cuda_check.sh" "$@" | awk '
NR == FNR {
    if (match($0, / sm_90 /)) {
        name = substr($0, 1, RSTART - 1); sub(/ +$/, "", name)
        split(substr($0, RSTART + RLENGTH), n)
        have[name] = n[1] " " n[2]
    }
    next
}
/^\| `k_/ {
    split($0, f, "|"); split(f[2], q, "`")
    rows++
    says = f[3] + 0 " " f[4] + 0
    if (have[q[2]] != says) { bad++; printf "%s: the page says %s, nvcc %s\n", q[2], says, have[q[2]] }
}
END { printf "docs: %d kernels, %d differ\n", rows, bad; exit rows == 0 || bad }' - "$page"
