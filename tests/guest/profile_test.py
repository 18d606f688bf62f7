#!/usr/bin/env python3
"""The profile of Debian's kernel: sums that hold, times that fit, and names that are the guest's own.

profile_test.py TRAPLINE GUEST_DIR
"""
import csv
import io
import os
import re
import subprocess
import sys
import tempfile

import guest_process as guest

TOP = 10
KERNEL = 0xffff_8000_0800_0000  # 6.1's first address; modules lie below
EARLY = ["--max-insns", "120000000"]  # the kernel prints, and has its vectors
CHECKED = ["vectors", "start_kernel", "schedule", "__memcpy", "_text", "_etext"]


class Machine:
    def __init__(self, trapline, directory, scratch):
        self.trapline, self.directory, self.scratch = trapline, directory, scratch
        self.stats = os.path.join(scratch, "stats.json")

    def run(self, command, options, status=0):
        """Console and statistics of a profiled guest that runs one command."""
        ended, output, errors = guest.run(
            [self.trapline, "run", "--kernel", os.path.join(self.directory, "Image"), "--initrd",
             os.path.join(self.directory, "initrd-test.gz"), "--append",
             f"{guest.CMDLINE} trapline.cmd={command}", "--stats", self.stats, "--profile"] + options,
            400)
        console = output.decode(errors="replace")
        guest.require(ended == status, f"{options}: status {ended}\n{console[-2000:]}\n{errors}")
        return console, guest.load_stats(self.stats)

    def report(self, text_format):
        done = subprocess.run([self.trapline, "report", self.stats, "--format", text_format],
                              stdout=subprocess.PIPE, check=True)
        return done.stdout.decode()


def check_sums(stats):
    """Rows against the counters, which count on their own, to the unit."""
    rows, exits = stats["profile"]["rows"], stats["exits"]

    def count(**fields):
        return sum(r["count"] for r in rows if all(r.get(k) == v for k, v in fields.items()))

    expected = {
        "total": (count(), exits["total"]),
        "ISV=1": (count(**{"class": "DABT_LOW", "isv": 1}), exits["data_abort"]["isv1"]),
        "ISV=0": (count(**{"class": "DABT_LOW", "isv": 0}), exits["data_abort"]["isv0"]),
    }
    for name, counter in (("IABT_LOW", "prefetch_abort"), ("SYS64", "sysreg"), ("HVC64", "hvc"),
                          ("WFx", "wfx"), ("UNKNOWN", "other")):
        expected[name] = (count(**{"class": name}), exits[counter])
    for device, entry in stats["devices"].items():
        for register, accesses in entry.get("registers", {}).items():
            expected[f"{device} {register}"] = (count(device=device, register=register),
                                                accesses["reads"] + accesses["writes"])
    for name, (of_rows, of_counters) in expected.items():
        guest.require(of_rows == of_counters, f"{name}: {of_rows} in rows, {of_counters} counted")
    guest.require(exits["total"] > 5000, f"only {exits['total']} exits")
    timeline = sum(sum(series["counts"]) for series in stats["profile"]["timeline"]["series"])
    guest.require(timeline == exits["total"], f"{timeline} exits in the timeline")
    for row in rows:
        times = row["time_ns"]
        guest.require(times["count"] == row["count"] == sum(b[2] for b in times["buckets"]),
                      f"counts of {row}")
        guest.require(sum(row["stages_ns"].values()) <= 1.001 * times["sum"] + 1, f"stages of {row}")
    return len(expected)


def check_times(stats, cpus, slept):
    profile = stats["profile"]
    guest.require([v["vcpu"] for v in profile["vcpus"]] == list(range(cpus)), "vCPUs")
    for vcpu in profile["vcpus"]:
        whole = vcpu["guest_ns"] + vcpu["exit_ns"] + vcpu["idle_ns"]
        guest.require(0.3 * profile["duration_ns"] < whole <= profile["duration_ns"] * 1.001,
                      f"{vcpu} of {profile['duration_ns']} ns")
        rows = [row for row in profile["rows"] if row["vcpu"] == vcpu["vcpu"]]
        handling = sum(row["time_ns"]["sum"] for row in rows)
        guest.require(abs(handling - vcpu["exit_ns"]) <= 0.001 * handling + 1, "handling, by rows")
        sleep = sum(row["sleep_ns"] for row in rows)
        guest.require(abs(sleep - vcpu["idle_ns"]) <= 0.001 * sleep + 1, "sleep, by rows")
    waits = [row for row in profile["rows"] if row["class"] == "WFx"]
    sleep, handling = sum(r["sleep_ns"] for r in waits), sum(r["time_ns"]["sum"] for r in waits)
    if slept:
        guest.require(sleep > 1e9, f"slept {sleep} ns, and the guest's command for 2 s")
    guest.require(handling < 0.1e9, f"handling of WFx: {handling} ns, sleep {sleep} ns")
    return sleep, handling


def function(row):
    return re.sub(r"\+0x[0-9a-f]+$", "", row.get("symbol", ""))


def hottest(rows):
    """Rows by cost, as a report has them."""
    return sorted(rows, key=lambda row: -row["time_ns"]["sum"])[:TOP]


def check_names(stats, kallsyms):
    guest.require(stats["profile"]["notes"] == [] or not names_a_kernel(stats),
                  f"notes: {stats['profile']['notes']}")
    checked = set()
    for row in stats["profile"]["rows"]:
        if (name := function(row)) not in kallsyms:
            continue
        offset = int(row["symbol"].rpartition("+")[2], 16) if "+" in row["symbol"] else 0
        guest.require(int(row["pc"], 16) - offset in kallsyms[name],
                      f"{row['symbol']} at {row['pc']}, and kallsyms {kallsyms[name]}")
        checked.add(name)
    return checked


