#!/usr/bin/env python3
"""Debian's virtio drivers at work: disk, network, entropy and, if asked for, console.

virtio_test.py TRAPLINE GUEST_DIR [pci] [TRAPLINE OPTIONS]
"""
import hashlib
import os
import sys

import shells
from network import free_port, network
from shells import guest

def disk_written(shell):
    shell.run("mkdir -p /mnt && mount -t ext4 /dev/vda /mnt")
    shell.run("dd if=/dev/urandom of=/mnt/a bs=64k count=128 2>&1 && cp /mnt/a /mnt/b")
    # Scattered overwrites, a truncated and a removed file, a directory.
    shell.run("for i in 5 77 1033 2000; do dd if=/dev/urandom of=/mnt/b bs=4k seek=$i count=1 "
              "conv=notrunc 2>/dev/null || break; done")
    shell.run("cp /mnt/a /mnt/gone && rm /mnt/gone && mkdir /mnt/d && echo whole > /mnt/d/text")
    shell.run("cd /mnt && sha256sum a b d/text > sums && sync && cd /")


def on_pci(shell):
    """The functions are there, and each queue has its own message by the ITS."""
    found = shell.run("cd /sys/bus/pci/devices; for d in *; do echo $d $(cat $d/vendor $d/device "
                      "$d/class); done; cd /")
    for line in ("0000:00:00.0 0x1b36 0x0008 0x060000", "0000:00:01.0 0x1af4 0x1042 0x010000",
                 "0000:00:02.0 0x1af4 0x1042 0x010000", "0000:00:03.0 0x1af4 0x1041 0x020000",
                 "0000:00:04.0 0x1af4 0x1044 0x00ff00"):
        guest.require(line in found, f"no {line} in\n{found}")
    interrupts = shell.run("cat /proc/interrupts")
    for name in ("virtio0-req.0", "virtio2-input.0", "virtio2-output.0", "virtio3-input"):
        guest.require(any("ITS-MSI" in row and name in row for row in interrupts.splitlines()),
                      f"no message for {name}:\n{interrupts}")


def test():
    trapline, directory, *options = sys.argv[1:]
    pci = options[:1] == ["pci"]
    bus = ",bus=pci" if pci else ""
    if pci:
        del options[0]
    guest.need_guest(directory, "Image", "initrd.gz")
    shells.need_tools("mke2fs", "e2fsck", "debugfs")
    cpus = options[options.index("--cpus") + 1] if "--cpus" in options else "1"
    with shells.scratch() as folder:
        disk, second = os.path.join(folder, "disk"), os.path.join(folder, "ro")
        stats = os.path.join(folder, "stats.json")
        shells.make_ext4(disk, 64)
        with open(second, "wb") as file:
            file.write(b"read me" + bytes((1 << 20) - 7))
        port = free_port()
        initrd = "initrd.gz"
        if pci:
            initrd = os.path.join(folder, "initrd")
            shells.initrd_for_pci(initrd, directory, "initrd.gz")
        command = shells.linux(
            trapline, directory, "--disk", disk + bus, "--disk", second + ",ro" + bus, "--net",
            f"user,host-access,hostfwd=tcp:127.0.0.1:{port}-:80{bus}",
            "--rng=bus=pci" if pci else "--rng", "--stats", stats, *options, initrd=initrd)
        with shells.running(command) as terminal:
            shell = shells.busybox(terminal)
            guest.require(shell.run("nproc").strip() == cpus, "not all CPUs are there")
            if "--virtio-console" in options:
                guest.require("hvc0" in shell.run("tty"), "this shell is not on hvc0")
            if pci:
                on_pci(shell)
            disk_written(shell)
            said = shell.run("head -c 7 /dev/vdb; cat /sys/block/vdb/ro")
            guest.require(said.strip() == "read me1", f"the read-only disk: {said}")
            shell.run("echo no > /dev/vdb", status=1)
            shell.run("blkdiscard -o 33554432 -l 1048576 /dev/vdb", status=1)
            random = shell.run("dd if=/dev/hwrng bs=32 count=1 2>/dev/null | xxd -p -c 64").strip()
            guest.require(len(random) == 64 and len(set(random)) > 4, f"hwrng: {random}")
            network(shell, port)
            # SYSTEM_RESET inside one VM: the devices start afresh, the disk is as it was.
            terminal.type("reboot\r")
            shell = shells.busybox(terminal)
            shell.run("mkdir -p /mnt && mount -t ext4 /dev/vda /mnt && cd /mnt && "
                      "sha256sum -c sums && cat d/text && test ! -e gone && cd /")
            network(shell, port)
            sums = shell.run("cat /mnt/sums; umount /mnt")
            print(shells.power_off(terminal))
        host_sum = hashlib.sha256()
        copy = os.path.join(folder, "a")
        shells.host("debugfs", "-R", f"dump /a {copy}", disk)
        with open(copy, "rb") as file:
            host_sum.update(file.read())
        guest.require(host_sum.hexdigest() in sums, "the image holds other bytes than the guest saw")
        shells.check_ext4(disk)
        counted = guest.load_stats(stats)["devices"]
        for device in ("virtio-blk0", "virtio-blk1", "virtio-net2", "virtio-rng0"):
            guest.require(counted[device]["writes"] > 0, f"{device} was not used")


guest.main(test)
