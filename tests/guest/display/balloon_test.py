#!/usr/bin/env python3
"""Linux's virtio_balloon lends memory, gets it back, reports what is free, and tells of itself: the
host's memory shows it, before and after a restore.

balloon_test.py TRAPLINE GUEST_DIR mmio|pci
"""
import json
import os
import sys

from viewer import guest
import generic
import shells
import vm

MIB = 1 << 20


def resident(machine):
    with open(f"/proc/{machine.process.pid}/statm", encoding="utf-8") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def balloon(machine):
    status, text, errors = machine.ctl("status")
    guest.require(status == 0, errors)
    return json.loads(text)["balloon"]


def fill_and_free(machine, mib):
    """The guest touches so much memory, and has no use for it then."""
    since = len(machine.output)
    machine.type(f"mkdir -p /mnt; mount -t tmpfs -o size=900m none /mnt; dd if=/dev/zero of=/mnt/f bs=1M "
                 f"count={mib}; ls -l /mnt/f; echo fil''led\r")
    machine.await_output("filled", since)
    guest.require(str(mib * MIB) in machine.output[since:].decode(), "the file in memory")
    high = resident(machine)
    machine.type("umount /mnt; echo fre''ed\r")
    machine.await_output("freed", since)
    return high


def check_kept(machine):
    """What the guest did not lend is as it was."""
    since = len(machine.output)
    machine.type("md5sum -c /sum; echo che''cked\r")
    machine.await_output("checked", since)
    guest.require(b"/kept: OK" in machine.output[since:], machine.output[since:].decode())


def set_balloon(machine, text, pages):
    status, _, errors = machine.ctl("balloon", text)
    guest.require(status == 0, errors)
    vm.until(lambda: balloon(machine)["actual_bytes"] == pages, f"a balloon of {text}")


def test():
    _, directory, bus = sys.argv[1:]
    generic.need(directory)
    with shells.scratch() as folder:
        vm.use_folder(folder)
        image, saved = os.path.join(folder, "initrd"), os.path.join(folder, "saved")
        generic.initrd(image, directory, "initrd.gz", generic.BUS[bus] + ["virtio_balloon"])
        machine = vm.Vm("balloon", *generic.options(directory, image), "--memory", "1G",
                        f"--balloon=bus={bus}")
        try:
            machine.await_output("trapline# ")
            machine.type("dd if=/dev/urandom of=/kept bs=1M count=4; md5sum /kept > /sum\r")
            status, _, errors = machine.ctl("balloon", "2G")
            guest.require(status == 1 and "bytes of memory" in errors, errors)
            # Free page reporting: what was used and is free goes back by itself.
            high = fill_and_free(machine, 400)
            vm.until(lambda: resident(machine) < high - 300 * MIB,
                     f"{high // MIB} MiB become 300 less")
            guest.require(balloon(machine)["reported_bytes"] >= 300 * MIB, balloon(machine))
            vm.until(lambda: "guest" in balloon(machine), "statistics of the guest")
            told = balloon(machine)["guest"]
            guest.require(900 * MIB < told["total_bytes"] <= 1024 * MIB, told)
            # What is lent is missing; the guest works on, and gets it back.
            set_balloon(machine, "512M", 512 * MIB)
            vm.until(lambda: balloon(machine)["guest"]["free_bytes"] < 512 * MIB, "less memory")
            # Memory that goes and comes while a state is saved from another.
            status, _, errors = machine.ctl("save", saved)
            guest.require(status == 0, errors)
            set_balloon(machine, "0", 0)
            fill_and_free(machine, 600)
            set_balloon(machine, "256M", 256 * MIB)
            status, _, errors = machine.ctl("save", saved + "2", "--since", saved)
            guest.require(status == 0, errors)
            machine.ctl("power-off")
            guest.require(machine.end() == 0, machine.said())
            machine = vm.Vm("again", "--restore", saved + "2")
            machine.await_status()
            guest.require(balloon(machine)["actual_bytes"] == 256 * MIB, balloon(machine))
            guest.require(balloon(machine)["target_bytes"] == 256 * MIB, balloon(machine))
            set_balloon(machine, "0", 0)
            fill_and_free(machine, 500)
            check_kept(machine)
            machine.type("poweroff\r")
            guest.require(machine.end() == 0, machine.said())
            guest.require(b"Oops" not in machine.output and b"BUG" not in machine.output, "a bug")
        finally:
            machine.kill()


guest.main(test)
