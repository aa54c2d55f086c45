#!/usr/bin/env python3
"""Boots real images on Ringminus and looks at the serial console.

boot.py NAME [-- extra ringminus options]   runs one case, shows the console, says how it ended and the CPU time it took
boot.py --list [GROUP]                                     names of the cases (of a group)
"""
import argparse
import os
import re
import resource
import select
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IMAGES = os.environ.get("RINGMINUS_IMAGES", os.path.join(ROOT, "out/images")) + "/out"
RINGMINUS = os.environ.get("RINGMINUS", os.path.join(ROOT, "build/frontends/cli/ringminus"))
XEN_ARGS = "console=com1 com1=115200,8n1 dom0_mem=768M,max:768M loglvl=all guest_loglvl=all"


def xen(steps, xen="xen", dom0=""):
    module = f"{IMAGES}/vmlinuz console=hvc0 loglevel=7 steps={steps} {dom0}".replace(",", ",,")
    return ["-kernel", f"{IMAGES}/{xen}", "-append", XEN_ARGS,
            "-initrd", f"{module},{IMAGES}/dom0.cpio.zst", "-m", "4G"]


def kvm(steps, args=""):
    return ["-kernel", f"{IMAGES}/vmlinuz", "-initrd", f"{IMAGES}/kvm.cpio.zst", "-m", "2G", "-append",
            f"console=ttyS0,115200 loglevel=7 nokaslr steps={steps} kvmargs={args}"]


def linux(kernel="vmlinuz", cpus=1):
    return ["-kernel", f"{IMAGES}/{kernel}", "-initrd", f"{IMAGES}/linux.cpio", "-m", "512M", "-smp", str(cpus),
            "-append", "console=ttyS0,115200 loglevel=7"]


LINUX_MARKS = [r"Linux version 6", r"LINUX-UP", r"SHELL-OK b1946ac9", r"reboot: Power down"]
# The i386 kernel's banner about its page table isolation says WARNING on every machine with PCID.
OOPS = [r"Oops:", r"BUG:", r"Kernel panic", r"WARNING: CPU", r"MISSION-FAIL", r"soft lockup",
        r"^COMPLAINT (?!.*\*\* WARNING!)"]
XEN_MARKS = [r"Xen version 4\.17", r"GUEST-OK", r"MISSION-OK"]
MEMTEST_PASS = r"Pass: +1 +Errors: 0\b"
# name: (groups, options, expected regular expressions in any order, seconds[, what ends the run]): a guest that never
# powers off is ended when that is seen, or with None after the time. {screen} is the text screen at the end, searched
# like the console.
CASES = {
    "linux": (["check"], linux(), LINUX_MARKS + [r"cpus=1"], 600),
    "linux-smp4": (["check"], linux(cpus=4), LINUX_MARKS + [r"cpus=4"], 900),
    "linux-multi4": (["check"], linux(cpus=4) + ["-accel", "jit,thread=multi"], LINUX_MARKS + [r"cpus=4"], 900),
    "linux-multi4-interp": (["full"], linux(cpus=4) + ["-accel", "interp,thread=multi"], LINUX_MARKS + [r"cpus=4"], 1800),
    "linux-686": (["check"], linux("vmlinuz-686"), LINUX_MARKS + [r"i686 cpus=1"], 900),
    "linux-686-smp4": (["full"], linux("vmlinuz-686", 4), LINUX_MARKS + [r"i686 cpus=4"], 900),
    "linux-entry64": (["check"], linux() + ["-machine", "pc,linux-entry=64"],
                      LINUX_MARKS + [r"cpus=1", r"Console: colour VGA\+ 80x25", r"ACPI: RSDP 0x0*F[0-9A-F]{4} ",
                                     r"BIOS-e820: \[mem 0x0*100000-0x0*1ff[0-9a-f]*\] usable"], 600),
    "linux-iso": (["full"], ["-cdrom", f"{IMAGES}/linux.iso", "-m", "512M"], [r"GRUB loading"] + LINUX_MARKS, 900),
    "xen-pvh-westmere": (["check"], xen("pvhmini") + ["-cpu", "Westmere"], XEN_MARKS + [r"HVM: VMX enabled"], 1200),
    "xen-pvh-barcelona": (["check"], xen("pvhmini") + ["-cpu", "barcelona"], XEN_MARKS + [r"HVM: SVM enabled"], 1200),
    "xen-pvh-smp2": (["full"], xen("pvhmini") + ["-smp", "2"], XEN_MARKS + [r"Brought up 2 CPUs"], 1800),
    "xen-pvh-multi4": (["full"], xen("pvhmini") + ["-smp", "4", "-accel", "jit,thread=multi"],
                       XEN_MARKS + [r"Brought up 4 CPUs"], 1800),
    "xen-pvh-smp4": (["full"], xen("pvhmini") + ["-smp", "4"], XEN_MARKS + [r"Brought up 4 CPUs"], 1800),
    "xen-pv-core2duo": (["full"], xen("info,pv") + ["-cpu", "core2duo"], XEN_MARKS, 1800),
    "xen-pv-opteron-f": (["full"], xen("info,pv") + ["-cpu", "opteron-f"], XEN_MARKS, 1800),
    "xen-mission-westmere": (["full"], xen("info,pvhmini,pv,pvh,hvmdisk,hvmgrub,hvm") + ["-cpu", "Westmere"], XEN_MARKS, 7200),
    "xen-mission-barcelona": (["full"], xen("info,pvhmini,pv,pvh,hvmdisk,hvmgrub,hvm") + ["-cpu", "barcelona"], XEN_MARKS, 7200),
    "xen-shadow-core2duo": (["full"], xen("pvhmini,pvh,hvmdisk,hvm", "xen-shadow") + ["-cpu", "core2duo"], XEN_MARKS, 7200),
    "xen-shadow-opteron-f": (["full"], xen("pvhmini,pvh,hvmdisk,hvm", "xen-shadow") + ["-cpu", "opteron-f"], XEN_MARKS, 7200),
    "xen-iso": (["full"], ["-cdrom", f"{IMAGES}/xen.iso", "-boot", "d", "-m", "4G"], [r"GRUB loading"] + XEN_MARKS, 7200),
    "memtest": (["full"], ["-kernel", "/boot/memtest86+x64.bin", "-append", "console=ttyS0,115200", "-m", "64",
                           "-screendump", "{screen}"], [r"Memtest86\+ v6", MEMTEST_PASS], 1800, MEMTEST_PASS),
    "memtest-iso": (["full"], ["-cdrom", "/usr/lib/memtest86+/memtest86+x64.iso", "-m", "64", "-screendump", "{screen}"],
                    [r"Memtest86\+ v6", r"Memory +: +6[0-9]MB", r"Pass: +[0-9]+ +Errors: 0\b"], 120, None),
    "kvm-westmere": (["full"], kvm("real,long,linux") + ["-cpu", "Westmere"], [r"MISSION-OK"], 3600),
    "kvm-core2duo": (["full"], kvm("real,long,linux") + ["-cpu", "core2duo"], [r"MISSION-OK"], 3600),
    "kvm-barcelona": (["full"], kvm("real,long,linux") + ["-cpu", "barcelona"], [r"MISSION-OK"], 3600),
    "kvm-opteron-f": (["full"], kvm("real,long,linux") + ["-cpu", "opteron-f"], [r"MISSION-OK"], 3600),
}


