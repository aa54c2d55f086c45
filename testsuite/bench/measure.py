"""Runs one job and takes its CPU time per row.

A row is what lies between the lines `BENCH name begin` and `BENCH name end CODE [MICROSECONDS]` of the guest's console.
For an emulator that is the difference of the process's CPU clock (all its threads, user and system) when the two lines
arrive. On the host `timed` says itself what the kernel charged the program.
"""
import os
import re
import select
import signal
import subprocess
import time

MARK = re.compile(r"BENCH (\S+) (begin|end)(?: (\d+))?(?: (\d+))?")
CHECK = re.compile(r"CHECK (\S+) (.*)")
MISSION = re.compile(r"MISSION-(OK|FAIL)")


class Outcome:
    """What one run gave: seconds of CPU time by row, digests by row, what went wrong, peak memory in MiB."""

    def __init__(self):
        self.seconds, self.checks, self.problems, self.info = {}, {}, [], None
        self.peak_mib, self.wall, self.cpu = 0, 0.0, 0.0


def cpu_clock(pid):
    """CPU seconds of a process so far (clock_getcpuclockid(3): the clock's number is made of the pid)."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


class Console:
    """Turns the console's lines into an Outcome."""

    def __init__(self, job, outcome, progress):
        self.job, self.outcome, self.progress = job, outcome, progress
        self.begun = {"boot": 0.0}

    def line(self, text, cpu):
        found = MARK.search(text)
        if found:
            self.mark(found, cpu)
        found = CHECK.search(text)
        if found:
            self.outcome.checks[found[1]] = found[2].strip()
        found = MISSION.search(text)
        if found and self.job.kind.startswith("mission"):
            self.outcome.seconds["mission"] = cpu
        if found and found[1] == "FAIL":
            self.outcome.problems.append(text)
        if text.startswith("INFO "):
            self.outcome.info = text[5:]

    def mark(self, found, cpu):
        name, what, code, own = found.groups()
        if what == "begin":
            self.begun[name] = cpu
            self.progress(name)
            return
        if code and code != "0":
            self.outcome.problems.append(f"{name} ended with code {code}")
        elif self.job.machine == "native":
            if own:
                self.outcome.seconds[name] = int(own) / 1e6
        elif name in self.begun and cpu is not None:
            self.outcome.seconds[name] = cpu - self.begun[name]


def read_lines(process, deadline):
    """(line, CPU clock when it came) until the console closes or the time is up."""
    rest = b""
    stream = process.stdout.fileno()
    while select.select([stream], [], [], max(0, deadline - time.monotonic()))[0]:
        data = os.read(stream, 65536)
        cpu = cpu_clock(process.pid)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.decode("utf8", "replace").strip(), cpu


def run(job, log_path, timeout, environment, progress):
    """Runs the job to its end; the console goes to the log with times."""
    outcome = Outcome()
    console = Console(job, outcome, progress)
    start = time.monotonic()
    with open(log_path, "w", encoding="utf8") as log:
        print(" ".join(job.command), file=log, flush=True)
        process = subprocess.Popen(job.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                                   env={**os.environ, **environment}, start_new_session=True)
        usage = None
        try:
            for line, cpu in read_lines(process, start + timeout):
                print(f"{time.monotonic() - start:10.3f} {line}", file=log, flush=True)
                console.line(line, cpu)
            usage = wait(process, start + timeout, outcome)
        finally:
            if usage is None:
                os.killpg(process.pid, signal.SIGKILL)
                usage = os.wait4(process.pid, 0)[2]
                process.returncode = -signal.SIGKILL
    outcome.wall = time.monotonic() - start
    outcome.cpu = usage.ru_utime + usage.ru_stime
    outcome.peak_mib = usage.ru_maxrss // 1024
    if process.returncode != job.exit_code and not outcome.problems:
        outcome.problems.append(f"ended with code {process.returncode}")
    return outcome


def wait(process, deadline, outcome):
    """Waits for a process that closed its console; its resource usage, or None if it does not end."""
    if time.monotonic() < deadline:
        for _ in range(500):
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return usage
            time.sleep(0.02)
    outcome.problems.append("not finished in time")
    return None
