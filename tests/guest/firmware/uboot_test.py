#!/usr/bin/env python3
"""U-Boot to its prompt: commands, a virtio disk, reset, power off; its environment, saved in flash,
is there after a reset and, by --vars, in the next run.

uboot_test.py TRAPLINE GUEST_DIR [pci] [TRAPLINE OPTIONS]
"""
import os
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "disk"))
import shells  # noqa: E402
from shells import guest  # noqa: E402

PROMPT = "\n=> "


def prompt(terminal):
    terminal.expect("U-Boot 20", shells.BOOT_S)
    terminal.expect("Hit any key to stop autoboot", shells.BOOT_S)
    terminal.type("\r")
    terminal.expect(PROMPT, shells.BOOT_S)


def command(terminal, line):
    terminal.type(line + "\r")
    return terminal.expect(PROMPT, shells.COMMAND_S)


def test():
    trapline, directory, *options = sys.argv[1:]
    bus = ",bus=pci" if options[:1] == ["pci"] else ""
    if bus:
        del options[0]
    firmware = os.path.join("firmware", "u-boot.bin")
    guest.need_guest(directory, firmware)
    shells.need_tools("mke2fs", "debugfs")
    with shells.scratch() as folder:
        disk, text, kept = (os.path.join(folder, name) for name in ("disk", "text", "vars"))
        shells.make_ext4(disk, 16)
        with open(text, "w", encoding="ascii") as file:
            file.write("0123456789abcdef" * 1000)
        shells.host("debugfs", "-w", "-R", f"write {text} text", disk)
        run = [trapline, "run", "--firmware", os.path.join(directory, firmware), "--vars", kept,
               "--disk", disk + bus, "--net", "user" + bus,
               "--rng=bus=pci" if bus else "--rng", *options]
        with shells.running(run) as terminal:
            prompt(terminal)
            said = command(terminal, "version")
            guest.require("U-Boot 20" in said, f"version said {said}")
            said = command(terminal, "setexpr a 0x1234 * 0x10; echo answer-${a}")
            guest.require("answer-12340" in said, f"setexpr said {said}")
            said = command(terminal, "virtio scan; virtio info")
            guest.require("16.0 MB" in said, f"virtio info said {said}")
            said = command(terminal, "load virtio 0 0x48000000 text; crc32 0x48000000 ${filesize}")
            guest.require("16000 bytes read" in said, f"load said {said}")
            guest.require(f"==> {crc(text):08x}" in said, f"crc32 said {said}")
            said = command(terminal, "setenv autoload no; dhcp; echo at-${ipaddr}")
            guest.require("at-10.0.2.15" in said, f"dhcp said {said}")
            said = command(terminal, "setenv kept through-${a}; saveenv; echo saved-$?")
            guest.require("saved-0" in said, f"saveenv said {said}")
            terminal.type("reset\r")  # PSCI SYSTEM_RESET
            prompt(terminal)
            saved(terminal)
            power_off(terminal)
        with shells.running(run) as terminal:
            prompt(terminal)
            saved(terminal)
            power_off(terminal)


def saved(terminal):
    said = command(terminal, "echo was-${kept}")
    guest.require("was-through-12340" in said, f"the saved variable is {said}")


def power_off(terminal):
    terminal.type("poweroff\r")
    status, errors = terminal.finish(shells.COMMAND_S)
    guest.require(status == 0, f"status {status} after poweroff\n{errors}")
    print(errors)


def crc(path):
    with open(path, "rb") as file:
        return zlib.crc32(file.read())


guest.main(test)
