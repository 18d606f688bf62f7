#!/usr/bin/env python3
"""Xen as guest, with Debian's kernel as its dom0, to a shell on dom0's console and off again.

xen_test.py TRAPLINE GUEST-DIR XEN KERNEL [OPTIONS...]

XEN and KERNEL are folders of scripts/fetch-hypervisors below GUEST-DIR (KERNEL "." is
scripts/fetch-guest's). The shell sees Xen and each CPU; dom0's disk and network are Trapline's own.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "disk"))
import shells  # noqa: E402
from shells import guest  # noqa: E402

SECONDS = 200  # a few, on an idle machine
DISK_MIB = 8


def check_devices(shell):
    """dom0's devices are Trapline's, with interrupts that Xen passes on by list registers."""
    # Short lines: Xen keeps 128 typed characters for dom0 and drops what comes then.
    shell.run(f"dd if=/dev/urandom of=/data bs=1M count={DISK_MIB}")
    shell.run("dd if=/data of=/dev/vda bs=64k; sync")
    shell.run("echo 3 > /proc/sys/vm/drop_caches; cmp /data /dev/vda")
    shell.run("udhcpc -q -n -i eth0")
    said = shell.run("ping -c 2 10.0.2.2")
    guest.require("2 packets received" in said, f"ping said {said}")


def test():
    trapline, directory, xen, kernel, *options = sys.argv[1:]
    hypervisor, image, initrd = (os.path.normpath(name) for name in (
        f"{xen}/xen", f"{kernel}/Image", f"{kernel}/initrd.gz"))
    guest.need_guest(directory, hypervisor, image, initrd)
    cpus = int(options[options.index("--cpus") + 1]) if "--cpus" in options else 1
    with shells.scratch() as folder:
        disk, stats = os.path.join(folder, "disk"), os.path.join(folder, "stats.json")
        with open(disk, "wb") as file:
            file.truncate(DISK_MIB << 20)
        run = [trapline, "run", "--el2", "--memory", "1G", "--disk", disk, "--net", "user", "--stats", stats,
               "--kernel", os.path.join(directory, hypervisor), "--append", "dom0_mem=512M",
               "--module", os.path.join(directory, image) + ",append=console=hvc0 cryptomgr.notests quiet",
               "--module", os.path.join(directory, initrd), *options]
        with shells.running(run) as terminal:
            terminal.expect("(XEN) Xen version 4.", SECONDS)
            shell = shells.busybox(terminal, SECONDS)
            said = shell.run("cat /sys/hypervisor/type; nproc; tty")
            guest.require(said.split() == ["xen", str(cpus), "/dev/hvc0"], f"the shell said {said}")
            if "icount" not in options:
                check_devices(shell)
            errors = shells.power_off(terminal)
            said = terminal.seen.decode(errors="replace")
            guest.require("Hardware Dom0 halted: halting machine" in said, "Xen did not end it")
        print(errors)
        counted = guest.load_stats(stats)
        if "never" in options:
            aborts = counted["exits"]["data_abort"]
            guest.require(aborts["isv1"] == 0 and aborts["isv0"] > 1000, f"data aborts: {aborts}")
            guest.require(counted["decode"]["unsupported"] == 0, "an access was not supported")
            guest.require(counted["icache"]["mismatches"] == 0, "the cache was wrong")


guest.main(test)
