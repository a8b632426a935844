#!/bin/sh
# gpu_deps.sh FOLDER PACKAGE...: Debian packages, unpacked into FOLDER and not installed: what the checks
# on a GPU machine need beside nvcc and gcc.  Carry FOLDER there.
set -eu
folder=$1
shift
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
debs=$(mktemp -d)
trap 'rm -rf "$debs"' EXIT
(cd "$debs" && apt-get download -q "$@")
for deb in "$debs"/*.deb; do dpkg -x "$deb" "$folder"; done
echo "$folder: $(du -sk "$folder" | cut -f1) KiB"
