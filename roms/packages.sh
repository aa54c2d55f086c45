#!/bin/bash
# Installs what Ringminus needs from Debian 12: to build and test (always), and to build the boot images
# (with the argument "images"). Does nothing, quickly, when all is there.
set -euo pipefail
build="g++ meson ninja-build pkg-config nasm acpica-tools python3 libzydis-dev libcapstone-dev libxbyak-dev libelf-dev
doctest-dev libsimde-dev nlohmann-json3-dev libzstd-dev zlib1g-dev libssl-dev libseccomp-dev seabios clang-format"
images="dpkg-dev gcc-multilib cpio zstd xz-utils kmod grub-pc-bin grub-common xorriso mtools binutils memtest86+"
wanted=$build
[ "${1:-}" = images ] && wanted="$build $images"
missing=""
for p in $wanted; do
    dpkg-query -W -f='${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
echo "installing:$missing"
sudo=""
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "not root and no sudo: install$missing by hand" >&2; exit 1; }
    sudo=sudo
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get -qq update
$sudo apt-get -y -qq --no-install-recommends install $missing >/dev/null
