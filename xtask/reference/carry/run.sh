#!/bin/sh
# Unpacks the pack next to this file and measures: run.sh RESULTS [FLAGS of measure.py]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export PATH
python=$(command -v "${PYTHON:-python3}")
if [ $# -eq 0 ]; then
    echo "usage: run.sh RESULTS [--backend NAME] [--seconds N] [--small] [--precisions f32,tf32,bf16]" >&2
    exit 2
fi
"$python" -W ignore -m tarfile -e "$here/pack.tar.xz" "$here/unpacked"
exec "$python" "$here/unpacked/scripts/measure.py" "$@"
