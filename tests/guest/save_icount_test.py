#!/usr/bin/env python3
"""Under --clock icount, save + restore + run equals run: the console's bytes and the instructions.

save_icount_test.py TRAPLINE SAVES RUN OPTIONS [-- TRAPLINE OPTIONS OF THE RESTORED]
"""
import os
import random
import sys
import tempfile
import time

import guest_process as guest
import vm


def run_whole(options, stats):
    status, output, errors = guest.run(
        [vm.TRAPLINE, "run", "--clock", "icount", "--stats", stats] + options, 600)
    guest.require(status == 0, f"status {status}: {errors}")
    return output, vm.insns(stats)


def run_and_save(options, stats, folder, most):
    """The same with saves at any instants; their files."""
    machine = vm.Vm("saved", "--clock", "icount", "--stats", stats, *options)
    files = []
    machine.await_status()
    for number in range(most):
        time.sleep(random.uniform(0, 0.3))
        path = os.path.join(folder, f"save{number}")
        words = ["save", path]
        # In turns: whole, by what has changed, compressed.
        if number % 3 == 1 and files:
            words += ["--since", files[-1]]
        if number % 3 == 2:
            words += ["--compress"]
        status, _, errors = machine.ctl(*words)
        if status != 0:
            guest.require(machine.process.poll() is not None or "gone" in errors
                          or "at its end" in errors or "no VM named" in errors
                          or "does not run" in errors, f"save: {errors}")
            break
        files.append(path)
    status = machine.end()
    guest.require(status == 0, f"the saved VM: status {status}: {machine.said()}")
    guest.require(files, "the VM ended before it was saved")
    return machine.output, vm.insns(stats), files


def test():
    saves, arguments = int(sys.argv[2]), sys.argv[3:]
    at = arguments.index("--") if "--" in arguments else len(arguments)
    options, then = arguments[:at], arguments[at + 1:]
    random.seed()
    with tempfile.TemporaryDirectory() as folder:
        vm.use_folder(folder)
        stats = os.path.join(folder, "stats")
        whole, count = run_whole(options, stats)
        output, saved_count, files = run_and_save(options, stats, folder, saves)
        guest.require(output == whole, "a machine that was saved writes something else")
        guest.require(saved_count == count, f"{saved_count} instructions with saves, {count} without")
        lengths = []
        for path in files:
            status, rest, errors = guest.run(
                [vm.TRAPLINE, "run", "--restore", path, "--stats", stats] + then, 600)
            guest.require(status == 0, f"{path}: status {status}: {errors}")
            guest.require(whole.endswith(rest),
                          f"{path}: another end: {rest[:300]!r}... and {whole[-len(rest):][:300]!r}")
            guest.require(vm.insns(stats) == count,
                          f"{path}: {vm.insns(stats)} instructions, not {count}")
            lengths.append(len(rest))
        guest.require(any(0 < n < len(whole) for n in lengths), "no save was in the middle")
        print(f"{len(files)} saves; {count} instructions; of {len(whole)} bytes the restored wrote "
              + ", ".join(str(n) for n in lengths))


guest.main(test)
