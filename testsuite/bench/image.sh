#!/bin/bash
# Builds what the benchmark runs, from Debian packages and guest/, into out/bench (or $RINGMINUS_BENCH):
#   image/vmlinuz image/work.cpio   Debian's kernel, the programs and their fixed input: the rows
#   image/guest.cpio                the rows of l2-rows.sh as a guest runs them
#   image/l2.cpio                   the same kernel with KVM, a VMM and a guest: the rows of l2-rows.sh in L1 and in L2
#   native/                         the content of work.cpio as a folder, for the host
# A second run only looks: what was built is remembered by the text of everything that it was built from.
# Needs: apt-get (nothing is installed), dpkg-deb, gcc with static libc, cpio, objdump.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
vmm=$here/../../roms/images/src/vmm.c
top=${RINGMINUS_BENCH:-$here/../../out/bench}
packages="busybox-static python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libexpat1 zlib1g
 sqlite3 libsqlite3-0 libreadline8 libtinfo6 openssl libssl3 xz-utils liblzma5 zstd libzstd1 liblz4-1
 libc6 libgcc-s1 libstdc++6 cpp-12 libgmp10 libmpfr6 libmpc3 libisl23"
mkdir -p "$top"; cd "$top"
stamp=$(cat "$here/image.sh" "$here"/guest/* "$vmm" | sha256sum)
[ -e image/stamp ] && [ "$(cat image/stamp)" = "$stamp" ] && exit 0
for tool in apt-get dpkg-deb gcc cpio objdump; do
    command -v $tool >/dev/null || { echo "image.sh: $tool is missing" >&2; exit 1; }
done
mkdir -p debs src image; rm -f image/stamp

echo "packages"
# each only once: a folder of packages from an earlier build is used as it is
fetch() {
    local p missing=""
    for p in "$@"; do compgen -G "debs/${p}_*.deb" >/dev/null || missing="$missing $p"; done
    [ -z "$missing" ] || (cd debs && apt-get -qq -o APT::Sandbox::User=root download $missing)
}
[ -n "$(ls debs)" ] || apt-get -qq update || true  # only root may; existing lists usually do
fetch $packages linux-image-amd64
kernel=$(dpkg-deb -f debs/linux-image-amd64_*.deb Depends | sed 's/ .*//')
fetch $kernel
if [ ! -e src/tcc/tccpp.c ]; then  # a Debian source package: the C file that cc1 compiles
    lists=$PWD/src/apt; mkdir -p $lists/lists/partial $lists/parts
    for f in /etc/apt/sources.list.d/*.sources; do
        [ -e "$f" ] && grep -qi debian-archive "$f" && sed 's/^Types:.*/Types: deb-src/' "$f" >$lists/parts/$(basename "$f")
    done
    [ -e /etc/apt/sources.list ] && sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >$lists/parts/main.list
    O="-o APT::Sandbox::User=root -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$lists/parts -o Dir::State::lists=$lists/lists"
    (cd src && apt-get -qq $O update && apt-get -qq $O source --download-only tcc)
    mkdir -p src/tcc; tar xf src/tcc_*.orig.tar.* -C src/tcc
fi

echo "programs"
rm -rf unpacked kernel work; mkdir unpacked kernel
for p in $packages; do dpkg-deb -x debs/${p}_*.deb unpacked; done
dpkg-deb -x debs/${kernel}_*.deb kernel
cp kernel/boot/vmlinuz-* image/vmlinuz
R=$PWD/work; U=$PWD/unpacked; G=$here/guest; libraries=lib/x86_64-linux-gnu
mkdir -p $R/{bin,lib64,$libraries,usr/bin,usr/lib/python3.11,usr/lib/ssl,proc,sys,dev,tmp,bench,etc}
cp $U/bin/busybox $R/bin/
for a in sh cat mount grep cut md5sum tail head seq rm sed poweroff uname mkdir true; do ln -s busybox $R/bin/$a; done
cp $U/usr/bin/{python3.11,sqlite3,openssl,xz,zstd} $R/usr/bin/
cp $U/usr/lib/gcc/x86_64-linux-gnu/12/cc1 $R/bench/
# the libraries that these programs need, and no others
needed() { objdump -p "$@" 2>/dev/null | awk '/NEEDED/{print $2}' | sort -u; }
todo=$(needed $R/usr/bin/* $R/bench/cc1)
while [ -n "$todo" ]; do
    new=""
    for l in $todo; do
        [ -e $R/$libraries/$l ] && continue
        found=$(ls $U/$libraries/$l $U/usr/$libraries/$l $U/lib64/$l 2>/dev/null | head -n 1) || true
        [ -n "$found" ] || { echo "image.sh: library $l is in none of the packages" >&2; exit 1; }
        cp -L $found $R/$libraries/$l; new="$new $R/$libraries/$l"
    done
    todo=""; [ -z "$new" ] || todo=$(needed $new)
done
cp -L $U/$libraries/ld-linux-x86-64.so.2 $R/lib64/
(cd $U/usr/lib/python3.11 && cp -r encodings codecs.py io.py abc.py collections $R/usr/lib/python3.11/)
find $R -name __pycache__ -prune -exec rm -rf {} +
: >$R/usr/lib/ssl/openssl.cnf
echo 'root:x:0:0:root:/root:/bin/sh' >$R/etc/passwd
O="-O2 -static -s -march=x86-64 -fno-math-errno -Wall"
gcc $O -o $R/bench/bench $G/bench.c
gcc $O -o $R/bench/timed $G/timed.c
cp $G/run.sh $G/work.py $G/work.sql.in $R/bench/
cp $G/init $R/init; chmod +x $R/init

echo "input"
printf '#define TCC_VERSION "0.9.27"\n#define CC_NAME CC_gcc\n#define GCC_MAJOR 12\n#define GCC_MINOR 2\n' >src/tcc/config.h
(cd src/tcc && gcc -E -P -DTCC_TARGET_X86_64 -DONE_SOURCE=0 -I. tccpp.c -o $R/bench/tccpp.i)
# 8 MB of text and code: C sources, libc, the compiler
cat $R/bench/tccpp.i $R/$libraries/libc.so.6 src/tcc/*.c $R/bench/cc1 | head -c 8000000 >$R/bench/corpus.bin || true

echo "images"
pack() { find $1 -exec touch -h -d @0 {} +; (cd $1 && find . | LC_ALL=C sort | cpio -o -H newc --reproducible --quiet -R 0:0); }
pack $R >image/work.cpio
# L1: busybox, KVM, the VMM; L2: busybox and the rows
rm -rf l1 l2; mkdir -p l1/{bin,bench,modules,guests} l2/{bin,bench}
for r in l1 l2; do
    cp $U/bin/busybox $r/bin/; ln -s busybox $r/bin/sh
    cp $R/bench/bench $R/bench/timed $G/l2-rows.sh $r/bench/
done
cp $G/l2-init l2/init; chmod +x l2/init
cp $G/l1-init l1/init; chmod +x l1/init
pack l2 >image/guest.cpio; cp image/guest.cpio l1/guests/
cp image/vmlinuz l1/guests/
gcc -O2 -static -s -o l1/bench/vmm $vmm
for m in irqbypass kvm ccp kvm-amd kvm-intel; do
    find kernel/lib/modules -name $m.ko -exec cp {} l1/modules/ ';'
    strip --strip-debug l1/modules/$m.ko
done
pack l1 >image/l2.cpio
# The host's copy: the same folder with the device files that the image gets from devtmpfs.
[ ! -e native ] || rm -rf native
mv work native
for d in null:3 zero:5 urandom:9; do
    mknod -m 666 native/dev/${d%:*} c 1 ${d#*:} 2>/dev/null || : >native/dev/${d%:*}
done
chmod 1777 native/tmp
rm -rf unpacked kernel l1 l2
ls -l image
echo "$stamp" >image/stamp
