#!/bin/bash
# make-iso.sh OUT.iso STEPS [extra Xen args] [extra Dom0 args]   GRUB BIOS ISO from out/xen, out/vmlinuz, out/dom0.cpio.zst
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/workspace.sh"
OUT=$1; STEPS=$2; XA=${3:-}; DA=${4:-}; I=$(mktemp -d /tmp/xeniso.XXXX); mkdir -p $I/boot/grub
cp ${XEN:-out/xen} $I/boot/xen; cp out/vmlinuz $I/boot/vmlinuz; cp out/dom0.cpio.zst $I/boot/dom0.zst
XENARGS="console=com1,vga com1=115200,8n1 dom0_mem=768M,max:768M loglvl=all guest_loglvl=all"
cat > $I/boot/grub/grub.cfg <<X
serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=0
set default=0
set gfxpayload=text
menuentry "xen-mission" {
  echo "GRUB loading xen"
  multiboot2 /boot/xen $XENARGS $XA
  module2 --nounzip /boot/vmlinuz console=hvc0 loglevel=7 steps=$STEPS $DA
  module2 --nounzip /boot/dom0.zst
  echo "GRUB starting xen"
  boot
}
X
grub-mkrescue -d /usr/lib/grub/i386-pc --fonts= --locales= --themes= -o $OUT $I 2>/dev/null
rm -rf $I; ls -la $OUT
