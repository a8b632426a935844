#!/bin/sh
# cuda_check.sh [--c] FILE.ptxas...: what `nvcc -Xptxas -v` said of every kernel as a table; exit status 1
# when a kernel spills registers, or when the files name no kernel at all.  --c: as the C source of
# cuda/resources.h's table, spills or not.
as_c=0
[ "$1" = --c ] && { as_c=1; shift; }
filter=cat
for f in cu++filt c++filt; do command -v "$f" >/dev/null && { filter=$f; break; }; done
cat "$@" </dev/null | "$filter" | awk -v as_c="$as_c" '
BEGIN {
    if (as_c) print "#include \"cuda/resources.h\"\n\nstatic const struct kernel_resources all[] = {"
}
function number_before(text, word,    at) {
    at = match(text, "[0-9]+ " word)
    return at ? substr(text, RSTART, RLENGTH) + 0 : 0
}
/Compiling entry function/ {
    arch = $0; sub(/.*for ./, "", arch); sub(/.$/, "", arch)
    name = $0; sub(/.*entry function ./, "", name); sub(/. for .sm_.*/, "", name)
    sub(/^void /, "", name); gsub(/\(anonymous namespace\)::/, "", name); sub(/\(.*/, "", name)
    gsub(/\(int\)|\(bool\)/, "", name)
}
/bytes stack frame/ {
    stack = number_before($0, "bytes stack"); stores = number_before($0, "bytes spill stores")
    loads = number_before($0, "bytes spill loads")
}
/Used [0-9]+ registers/ {
    smem = number_before($0, "bytes smem")
    registers = $0; sub(/.*Used /, "", registers)
    n++
    if (as_c) printf "    {\"%s\", \"%s\", %d, %d, %d},\n", name, arch, registers, smem, stores + loads
    if (!as_c && n == 1) printf "%-52s %-8s %9s %7s %6s %6s\n", "kernel", "for", "registers", "shared", "stack", "spills"
    if (!as_c) printf "%-52s %-8s %9d %7d %6d %6d\n", name, arch, registers + 0, smem, stack, stores + loads
    spilled += stores + loads > 0
    stack = stores = loads = 0
}
END {
    if (as_c) {
        print "    {0, 0, 0, 0, 0}};\n\nconst struct kernel_resources *cuda_resources(void)\n{\n    return all;\n}"
        exit n == 0
    }
    printf "%d kernels passed, %d failed: they spill\n", n - spilled, spilled
    exit n == 0 || spilled
}'
