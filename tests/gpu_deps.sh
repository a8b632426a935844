#!/bin/sh
# gpu_deps.sh FOLDER PACKAGE...: Debian packages and the libraries that they need, unpacked into FOLDER
# and not installed: what a GPU machine needs beside nvcc, gcc and Python.  Carry FOLDER there.  The C
# library stays that machine's; the last line says how new it must be.
set -eu
folder=$1
shift
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
debs=$(mktemp -d)
trap 'rm -rf "$debs"' EXIT
depends() { # depends OPTION... PACKAGE...: libraries, no headers, nothing of the C library
    apt-cache depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
        sed -nE 's/^( +Depends: )?((lib|zlib)[^ ]*)$/\2/p' | sort -u |
        grep -vE -e '-dev$|^(libc6|libc-bin|libgcc-s1|libstdc\+\+6|libcrypt1)$'
}
needed=$(depends --recurse $(depends "$@"))
(cd "$debs" && apt-get download -q "$@" $needed)
for deb in "$debs"/*.deb; do dpkg -x "$deb" "$folder"; done
libs=$folder/usr/lib/x86_64-linux-gnu
if [ -d "$folder/lib/x86_64-linux-gnu" ]; then cp -a "$folder/lib/x86_64-linux-gnu/." "$libs/"; fi
# The build reads headers and shared libraries only.
rm -rf "$folder/lib" "$folder/etc" "$folder/var" "$folder/usr/share" "$folder/usr/bin" "$folder/usr/sbin"
rm -f "$libs"/*.a
newest=$(objdump -T "$libs"/*.so.* 2>/dev/null | sed -nE 's/.*\((GLIBC_2\.[0-9.]+)\).*/\1/p' | sort -uV | tail -n 1)
echo "$folder: $(du -sk "$folder" | cut -f1) KiB; needs a C library with ${newest:-GLIBC_2.2.5}"
