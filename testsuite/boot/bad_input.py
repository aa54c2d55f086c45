#!/usr/bin/env python3
"""What a user can do wrong, and how a run can end: runs the built emulator on damaged files, wrong option values,
full disks, signals and guests of a few bytes. Every wrong input has to end within seconds with exit code 1 and exactly
one line on stderr that names the file or option and the cause.

bad_input.py RINGMINUS [-k TEXT] [--images DIR] [--guest PROGRAM]   -k: only the cases whose name contains TEXT
"""
import argparse
import os
import pty
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SECONDS = 20  # for one run; a sanitizer build needs a few

# --- files ---------------------------------------------------------------------------------------------------------


def boot_sector(code):
    return (code + bytes(510 - len(code)) + b"\x55\xAA").ljust(64 * 512, b"\0")


def elf(body, bits=32, entry=0x100100, paddr=0x100000, machine=None, multiboot=True):
    """A multiboot kernel: headers, the multiboot header at C0H, code at 100H."""
    size = 0x100 + len(body)
    machine = machine or (3 if bits == 32 else 62)
    ident = b"\x7fELF" + bytes([1 if bits == 32 else 2, 1, 1]) + bytes(9)
    if bits == 32:
        head = ident + struct.pack("<HHIIIIIHHHHHH", 2, machine, 1, entry, 52, 0, 0, 52, 32, 1, 0, 0, 0)
        head += struct.pack("<IIIIIIII", 1, 0, paddr, paddr, size, size + 0x1000, 7, 0x1000)
    else:
        head = ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        head += struct.pack("<IIQQQQQQ", 1, 7, 0, paddr, paddr, size, size + 0x1000, 0x1000)
    mb = struct.pack("<III", 0x1BADB002, 0, (-0x1BADB002) & 0xFFFFFFFF) if multiboot else bytes(12)
    return head.ljust(0xC0, b"\0") + mb.ljust(0x40, b"\0") + body


def debug_exit(value):
    return bytes([0xB0, value, 0xBA, 0x01, 0x05, 0xEE])  # mov al, value; mov dx, 501h; out dx, al


def put(text, port=0xE9):
    return b"".join(bytes([0xB0, c, 0xBA, port & 0xFF, port >> 8, 0xEE]) for c in text)


LOOP = b"\xEB\xFE"
HALT_FOR_EVER = b"\xFA\xB0\x30\xE6\x43\xF4\xEB\xFD"  # with the timer stopped as well


def triple_fault(at):
    """cli; lidt [an empty table]; int3, in real mode; `at` = the address of the first byte."""
    return b"\xFA\x0F\x01\x1E" + struct.pack("<H", at + 7) + b"\xCC" + bytes(6)


def counting_resets(resets):
    """Says R at port E9h, counts in CMOS byte 7Eh, triple-faults until the count is reached, then exits with 43h."""
    code = put(b"R") + bytes.fromhex("b07ee670e471fec088c4b07ee67088e0e671")
    code += bytes([0x38 + 4, resets])  # cmp al, resets
    code += bytes([0x72, len(debug_exit(0))]) + debug_exit(0x21)  # jb
    return code + triple_fault(0x7C00 + len(code))


def ticking_guest():
    """Prints, takes 20 timer interrupts and leaves: something to hash."""
    code = put(b"tick\n", 0x3F8) + b"\xB9\x14\x00" + b"\xFB\xF4"  # mov cx, 20; sti; hlt
    code += put(b".", 0x3F8) + b"\x49\x75" + bytes([256 - 2 - 2 - 1 - len(put(b"."))])
    return code + debug_exit(0x10)


def volume(sectors, described=None):
    """The part of an ISO 9660 image that tells its size."""
    descriptor = bytearray(2048)
    descriptor[0:6] = b"\x01CD001"
    struct.pack_into("<I", descriptor, 80, described or sectors)
    struct.pack_into("<H", descriptor, 128, 2048)
    return bytes(16 * 2048) + bytes(descriptor) + bytes((sectors - 17) * 2048)


