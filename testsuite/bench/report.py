"""Medians, ratios, geometric means; as a table and as JSON."""
import json
import math
import statistics

import rows

DASH = "-"


class Results:
    """Every figure of a session: seconds[machine][row] is a list, one entry per repetition. Rows of the nested images
    are `kind:row`."""

    def __init__(self, machines):
        self.machines = machines
        self.seconds = {m: {} for m in machines}
        self.checks = {}    # row -> {digest: [who]}
        self.problems = []
        self.peak_mib = {}
        self.info = {}

    def add(self, job, outcome, wanted):
        nested = job.kind.startswith(("l2", "xen", "mission"))
        for name, value in outcome.seconds.items():
            if nested or name in wanted:
                key = f"{job.kind}:{name}" if nested else name
                self.seconds[job.machine].setdefault(key, []).append(value)
        for name, digest in outcome.checks.items():
            # In L1 and in L2 it is the same program.
            shared = f"nested {name[3:]}" if nested else name
            self.checks.setdefault(shared, {}).setdefault(digest, []).append(f"{job.machine} {job.kind} {name}")
        self.problems += [f"{job.machine} {job.kind}: {p}" for p in outcome.problems]
        self.peak_mib[job.machine] = max(self.peak_mib.get(job.machine, 0), outcome.peak_mib)
        if outcome.info:
            self.info[f"{job.machine} {job.kind}"] = outcome.info

    def median(self, machine, row):
        values = self.seconds.get(machine, {}).get(row)
        return statistics.median(values) if values else None

    def ratio(self, machine, row, base="native", base_row=None):
        value, unit = self.median(machine, row), self.median(base, base_row or row)
        return value / unit if value is not None and unit else None

    def mean_ratio(self, machine, names, base="native"):
        ratios = [r for r in (self.ratio(machine, n, base) for n in names) if r]
        return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None

    def differences(self):
        """Rows whose output is not the same everywhere."""
        return [f"{row}: outputs differ: " + "; ".join(f"'{d}' on {', '.join(sorted(set(who)))}" for d, who in by.items())
                for row, by in self.checks.items() if len(by) > 1]

    def spread(self, row):
        """Largest relation of the slowest to the fastest repetition on any machine."""
        spreads = [max(v) / min(v) for m in self.machines for v in [self.seconds[m].get(row, [])] if len(v) > 1 and min(v) > 0]
        return max(spreads, default=None)


def number(value, digits=2):
    return DASH if value is None else f"{value:.{digits}f}"


def times(value):
    return "" if value is None else f"{value:.1f}x" if value >= 9.95 else f"{value:.2f}x"


def against(value, goal):
    """A ratio's goal, marked where it is not reached."""
    if goal is None:
        return ""
    return f"<= {goal:.3g}" + (" *" if value is not None and value > goal * 1.0005 else "")


def print_lines(table, right_from=1):
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        cells = [c.rjust(w) if i >= right_from else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())


def work_table(results, names):
    emulators = [m for m in results.machines if m != "native"]
    table = [["row", "native s"] + [c for m in emulators for c in (f"{m} s", "/native")] + ["goal", "/qemu", "spread"]]

    def line(name, goal, own, qemu, spread, values, ratios):
        cells = [name, values[0]] + [c for v, r in zip(values[1:], ratios) for c in (v, times(r))]
        return cells + [against(own, goal), times(qemu), number(spread)]

    for row in [rows.Row(rows.BOOT, None, "")] + rows.WORK:
        if row.name not in names:
            continue
        ratios = [results.ratio(m, row.name) for m in emulators]
        values = [number(results.median(m, row.name), 3) for m in ["native"] + emulators]
        qemu = results.ratio("ringminus", row.name, "qemu")
        own, goal = (qemu, rows.GOAL_BOOT) if row.name == rows.BOOT else (results.ratio("ringminus", row.name), row.goal)
        spread = results.spread(row.name)
        table.append(line(row.name, goal, own, qemu, spread, values, ratios))
    for title, members in (("mean of programs", rows.PROGRAMS), ("mean of others", rows.OTHERS), ("mean", rows.WORK)):
        chosen = [r.name for r in members if r.name in names]
        ratios = [results.mean_ratio(m, chosen) for m in emulators]
        qemu = results.mean_ratio("ringminus", chosen, "qemu")
        if len(chosen) > 1 and (any(ratios) or qemu):
            goal = rows.GOAL_MEAN if title == "mean" else None
            own = results.mean_ratio("ringminus", chosen)
            table.append(line(title, goal, own, qemu, None, [""] * (1 + len(emulators)), ratios))
    return table


