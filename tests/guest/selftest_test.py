#!/usr/bin/env python3
"""Boots the test initramfs, whose /init checks the machine from inside and powers off.

selftest_test.py TRAPLINE GUEST_DIR [TRAPLINE OPTIONS]
"""
import os
import sys

import guest_process as guest


def test():
    trapline, directory, *options = sys.argv[1:]
    guest.need_guest(directory, "Image", "initrd-test.gz")
    command = [trapline, "run", "--kernel", os.path.join(directory, "Image")]
    command += ["--initrd", os.path.join(directory, "initrd-test.gz")]
    command += ["--append", guest.CMDLINE] + options
    status, output, errors = guest.run(command, 400)
    text = output.decode(errors="replace")
    at = text.find("TRAPLINE-TEST BEGIN")
    print(text[at:] if at >= 0 else text[-3000:])
    print(errors)
    guest.require("TRAPLINE-TEST PASS" in text, "the self-test did not pass")
    guest.require(status == 0, f"status {status} after poweroff")


guest.main(test)
