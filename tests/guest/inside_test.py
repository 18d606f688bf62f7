#!/usr/bin/env python3
"""Trapline inside Trapline: the arm64 program, on Debian's arm64 kernel under the host's own program,
runs a bare-metal guest.

inside_test.py HOST_TRAPLINE GUEST_DIR ARM64_TRAPLINE SYSROOT BINARY
"""
import os
import shutil
import sys
import tempfile

import guest_process as guest
from arm64_program import append_to_initrd, lay_out


def test():
    trapline, directory, program, sysroot, binary = sys.argv[1:6]
    guest.need_guest(directory, "Image", "initrd-test.gz")
    for path in (trapline, binary):
        if not os.path.exists(path):
            print(f"SKIPPED: no {path}: build the preset release first")
            sys.exit(guest.SKIPPED)
    with tempfile.TemporaryDirectory() as scratch:
        tree, initrd = os.path.join(scratch, "tree"), os.path.join(scratch, "initrd")
        os.mkdir(tree)
        lay_out(tree, program, sysroot)
        shutil.copy(binary, os.path.join(tree, "guest.bin"))
        append_to_initrd(tree, os.path.join(directory, "initrd-test.gz"), initrd)
        inner = "/trapline run --raw /guest.bin --memory 64M"
        status, console, errors = guest.run(
            [trapline, "run", "--kernel", os.path.join(directory, "Image"), "--initrd", initrd,
             "--memory", "1G", "--append", f"{guest.CMDLINE} trapline.cmd={inner}"], 240)
    console = console.decode(errors="replace")
    print(console[-3000:])
    guest.require(status == 0, f"status {status}: {errors[-500:]}")
    guest.require("GUEST PASSED" in console, "the inner guest did not pass")
    guest.require("exit profile" in console, "the inner program told no exit profile")
    guest.require("TRAPLINE-TEST PASS" in console, "the inner program did not end with status 0")


guest.main(test)