def lines_of(stream, deadline):
    """The console's lines as they come, until it closes or the time is up; a cursor position begins a new line, other
    escape sequences are dropped."""
    text, shown = "", set()
    while select.select([stream], [], [], max(0, deadline - time.monotonic()))[0]:
        chunk = os.read(stream.fileno(), 65536)
        if not chunk:
            break
        text += chunk.decode("latin1")
        text = re.sub(r"\x1b\[\d+;\d+H", "\v", text)
        text = re.sub(r"\x1b\[[\d;?]*[A-GI-Za-z]", "", text)
        *lines, text = re.split(r"(?<=[\n\v])", text)
        for line in lines:
            # Screens are repainted over and over: each text once.
            if line.endswith("\n") or line not in shown:
                yield line.rstrip()
            if line.endswith("\v"):
                shown.add(line)
    yield text.rstrip()


class Watch:
    """What has been seen, and what should have been."""

    def __init__(self, expected):
        self.waiting = {pattern: re.compile(pattern) for pattern in expected}
        self.bad = [re.compile(p) for p in OOPS]
        self.problems = []

    def look(self, line):
        for pattern in [p for p, r in self.waiting.items() if r.search(line)]:
            del self.waiting[pattern]
        self.problems += [line for r in self.bad if r.search(line)]


def stop(process):
    """Ends a running machine; it writes its screen then."""
    process.terminate()
    try:
        process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(name, extra):
    _, options, expected, limit, *ends = CASES[name]
    screen = tempfile.NamedTemporaryFile(prefix="screen-", suffix=".txt")
    options = [screen.name if o == "{screen}" else o for o in options]
    command = [RINGMINUS, *options, "-nodefaults", "-serial", "stdio", "-no-reboot", *extra]
    if not any("thread=multi" in word for word in command):
        command += ["-d", "hash"]
    watch = Watch(expected)
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    ended_here = late = False
    try:
        for line in lines_of(process.stdout, start + limit):
            print(f"{time.monotonic() - start:8.2f} {line}", flush=True)
            watch.look(line)
            ended_here = any(pattern and re.search(pattern, line) for pattern in ends)
            if ended_here:
                break
        late = time.monotonic() - start >= limit
        if not ended_here and not late:
            process.wait(timeout=60)
    finally:
        if process.poll() is None:
            stop(process)
    if late and ends != [None]:
        watch.problems.append(f"not finished after {limit} s")
    for line in open(screen.name, encoding="utf-8"):
        print(f"  screen {line.rstrip()}")
        watch.look(line)
    if process.returncode != (143 if ended_here or late else 0):
        watch.problems.append(f"exit code {process.returncode}")
    problems = watch.problems + [f"never seen: {pattern}" for pattern in watch.waiting]
    for p in problems:
        print(f"{name}: {p}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{name}: {'FAILED' if problems else 'passed'}, {used.ru_utime + used.ru_stime:.0f} CPU seconds, "
          f"{time.monotonic() - start:.0f} s")
    return 1 if problems else 0


def main():
    if sys.argv[1:2] == ["--list"]:
        group = sys.argv[2] if len(sys.argv) > 2 else None
        print("\n".join(n for n, c in CASES.items() if group is None or group in c[0]))
        return 0
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=list(CASES))
    args, extra = parser.parse_known_args()
    return run(args.name, [e for e in extra if e != "--"])


if __name__ == "__main__":
    sys.exit(main())