def trip_figures(results, trips):
    """(row, machine, microseconds) of VM entry and exit round trips."""
    return [(row, m, results.median(m, row) / trips * 1e6)
            for row in rows.TRIPS for m in results.machines if results.median(m, row) is not None]


def nested_figures(results):
    """(kind, machine, program, L1 seconds, L2 seconds, ratio)."""
    out = []
    for kind in rows.GROUPS["l2"] + rows.GROUPS["xen"]:
        base = kind.replace("xen", "l2")
        for m in results.machines:
            for name in rows.NESTED:
                ratio = results.ratio(m, f"{kind}:l2-{name}", m, f"{base}:l1-{name}")
                if ratio:
                    out.append((kind, m, name, results.median(m, f"{base}:l1-{name}"),
                                results.median(m, f"{kind}:l2-{name}"), ratio))
    return out


def show(results, names, trips):
    if any(n in names for n in rows.GROUPS["work"]):
        print("CPU seconds, median; ratio of CPU time to native and to QEMU; * = goal not reached")
        print_lines(work_table(results, names))
        print()
    figures = trip_figures(results, trips)
    if figures:
        table = [["VM entry + exit", "machine", "CPU us each", "goal"]]
        table += [[row, m, f"{us:.3f}", against(us, rows.GOAL_TRIP) if m == "ringminus" else ""] for row, m, us in figures]
        print_lines(table, 2)
        print()
    figures = nested_figures(results)
    if figures:
        table = [["guest", "machine", "row", "L1 s", "L2 s", "L2/L1", "goal"]]
        table += [[k, m, n, number(a, 3), number(b, 3), times(r), against(r, rows.GOAL_NESTED if m == "ringminus" else None)]
                  for k, m, n, a, b, r in figures]
        print_lines(table, 3)
        print()
    for kind in rows.GROUPS["mission"]:
        seconds = {m: results.median(m, f"{kind}:mission") for m in results.machines}
        if any(seconds.values()):
            ratio = results.ratio("ringminus", f"{kind}:mission", "qemu", "mission-svm:mission")
            print(f"{kind}: " + ", ".join(f"{m} {s:.1f} s" for m, s in seconds.items() if s) +
                  (f"; to QEMU {times(ratio)}, goal {against(ratio, rows.GOAL_BOOT)}" if ratio else ""))
    print("peak memory, MiB: " + ", ".join(f"{m} {v}" for m, v in results.peak_mib.items()))


def as_json(results, names, trips, facts):
    work = {}
    for name in names:
        if name in rows.GROUPS["work"]:
            goal = next((r.goal for r in rows.WORK if r.name == name), None)
            work[name] = {"goal_to_native": goal, "to_native": {m: results.ratio(m, name) for m in results.machines},
                          "ringminus_to_qemu": results.ratio("ringminus", name, "qemu")}
    means = {title: {m: results.mean_ratio(m, [n for n in members if n in names]) for m in results.machines}
             for title, members in (("programs", rows.GROUPS["programs"]), ("others", rows.GROUPS["others"]),
                                    ("all", [r.name for r in rows.WORK]))}
    return json.dumps({
        **facts, "seconds": results.seconds, "work": work, "geometric_means_to_native": means,
        "round_trip_us": [dict(zip(("row", "machine", "us"), f)) for f in trip_figures(results, trips)],
        "nested": [dict(zip(("guest", "machine", "row", "l1_s", "l2_s", "ratio"), f)) for f in nested_figures(results)],
        "digests": {row: list(by) for row, by in results.checks.items()}, "guests": results.info,
        "peak_mib": results.peak_mib, "problems": results.problems}, indent=1)
