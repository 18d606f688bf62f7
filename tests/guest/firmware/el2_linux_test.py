#!/usr/bin/env python3
"""Firmware entered at EL2 starts Linux there: its CPUs are at EL2 and it becomes a KVM host.

el2_linux_test.py TRAPLINE GUEST_DIR edk2|u-boot [TRAPLINE OPTIONS]
"""
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "disk"))
import shells  # noqa: E402
from shells import guest  # noqa: E402

BOOTARGS = "console=ttyAMA0 cryptomgr.notests"


def from_edk2(terminal):
    """The kernel's EFI stub, from the FAT file system."""
    terminal.expect(" seconds to skip ", shells.BOOT_S)
    terminal.type("\x1b")
    terminal.expect("Shell> ", shells.BOOT_S)
    terminal.type(f"FS0:\\Image initrd=\\initrd.gz {BOOTARGS}\r")


def from_uboot(terminal):
    terminal.expect("Hit any key to stop autoboot", shells.BOOT_S)
    terminal.type("\r")
    for line in ("virtio scan; load virtio 0 ${kernel_addr_r} Image", "load virtio 0 ${ramdisk_addr_r} initrd.gz",
                 f"setenv bootargs {BOOTARGS}"):
        terminal.expect("\n=> ", shells.COMMAND_S)
        terminal.type(line + "\r")
    terminal.expect("\n=> ", shells.COMMAND_S)
    terminal.type("booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr}\r")


def test():
    trapline, directory, which, *options = sys.argv[1:]
    firmware = os.path.join("firmware", "AAVMF_CODE.fd" if which == "edk2" else "u-boot.bin")
    store = os.path.join("firmware", "AAVMF_VARS.fd")
    guest.need_guest(directory, firmware, store, "Image", "initrd.gz")
    shells.need_tools("mkfs.vfat", "mcopy")
    with shells.scratch() as folder:
        disk, kept = os.path.join(folder, "disk"), os.path.join(folder, "vars")
        with open(disk, "wb") as file:
            file.truncate(64 << 20)
        shells.host("mkfs.vfat", disk)
        shells.host("mcopy", "-i", disk, *(os.path.join(directory, n) for n in ("Image", "initrd.gz")), "::/")
        run = [trapline, "run", "--memory", "1G", "--disk", disk, "--firmware", os.path.join(directory, firmware)]
        if which == "edk2":
            shutil.copyfile(os.path.join(directory, store), kept)
            run += ["--vars", kept]
        with shells.running(run + options) as terminal:
            (from_edk2 if which == "edk2" else from_uboot)(terminal)
            shell = shells.busybox(terminal)
            said = shell.run("dmesg | grep -e 'started at' -e 'kvm.*initialized'")
            mode = "Hyp mode" if "--el2=novhe" in options else "VHE mode"
            guest.require("CPU(s) started at EL2" in said and f"{mode} initialized" in said, f"dmesg said {said}")
            print(shells.power_off(terminal))


guest.main(test)
