#!/bin/bash
# KVM inside the emulator: out/vmlinuz + out/kvm.cpio.zst (L1: busybox, kvm modules, a tiny VMM in C, an L2 Linux
# guest) and out/kvm.iso (GRUB BIOS). Run xen.sh first: it fetches and unpacks the packages.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/workspace.sh"
P=pkg
[ -e $P/bin/busybox ] || { echo "run xen.sh first" >&2; exit 1; }
KV=$(basename $P/boot/vmlinuz-*); KV=${KV#vmlinuz-}; M=lib/modules/$KV
R=work-kvm/root; rm -rf work-kvm; mkdir -p $R/bin $R/usr/bin $R/guests $R/lib/modules/$KV/kernel
cp $P/bin/busybox $R/bin/busybox; ln -s busybox $R/bin/sh
gcc -O2 -Wall -static -s -o $R/usr/bin/vmm "$here/src/vmm.c"
for m in irqbypass kvm ccp rng-core kvm-amd kvm-intel; do
    f=$(find $P/$M -name $m.ko) && [ -n "$f" ] && cp $f $R/$M/kernel/ && strip --strip-debug $R/$M/kernel/$m.ko
done
cp $P/$M/modules.builtin $R/$M/
DEPMOD=$(command -v depmod || true); if [ -z "$DEPMOD" ]; then DEPMOD=$PWD/work-kvm/depmod; ln -sf $PWD/$P/bin/kmod $DEPMOD; fi
$DEPMOD -b $R $KV; rm -f $R/$M/*.bin
mkdir work-kvm/gi
gcc -Os -fno-asynchronous-unwind-tables -fno-stack-protector -fno-pie -no-pie -static -nostdlib -ffreestanding \
    -mno-sse -Wl,--build-id=none -s -o work-kvm/gi/init "$here/src/guest-init.c"
( cd work-kvm/gi && find . | sort | cpio -o -H newc --quiet -R 0:0 --reproducible ) > $R/guests/guest.cpio
cp out/vmlinuz $R/guests/vmlinuz
cp "$here/src/l1-init.sh" $R/init; chmod +x $R/init
( cd $R && find . | sort | cpio -o -H newc --quiet -R 0:0 --reproducible ) > work-kvm/kvm.cpio
zstd -q -19 -T1 -f work-kvm/kvm.cpio -o out/kvm.cpio.zst
I=work-kvm/iso; mkdir -p $I/boot/grub; cp out/vmlinuz $I/boot/; cp out/kvm.cpio.zst $I/boot/kvm.zst
cat > $I/boot/grub/grub.cfg <<X
serial --unit=0 --speed=115200
terminal_output serial console
set timeout=0
menuentry "kvm-mission" {
  echo "GRUB loading linux"
  linux /boot/vmlinuz console=ttyS0,115200 earlyprintk=serial,ttyS0,115200 loglevel=7 nokaslr steps=${1:-real,long,linux} ${2:-}
  initrd /boot/kvm.zst
  boot
}
X
grub-mkrescue -o out/kvm.iso $I 2>/dev/null
ls -la out
