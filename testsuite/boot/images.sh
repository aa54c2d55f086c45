#!/bin/bash
# Builds the boot images once (out/images); a second run only looks.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
out=${RINGMINUS_IMAGES:-$here/out/images}
mkdir -p "$out"
build() { # result recipe
    [ -e "$out/out/$1" ] && return 0
    echo "building $1 (roms/images/$2) ..."
    "$here/roms/images/$2" >"$out/$2.log" 2>&1 || { tail -n 20 "$out/$2.log"; echo "roms/images/$2 failed: $out/$2.log" >&2; exit 1; }
}
build xen.iso xen.sh
build linux.iso linux.sh
build kvm.iso kvm.sh
[ "${1:-}" = shadow ] && build xen-shadow xen-shadow.sh
exit 0
