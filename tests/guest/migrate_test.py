#!/usr/bin/env python3
"""A machine moves to another process: under --clock icount what both write is what one would have
written, to the instruction.

migrate_test.py TRAPLINE RUN OPTIONS
"""
import os
import random
import sys
import tempfile
import time

import guest_process as guest
import vm

MOVES = 4  # one after the other, of one machine


def test():
    options = sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        vm.use_folder(folder)
        stats = os.path.join(folder, "stats")
        status, whole, errors = guest.run(
            [vm.TRAPLINE, "run", "--clock", "icount", "--stats", stats] + options, 600)
        guest.require(status == 0, f"status {status}: {errors}")
        count = vm.insns(stats)
        machine = vm.Vm("vm0", "--clock", "icount", *options)
        written, moved, figures = b"", 0, []
        for number in range(1, MOVES + 1):
            socket = os.path.join(folder, f"move{number}")
            there = vm.Vm(f"vm{number}", "--incoming", "unix:" + socket, "--stats", stats)
            vm.until(lambda: os.path.exists(socket), "the receiver listens")
            machine.await_status()
            time.sleep(random.uniform(0, 0.2))
            errors = "Connection refused"  # the socket's file is there before it listens
            while "Connection refused" in errors:
                status, out, errors = machine.ctl("migrate", "unix:" + socket)
            if status != 0:
                guest.require(machine.end() == 0, f"migrate: {errors}; {machine.said()}")
                there.kill()
                break
            guest.require(machine.end() == 3, f"the sender's status is not 3: {machine.said()}")
            figures.append(out.strip().rsplit(" for ")[-1])
            written += machine.output
            machine, moved = there, moved + 1
        guest.require(machine.end() == 0, f"the last one: {machine.said()}")
        written += machine.output
        guest.require(moved > 0, "the guest ended before it moved")
        guest.require(written == whole, "the moved machine wrote something else")
        if moved == MOVES:
            guest.require(vm.insns(stats) == count, f"{vm.insns(stats)} instructions, not {count}")
        print(f"{moved} moves, {len(whole)} bytes, {count} instructions; still for {figures}")


guest.main(test)
