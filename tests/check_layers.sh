#!/bin/sh
# Includes point one way: server > scheduler > engine > engine/cpu|cuda, and config under all.
# A word that belongs to one layer must not show up in another.  Prints each offending line and
# exits 1.
cd "$(dirname "$0")/.." || exit 2
fail=0
sources() { find "$1" -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh'; }
# $1 folder, $2 regex of include paths that it must not use
check() {
    [ -d "$1" ] || return
    bad=$(sources "$1" | xargs -r grep -nE "^ *# *include \"($2)")
    if [ -n "$bad" ]; then
        printf 'layer violation in %s:\n%s\n' "$1" "$bad"
        fail=1
    fi
}
# $1 folder, $2 regex of words that it must not use, $3 why
forbid() {
    [ -d "$1" ] || return
    bad=$(sources "$1" | xargs -r grep -nE "$2")
    if [ -n "$bad" ]; then
        printf '%s in %s:\n%s\n' "$3" "$1" "$bad"
        fail=1
    fi
}
check config '(server|scheduler|engine|cuda)/'
check engine '(server|scheduler|cuda)/'
check engine/cpu 'engine/(load|tokenizer|template|model|engine)'
check scheduler '(server|cuda)/|engine/(cpu|load|tokenizer|template|backend|ops|model|engine)'
check cuda '(server|scheduler)/|engine/(cpu|load|tokenizer|template|model)'
check server '(engine/cpu|cuda)/'
forbid scheduler 'pthread_|clock_now|clock_gettime|uv_|<time\.h>|cuda' 'thread, clock, I/O or device word'
forbid engine 'microhttpd|uv_loop|cuda_runtime|HTTP/1' 'HTTP or CUDA word'
exit $fail
