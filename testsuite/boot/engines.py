#!/usr/bin/env python3
"""Boots Linux (1 and 4 processors, or the cases named) on the translator, on the translator with code memory that
is always full, and on the interpreter: the run's hash must be the same. Usage: engines.py [CASE...]; cases and environment as for boot.py."""
import re
import subprocess
import sys

import boot


def run_hash(options, engine):
    result = subprocess.run([boot.RINGMINUS, *options, "-nodefaults", "-serial", "stdio", "-no-reboot",
                             "-d", "hash", "-accel", engine],
                            stdin=subprocess.DEVNULL, capture_output=True, timeout=3600)
    lines = re.findall(rb"^hash=[0-9a-f]{64} insns=\d+", result.stdout + result.stderr, re.M)
    return lines[-1].decode() if lines else f"no hash, exit code {result.returncode}"


def main():
    failed = 0
    for name in sys.argv[1:] or ["linux", "linux-smp4"]:
        hashes = {engine: run_hash(boot.CASES[name][1], engine) for engine in ("jit", "jit,tb-size=1", "interp")}
        same = len(set(hashes.values())) == 1 and hashes["jit"].startswith("hash=")
        print(f"{name}: {'same' if same else 'DIFFERENT'}: {hashes}", flush=True)
        failed += not same
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
