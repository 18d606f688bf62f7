#!/usr/bin/env python3
"""Runs a bare-metal guest (tests/guest/*.S) and checks how it ends.

bare_metal_test.py TRAPLINE BINARY STATUS STDERR_TEXT [TRAPLINE OPTIONS]
STATUS 0: the guest must say that it passed. STDERR_TEXT must be on standard error ('' for none).
"""
import sys

import guest_process as guest


def test():
    trapline, binary, expected, text, *options = sys.argv[1:]
    status, output, errors = guest.run([trapline, "run", "--raw", binary] + options, 240)
    console = output.decode(errors="replace")
    print("\n".join(line for line in console.split("\n") if not line.startswith("ok ")))
    print(errors)
    guest.require(status == int(expected), f"status {status}, expected {expected}")
    if expected == "0":
        guest.require("FAILED" not in console and "GUEST PASSED" in console, "a check failed")
        guest.require(console.count("ok ") > 1, "the guest checked next to nothing")
    guest.require(text in errors, f"no {text!r} on standard error")


guest.main(test)
