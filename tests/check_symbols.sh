#!/bin/sh
# A global function of ours that has the name of one of libc's replaces it in every library of the
# process ("accept" once did).  $1: the static library.
ours=$(nm -g --defined-only "$1" 2>/dev/null | awk '$2 ~ /[TDB]/ {print $3}' | sort -u)
[ -n "$ours" ] || { echo "no symbols in $1"; exit 1; }
libc=$(for l in libc.so.6 libm.so.6; do
    nm -D --defined-only "/lib/$(uname -m)-linux-gnu/$l" 2>/dev/null
done | awk '{sub(/@.*/, "", $3); print $3}' | sort -u)
clash=$(printf '%s\n%s\n' "$ours" "$libc" | sort | uniq -d)
[ -z "$clash" ] || { echo "names that belong to libc: $clash"; exit 1; }
