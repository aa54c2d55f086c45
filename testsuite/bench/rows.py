"""The rows: what is measured, and how close to native (or to another figure) it should come.

The work itself is guest/run.sh (WORK), guest/l2-rows.sh (NESTED) and guest/vm*.asm (TRIPS); a name here is the name in
its marks. Goals are ratios of CPU time, at most; where they come from: docs/performance.md.
"""
from typing import NamedTuple, Optional


class Row(NamedTuple):
    name: str
    goal: Optional[float]  # CPU time of the emulator / native, at most
    what: str


PROGRAMS = [
    Row("xz", 2.5, "compress and decompress"),
    Row("zstd", 2.5, "compress and decompress"),
    Row("sha256", 1.5, "openssl, x86-64-v1 code"),
    Row("aes", 1.5, "openssl CBC, x86-64-v1 code"),
    Row("python", 2.5, "CPython loops"),
    Row("sqlite", 2.5, "SQL in memory"),
    Row("cc1", 2.5, "gcc's compiler proper on a C file"),
]
OTHERS = [
    Row("matmul", 1.4, "packed SSE2 double, exact"),
    Row("matmul2", 1.4, "packed SSE2 double, inexact"),
    Row("x87", 1.8, "long double loop"),
    Row("chase", 1.6, "pointer chase through 64 MiB"),
    Row("memcopy", 1.4, "SSE2 copy loop"),
    Row("repstr", 1.4, "rep movs, rep stos"),
    Row("callret", 2.2, "recursion"),
    Row("dispatch", 2.5, "computed-goto interpreter"),
    Row("syscall", 3, "getppid loop"),
    Row("forkexec", 6, "fork, exec, wait"),
    Row("pipe", 6, "ping-pong of two processes"),
    Row("fault", 3, "mmap, touch, munmap"),
    Row("sigsegv", 3, "fault into a handler"),
    Row("jit", 25, "write code, run it, repeat"),
    Row("smc", 25, "store into running code"),
]
WORK = PROGRAMS + OTHERS
GOAL_MEAN = 3.0          # geometric mean of all WORK rows, to native
GOAL_BOOT = 1 / 3        # boot and mission, to QEMU
GOAL_NESTED = 1.1        # L2 to L1
GOAL_TRIP = 1.0          # microseconds

# Guest kernel started to /init; whole Xen mission to MISSION-OK. No native figure.
BOOT = "boot"
MISSION = "mission"

# guest/NAME.asm: VM entry and exit round trips, on SVM and on VT-x.
TRIPS = {"vmrun": "svm", "vmresume": "vmx"}
TRIP_COUNT = 1_000_000

# guest/l2-rows.sh: each in L1 and in L2.
NESTED = ["sha256", "callret", "dispatch", "memcopy", "chase", "syscall", "pipe", "fault"]

# What --rows takes besides names, and what is run without it. The last two need the images of testsuite/boot.
GROUPS = {
    "programs": [r.name for r in PROGRAMS],
    "others": [r.name for r in OTHERS],
    "work": [BOOT] + [r.name for r in WORK],
    "trips": list(TRIPS),
    "l2": ["l2-svm", "l2-vmx"],
    "xen": ["xen-svm", "xen-vmx"],
    "mission": ["mission-svm", "mission-vmx"],
}
DEFAULT = ["work", "trips", "l2"]


def expand(text):
    """Names of rows and groups, comma separated -> row names in table order, or ValueError."""
    known = [n for names in GROUPS.values() for n in names]
    chosen = []
    for word in text.split(","):
        if word not in GROUPS and word not in known:
            raise ValueError(f"no row or group '{word}' (rows: {', '.join(dict.fromkeys(known))}; "
                             f"groups: {', '.join(GROUPS)})")
        chosen += GROUPS.get(word, [word])
    # A Xen guest's rows are compared with plain Linux, which the KVM boot measures.
    chosen += [n.replace("xen", "l2") for n in chosen if n.startswith("xen")]
    return [n for n in dict.fromkeys(["boot"] + GROUPS["work"] + known) if n in chosen]
