#!/bin/sh
# install_venv.sh PYTHON DIR REQUIREMENTS: a virtual environment with the listed packages, made
# again only when the list changes.
set -e
python=$1 dir=$2 list=$3
[ -f "$list" ] || exit 0
stamp=$dir/.requirements
cmp -s "$list" "$stamp" 2>/dev/null && exit 0
echo "installing Python packages for the tests into $dir"
[ -x "$dir/bin/python" ] || "$python" -m venv "$dir"
"$dir/bin/python" -m pip install -q --disable-pip-version-check -r "$list"
cp "$list" "$stamp"