def bz_image(payload=b"\x90" * 65536, promised=None, version=0x20C, cut=None):
    """The header of a bzImage whose setup is four empty sectors."""
    setup = bytearray(5 * 512)
    setup[0x1F1] = 4
    struct.pack_into("<I", setup, 0x1F4, (promised or len(payload)) // 16)
    struct.pack_into("<H", setup, 0x1FE, 0xAA55)
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, version)
    setup[0x211] = 1
    struct.pack_into("<III", setup, 0x22C, 0x7FFFFFFF, 0x200000, 1)
    struct.pack_into("<I", setup, 0x238, 255)
    struct.pack_into("<QI", setup, 0x258, 0x1000000, 0x100000)
    return (bytes(setup) + payload)[:cut]


def symbols_elf():
    """An ELF64 file with one function symbol."""
    strings = b"\0main\0.symtab\0.strtab\0.text\0"
    text, symbol_at = b"\xC3" * 16, 0x100
    table = bytes(24) + struct.pack("<IBBHQQ", 1, 0x12, 0, 3, 0x1000, 16)
    strings_at = symbol_at + len(table)
    sections_at = (strings_at + len(strings) + 7) & ~7

    def section(name, kind, flags, address, offset, size, link=0, info=0, entry=0):
        return struct.pack("<IIQQQQIIQQ", name, kind, flags, address, offset, size, link, info, 8, entry)
    sections = bytes(64) + section(6, 2, 0, 0, symbol_at, len(table), 2, 1, 24)
    sections += section(14, 3, 0, 0, strings_at, len(strings)) + section(22, 1, 6, 0x1000, 0x80, 16)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x1000, 0, sections_at, 0, 64, 56, 0, 64, 4, 2)
    return (head.ljust(0x80, b"\0") + text).ljust(symbol_at, b"\0") + (table + strings).ljust(
        sections_at - symbol_at, b"\0") + sections


# --- running -------------------------------------------------------------------------------------------------------

class Failure(Exception):
    pass


def check(condition, *what):
    if not condition:
        raise Failure(" ".join(str(w) for w in what))


class Bench:
    def __init__(self, ringminus, folder, images, program):
        self.ringminus, self.folder, self.images, self.program = ringminus, folder, images, program
        self.count = 0

    def file(self, data, name=None):
        self.count += 1
        path = os.path.join(self.folder, name or f"file{self.count}")
        with open(path, "wb") as f:
            f.write(data)
        return path

    def start(self, *options, **kwargs):
        kwargs = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | kwargs
        return subprocess.Popen([self.ringminus, *options], cwd=self.folder, **kwargs)

    def run(self, *options, interrupt_after=SECONDS):
        process = self.start(*options)
        try:
            try:
                out, err = process.communicate(timeout=interrupt_after)
            except subprocess.TimeoutExpired:
                check(interrupt_after < SECONDS, f"still running after {SECONDS} s")
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
            process.wait()
        err = err.decode("latin1")
        check(process.returncode >= 0, f"died of signal {-process.returncode}:", err)
        check(not re.search(r"Sanitizer|runtime error|assert", err), err)
        return process.returncode, out, err

    def refused(self, options, *expected):
        """Exit code 1 and one line with every text of `expected`."""
        code, _, err = self.run(*options)
        lines = err.splitlines()
        check(code == 1, f"exit code {code}, wanted 1; stderr: {err!r}")
        check(len(lines) == 1 and err.endswith("\n"), f"{len(lines)} lines on stderr: {err!r}")
        check(err.startswith("ringminus: "), repr(err))
        for text in expected:
            check(text in err, f"{text!r} is not in {err!r}")

    def guest(self, code, *options):
        """A boot sector from the hard disk, with isa-debug-exit at 501H."""
        return ["-hda", self.file(boot_sector(code)), "-nodefaults", "-snapshot", "-device",
                "isa-debug-exit,iobase=0x501,iosize=2", *options]


CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


# Options whose value is a file, what goes before the file, and what is asked of a file's contents.
FILE_OPTIONS = {
    "-kernel": ["-kernel"], "-bios": ["-bios"], "-hda": ["-hda"], "-cdrom": ["-cdrom"],
    "-symbols": ["-symbols"],
}


def with_file(bench, option, path):
    if option == "-initrd":
        return ["-kernel", bench.file(bz_image(), "good-bzimage"), "-initrd", path]
    if option == "module":
        good = bench.file(b"module", "good-module")
        return ["-kernel", bench.file(elf(LOOP), "good-elf"), "-initrd", f"{good} a b,{path} c,{good}"]
    if option == "-symbols":
        return ["-symbols", f"L1={path}"]
    return [option, path]


ALL_FILES = ["-kernel", "-initrd", "module", "-bios", "-hda", "-cdrom", "-symbols"]


@case
def missing_files(b):
    for option in ALL_FILES:
        b.refused(with_file(b, option, "no-such-file"), "no-such-file", "o such file")


@case
def empty_files(b):
    empty = b.file(b"", "empty")
    for option in ALL_FILES:
        b.refused(with_file(b, option, empty), empty, "empty")


@case
def directories(b):
    os.mkdir(os.path.join(b.folder, "folder"))
    for option in ALL_FILES:
        b.refused(with_file(b, option, "folder"), "folder")


@case
def pipes(b):
    os.mkfifo(os.path.join(b.folder, "pipe"))
    for option in ALL_FILES:
        b.refused(with_file(b, option, "pipe"), "pipe")


@case
def unreadable_files(b):
    for option in ALL_FILES:
        b.refused(with_file(b, option, "/proc/self/mem"), "/proc/self/mem")


@case
def random_files(b):
    noise = random.Random(1)
    for size in (1, 3, 511, 4096, 100000, 3 << 20):
        path = b.file(noise.randbytes(size), f"noise{size}")
        for option in ALL_FILES:
            # Any bytes are a module, a disk that is not partitioned yet, or in whole units a firmware.
            if option in ("module", "-hda") or (option == "-bios" and size % 65536 == 0):
                continue
            b.refused(with_file(b, option, path), path)
    b.refused(["-bios", b.file(bytes(65536 * 3 + 1), "bios")], "bios", "multiple of 64 KiB")


@case
def oversized_files(b):
    huge = b.file(b"", "huge")
    os.truncate(huge, 300 << 20)  # sparse
    for option in ("-kernel", "-initrd", "module", "-bios"):
        b.refused(with_file(b, option, huge) + ["-m", "128"], huge)
    b.refused(["-kernel", b.file(elf(bytes(20 << 20)), "big-elf"), "-m", "16"], "big-elf")
    b.refused(["-kernel", b.file(bz_image(bytes(20 << 20)), "big-bz"), "-m", "16"], "big-bz")
    big = b.file(b"x" * (20 << 20), "big-module")
    b.refused(with_file(b, "module", big) + ["-m", "16"], "big-module")
    cpio = b"070701" + b"0" * 48 + b"%08x" % (20 << 20) + b"0" * 32 + b"00000008" + b"0" * 8 + b"bigfile\0" + bytes(2)
    cpio += bytes(20 << 20) + b"070701" + b"0" * 88 + b"0000000b" + b"0" * 8 + b"TRAILER!!!\0" + bytes(3)
    b.refused(with_file(b, "-initrd", b.file(cpio, "big-cpio")) + ["-m", "32"], "big-cpio", "-m")


def cuts(size):
    return sorted({1, 4, 16, 40, 52, 60, 64, 100, 500, 0x1FF, 0x205, 0x264, 1024, size // 3, size // 2, size * 9 // 10,
                   size - 700000} - {0})


