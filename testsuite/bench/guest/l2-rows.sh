#!/bin/busybox sh
# l2-rows.sh PREFIX SCALE   the rows that are measured both in L1 and in L2, as PREFIX-NAME. The same file runs on
# both sides. Memory stays below 120 MiB, which the VMM's guest has; it is all touched before, so that no row pays for
# the hypervisor's getting it page by page.
P=$1; S=$2
cd /tmp
# Linux leaves huge pages out below 512 MiB: neither side has them here, or L2 would take 16,000 more page faults (chase).
HUGE=/sys/kernel/mm/transparent_hugepage/enabled
mkdir -p /sys; [ -e $HUGE ] || mount -t sysfs sys /sys
echo never >$HUGE
n() { r=$(($1 * S / 100)); [ $r -lt 1 ] && r=1; echo $r; }
micro() { /bench/timed $P-$1 /bench/bench $1 $(n $2); }
mkdir -p ram; mount -t ramfs ram ram  # the root file system takes half of the memory at most
head -c 90000000 /dev/zero >ram/warm; rm ram/warm; umount ram
seq 1 $(n 2000000) >numbers
/bench/timed $P-sha256 /bin/busybox sha256sum numbers numbers numbers numbers
rm numbers
micro callret 400
micro dispatch 12000000
micro memcopy 100
micro chase 4000000
micro syscall 2000000
micro pipe 50000
micro fault 30
echo always >$HUGE  # Debian's default, and what a VMM started now gets
