#!/bin/bash
# Builds, from Debian 12 packages only, the Xen + Dom0 + guests workload:
#   out/xen            Xen 4.17 hypervisor, uncompressed multiboot ELF
#   out/vmlinuz        Debian 6.1 kernel: Dom0 (PV) and every Linux guest
#   out/dom0.cpio.zst  Dom0 initramfs with the toolstack and the guests inside
#   out/xen.iso        GRUB BIOS ISO of the same three (multiboot2)
# Usage: build-images.sh [steps]     steps = default of the ISO's menu entry
# Needs: apt-get dpkg gcc nasm cpio zstd xz grub-mkrescue(grub-pc-bin, xorriso, mtools) depmod|kmod deb
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/workspace.sh"
STEPS=${1:-info,list,pvhmini,pv,pvh,hvmdisk,hvmgrub,hvm}
XENV=4.17
mkdir -p debs/partial aptstate out
: > aptstate/status
# 1. packages: the closure computed against an empty dpkg status, so the result does not depend on this machine
if [ ! -e debs/.done ]; then
    apt-get -qq update
    apt-get -y -qq -o Dir::State::status="$PWD/aptstate/status" -o Dir::Cache::archives="$PWD/debs" \
        -o APT::Install-Recommends=false --download-only install \
        xen-hypervisor-$XENV-amd64 xen-utils-$XENV qemu-system-xen linux-image-amd64 busybox-static seabios >/dev/null
    touch debs/.done
