#!/usr/bin/env python3
"""Network cards that are not virtio's, under Debian's drivers of them, in its generic kernel.

nic_test.py TRAPLINE GUEST_DIR e1000|ne2000 [TRAPLINE OPTIONS]
"""
import glob
import os
import sys

import shells
from network import free_port, network
from shells import guest

MODULES = {"e1000": ["e1000"], "ne2000": ["8390", "ne2k-pci"]}
IDENTITY = {"e1000": "0x8086 0x100e", "ne2000": "0x10ec 0x8029"}
DEVICE = {"e1000": "e1000-0", "ne2000": "ne2000-0"}


def initrd_with_driver(path, directory, model):
    files = {"etc/modules": "".join(f"{name}\n" for name in MODULES[model]).encode()}
    for name in MODULES[model]:
        found = glob.glob(os.path.join(directory, "generic", "modules", "**", name + ".ko"),
                          recursive=True)
        if not found:
            print(f"SKIPPED: no {name}.ko in {directory}/generic: run scripts/fetch-generic")
            sys.exit(guest.SKIPPED)
        with open(found[0], "rb") as file:
            files[f"lib/modules/{name}.ko"] = file.read()
    shells.initrd_with(path, os.path.join(directory, "initrd.gz"), "", files)


def card(shell, model):
    found = shell.run("cat /sys/class/net/eth0/device/vendor /sys/class/net/eth0/device/device")
    guest.require(" ".join(found.split()) == IDENTITY[model], f"eth0 is {found}")
    found = shell.run("cat /sys/class/net/eth0/address")
    guest.require(found.strip() == "52:54:00:12:34:57", f"eth0's address is {found}")


def speed(shell, model):
    """What the driver read from the PHY, of the card that has one."""
    if model == "e1000":
        found = shell.run("cat /sys/class/net/eth0/speed /sys/class/net/eth0/duplex")
        guest.require(found.split() == ["1000", "full"], f"the link is {found}")


def down_and_up(shell):
    """The card is stopped and begins anew; a group is joined."""
    shell.run("ip link set eth0 down && ip link set eth0 up && ip route add default via 10.0.2.2")
    shell.run("ip link set eth0 promisc on && ip link set eth0 promisc off && "
              "ip maddr add 01:00:5e:01:02:03 dev eth0", status=None)
    said = shell.run("for i in 1 2 3 4 5; do ping -c 1 10.0.2.2 && break; done")
    guest.require("1 packets received" in said, f"ping after the reset:\n{said}")


def test():
    trapline, directory, model, *options = sys.argv[1:]
    guest.need_guest(directory, "initrd.gz")
    generic = os.path.join(directory, "generic")
    if not os.path.exists(os.path.join(generic, "Image")):
        print("SKIPPED: no generic kernel: run scripts/fetch-generic")
        sys.exit(guest.SKIPPED)
    with shells.scratch() as folder:
        initrd, stats = os.path.join(folder, "initrd"), os.path.join(folder, "stats.json")
        initrd_with_driver(initrd, directory, model)
        port = free_port()
        command = shells.linux(
            trapline, generic, "--net", f"user,model={model},mac=52:54:00:12:34:57,host-access,"
            f"hostfwd=tcp:127.0.0.1:{port}-:80", "--stats", stats, *options, initrd=initrd)
        with shells.running(command) as terminal:
            shell = shells.busybox(terminal)
            card(shell, model)
            network(shell, port)
            speed(shell, model)
            down_and_up(shell)
            guest.require("eth0" in shell.run("cat /proc/interrupts"), "no interrupt of eth0's")
            shell.run("dmesg | grep -E 'Unit Hang|timed out|Oops'", status=1)
            shells.power_off(terminal)
        devices = guest.load_stats(stats)["devices"]
        guest.require(devices[DEVICE[model]]["reads"] > 0, str(devices[DEVICE[model]]))
        guest.require(devices[DEVICE[model]].get("errors", 0) == 0, str(devices[DEVICE[model]]))


guest.main(test)
