#!/bin/bash
# fresh_debian.sh [--no-tests] [DIR]: what a new user has.  Makes a minimal Debian 12 root in DIR by debootstrap with no more than
# git and make in it, clones the committed state into it, and there: `make run`, a chat answer by curl, `make test`.
# Needs root and the package debootstrap.  The root uses this machine's package mirrors and certificates; nothing of the
# folder beside the checkout (INFERD_SHARED) is in it.  DIR (default: build/fresh-debian) is made anew and removed at the end;
# KEEP=1 keeps it.
set -eu
cd "$(dirname "$0")/.."
tests=1
[ "${1:-}" = --no-tests ] && { tests=0; shift; }
root=$(realpath -m "${1:-build/fresh-debian}")
port=${PORT:-8123}
log=$root.log
[ "$(id -u)" = 0 ] || { echo "fresh_debian.sh: needs root, for chroot" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "fresh_debian.sh: apt-get install debootstrap" >&2; exit 2; }

server=
in_root() { chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"; }
unmount() {
    for m in dev/pts dev proc; do
        mountpoint -q "$root/$m" && umount "$root/$m"
    done
    return 0
}
clean() {
    [ -n "$server" ] && kill "$server" 2>/dev/null && wait "$server"
    unmount
    [ -n "${KEEP:-}" ] || rm -rf --one-file-system "$root"
}
step() { echo "==== $* ($SECONDS s)"; }

unmount
rm -rf --one-file-system "$root"
mkdir -p "$root"
trap clean EXIT
step "debootstrap"
mirror=$(sed -nE 's/^(URIs:|deb( \[[^]]*\])?) *(http[^ ]*debian)\/? .*$/\3/p; s/^URIs: *(http[^ ]*debian)\/?$/\1/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
debootstrap --variant=minbase --include=git,make,ca-certificates bookworm "$root" "${mirror:-http://deb.debian.org/debian}" >"$log"
rm -f "$root/etc/apt/sources.list"
for f in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources /etc/apt/apt.conf.d/*; do
    [ -f "$f" ] && cp "$f" "$root$f"
done
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount --bind /dev/pts "$root/dev/pts"

step "clone and make run"
git clone -q --no-hardlinks . "$root/root/inferd"
in_root make -C /root/inferd run PORT="$port" >>"$log" 2>&1 &
server=$!
# Until it answers; the build's time is the loop's bound.
curl -fsS --retry 900 --retry-connrefused --retry-all-errors --retry-delay 1 --retry-max-time 900 -o /dev/null \
    "http://127.0.0.1:$port/health/ready" 2>/dev/null || { tail "$log"; exit 1; }
step "ready"
answer=$(curl -fsS "http://127.0.0.1:$port/v1/chat/completions" -H 'Content-Type: application/json' \
    -d '{"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}')
echo "$answer"
case $answer in
*Paris*) ;;
*) echo "fresh_debian.sh: no chat answer" >&2; exit 1 ;;
esac
pkill -TERM -f "^build/inferd serve.* --port $port" || true
wait "$server" || true
server=
[ "$tests" = 1 ] || exit 0
step "make test"
set -o pipefail # a failed test counts, not that its line was found
in_root make -C /root/inferd test 2>&1 | tee -a "$log" | grep -E '^(ok|FAIL|----|all suites|[0-9]+ passed)'
step "done"
