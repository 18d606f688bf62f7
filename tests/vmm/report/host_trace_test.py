#!/usr/bin/env python3
"""A real KVM host's trace, whole: the figures that its README says.

host_trace_test.py TRAPLINE FILE    the file comes with the project's shared data; without it: skipped
"""
import collections
import json
import os
import subprocess
import sys

CLASSES = {"SYS64": 79158, "IRQ": 2552, "DABT_LOW": 1873, "WFx": 1302, "HVC64": 31, "IABT_LOW": 14}
COUNTERS = {"kvm_mmio": 2665, "kvm_sys_access": 79158, "kvm_userspace_exit": 1256, "lost_events": 0}
EXITS = 84930
FLAG_REGISTER_READS = 416


def main():
    trapline, path = sys.argv[1:3]
    if not os.path.exists(path):
        print(f"SKIPPED: no {path}")
        sys.exit(77)
    done = subprocess.run([trapline, "report", path, "--format", "json"], capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"FAILED: status {done.returncode}: {done.stderr.decode(errors='replace')}")
    profile = json.loads(done.stdout)["profile"]
    by_class, by_register = collections.Counter(), collections.Counter()
    for row in profile["rows"]:
        by_class[row["class"]] += row["count"]
        by_register[row["device"], row["register"]] += row["count"]
    wrong = []
    if dict(by_class) != CLASSES or sum(by_class.values()) != EXITS:
        wrong.append(f"exits by class {dict(by_class)}, not {CLASSES}")
    for name, count in COUNTERS.items():
        if profile["counters"].get(name) != count:
            wrong.append(f"{name} {profile['counters'].get(name)}, not {count}")
    if by_register["pl011", "UARTFR"] != FLAG_REGISTER_READS:
        wrong.append(f"UARTFR {by_register['pl011', 'UARTFR']}, not {FLAG_REGISTER_READS}")
    sys.exit("FAILED: " + "; ".join(wrong) if wrong else 0)


main()