def names_a_kernel(stats):
    return [note for note in stats["profile"]["notes"] if "another kernel" in note]


def addresses(text):
    found = {}
    for address, name in re.findall(r"^([0-9a-f]{16}) \w (\w+)\r?$", text, re.M):
        found.setdefault(name, []).append(int(address, 16))
    return found


def of_module(text):
    """An address below the kernel: the Image's tables name no module's functions."""
    return any(int(pc, 16) < KERNEL for pc in re.findall(r"\b0xffff80000[0-9a-f]{7}\b", text))


def check_reports(machine, stats):
    rows = hottest(stats["profile"]["rows"])
    names = [function(row) for row in rows]
    guest.require(all(name or of_module(row["pc"]) for name, row in zip(names, rows)),
                  f"the hottest rows' functions: {names}")
    rows = list(csv.DictReader(io.StringIO(machine.report("csv"))))
    guest.require([function(row) for row in rows[:TOP]] == names, "the CSV's first rows")
    guest.require(sum(int(row["count"]) for row in rows) == stats["exits"]["total"], "the CSV's sum")
    text = machine.report("text").partition("hottest instructions")[2].split("\n")[2:2 + TOP]
    guest.require(len(text) == TOP and all("+0x" in line or of_module(line) for line in text),
                  f"the text's: {text}")
    names = [name for name in names if name]
    guest.require(len(names) > TOP / 2, f"names: {names}")
    return names


def check_symbols_of_others(machine, kallsyms):
    """What --symbols gives: right ones, moved ones, and two kinds of another kernel's."""

    def early(shift):
        path = os.path.join(machine.scratch, "symbols")
        with open(path, "w", encoding="utf-8") as file:
            for name, found in kallsyms.items():
                file.writelines(f"{a + shift(name):016x} T {name}\n" for a in found)
        _, stats = machine.run("true", EARLY + ["--symbols", path], status=124)
        return stats

    right = early(lambda name: 0)
    guest.require(not names_a_kernel(right), f"the guest's own: {right['profile']['notes']}")
    named = {function(row) for row in right["profile"]["rows"]}
    guest.require("pl011_console_putchar" in named, f"names: {named}")
    moved = early(lambda name: -0x600_0000)  # KASLR's: whole pages of 64 KB
    guest.require(not names_a_kernel(moved), f"moved: {moved['profile']['notes']}")
    guest.require(same_names(names_of(right), names_of(moved)), "moved symbols name other functions")
    for what, shift in (("vectors elsewhere", lambda name: 0x1800 if name == "vectors" else 0),
                        ("code elsewhere", lambda name: 0 if name == "vectors" else 0x40)):
        stats = early(shift)
        guest.require(names_a_kernel(stats), f"{what}: {stats['profile']['notes']}")
    _, image = machine.run("true", EARLY + ["--symbols", os.path.join(machine.directory, "Image")],
                           status=124)
    guest.require(not names_a_kernel(image), f"the Image's own: {image['profile']['notes']}")
    _, none = machine.run("true", EARLY + ["--symbols", "none"], status=124)
    guest.require(not any("symbol" in row for row in none["profile"]["rows"]), "--symbols none")


def names_of(stats):
    return {row["pc"]: row.get("symbol") for row in stats["profile"]["rows"]}


def same_names(one, other):
    """Where both have exits: interrupts of the host's clock come elsewhere each time."""
    common = one.keys() & other.keys()
    return len(common) > len(one) / 2 and all(one[pc] == other[pc] for pc in common)


def test():
    trapline, directory = sys.argv[1:3]
    guest.need_guest(directory, "Image", "initrd-test.gz")
    status, _, errors = guest.run([trapline, "run", "--raw", "none", "--profile"], 60)
    guest.require(status == 1 and errors.count("\n") == 1 and "--profile needs --stats" in errors,
                  f"--profile alone: status {status}: {errors}")
    with tempfile.TemporaryDirectory() as scratch:
        machine = Machine(trapline, directory, scratch)
        _, stats = machine.run("sleep 2", ["--cpus", "2", "--profile-stacks", "5"])
        compared = check_sums(stats)
        sleep, handling = check_times(stats, 2, slept=True)
        names = check_reports(machine, stats)
        stacks = stats["profile"]["stacks"]
        share = sum(s["count"] for s in stacks) / stats["exits"]["total"]
        guest.require(0.15 < share < 0.25, f"one exit in five has a stack: {share}")
        deep = max(len(s["frames"]) for s in stacks)
        guest.require(deep > 8, f"the deepest stack has {deep} frames")
        print(f"{compared} counts are equal; WFx slept {sleep / 1e9:.2f} s, handled in "
              f"{handling / 1e6:.2f} ms; the top {TOP}: {', '.join(names)}")

        wanted = "|".join(sorted(set(names)) + CHECKED + ["pl011_console_putchar"])
        console, stats = machine.run(f'grep -E " ({wanted})$" /proc/kallsyms',
                                     ["--clock", "icount"])
        kallsyms = addresses(console)
        guest.require(set(names) <= set(kallsyms), f"kallsyms lacks some of {names}")
        check_sums(stats)
        check_times(stats, 1, slept=False)
        checked = check_names(stats, kallsyms)
        guest.require(len(checked) >= 3, f"only {checked} were in both")
        print(f"/proc/kallsyms agrees about {', '.join(sorted(checked))}")
        check_symbols_of_others(machine, kallsyms)


guest.main(test)
