#!/bin/sh
# Installs the Debian packages named as arguments that are missing; says which.
missing=
for p in "$@"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' ||
        missing="$missing $p"
done
[ -z "$missing" ] && exit 0
command -v apt-get >/dev/null || {
    echo "missing packages (no apt-get here, install them by hand):$missing" >&2
    exit 1
}
echo "installing missing Debian packages:$missing"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
# A fresh machine has no package lists yet.
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 || {
    $sudo apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
} || {
    echo "could not install:$missing" >&2
    exit 1
}
