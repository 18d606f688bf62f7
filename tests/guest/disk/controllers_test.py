#!/usr/bin/env python3
"""Disks and CDs behind a controller, under the drivers of Debian's generic kernel: a file system written under load, sums
checked inside, after a reboot and on the host; a CD's sums; discard, zeroes, what is read-only.

controllers_test.py TRAPLINE GUEST_DIR scsi|scsi-pci|ahci [nomsi] [TRAPLINE OPTIONS]
"""
import hashlib
import os
import sys

import shells
from shells import guest

MIB = 1 << 20
DRIVERS = {"scsi": ["virtio_scsi"], "scsi-pci": ["virtio_pci", "virtio_scsi"], "ahci": ["ahci"]}
TRANSPORT = {"scsi": "virtio", "scsi-pci": "virtio", "ahci": "ata"}


def find_devices(shell):
    """The kernel's names: each disk is found by its size in sectors, the CD as sr0."""
    sizes = shell.run("sleep 1; cat /proc/partitions; head -c 0 /dev/sr0")
    names = {}
    for line in sizes.splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[2].isdigit():
            names[int(fields[2])] = fields[3]
    return names


def written(shell, disk):
    shell.run(f"mkdir -p /mnt && mount -t ext4 -o discard /dev/{disk} /mnt")
    shell.run("cd /mnt && for i in 1 2 3 4; do dd if=/dev/urandom of=f$i bs=64k count=80 2>/dev/null & "
              "done; wait; for i in 1 2 3 4; do cp f$i g$i & done; wait; cd /")
    shell.run("for i in 5 77 1033; do dd if=/dev/urandom of=/mnt/g1 bs=4k seek=$i count=1 "
              "conv=notrunc 2>/dev/null || break; done")
    shell.run("cd /mnt && cp f1 gone && sync && rm gone && sha256sum f? g? > sums && sync && "
              "echo 3 > /proc/sys/vm/drop_caches && sha256sum -c sums && cd /")


def discarded(shell, disk, path):
    """A discarded megabyte is a hole of the host's file; one written as zeroes reads so."""
    size = int(shell.run(f"blockdev --getsize64 /dev/{disk}"))
    guest.require(size == 32 * MIB, f"{disk} has {size} bytes")
    shell.run(f"dd if=/dev/urandom of=/dev/{disk} bs=1M count=32 2>/dev/null && sync")
    before = os.stat(path).st_blocks
    shell.run(f"blkdiscard -o {4 * MIB} -l {8 * MIB} /dev/{disk}")
    after = os.stat(path).st_blocks
    guest.require(before - after >= 8 * MIB // 512, f"{before} blocks, then {after}")
    with open(path, "rb") as file:
        file.seek(4 * MIB)
        guest.require(file.read(8 * MIB) == bytes(8 * MIB), "what was discarded is still there")


def read_only(shell, bus, disk):
    """SCSI's disks say so; ATA's cannot, and refuse what is written: the kernel asks the log which of
    its queued commands failed, and goes on."""
    said = shell.run(f"head -c 7 /dev/{disk}; cat /sys/block/{disk}/ro")
    guest.require(said.strip() == ("read me0" if bus == "ahci" else "read me1"), f"{disk}: {said}")
    shell.run(f"dd if=/dev/urandom of=/dev/{disk} bs=4k count=2 conv=fsync 2>&1", status=1)
    if bus == "ahci":
        said = shell.run("dmesg -c")
        guest.require("WRITE FPDMA QUEUED" in said and "{ ABRT }" in said and
                      "EH complete" in said, f"not as a failed command looks:\n{said}")
        guest.require("timeout" not in said and "hard resetting" not in said, said)
    shell.run(f"echo 3 > /proc/sys/vm/drop_caches; test \"$(head -c 7 /dev/{disk})\" = 'read me'")


def test():
    trapline, directory, bus, *options = sys.argv[1:]
    append = guest.CMDLINE
    if options[:1] == ["nomsi"]:
        append += " pci=nomsi"
        del options[0]
    image = os.path.join("generic", "Image")
    guest.need_guest(directory, image, "initrd.gz")
    shells.need_tools("mke2fs", "e2fsck", "debugfs")
    with shells.scratch() as folder:
        disk, raw, fixed, cd = (os.path.join(folder, n) for n in ("disk", "raw", "fixed", "cd"))
        stats = os.path.join(folder, "stats.json")
        shells.make_ext4(disk, 64)
        with open(raw, "wb") as file:
            file.truncate(32 * MIB)
        with open(fixed, "wb") as file:
            file.write(b"read me" + bytes(MIB - 7))
        content = os.urandom(5 * MIB)
        with open(cd, "wb") as file:
            file.write(content)
        initrd = os.path.join(folder, "initrd")
        shells.initrd_with_drivers(initrd, directory, "initrd.gz", *DRIVERS[bus], "sd_mod", "sr_mod",
                                   "ext4", "crc32c_generic", modules="generic/modules")
        command = shells.linux(
            trapline, directory, "--disk", f"{disk},bus={bus}", "--disk", f"{cd},cd,bus={bus}",
            "--disk", f"{raw},bus={bus}", "--disk", f"{fixed},ro,bus={bus},slot=5", "--stats", stats,
            *options, initrd=initrd, image=image, append=append)
        with shells.running(command) as terminal:
            shell = shells.busybox(terminal)
            names = find_devices(shell)
            ext4, bare, locked = (names.get(size // 1024) for size in (64 * MIB, 32 * MIB, MIB))
            guest.require(ext4 and bare and locked, f"disks are missing: {names}")
            said = shell.run(f"cat /sys/block/{ext4}/device/vendor /sys/block/{ext4}/device/model; "
                             f"readlink /sys/block/{ext4}")
            guest.require(TRANSPORT[bus] in said, f"not by {bus}: {said}")
            written(shell, ext4)
            discarded(shell, bare, raw)
            read_only(shell, bus, locked)
            said = shell.run("sha256sum /dev/sr0; cat /sys/block/sr0/queue/logical_block_size")
            guest.require(hashlib.sha256(content).hexdigest() in said and "2048" in said,
                          f"the CD: {said}")
            terminal.type("reboot\r")
            shell = shells.busybox(terminal)
            ext4 = find_devices(shell)[64 * 1024]
            shell.run(f"mkdir -p /mnt && mount -t ext4 /dev/{ext4} /mnt && cd /mnt && "
                      "sha256sum -c sums && cd /")
            sums = shell.run("cat /mnt/sums; umount /mnt")
            said = shell.run("dmesg | grep -E 'Sense Key|I/O error|exception Emask|hard resetting|abort' "
                             "; true")
            guest.require(not said.strip(), f"the kernel complained:\n{said}")
            print(shells.power_off(terminal))
        copy = os.path.join(folder, "copy")
        shells.host("debugfs", "-R", f"dump /g1 {copy}", disk)
        with open(copy, "rb") as file:
            guest.require(hashlib.sha256(file.read()).hexdigest() in sums, "other bytes on the host")
        shells.check_ext4(disk)
        counted = guest.load_stats(stats)["devices"]
        device = "ahci" if bus == "ahci" else "virtio-scsi0"
        guest.require(counted[device]["writes"] > 100, f"{device} was not used: {counted}")
        wrong = counted[device]["errors"]
        guest.require((wrong > 0) == (bus == "ahci"), f"{device}: {counted[device]}")


guest.main(test)
