#!/usr/bin/env python3
"""Runs a CPU guest on QEMU: an oracle for the guests' expectations.

on_qemu_test.py QEMU BINARY CPUS [QEMU OPTIONS]
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import guest_process as guest  # noqa: E402


def test():
    qemu, binary, cpus, *options = sys.argv[1:]
    command = [qemu, "-M", "virt,gic-version=3", "-cpu", "neoverse-n1", "-m", "512"]
    # No network card: its option ROM is in a package (ipxe-qemu) that nothing here needs.
    command += ["-smp", cpus, "-nic", "none", "-display", "none", "-serial", "stdio"]
    command += ["-monitor", "none"]
    status, output, errors = guest.run(command + options + ["-kernel", binary], 80)
    console = output.decode(errors="replace")
    print("\n".join(line for line in console.split("\n") if not line.startswith("ok ")))
    print(errors)
    guest.require(status == 0, f"status {status}")
    guest.require("FAILED" not in console and "GUEST PASSED" in console, "a check failed")


guest.main(test)