@case
def truncated_files(b):
    whole = elf(bytes(200000))
    for n in cuts(len(whole)):
        if 0 < n < len(whole):
            b.refused(["-kernel", b.file(whole[:n], "cut-elf")], "cut-elf")
    whole = bz_image()
    for n in cuts(len(whole)):
        if 0 < n < len(whole):
            b.refused(["-kernel", b.file(whole[:n], "cut-bz")], "cut-bz")
    b.refused(["-cdrom", b.file(volume(200, 5000), "cut-iso")], "cut-iso", "truncated")
    whole = symbols_elf()
    for n in range(1, len(whole), 37):
        b.refused(["-symbols", f"L2={b.file(whole[:n], 'cut-symbols')}"], "cut-symbols")


@case
def truncated_images(b):
    """The same on the real images, where they have been built."""
    for name, option in (("vmlinuz", "-kernel"), ("xen", "-kernel"), ("linux.cpio", "-initrd"),
                         ("dom0.cpio.zst", "-initrd"), ("linux.iso", "-cdrom"), ("xen.iso", "-cdrom")):
        path = os.path.join(b.images, name)
        if not os.path.exists(path):
            continue
        with open(path, "rb") as f:
            whole = f.read()
        for n in cuts(len(whole)):
            cut = b.file(whole[:n], "cut-" + name)
            b.refused(with_file(b, option, cut) + ["-m", "512"], cut)


