#!/usr/bin/env python3
"""EDK2 boots Linux from a FAT file system on a virtio-scsi disk; Linux reads the same disk.

edk2_scsi_test.py TRAPLINE GUEST_DIR scsi|scsi-pci [TRAPLINE OPTIONS]
"""
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "disk"))
import shells  # noqa: E402
from shells import guest  # noqa: E402

DRIVERS = {"scsi": ["virtio_scsi", "sd_mod"], "scsi-pci": ["virtio_pci", "virtio_scsi", "sd_mod"]}


def test():
    trapline, directory, bus, *options = sys.argv[1:]
    code = os.path.join("firmware", "AAVMF_CODE.fd")
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
            terminal.expect("UEFI Interactive Shell", shells.BOOT_S)
            terminal.expect("EFI stub: Booting Linux Kernel", shells.BOOT_S)
            shell = shells.busybox(terminal)
            said = shell.run("ls /sys/firmware | grep efi; sha256sum /dev/sda")
            guest.require(wanted in said and "efi" in said, f"the disk as Linux sees it: {said}")
            print(shells.power_off(terminal))


guest.main(test)
