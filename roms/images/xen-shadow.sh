#!/bin/bash
# Builds Debian's Xen 4.17 hypervisor source with CONFIG_SHADOW_PAGING=y -> out/xen-shadow
# (Debian's binary has it off, so HVM/PVH guests there need NPT or EPT). Also a debug=y build with "debug" as argument.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/workspace.sh"
H=$PWD; mkdir -p srcxen aptsrc/lists/partial aptsrc/cache/archives/partial
mkdir -p aptsrc/parts
for f in /etc/apt/sources.list.d/*.sources; do grep -q debian-archive-keyring $f && sed 's/^Types: deb$/Types: deb-src/' $f > aptsrc/parts/$(basename $f); done
O="-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$H/aptsrc/parts -o Dir::State::lists=$H/aptsrc/lists -o Dir::Cache=$H/aptsrc/cache -o Acquire::Languages=none"
cd srcxen
if ! ls -d xen-4.17* >/dev/null 2>&1; then
    apt-get -qq $O update
    # A version that has left the archive's security pool is not an obstacle: take the release's.
    apt-get -qq $O source --download-only xen || apt-get -qq $O source --download-only \
        "xen=$(apt-cache $O showsrc xen | awk '/^Version:/ {print $2; exit}')"
    dpkg-source --no-check -x xen_4.17*.dsc
fi
cd "$(ls -d xen-4.17*/ | head -1)"
make -C xen defconfig XEN_TARGET_ARCH=x86_64 >/dev/null
cp $H/pkg/boot/xen-4.17-amd64.config xen/.config
sed -i 's/# CONFIG_SHADOW_PAGING is not set/CONFIG_SHADOW_PAGING=y/' xen/.config
make -C xen olddefconfig XEN_TARGET_ARCH=x86_64 >/dev/null
grep SHADOW_PAGING xen/.config
nice make -C xen -j1 build XEN_TARGET_ARCH=x86_64 debug=n
zcat xen/xen.gz > $H/out/xen-shadow; ls -la $H/out/xen-shadow