@case
def damaged_elf_headers(b):
    """Every header byte with hostile values: refused in one line, or it starts as if nothing were wrong."""
    noise = random.Random(2)
    body = b"\xFA\xB0\x10\x66\xBA\x01\x05\xEE\xEB\xFE"  # exits with 21h where it still runs
    options = ["-nodefaults", "-no-reboot", "-device", "isa-debug-exit,iobase=0x501,iosize=2", "-vga", "none"]
    refused = 0
    wholes = [elf(body), elf(body, bits=64)]
    for number in range(70):
        whole = wholes[number % 2]
        fields = range(4, 52 + 32) if number % 2 == 0 else range(4, 64 + 56)
        data = bytearray(whole)
        width = noise.choice((1, 2, 4))
        at = noise.choice(fields)
        value = noise.choice((0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFF000, noise.getrandbits(32)))
        data[at:at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
        code, _, err = b.run("-kernel", b.file(bytes(data), "damaged"), *options, interrupt_after=2)
        lines = err.splitlines()
        check(code in (1, 33) or (code in (0, 3, 4, 130) and len(lines) <= 1), f"change at {at}: exit code {code}: {err}")
        if code == 1:
            refused += 1
            check(len(lines) == 1 and "damaged" in err, err)
    check(refused > 20, f"only {refused} of the damaged headers were refused")
    b.refused(["-kernel", b.file(elf(body, machine=40), "arm")], "arm", "another machine")
    b.refused(["-kernel", b.file(elf(body, multiboot=False), "plain")], "plain", "neither a multiboot header nor")
    b.refused(["-kernel", b.file(elf(body, entry=0x5000000), "entry")], "entry", "outside what is loaded")
    b.refused(["-kernel", b.file(elf(body, paddr=0xF0000), "rom")], "rom")
    b.refused(["-kernel", b.file(bz_image(version=0x1FF), "old")], "old", "older than 2.00")
    b.refused(["-kernel", b.file(bz_image(promised=1 << 20), "short")], "short", "truncated")


# option values, then texts of the one line
WRONG_VALUES = [
    (["-m", "0"], "-m", "'0'"), (["-m", "abc"], "abc"), (["-m", "65G"], "65G"), (["-m", "-5"], "-5"),
    (["-m", "99999999999999999999G"], "-m"), (["-m", "1M,slots=2"], "-m"), (["-m", "12Q"], "12Q"),
    (["-smp", "0"], "-smp", "1 to 8"), (["-smp", "9"], "1 to 8"), (["-smp", "two"], "two"), (["-smp", "1,cpu=2"], "cpus"),
    (["-smp", "2,threads=2"], "threads"), (["-smp", ","], "-smp"), (["-smp", "4,maxcpus=1"], "maxcpus"),
    (["-cpu", "Westmer"], "Westmere"), (["-cpu", ""], "-cpu"), (["-cpu", "Westmere,+vmxx"], "vmxx", "vmx"),
    (["-cpu", "Westmere,+svm"], "SVM"), (["-cpu", "barcelona,+vmx"], "VT-x"), (["-cpu", "max,vmx=maybe"], "maybe"),
    (["-cpu", "Westmere,,"], "-cpu"), (["-cpu", "Westmere,+"], "-cpu"), (["-cpu", "host"], "-cpu host"),
    (["-machine", "q35"], "q35"), (["-machine", "pc,accel=kvm"], "kvm"), (["-M", "microvm"], "microvm"),
    (["-machine", "linux-entry=32"], "real, 64"), (["-machine", "linux-entry=64"], "-kernel"),
    (["-accel", "kvm"], "interp"), (["-accel", "tcg"], "interp"), (["-enable-kvm"], "-enable-kvm", "models"),
    (["-boot", "z"], "'z'"), (["-boot", "menu=7"], "menu"), (["-boot", "oder=c"], "order"), (["-boot", "order="], "order"),
    (["-drive", "file=x,if=scsi"], "ide"), (["-drive", "if=ide"], "file="), (["-drive", "file=x,index=9"], "index"),
    (["-drive", "file=x,format=vmdk"], "raw"), (["-drive", "fil=x"], "file"), (["-drive", "file=x,media=floppy"], "cdrom"),
    (["-drive", ""], "-drive"), (["-hda", ""], "-hda"),
    (["-device", "e1000"], "e1000"), (["-device", "isa-debug-exit,iobase=99999"], "iobase"),
    (["-device", "isa-debug-exit,port=1"], "port"), (["-device", "isa-debug-exit,iosize=0"], "iosize"),
    (["-serial", "foo"], "-serial", "foo"), (["-serial", "file:"], "file:"), (["-serial", "file:/no/such/dir/x"], "/no/such/dir/x"),
    (["-serial", "tcp:localhost"], "tcp:localhost"), (["-serial", "unix:/no/such/socket"], "/no/such/socket"),
    (["-serial", "tcp:127.0.0.1:1"], "127.0.0.1:1"), (["-serial", "stdio", "-serial", "stdio"], "stdio", "twice"),
    (["-serial", "stdio,foo=1"], "foo"), (["-debugcon", "bar"], "-debugcon", "bar"), (["-serial", "null"] * 5, "four"),
    (["-monitor", "stdio"], "-monitor"), (["-display", "sdl"], "-display"), (["-vga", "qxl"], "-vga"),
    (["-rtc", "base=utc"], "base=utc"), (["-rtc", "base=2024-02-30"], "2024-02-30"), (["-rtc", "clock=host"], "clock"),
    (["-icount", "shift=99"], "shift"), (["-icount", "auto"], "shift"),
    (["-d", "nonsense"], "nonsense"), (["-d", "int,,hash"], "-d"), (["-d", "hash", "-D", "/no/such/dir/log"], "/no/such/dir/log"),
    (["-d", "in_asm", "-dfilter", "0x10"], "'0x10'", "START+SIZE"), (["-dfilter", "0x10+1"], "-d in_asm"),
    (["-trace", "vmexit,format=xml"], "xml"), (["-trace", "vmenter"], "vmexit"), (["-trace", "vmexit,path=x"], "path"),
    (["-trace", "vmexit,file=/no/such/dir/t"], "/no/such/dir/t"), (["-trace", "vmstat,file=/"], "'/'"),
    (["-symbols", "L3=x"], "L3"), (["-symbols", "xen"], "xen"), (["-singlestep", "L0"], "L0"), (["-singlestep", "2"], "'2'"),
    (["-screendump", "/no/such/dir/s.ppm"], "/no/such/dir/s.ppm"), (["-screendump", "s", "-vga", "none"], "-screendump"),
    (["-initrd", "x"], "-kernel"), (["-append", "x"], "-kernel"), (["-kernel"], "-kernel"), (["-kernle", "x"], "-kernel"),
    (["--nograhpic"], "-nographic"), (["-kernel=x"], "-kernel"), (["disk.img"], "-hda"), (["-"], "'-'"), ([""], "''"),
    (["-cpu", "two\nlines"], "-cpu"), (["-\x1b[31m"], "unknown option"), (["-bios", "nosuchbios.bin"], "nosuchbios.bin"),
]


@case
def wrong_values(b):
    check(len(WRONG_VALUES) >= 60, "the table is too short")
    for options, *expected in WRONG_VALUES:
        b.refused(options, *expected)


@case
def full_disks(b):
    guest = b.guest(put(b"text\n" * 5) + put(b"com\n" * 5, 0x3F8) + debug_exit(0))
    full = "/dev/full"
    if not os.path.exists(full):
        return
    b.refused(guest + ["-trace", f"vmstat,file={full}"], full, "No space left")
    b.refused(guest + ["-screendump", full], full, "No space left")
    b.refused(guest + ["-d", "hash", "-D", full], "-D", full, "No space left")
    b.refused(guest + ["-d", "in_asm", "-D", full], "-D", full, "No space left")
    b.refused(guest + ["-serial", f"file:{full}"], full, "No space left")
    b.refused(guest + ["-debugcon", f"file:{full}"], full, "No space left")
    with open(full, "wb") as sink:
        process = b.start("-help", stdout=sink)
        _, err = process.communicate(timeout=SECONDS)
        check(process.returncode == 1 and err.count(b"\n") == 1, process.returncode, err)
    # The run ends when the output is lost, not when the guest does.
    b.refused(b.guest(put(b"text\n") + LOOP) + ["-debugcon", f"file:{full}"], full, "No space left")
    b.refused(b.guest(b"\xEB\x00" + LOOP) + ["-d", "in_asm", "-D", full], full, "No space left")


@case
def full_disk_while_tracing(b):
    if not b.program:
        return
    guest = ["-kernel", b.program, "-nodefaults", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    b.refused(guest + ["-trace", "vmexit,file=/dev/full"], "/dev/full", "No space left")
    folder = os.path.join(b.folder, "small")
    os.mkdir(folder)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", folder],
                                           stderr=subprocess.DEVNULL, check=False).returncode:
        return
    try:
        trace = os.path.join(folder, "trace")
        b.refused(guest + ["-trace", f"vmexit,file={trace},format=jsonl"], trace, "No space left")
        with open(trace, "rb") as f:
            check(f.read()[-1:] in (b"", b"\n"), "the trace ends in the middle of a line")
    finally:
        subprocess.run(["umount", folder], check=True)


@case
def triple_faults(b):
    code, _, err = b.run(*b.guest(triple_fault(0x7C00), "-no-reboot"))
    check(code == 3, f"exit code {code}: {err}")
    check(len(err.splitlines()) == 1 and "triple fault" in err and "0000:7c06" in err, err)
    code, out, err = b.run(*b.guest(counting_resets(3), "-debugcon", "stdio", "-d", "cpu_reset"))
    check(code == 0x43, f"exit code {code}: {err}")
    check(len(re.findall(rb"Booting from Hard Disk[^R]*R", out)) == 3, out)
    check(err.count("triple fault") == 2 and err.count("reset at") == 3, err)  # the first one is power-on


@case
def debug_exit_codes(b):
    for value, expected in ((0, 1), (1, 3), (0x10, 0x21), (0x7F, 0xFF), (0xFF, 0xFF)):
        code, _, err = b.run(*b.guest(debug_exit(value)))
        check(code == expected and err == "", f"{value} gives {code}, not {expected}: {err}")


@case
def idle_for_ever(b):
    code, _, err = b.run(*b.guest(HALT_FOR_EVER))
    check(code == 4 and len(err.splitlines()) == 1 and "idle for ever" in err, code, err)


@case
def signals(b):
    for number, expected in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        for body in (LOOP, b"\xFB\xF4\xEB\xFD"):  # busy; idle between timer interrupts
            serial = os.path.join(b.folder, f"serial{number}")
            stat = os.path.join(b.folder, f"stat{number}")
            process = b.start(*b.guest(put(b"no newline", 0x3F8) + put(b"UP\n") + body, "-serial", f"file:{serial}",
                                       "-debugcon", "stdio", "-trace", f"vmstat,file={stat}", "-d", "hash"))
            while b"UP" not in process.stdout.readline():
                check(process.poll() is None, "ended too soon")
            process.send_signal(number)
            _, err = process.communicate(timeout=SECONDS)
            check(process.returncode == expected, f"signal {number}: exit code {process.returncode}: {err}")
            check(re.fullmatch(rb"hash=[0-9a-f]{64} insns=\d+\n", err), err)
            with open(serial, "rb") as f:
                check(b"no newline" in f.read(), "what the guest printed last is lost")
            check(os.path.getsize(stat) > 0, "no statistics")


@case
def report_on_request(b):
    process = b.start(*b.guest(put(b"UP\n") + LOOP, "-debugcon", "stdio", "-trace", "vmstat"))
    while b"UP" not in process.stdout.readline():
        check(process.poll() is None, "ended too soon")
    process.send_signal(signal.SIGUSR1)
    check(process.stderr.readline() != b"", "nothing on SIGUSR1")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=SECONDS)
    check(process.returncode == 130, process.returncode)


