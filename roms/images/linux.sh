#!/bin/bash
# Plain Linux from Debian packages: out/linux.cpio (busybox, for both kernels), out/vmlinuz-686 (i386, PAE) and
# out/linux.iso (GRUB, BIOS; entries amd64 and i386). Run xen.sh first: it unpacks the amd64 kernel.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/workspace.sh"
[ -e out/vmlinuz ] || { echo "run xen.sh first" >&2; exit 1; }
D=$PWD/debs-i386; mkdir -p $D/lists/partial $D/cache/archives/partial; : > $D/status
O="-o APT::Architecture=i386 -o APT::Architectures::=i386 -o Dir::State::lists=$D/lists -o Dir::State::status=$D/status
-o Dir::Cache=$D/cache -o APT::Install-Recommends=false"
if ! ls $D/cache/archives/linux-image-6*686-pae*.deb >/dev/null 2>&1; then
    apt-get -qq $O update || true  # one archive out of step (a mirror being synced) leaves the others usable
    apt-get -y -qq $O --download-only install linux-image-686-pae busybox-static >/dev/null
fi
rm -rf work-linux; mkdir -p work-linux/pkg work-linux/root/bin
for d in $D/cache/archives/linux-image-6*686-pae*.deb $D/cache/archives/busybox-static*.deb; do dpkg -x $d work-linux/pkg; done
cp work-linux/pkg/boot/vmlinuz-*-686-pae out/vmlinuz-686
R=work-linux/root
cp work-linux/pkg/bin/busybox $R/bin/busybox; ln -s busybox $R/bin/sh   # the i386 one runs on both kernels
cp "$here/src/linux-init.sh" $R/init; chmod +x $R/init
( cd $R && find . | sort | cpio -o -H newc --quiet -R 0:0 --reproducible ) > out/linux.cpio
I=work-linux/iso; mkdir -p $I/boot/grub; cp out/vmlinuz out/vmlinuz-686 out/linux.cpio $I/boot/
cat > $I/boot/grub/grub.cfg <<X
serial --unit=0 --speed=115200
terminal_output serial console
set timeout=0
menuentry "amd64" {
  echo "GRUB loading linux"
  linux /boot/vmlinuz console=ttyS0,115200 loglevel=7
  initrd /boot/linux.cpio
  boot
}
X
grub-mkrescue -o out/linux.iso $I 2>/dev/null
ls -la out
