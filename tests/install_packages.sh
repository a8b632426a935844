#!/bin/sh
# install_packages.sh [--try] PACKAGE...: installs the Debian packages that are missing; says which.
# --try: where that cannot be done (no network, another system) it says so and ends with 0, for what is
# needed may be there all the same; if it is not, the compiler says what lacks.
failed=1
[ "$1" = --try ] && { failed=0; shift; }
missing=
for p in "$@"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' ||
        missing="$missing $p"
done
[ -z "$missing" ] && exit 0
command -v apt-get >/dev/null || {
    echo "no apt-get here; needed is what Debian calls:$missing" >&2
    exit $failed
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
    exit $failed
}
