#!/usr/bin/env python3
"""A machine that is restored has another generation ID, and Linux (6.10 on) hears of it; one that has
only been saved has not.

vmgenid_test.py TRAPLINE GUEST_DIR: of a kernel that knows microsoft,vmgenid in the device tree
"""
import os
import sys
import tempfile

import guest_process as guest
import save_load_shell
import vm


def interrupts(shell, machine):
    line = shell.run(machine, "grep vmgenid /proc/interrupts || echo none")
    guest.require("none" not in line, "this kernel has no vmgenid driver")
    return int(line.split(":")[1].split()[0])


def test():
    directory = sys.argv[2]
    guest.need_guest(directory, "Image", "initrd.gz")
    with tempfile.TemporaryDirectory() as folder:
        vm.use_folder(folder)
        path = os.path.join(folder, "state")
        machine = vm.Vm("vm", "--kernel", os.path.join(directory, "Image"), "--initrd",
                        os.path.join(directory, "initrd.gz"), "--append", guest.CMDLINE)
        machine.await_output("trapline# ")
        shell = save_load_shell.Shell()
        shell.run(machine, "dmesg -n 1")
        before = interrupts(shell, machine)
        status, _, errors = machine.ctl("save", path)
        guest.require(status == 0, errors)
        guest.require(interrupts(shell, machine) == before, "a save is told to the guest")
        machine.kill()
        machine = vm.Vm("vm", "--restore", path)
        after = interrupts(shell, machine)
        guest.require(after == before + 1, f"{after - before} interrupts at a restore")
        said = shell.run(machine, "dmesg | grep -i 'machine fork'")
        guest.require("virtual machine fork" in said, f"the kernel says {said!r}")
        machine.kill()
        print(f"told once: {said.splitlines()[-1].strip()}")


guest.main(test)
