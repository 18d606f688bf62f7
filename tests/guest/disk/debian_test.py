#!/usr/bin/env python3
"""Debian 12 with systemd: to the login prompt, log in, write, sync, reboot, find it whole.

debian_test.py TRAPLINE GUEST_DIR kernel|u-boot|u-boot-efi|edk2 [TRAPLINE OPTIONS]
"""
import os
import sys

import shells
from shells import guest

APPEND = "root=/dev/vda2 rw console=ttyAMA0 cryptomgr.notests"


def loader(directory, name):
    debian = os.path.join(directory, "debian")
    firmware = os.path.join(directory, "firmware")
    if name == "kernel":
        guest.need_guest(debian, "vmlinuz", "initrd.img")
        return ["--kernel", os.path.join(debian, "vmlinuz"), "--initrd",
                os.path.join(debian, "initrd.img"), "--append", APPEND]
    file = "AAVMF_CODE.fd" if name == "edk2" else "u-boot.bin"
    guest.need_guest(firmware, file)
    return ["--firmware", os.path.join(firmware, file)]


def start(terminal, how):
    """From the start of the firmware, if there is any, to that of Linux."""
    if how == "u-boot":
        # Left alone, U-Boot prefers the EFI loader on the first partition: see u-boot-efi.
        terminal.expect("Hit any key to stop autoboot", shells.BOOT_S)
        terminal.type("\r")
        terminal.expect("\n=> ", shells.BOOT_S)
        terminal.type("virtio scan; sysboot virtio 0:2 any ${scriptaddr} "
                      "/boot/extlinux/extlinux.conf\r")
        terminal.expect("Retrieving file: /boot/vmlinuz", shells.BOOT_S)
        terminal.expect("Starting kernel", shells.BOOT_S)
    elif how != "kernel":
        terminal.expect("GRUB loads Linux", shells.BOOT_S)
        terminal.expect("Booting Linux Kernel", shells.BOOT_S)


def test():
    trapline, directory, how, *options = sys.argv[1:]
    image = os.path.join(directory, "debian", "disk.img")
    if not os.path.isfile(image):
        print(f"SKIPPED: no {image}: run scripts/make-debian-image as root")
        sys.exit(guest.SKIPPED)
    run = [trapline, "run", *loader(directory, how), "--memory", "1G", "--rng", *options]
    if how != "edk2":  # which would try to boot by PXE first
        run += ["--net", "user"]
    cpus = options[options.index("--cpus") + 1] if "--cpus" in options else "1"
    with shells.scratch() as folder:
        disk = os.path.join(folder, "disk")
        shells.host("cp", "--sparse=always", "--reflink=auto", image, disk)
        with shells.running(run + ["--disk", disk]) as terminal:
            start(terminal, how)
            shell = shells.debian(terminal)
            guest.require(shell.run("nproc").strip() == cpus, "not all CPUs are there")
            state = shell.run("systemctl is-system-running --wait; systemctl --failed --no-pager",
                              1500, status=None)
            guest.require("0 loaded units listed" in state, f"units failed:\n{state}")
            if how == "edk2":
                shell.run("test -d /sys/firmware/efi/efivars")
            else:
                guest.require("2 received" in shell.run("ping -c 2 10.0.2.2"), "ping failed")
            shell.run("mkdir /root/kept && cd /root/kept && "
                      "for i in 1 2 3 4; do dd if=/dev/urandom of=$i bs=1M count=4 2>&1 & done; "
                      "wait; cp -r /usr/share/doc . && find . -type f | sort | xargs sha256sum "
                      "> /root/sums; sync; cd", 900)
            files = int(shell.run("wc -l < /root/sums"))
            guest.require(files > 100, f"only {files} files were written")
            terminal.type("reboot\r")
            start(terminal, how)
            shell = shells.debian(terminal)
            shell.run("cd /root/kept && sha256sum --quiet -c /root/sums && cd", 900)
            terminal.type("poweroff\r")
            status, errors = terminal.finish(1500)
        guest.require(status == 0, f"status {status} after poweroff\n{errors}")
        print(errors)


guest.main(test)
