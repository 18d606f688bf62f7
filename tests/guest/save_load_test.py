#!/usr/bin/env python3
"""Debian's kernel under load, saved again and again and each time killed and restored: what it holds
in memory is there, nothing it sums is corrupt, and its kernel does not complain.

save_load_test.py TRAPLINE GUEST_DIR CYCLES [pci] [TRAPLINE OPTIONS]
"""
import os
import random
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "disk"))
import guest_process as guest
import save_load_shell
import shells
import vm

COMPLAINTS = (b"stall", b"lockup", b"BUG", b"Oops", b"WARNING", b"hung task", b"Call trace", b"CORRUPT")
# A shell's line: half of it works in the background for ever, and says what is wrong.
LOAD = """for w in 1 2 3 4; do (mkdir /tmp/$w; cd /tmp/$w; while :; do yes $w | head -c 65536 > f; \
s=$(md5sum < f); cp f g; [ "$s" = "$(cat g | md5sum)" ] || echo COR''RUPT; done) & done"""
# Reads that do not come from the guest's memory.
DISK_LOAD = """want=$(md5sum < /dev/vda); (while :; do echo 3 > /proc/sys/vm/drop_caches; \
[ "$(md5sum < /dev/vda)" = "$want" ] || echo COR''RUPT; done) & :"""


def await_save(machine, *words):
    status, out, errors = machine.ctl("save", *words)
    guest.require(status == 0, f"save: {errors}")
    return out


def test():
    directory, cycles, options = sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    guest.need_guest(directory, "Image", "initrd.gz")
    with tempfile.TemporaryDirectory() as folder:
        vm.use_folder(folder)
        initrd = os.path.join(directory, "initrd.gz")
        if options[:1] == ["pci"]:
            initrd, disk = (os.path.join(folder, name) for name in ("initrd", "disk"))
            shells.initrd_for_pci(initrd, directory, "initrd.gz")
            with open(disk, "wb") as file:
                file.write(os.urandom(4 << 20))
            options = [*options[1:], "--disk", disk + ",bus=pci", "--net", "user,bus=pci",
                       "--rng=bus=pci"]
        machine = vm.Vm("vm", "--kernel", os.path.join(directory, "Image"), "--initrd",
                        initrd, "--append", guest.CMDLINE, *options)
        machine.await_output("trapline# ")
        shell = save_load_shell.Shell()
        nonce = random.getrandbits(62)
        shell.run(machine, f"nonce={nonce}; dmesg -n 4")
        shell.run(machine, LOAD)
        if "--rng=bus=pci" in options:
            shell.run(machine, DISK_LOAD)
        pauses, last = [], None
        for cycle in range(cycles):
            time.sleep(random.uniform(0, 0.5))
            path = os.path.join(folder, f"state{cycle % 3}")
            more = ["--since", last] if cycle % 3 == 1 else ["--compress"] if cycle % 3 == 2 else []
            pauses.append(await_save(machine, path, *more).strip().rsplit(" for ")[-1])
            last = path
            # What runs on here after the save is another machine's future.
            machine.kill()
            guest.require(not any(c in machine.output for c in COMPLAINTS),
                          machine.output[-2000:].decode(errors="replace"))
            machine = vm.Vm("vm", "--restore", path)
            said = shell.run(machine, "echo it is $nonce")
            guest.require(f"it is {nonce}" in said, f"not the machine that was saved: {said!r}")
        before = float(shell.run(machine, "cut -d' ' -f1 /proc/uptime").split()[-1])
        after = float(shell.run(machine, "sleep 1; cut -d' ' -f1 /proc/uptime").split()[-1])
        guest.require(1 <= after - before < 100, f"a second of sleep took {after - before}")
        since = len(machine.output)
        machine.type("poweroff\n")
        guest.require(machine.end() == 0, f"after poweroff: {machine.said()}")
        guest.require(not any(c in machine.output[since:] for c in COMPLAINTS), "complaints")
        print(f"{cycles} cycles; the guest stood still for {', '.join(pauses)}")


guest.main(test)
