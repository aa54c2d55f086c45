#!/bin/busybox sh
# /init of the plain Linux images: reports, then a shell if the command line says "shell", else power-off.
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev 2>/dev/null
echo "LINUX-UP $(uname -r) $(uname -m) cpus=$(nproc)"
echo "interrupts: $(grep -c . /proc/interrupts) lines; clocksource $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
dmesg | grep -E 'Oops|BUG:|WARNING|Call Trace' | sed 's/^/COMPLAINT /'
for t in 1 2 3; do echo "LINUX-TICK $t"; usleep 200000; done
i=0; while [ $i -lt 200 ]; do /bin/busybox true || echo "FORK-FAIL"; i=$((i+1)); done
echo "SHELL-OK $(echo hello | md5sum | cut -c1-8)"
grep -qw shell /proc/cmdline && setsid cttyhack sh
poweroff -f
