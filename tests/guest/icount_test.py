#!/usr/bin/env python3
"""Two runs under --clock icount: the same console bytes, exits and instructions.

icount_test.py TRAPLINE GUEST_DIR [TRAPLINE OPTIONS [--then THE SECOND RUN'S]]
"""
import os
import re
import sys
import tempfile

import guest_process as guest

# Measured in the host's time: the only things that may differ.
HOST_TIME = re.compile(r"(_ns$|^wall|latency)")


def without_host_time(value):
    if isinstance(value, dict):
        return {k: without_host_time(v) for k, v in value.items() if not HOST_TIME.search(k)}
    return value


def differences(path, a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            yield from differences(f"{path}.{key}", a.get(key), b.get(key))
    elif a != b:
        yield f"{path[1:]}: {a} and {b}"


def test():
    trapline, directory, *options = sys.argv[1:]
    guest.need_guest(directory, "Image", "initrd-test.gz")
    then = options.index("--then") if "--then" in options else len(options)
    options = [options[:then], options[then + 1:] or options]
    runs = []
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(2):
            stats = os.path.join(scratch, f"stats{number}.json")
            command = [trapline, "run", "--clock", "icount", "--stats", stats]
            command += ["--kernel", os.path.join(directory, "Image")]
            command += ["--initrd", os.path.join(directory, "initrd-test.gz")]
            command += ["--append", guest.CMDLINE] + options[number]
            status, output, errors = guest.run(command, 400)
            guest.require(status == 0, f"run {number}: status {status}\n{errors}")
            guest.require(
                b"TRAPLINE-TEST PASS" in output,
                f"run {number}: the self-test did not pass:\n{output[-2000:].decode()}",
            )
            runs.append((output, without_host_time(guest.load_stats(stats))))
    (first, first_stats), (second, second_stats) = runs
    if first != second:
        lines = zip(first.split(b"\n"), second.split(b"\n"))
        unequal = next(((a, b) for a, b in lines if a != b), ("", "(one is longer)"))
        raise guest.Failure(f"the consoles differ: {unequal[0]!r} and {unequal[1]!r}")
    found = list(differences("", first_stats, second_stats))
    guest.require(not found, "the statistics differ:\n" + "\n".join(found))
    print(f"{len(first)} console bytes, {first_stats['exits']['total']} exits, "
          f"{first_stats['insns']} instructions, twice")


guest.main(test)