fi
# 2. unpack
rm -rf pkg; mkdir pkg
for d in debs/*.deb; do
    case $(basename "$d") in   # documentation-heavy or unused parts of the closure
    iso-codes*|*-data_*|perl*|linux-base*|initramfs*|ovmf*) case $d in *qemu-system-data*) ;; *) continue;; esac;;
    esac
    dpkg -x "$d" pkg
done
KV=$(basename pkg/boot/vmlinuz-*); KV=${KV#vmlinuz-}
cp pkg/boot/vmlinuz-$KV out/vmlinuz
zcat pkg/boot/xen-$XENV-amd64.gz > out/xen
# 3. guests
rm -rf work; mkdir -p work/g/guests work/gi
gcc -Os -fno-asynchronous-unwind-tables -fno-stack-protector -fno-pie -no-pie -static -nostdlib -ffreestanding \
    -mno-sse -Wl,--build-id=none -s -o work/gi/init "$here/src/guest-init.c"
( cd work/gi && find . | sort | cpio -o -H newc --quiet -R 0:0 --reproducible ) > work/g/guests/guest.cpio
nasm -f bin -o work/g/guests/hvmdisk.img "$here/src/bootsect.asm"
truncate -s 1M work/g/guests/hvmdisk.img
nasm -f bin -DTYPE='"hvmiso"' -o work/hvmiso.bin "$here/src/bootsect.asm"
mkdir -p work/iso0; cp work/hvmiso.bin work/iso0/boot.bin; truncate -s 2048 work/iso0/boot.bin
xorriso -as mkisofs -quiet -o work/g/guests/hvmiso.iso -b boot.bin -no-emul-boot -boot-load-size 4 work/iso0 2>/dev/null
gcc -m32 -nostdlib -static -Wl,-T,"$here/src/pvhmini.ld",--build-id=none -s -o work/g/guests/pvhmini "$here/src/pvhmini.S"
ln -s /boot/vmlinuz work/g/guests/vmlinuz
G=work/g/guests
cat > $G/pv.cfg <<X
name="pv"
type="pv"
kernel="/guests/vmlinuz"
ramdisk="/guests/guest.cpio"
cmdline="console=hvc0 loglevel=7 guest=pv"
memory=192
vcpus=1
on_poweroff="preserve"
on_crash="preserve"
X
sed -e 's/"pv"/"pvh"/; s/guest=pv/guest=pvh/; s/^type=.*/type="pvh"/' $G/pv.cfg > $G/pvh.cfg
sed -e 's/"pvh"$/"pvh-early"/; s/^type=.*/type="pvh"/; s/loglevel=7/earlyprintk=xen loglevel=8/' $G/pvh.cfg > $G/pvh-early.cfg
{ sed -e 's/^name=.*/name="pvh-shadow"/' $G/pvh.cfg; echo "hap=0"; } > $G/pvh-shadow.cfg
cat > $G/pvhmini.cfg <<X
name="pvhmini"
type="pvh"
kernel="/guests/pvhmini"
memory=32
vcpus=1
on_poweroff="preserve"
on_crash="preserve"
X
hvmcommon='memory=256
vcpus=1
vga="none"
vnc=0
sdl=0
nographic=1
usb=0
device_model_version="qemu-xen"
device_model_override="/usr/libexec/xen-qemu-system-i386"
bios="seabios"
bios_path_override="/usr/share/seabios/bios-256k.bin"
on_poweroff="preserve"
on_reboot="preserve"
on_crash="preserve"'
cat > $G/hvm.cfg <<X
name="hvm"
type="hvm"
kernel="/guests/vmlinuz"
ramdisk="/guests/guest.cpio"
cmdline="console=ttyS0,115200 loglevel=4 guest=hvm"
serial="file:/run/hvm-serial.log"
$hvmcommon
X
sed -e 's/loglevel=4/loglevel=7/; s/^name=.*/name="hvm-verbose"/; s/hvm-serial/hvm-verbose-serial/' $G/hvm.cfg > $G/hvm-verbose.cfg
for v in "shadow:hap=0" "nopv:xen_platform_pci=0" "smp:vcpus=2"; do   # hvm-shadow: shadow paging instead of NPT/EPT
    n=hvm-${v%%:*}
    sed -e "s/^name=.*/name=\"$n\"/; s/hvm-serial/$n-serial/" $G/hvm.cfg | grep -v "^${v#*:}" > $G/$n.cfg; o=${v#*:}; sed -i "/^${o%%=*}=/d" $G/$n.cfg; echo "$o" >> $G/$n.cfg
done
cat > $G/hvmdisk.cfg <<X
name="hvmdisk"
type="hvm"
disk=["format=raw,backendtype=qdisk,vdev=hda,access=rw,target=/guests/hvmdisk.img"]
boot="c"
serial="file:/run/hvmdisk-serial.log"
$hvmcommon
X
cat > $G/hvmiso.cfg <<X
name="hvmiso"
type="hvm"
disk=["format=raw,backendtype=qdisk,vdev=hdc,access=ro,devtype=cdrom,target=/guests/hvmiso.iso"]
boot="d"
serial="file:/run/hvmiso-serial.log"
$hvmcommon
X
mkdir -p work/iso1/boot/grub; cp out/vmlinuz work/g/guests/guest.cpio work/iso1/boot/
cat > work/iso1/boot/grub/grub.cfg <<X
serial --unit=0 --speed=115200
terminal_output serial
echo "GRUB in hvmgrub"
linux /boot/vmlinuz console=ttyS0,115200 loglevel=4 guest=hvmgrub
initrd /boot/guest.cpio
boot
X
grub-mkrescue -d /usr/lib/grub/i386-pc --install-modules="normal linux iso9660 biosdisk serial terminal echo boot test" --fonts= --locales= --themes= \
    -o work/g/guests/hvmgrub.iso work/iso1 2>/dev/null
sed -e 's/hvmiso/hvmgrub/g' $G/hvmiso.cfg > $G/hvmgrub.cfg
# 4. Dom0 root: only the named programs and the libraries they need
R=work/root; P=pkg; mkdir -p $R
put() { for f in "$@"; do mkdir -p "$R/$(dirname "$f")"; cp -L "$P/$f" "$R/$f"; done; }
B=usr/lib/xen-$XENV/bin
bins="$B/xl $B/xenstored $B/xenconsoled $B/xenconsole $B/xen-init-dom0 $B/libxl-save-helper $B/xen-hvmctx $B/xen-cpuid $B/xentop $B/xentrace $B/xenctx $B/xen-diag $B/lsevtchn usr/libexec/xen-qemu-system-i386"
for f in usr/bin/xenstore-read usr/bin/xenstore usr/bin/xenstore-ls usr/bin/xenstore-write; do [ -e $P/$f ] && bins="$bins $f"; done
put $bins
put usr/lib/xen-$XENV/boot/hvmloader usr/share/seabios/bios-256k.bin etc/xen/xl.conf
find $P -name vgabios-stdvga.bin -o -name linuxboot_dma.bin -o -name linuxboot.bin -o -name kvmvapic.bin -o -name multiboot.bin -o -path '*/keymaps/en-us' | while read f; do put ${f#$P/}; done
mkdir -p $R/bin; cp $P/bin/busybox $R/bin/busybox; ln -s busybox $R/bin/sh
gcc -O2 -Wall -o work/follow "$here/src/follow.c"; mkdir -p $R/usr/bin; cp work/follow $R/usr/bin/follow
# shared library closure, by NEEDED names, searched in the unpacked packages only
libdirs="$P/lib/x86_64-linux-gnu $P/usr/lib/x86_64-linux-gnu $P/usr/lib/xen-$XENV/lib/x86_64-linux-gnu"
need() { readelf -d "$1" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
todo=$(for b in $bins; do need $P/$b; done | sort -u); seen=" "
while [ -n "$todo" ]; do
    next=""
    for l in $todo; do
        case $seen in *" $l "*) continue;; esac; seen="$seen$l "
        case $l in ld-linux*) continue;; esac
        for d in $libdirs; do
            if [ -e $d/$l ]; then
                mkdir -p $R/usr/lib/x86_64-linux-gnu; cp -L $d/$l $R/usr/lib/x86_64-linux-gnu/$l
                next="$next $(need $d/$l)"; continue 2
            fi
        done
        echo "missing library $l" >&2; exit 1
    done
    todo=$next
done
mkdir -p $R/lib64; cp -L $P/lib64/ld-linux-x86-64.so.2 $R/lib64/ 2>/dev/null || cp -L $P/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 $R/lib64/
ln -s usr/lib $R/lib
# kernel modules
M=lib/modules/$KV; mkdir -p $R/usr/$M
for m in xen-privcmd xenfs xen-evtchn xen-gntdev xen-gntalloc xen-blkback; do
    f=$(find $P/$M -name $m.ko); mkdir -p $R/usr/$M/kernel; cp "$f" $R/usr/$M/kernel/; strip --strip-debug $R/usr/$M/kernel/$m.ko 2>/dev/null || true
done
DEPMOD=$(command -v depmod || true); if [ -z "$DEPMOD" ]; then DEPMOD=${R%/*}/depmod; ln -sf "../$P/bin/kmod" "$DEPMOD"; fi
cp $P/$M/modules.builtin $P/$M/modules.order $R/usr/$M/ 2>/dev/null || true
$DEPMOD -b $R/usr $KV 2>/dev/null || $DEPMOD -b $R $KV
rm -f $R/usr/$M/*.bin $R/usr/$M/modules.order
# guests, kernel, init
mkdir -p $R/boot $R/root; cp -r work/g/guests $R/; cp out/vmlinuz $R/boot/vmlinuz
cp "$here/src/dom0-init.sh" $R/init; chmod +x $R/init
printf 'root:x:0:0:root:/root:/bin/sh\n' > $R/etc/passwd; printf 'root:x:0:\n' > $R/etc/group
find $R -type f \( -name '*.so*' -o -path '*/bin/*' -o -path '*/libexec/*' \) -exec strip --strip-unneeded {} \; 2>/dev/null || true
( cd $R && find . | sort | cpio -o -H newc --quiet -R 0:0 --reproducible ) > work/dom0.cpio
zstd -q -19 --long=26 -T1 -f work/dom0.cpio -o out/dom0.cpio.zst
# 5. ISO
"$here/iso.sh" out/xen.iso "$STEPS"
du -sh work/root; ls -la out work/dom0.cpio
