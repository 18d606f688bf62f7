#!/usr/bin/env python3
"""EDK2 to the UEFI shell: commands, and a variable that a second run finds in the --vars file.

edk2_test.py TRAPLINE GUEST_DIR [pci] [TRAPLINE OPTIONS]
"""
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "disk"))
import shells  # noqa: E402
from shells import guest  # noqa: E402

PROMPT = "Shell> "
GUID = "5a3f0f5e-0f17-4f2b-9c33-2f3a3c1d9b11"


def prompt(terminal):
    terminal.expect("UEFI Interactive Shell", shells.BOOT_S)
    terminal.expect(" seconds to skip ", shells.BOOT_S)
    terminal.type("\x1b")
    terminal.expect(PROMPT, shells.BOOT_S)


def command(terminal, line):
    """The shell redraws its line at will: what is said is searched without control sequences."""
    terminal.type(line + "\r")
    said = terminal.expect(PROMPT, shells.COMMAND_S)
    return shells.CONTROL.sub("", said).replace("\r", "")


def one_run(run, first):
    with shells.running(run) as terminal:
        prompt(terminal)
        said = command(terminal, "set -v answer 42")
        said = command(terminal, "echo the-%answer%-stands")
        guest.require("the-42-stands" in said, f"echo said {said}")
        said = command(terminal, "map -b")
        guest.require("BLK0" in said, f"map said {said}")
        if first:
            command(terminal, f"setvar Trapline -guid {GUID} -nv -bs =L\"kept\"")
        said = command(terminal, f"setvar Trapline -guid {GUID}")
        # 6B 00 65 00 70 00 74 00 is L"kept".
        guest.require(re.search("6B 00 65 00 70 00 74 00", said, re.I), f"setvar said {said}")
        terminal.type("reset -s\r")
        status, errors = terminal.finish(shells.COMMAND_S)
    guest.require(status == 0, f"status {status} after reset -s\n{errors}")
    print(errors)


def test():
    trapline, directory, *options = sys.argv[1:]
    bus = ",bus=pci" if options[:1] == ["pci"] else ""
    if bus:
        del options[0]
    code, store = (os.path.join("firmware", f"AAVMF_{n}.fd") for n in ("CODE", "VARS"))
    guest.need_guest(directory, code, store)
    shells.need_tools("mke2fs")
    with shells.scratch() as folder:
        disk, kept = os.path.join(folder, "disk"), os.path.join(folder, "vars")
        stats = os.path.join(folder, "stats.json")
        shells.make_ext4(disk, 16)
        shutil.copyfile(os.path.join(directory, store), kept)
        run = [trapline, "run", "--firmware", os.path.join(directory, code), "--vars", kept,
               "--disk", disk + bus, "--rng=bus=pci" if bus else "--rng", "--stats", stats]
        run += options
        one_run(run, True)
        one_run(run, False)
        counted = guest.load_stats(stats)
        if "trapped" in options:
            isv0 = counted["exits"]["data_abort"]["isv0"]
            guest.require(isv0 > 1_000_000, f"only {isv0} reads of the flash needed decoding")
            guest.require(counted["decode"]["unsupported"] == 0, "an access was not supported")
            guest.require(counted["icache"]["mismatches"] == 0, "the cache was wrong")


guest.main(test)
