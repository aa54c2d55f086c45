#!/usr/bin/env python3
"""Boots real images on Ringminus and looks at the serial console.

boot.py NAME [--cpu MODEL] [-- extra ringminus options]   runs one case, shows the console, says how it ended
boot.py --list [GROUP]                                     names of the cases (of a group)
"""
import argparse
import os
import re
import subprocess
import sys
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
OOPS = [r"Oops:", r"BUG:", r"Kernel panic", r"WARNING: CPU", r"MISSION-FAIL", r"soft lockup", r"^COMPLAINT"]
XEN_MARKS = [r"Xen version 4\.17", r"GUEST-OK", r"MISSION-OK"]
# name: (groups, options, expected regular expressions in any order, seconds)
CASES = {
    "linux": (["check"], linux(), LINUX_MARKS + [r"cpus=1"], 600),
    "linux-smp4": (["check"], linux(cpus=4), LINUX_MARKS + [r"cpus=4"], 900),
    "linux-686": (["check"], linux("vmlinuz-686"), LINUX_MARKS + [r"i686 cpus=1"], 900),
    "linux-686-smp4": (["full"], linux("vmlinuz-686", 4), LINUX_MARKS + [r"i686 cpus=4"], 900),
    "linux-iso": (["full"], ["-cdrom", f"{IMAGES}/linux.iso", "-m", "512M"], [r"GRUB loading"] + LINUX_MARKS, 900),
    "xen-pvh-westmere": (["check"], xen("pvhmini") + ["-cpu", "Westmere"], XEN_MARKS + [r"HVM: VMX enabled"], 1200),
    "xen-pvh-barcelona": (["check"], xen("pvhmini") + ["-cpu", "barcelona"], XEN_MARKS + [r"HVM: SVM enabled"], 1200),
    "xen-mission-westmere": (["full"], xen("info,pvhmini,pv,pvh,hvmdisk,hvmgrub,hvm") + ["-cpu", "Westmere"], XEN_MARKS, 7200),
    "xen-mission-barcelona": (["full"], xen("info,pvhmini,pv,pvh,hvmdisk,hvmgrub,hvm") + ["-cpu", "barcelona"], XEN_MARKS, 7200),
    "xen-shadow-core2duo": (["full"], xen("pv,pvhmini,pvh,hvmdisk", "xen-shadow") + ["-cpu", "core2duo"], XEN_MARKS, 7200),
    "xen-shadow-opteron-f": (["full"], xen("pv,pvhmini,pvh,hvmdisk", "xen-shadow") + ["-cpu", "opteron-f"], XEN_MARKS, 7200),
    "xen-iso": (["full"], ["-cdrom", f"{IMAGES}/xen.iso", "-boot", "d", "-m", "4G"], [r"GRUB loading"] + XEN_MARKS, 7200),
    "kvm-westmere": (["full"], kvm("real,long,linux") + ["-cpu", "Westmere"], [r"MISSION-OK"], 3600),
    "kvm-core2duo": (["full"], kvm("real,long,linux") + ["-cpu", "core2duo"], [r"MISSION-OK"], 3600),
    "kvm-barcelona": (["full"], kvm("real,long,linux") + ["-cpu", "barcelona"], [r"MISSION-OK"], 3600),
    "kvm-opteron-f": (["full"], kvm("real,long,linux") + ["-cpu", "opteron-f"], [r"MISSION-OK"], 3600),
}


def run(name, extra):
    _, options, expected, limit = CASES[name]
    command = [RINGMINUS, *options, "-nodefaults", "-serial", "stdio", "-no-reboot", "-d", "hash", *extra]
    waiting = {pattern: re.compile(pattern) for pattern in expected}
    bad = [re.compile(p) for p in OOPS]
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    problems = []
    try:
        for raw in process.stdout:
            line = raw.decode("latin1").rstrip()
            now = time.monotonic() - start
            print(f"{now:8.2f} {line}", flush=True)
            for pattern in [p for p, r in waiting.items() if r.search(line)]:
                del waiting[pattern]
            problems += [line for r in bad if r.search(line)]
            if now > limit:
                problems.append(f"not finished after {limit} s")
                break
    finally:
        process.kill()
        process.wait()
    if process.returncode not in (0, -9):
        problems.append(f"exit code {process.returncode}")
    problems += [f"never seen: {pattern}" for pattern in waiting]
    for p in problems:
        print(f"{name}: {p}")
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
