#!/usr/bin/env python3
"""The arm64 program under an emulator: Debian boots and powers off; SIGTERM ends it at any moment.

emulated_test.py COMMAND GUEST_DIR boot|stop [TRAPLINE OPTIONS]
"""
import os
import signal
import subprocess
import sys
import time

import guest_process as guest

HANG_S = 1200  # a watchdog


def start(command, directory, append, options, output):
    return subprocess.Popen(
        [command, "run", "--kernel", os.path.join(directory, "Image")]
        + ["--initrd", os.path.join(directory, "initrd-test.gz")]
        + ["--append", f"{guest.CMDLINE} {append}".strip()] + options,
        stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, text=True)


def boot(command, directory, options):
    process = start(command, directory, "trapline.cmd=test $(uname -m) = aarch64", options, subprocess.PIPE)
    try:
        console, errors = process.communicate(timeout=HANG_S)
    finally:
        process.kill()
    guest.require(process.returncode == 0, f"status {process.returncode}: {errors[-500:]}")
    guest.require("TRAPLINE-TEST PASS" in console, console[-1000:])
    guest.require("exit profile" in errors, "no exit profile on standard error")


def stop(command, directory, options):
    # From before main() on, through the start, which an emulator draws out, into the guest.
    for tenths in (0, 1, 2, 4, 6, 8, 10, 15, 20, 40):
        process = start(command, directory, "", options, subprocess.DEVNULL)
        try:
            time.sleep(tenths / 10)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=HANG_S)
        except subprocess.TimeoutExpired as hang:
            raise guest.Failure(f"SIGTERM after {tenths / 10} s was lost") from hang
        finally:
            process.kill()
        guest.require(process.returncode in (128 + signal.SIGTERM, -signal.SIGTERM),
                      f"status {process.returncode} after {tenths / 10} s: {errors[-500:]}")


def test():
    command, directory, what = sys.argv[1:4]
    guest.need_guest(directory, "Image", "initrd-test.gz")
    {"boot": boot, "stop": stop}[what](command, directory, sys.argv[4:])


guest.main(test)
