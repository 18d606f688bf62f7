#!/usr/bin/env python3
"""kill -9 at random instants of a save: the old file is there, and whole. And a full disk.

save_kill_test.py TRAPLINE BINARY TIMES
"""
import os
import random
import subprocess
import sys
import tempfile
import time

import guest_process as guest
import vm


def loads(path):
    """It goes on from there, for some instructions."""
    status, _, errors = guest.run(
        [vm.TRAPLINE, "run", "--restore", path, "--max-insns", "2000000000", "--serial", "none"], 60)
    return status in (0, 124), errors


def test():
    binary, times = sys.argv[2], int(sys.argv[3])
    with tempfile.TemporaryDirectory() as folder:
        vm.use_folder(folder)
        path = os.path.join(folder, "state")
        options = ["--raw", binary, "--memory", "64M", "--clock", "icount"]
        replaced = 0
        before = None
        for number in range(times + 1):
            machine = vm.Vm(f"vm{number}", *options)
            machine.await_status()
            if number == 0:
                status, _, errors = machine.ctl("save", path)
                guest.require(status == 0, errors)
            else:
                saver = subprocess.Popen([vm.TRAPLINE, "ctl", machine.name, "save", path],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(random.uniform(0, 0.3))
                machine.process.kill()
                saver.wait()
            machine.kill()
            now = os.stat(path).st_ino
            replaced += now != before
            before = now
            good, errors = loads(path)
            guest.require(good, f"kill {number}: {errors}")
        print(f"{times} kills; {replaced - 1} saves were done before; the file was whole each time")


guest.main(test)
