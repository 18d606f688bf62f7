#!/usr/bin/env python3
"""Firmware boots Linux from a FAT file system on a disk of one kind; Linux reads the same disk.

bus_linux_test.py TRAPLINE GUEST_DIR edk2|u-boot pci|scsi|scsi-pci [TRAPLINE OPTIONS]
"""
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "disk"))
import shells  # noqa: E402
from shells import guest  # noqa: E402

DRIVERS = {"pci": ["virtio_pci"], "scsi": ["virtio_scsi", "sd_mod"],
           "scsi-pci": ["virtio_pci", "virtio_scsi", "sd_mod"]}
FIRMWARE = {"edk2": "AAVMF_CODE.fd", "u-boot": "u-boot.bin"}


def from_uboot(terminal):
    terminal.expect("Hit any key to stop autoboot", shells.BOOT_S)
    terminal.type("\r")
    for line in ("virtio scan; load virtio 0 ${kernel_addr_r} Image", "load virtio 0 ${ramdisk_addr_r} initrd",
                 f"setenv bootargs {guest.CMDLINE}",
                 "booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr}"):
        terminal.expect("\n=> ", shells.COMMAND_S)
        terminal.type(line + "\r")
    terminal.expect("Starting kernel ...", shells.BOOT_S)


def from_edk2(terminal):
    terminal.expect("UEFI Interactive Shell", shells.BOOT_S)
    terminal.expect("EFI stub: Booting Linux Kernel", shells.BOOT_S)


def test():
    trapline, directory, which, bus, *options = sys.argv[1:]
    code = os.path.join("firmware", FIRMWARE[which])
    guest.need_guest(directory, code, "Image", "initrd.gz")
    shells.need_tools("mformat", "mcopy")
    with shells.scratch() as folder:
        disk, initrd, script = (os.path.join(folder, n) for n in ("disk", "initrd", "startup.nsh"))
        shells.initrd_with_drivers(initrd, directory, "initrd.gz", *DRIVERS[bus])
        with open(script, "w", encoding="ascii") as file:
            file.write(f"fs0:\\Image initrd=\\initrd {guest.CMDLINE}\r\n")
        shells.host("mformat", "-C", "-i", disk, "-T", str(96 << 11), "::")
        shells.host("mcopy", "-i", disk, os.path.join(directory, "Image"), initrd, script, "::/")
        with open(disk, "rb") as file:
            wanted = hashlib.sha256(file.read()).hexdigest()
        run = [trapline, "run", "--firmware", os.path.join(directory, code), "--disk",
               f"{disk},bus={bus}", *options]
        with shells.running(run) as terminal:
            (from_edk2 if which == "edk2" else from_uboot)(terminal)
            shell = shells.busybox(terminal)
            said = shell.run(f"ls /sys/firmware; sha256sum /dev/{'vda' if bus == 'pci' else 'sda'}")
            guest.require(wanted in said, f"the disk as Linux sees it: {said}")
            guest.require(("efi" in said) == (which == "edk2"), f"/sys/firmware has {said}")
            print(shells.power_off(terminal))


guest.main(test)
