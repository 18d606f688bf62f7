#!/usr/bin/env python3
"""Runs the cache's stress guest and checks that no hit was wrong.

stress_test.py TRAPLINE BINARY ROUNDS [--at-least EXITS] [TRAPLINE OPTIONS]
ROUNDS: of each CPU; seven calls of changing code a round. --at-least: data aborts, all together.
The disk that the guest reads code from is made here, from the instructions in the binary; the one that is a
hypervisor (--el2) has none.
"""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import guest_process as guest  # noqa: E402
from code_disk import disk_image  # noqa: E402

def test():
    trapline, binary, rounds, *options = sys.argv[1:]
    at_least = 0
    if options[:1] == ["--at-least"]:
        at_least = int(options[1])
        options = options[2:]
    with tempfile.TemporaryDirectory() as directory:
        disk = []
        if "--el2" not in options:
            image = os.path.join(directory, "code.img")
            with open(image, "wb") as file:
                file.write(disk_image(binary))
            disk = ["--disk", image + ",ro"]
        path = os.path.join(directory, "stats.json")
        command = [trapline, "run", "--raw", binary, "--append", f"stress={rounds}"]
        command += disk + ["--icache-check", "--stats", path] + options
        status, output, errors = guest.run(command, 3600)
        console = output.decode(errors="replace")
        print(console)
        print(errors)
        guest.require(status == 0, f"status {status}")
        guest.require("GUEST PASSED" in console, "the guest saw a wrong result")
        guest.require(not disk or ", disk," in console, "the guest found no disk")
        stats = guest.load_stats(path)
    cache, aborts = stats["icache"], stats["exits"]["data_abort"]
    total = aborts["isv0"] + aborts["isv1"]
    # The guest's own verdict would not show a hit that agrees by chance with what was meant.
    guest.require(cache["mismatches"] == 0, f"{cache['mismatches']} wrong hits")
    guest.require(aborts["isv0"] > 0, "no exit without a syndrome")
    guest.require(stats["exits"]["stuck_aborts"] == 0, "an instruction made no progress")
    if cache["policy"] != "off":
        guest.require(cache["hits"] > 0, "the cache never hit")
    if cache["policy"] == "protect":
        guest.require(cache["invalidations"] > 0, "nothing was ever invalidated")
    if "icount" in options:
        guest.require(cache["overtaken"] == 0, "one thread overtook itself")
    guest.require(total >= at_least, f"{total} data aborts, wanted {at_least}")
    print(
        f"{total} data aborts, {aborts['isv0']} without a syndrome, {cache['hits']} hits checked, "
        f"{cache['invalidations']} invalidations, {cache['overtaken']} overtaken, 0 wrong"
    )


guest.main(test)
