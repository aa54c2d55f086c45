"""How the work is started on each machine: the host itself, QEMU TCG, Ringminus.

A Job is one run of one of them: kind `work` (the benchmark image), a trip program, `l2-*` (the nested image), `xen-*`
and `mission-*` (testsuite/boot's Xen image).
"""
import os
import subprocess
import sys
from typing import NamedTuple

import rows

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
OUT = os.environ.get("RINGMINUS_BENCH", os.path.join(ROOT, "out/bench"))
sys.path.insert(0, os.path.join(ROOT, "testsuite/boot"))
import boot  # noqa: E402  the Xen image's command line

MACHINES = ["native", "qemu", "ringminus"]
# The processor of each: for the work one without SSSE3 and later, so that programs that choose code by CPUID run the
# same code everywhere. QEMU's SVM works only with these removed (SMAP: an IRET of Xen's PV guests).
CPU = {
    ("qemu", "work"): "qemu64",
    ("qemu", "svm"): "EPYC,-smap,-monitor,-rdtscp",
    ("ringminus", "work"): "barcelona",
    ("ringminus", "svm"): "barcelona",
    ("ringminus", "vmx"): "Westmere",
}
# The same for programs on the host: glibc and openssl choose x86-64-v1 code.
NATIVE_ENVIRONMENT = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=" + ",".join(f"-{f}" for f in (
        "AVX AVX2 AVX2_Usable AVX_Fast_Unaligned_Load ERMS FSRM SSSE3 SSE4_1 SSE4_2 BMI1 BMI2 POPCNT MOVBE LZCNT").split()),
    "OPENSSL_ia32cap": "0x00002001078bfbff:0x0",
}
KERNEL_ARGUMENTS = ("console=ttyS0,115200 earlyprintk=ttyS0,115200 loglevel=6 mitigations=off tsc=reliable "
                    "no_timer_check nokaslr panic=-1")


class Job(NamedTuple):
    machine: str
    kind: str       # work, vmrun, vmresume, l2-svm, ...
    command: list
    exit_code: int  # of a good run


def vendor(kind):
    """svm, vmx or, for plain work, work."""
    return rows.TRIPS.get(kind) or kind.rpartition("-")[2]


def newc(files):
    """A cpio archive (format newc: kernel documentation, early-userspace/buffer-format) of {name: bytes}."""
    out = b""
    for name, data in [*files.items(), ("TRAILER!!!", b"")]:
        path = name.encode() + b"\0"
        fields = [0, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0]
        head = b"070701" + b"".join(b"%08X" % f for f in fields) + path
        out += head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)
    return out


def trip_image(kind, scale):
    """Assembles a round-trip program with its count."""
    os.makedirs(f"{OUT}/image", exist_ok=True)
    image = f"{OUT}/image/{kind}-{scale}.bin"
    subprocess.run(["nasm", "-f", "bin", f"-DTRIPS={trip_count(scale)}", "-I", f"{ROOT}/testsuite/guest/lib/",
                    "-o", image, f"{HERE}/guest/{kind}.asm"], check=True)
    return image


def trip_count(scale):
    return max(1, rows.TRIP_COUNT * scale // 100)


def xen_image(scale):
    """Dom0's ramdisk with the HVM guest replaced by the nested rows: of several archives the last one's files stay."""
    def content(name):
        with open(name, "rb") as f:
            return f.read()

    config = content(f"{HERE}/guest/hvm.cfg").replace(b"@SCALE@", b"%d" % scale)
    guest = newc({"guests/hvm.cfg": config, "guests/guest.cpio": content(f"{OUT}/image/guest.cpio")})
    dom0 = content(f"{boot.IMAGES}/dom0.cpio.zst")
    image = f"{OUT}/image/dom0-{scale}.cpio"
    with open(image, "wb") as f:
        f.write(dom0 + b"\0" * (-len(dom0) % 4) + guest)
    return image


def linux_options(image, arguments, scale):
    return ["-kernel", f"{OUT}/image/vmlinuz", "-initrd", f"{OUT}/image/{image}", "-m", "1024", "-serial", "stdio",
            "-append", f"{KERNEL_ARGUMENTS} scale={scale} {arguments}".strip()]


def machine_options(kind, names, scale):
    """The options that QEMU and Ringminus share."""
    if kind == "work":
        return linux_options("work.cpio", f"rdinit=/init bench={','.join(n for n in names if n != 'boot') or 'none'}",
                             scale)
    if kind in rows.TRIPS:
        return ["-kernel", trip_image(kind, scale), "-debugcon", "stdio", "-m", "64",
                "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    if kind.startswith("l2-"):
        return linux_options("l2.cpio", "", scale)
    if kind.startswith("xen-"):
        options = boot.xen("hvm", dom0="guestlimit=36000")
        place = options.index("-initrd") + 1
        options[place] = options[place].replace(f"{boot.IMAGES}/dom0.cpio.zst", xen_image(scale))
        return options + ["-serial", "stdio"]
    return boot.xen("info,pvhmini,pv,pvh,hvmdisk,hvmgrub,hvm") + ["-serial", "stdio"]


def native_command(names, scale, core):
    shell = ["/bin/busybox", "sh", "/bench/run.sh", str(scale), ",".join(n for n in names if n != "boot")]
    root = f"{OUT}/native"
    # One processor, like the guests have: two would pay for waking each other (pipe).
    pin = ["taskset", "-c", str(core)]
    if os.geteuid() == 0:
        return pin + ["chroot", root, *shell]
    mount = f'mount --rbind /dev {root}/dev && exec chroot {root} "$@"'
    return pin + ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh", *shell]


def job(machine, kind, names, settings):
    """The Job, or None where the machine cannot do that kind of work."""
    if machine == "native":
        if kind != "work" or names == ["boot"]:
            return None
        return Job(machine, kind, native_command(names, settings.scale, settings.core), 0)
    cpu = CPU.get((machine, vendor(kind)))
    if not cpu:
        return None
    options = ["-cpu", cpu, "-smp", "1", "-nodefaults", "-display", "none", "-monitor", "none", "-no-reboot",
               *machine_options(kind, names, settings.scale)]
    program = [settings.qemu, "-accel", "tcg"] if machine == "qemu" else [settings.ringminus]
    extra = settings.options if machine == "ringminus" else []
    return Job(machine, kind, program + options + extra, 1 if kind in rows.TRIPS else 0)
