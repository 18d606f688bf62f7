#!/usr/bin/env python3
"""Starts and ends, again and again: a machine whose clock is about to fire when the guest turns it
off, and one that is stopped. For builds with a sanitizer: any finding fails.

start_stop_test.py TRAPLINE BINARIES COUNT
"""
import os
import random
import signal
import subprocess
import sys
import time

import guest_process as guest

OPTIONS = [[], ["--cpus", "2"], ["--clock", "icount"], ["--rng", "--virtio-console"],
           ["--translate-after", "1"]]


def test():
    trapline, binaries, count = sys.argv[1:]
    random.seed(18)
    for n in range(int(count)):
        options = OPTIONS[n % len(OPTIONS)]
        status, _, errors = guest.run(
            [trapline, "run", "--raw", os.path.join(binaries, "off.bin"), *options], 120)
        guest.require(status == 0, f"start {n} {options}: status {status}\n{errors}")
        process = subprocess.Popen(
            [trapline, "run", "--raw", os.path.join(binaries, "spin.bin"), *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(random.uniform(0, 0.05))
        process.send_signal(signal.SIGTERM)
        try:
            _, errors = process.communicate(timeout=120)
        except subprocess.TimeoutExpired as late:
            process.kill()
            raise guest.Failure(f"stop {n} {options}: no end") from late
        guest.require(process.returncode in (143, -signal.SIGTERM),
                      f"stop {n} {options}: status {process.returncode}\n{errors.decode()}")


guest.main(test)
