#!/usr/bin/env python3
"""An idle guest at its prompt: how much of a host CPU the whole program uses.

idle_test.py TRAPLINE GUEST_DIR MOST_PERCENT [TRAPLINE OPTIONS]
"""
import os
import sys
import time

import guest_process as guest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "disk"))
import shells  # noqa: E402

SETTLE_S, WATCH_S = 5, 20


def cpu_seconds(pid):
    """User and system time of all threads."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test():
    trapline, directory, most, *options = sys.argv[1:]
    guest.need_guest(directory, "Image", "initrd.gz")
    with shells.running(shells.linux(trapline, directory, *options)) as terminal:
        shells.busybox(terminal)
        time.sleep(SETTLE_S)
        before, start = cpu_seconds(terminal.process.pid), time.monotonic()
        time.sleep(WATCH_S)
        used = cpu_seconds(terminal.process.pid) - before
        percent = 100 * used / (time.monotonic() - start)
        print(f"idle: {percent:.2f} % of a host CPU")
        shells.power_off(terminal)
    guest.require(percent <= float(most), f"{percent:.2f} % is more than {most} %")


guest.main(test)