def filters(process):
    with open(f"/proc/{process}/status", encoding="ascii") as f:
        return int(re.search(r"^Seccomp_filters:\t(\d+)$", f.read(), re.M)[1])


@case
def sandbox(b):
    for options, added in ((["-sandbox", "on"], 1), ([], 1), (["-sandbox", "off"], 0)):
        process = b.start(*b.guest(put(b"UP\n") + LOOP, "-debugcon", "stdio", *options))
        if not process.stdout.readline():
            check("sanitizers" in process.stderr.read().decode(), "ended too soon")
            return
        check(filters(process.pid) == filters("self") + added, options)  # a container may have one too
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)


@case
def a_reader_that_goes_away(b):
    process = b.start(*b.guest(put(b"UP\n") + put(b"more\n") * 2 + LOOP, "-debugcon", "stdio"))
    process.stdout.close()
    err = process.stderr.read().decode()
    check(process.wait(timeout=SECONDS) == 1 and "standard output: Broken pipe" in err, process.returncode, err)


@case
def same_hash(b):
    runs = [b.guest(ticking_guest(), "-serial", "null", "-d", "hash")] * 2
    runs.append(runs[0] + ["-trace", "vmexit,file=/dev/null", "-trace", "vmstat,file=/dev/null", "-singlestep", "L1"])
    runs.append(runs[0] + ["-smp", "1", "-screendump", "/dev/null"])
    lines = []
    for options in runs:
        code, _, err = b.run(*options)
        check(code == 0x21, code, err)
        lines.append(err)
    check(len(set(lines)) == 1 and re.fullmatch(r"hash=[0-9a-f]{64} insns=\d+\n", lines[0]), lines)
    other = b.run(*b.guest(b"\x90" + ticking_guest(), "-serial", "null", "-d", "hash"))[2]
    check(other != lines[0], "another guest has the same hash")
    if not b.program:
        return
    guest = ["-kernel", b.program, "-nodefaults", "-no-reboot", "-d", "hash", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    traced = guest + ["-trace", "vmexit,file=/dev/null", "-trace", "vmstat,file=/dev/null", "-singlestep", "L2"]
    check(b.run(*guest) == b.run(*traced), "tracing changes the run")


@case
def log_of_some_addresses(b):
    """-dfilter leaves out the others' lines and changes nothing else."""
    guest = b.guest(ticking_guest(), "-serial", "null", "-accel", "jit", "-d", "in_asm")
    lines = lambda *options: re.findall(r"^[0-9a-f]+: .*$", b.run(*guest, *options)[2], re.M)
    every = lines()
    numbers = [int(line.split(":")[0], 16) for line in every]
    first, last = min(numbers), max(numbers)
    middle = numbers[len(numbers) // 2]
    check(first < middle < last, numbers)
    for text, low, high in ((f"{middle:#x}+1", middle, middle), (f"{first}..{middle}", first, middle),
                            (f"{middle:#x}-{middle - first}", first, middle - 1)):
        some = lines("-dfilter", text)
        check(some == [line for line, n in zip(every, numbers) if low <= n <= high], text, some)


@case
def statistics(b):
    err = b.run(*b.guest(ticking_guest(), "-serial", "null", "-accel", "jit,stats", "-d", "hash"))[2]
    retired = re.search(r"^instructions retired +(\d+)$", err, re.M)
    insns = re.search(r"^hash=.* insns=(\d+)$", err, re.M)
    parts = [int(n) for n in re.findall(r"^  (?:in translated code|interpreted, .*|interpreted otherwise) +(\d+) ", err, re.M)]
    check(retired and insns and retired[1] == insns[1] and len(parts) == 3 and sum(parts) == int(insns[1]), err)
    check(parts[0] > 0, "nothing was translated", err)


@case
def escape_key(b):
    for keys, expected in ((b"\x01x", 0), (b"\x01h\x01\x01\x01x", 0)):
        master, slave = pty.openpty()
        process = b.start(*b.guest(put(b"UP\r\n", 0x3F8) + LOOP, "-serial", "mon:stdio"), stdin=slave, stdout=slave)
        os.close(slave)
        seen = b""
        while b"UP" not in seen:
            seen += os.read(master, 1000)
        os.write(master, keys)
        check(process.wait(timeout=SECONDS) == expected, process.returncode, process.stderr.read())
        os.close(master)


@case
def stopped_start(b):
    process = b.start(*b.guest(debug_exit(1), "-S"))
    for _ in range(SECONDS * 20):
        with open(f"/proc/{process.pid}/stat", encoding="ascii") as f:
            if f.read().rsplit(")", 1)[1].split()[0] == "T":
                break
        time.sleep(0.05)
    else:
        raise Failure("-S does not stop")
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=SECONDS)
    check(process.returncode == 3, process.returncode)


@case
def texts(b):
    for option, text in (("-help", b"-kernel"), ("--version", b"Ringminus"), ("-h", b"Exit codes")):
        code, out, err = b.run(option)
        check(code == 0 and text in out and err == "", code, out, err)
    code, out, err = b.run("-cpu", "help")
    check(code == 0 and b"Westmere" in out, code, out, err)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ringminus")
    parser.add_argument("-k", default="")
    parser.add_argument("--guest", help="a multiboot kernel with VM exits that ends by isa-debug-exit at port F4h")
    parser.add_argument("--images", default=os.environ.get("RINGMINUS_IMAGES", os.path.join(ROOT, "out/images")) + "/out")
    args = parser.parse_args()
    failed = 0
    for name, function in CASES.items():
        if args.k not in name:
            continue
        start = time.monotonic()
        folder = tempfile.mkdtemp(prefix="ringminus-")
        bench = Bench(os.path.abspath(args.ringminus), folder, args.images, args.guest and os.path.abspath(args.guest))
        try:
            function(bench)
            print(f"ok      {name} ({time.monotonic() - start:.1f} s)", flush=True)
        except (Failure, subprocess.TimeoutExpired) as problem:
            failed += 1
            print(f"FAILED  {name}: {problem}", flush=True)
        finally:
            shutil.rmtree(folder)
    print(f"{failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
