#!/usr/bin/env python3
"""A guest that waits for what cannot come is told about, once; one that may wake is not. A guest that
resets itself again and again is advised about, once.

dead_end_test.py TRAPLINE BINARIES
"""
import sys

import guest_process as guest
import stops

TEXT = "nothing can wake them"
ADVICE = "--no-reboot"


def errors_of(trapline, binaries, life, seconds, more=()):
    run = stops.Run(trapline, (binaries, ""), life, False, more)
    try:
        for _ in range(int(seconds * 10)):
            run.drain(0.1)
            if TEXT.encode() in run.errors:
                run.drain(3)  # once
                break
        run.process.send_signal(stops.SIGNALS["TERM"])
        guest.require(run.ended(stops.WATCHDOG_S) == 143, f"{life}: TERM ends it")
        return run.errors.decode()
    finally:
        run.close()


def test():
    trapline, binaries = sys.argv[1:]
    for name in ("park", "park_wfi", "cpu_off"):
        stops.LIVES[name] = (name, 0, True, [])
    for name in ("park", "park_wfi", "cpu_off"):
        for more in ([], ["--cpus", "2"], ["--clock", "icount"]):
            errors = errors_of(trapline, binaries, name, 60, more)
            guest.require(errors.count(TEXT) == 1, f"{name} {more}: said once:\n{errors}")
    errors = errors_of(trapline, binaries, "run", 4)
    guest.require(TEXT not in errors, f"a guest that runs is left alone:\n{errors}")
    errors = errors_of(trapline, binaries, "reboot", 2)
    guest.require(errors.count(ADVICE) == 1, f"advice about resets, once:\n{errors}")
    status, _, errors = guest.run([trapline, "run", "--raw", binaries + "/reset_loop.bin",
                                   "--no-reboot"], 60)
    guest.require(status == 0 and ADVICE not in errors, f"--no-reboot: {status}\n{errors}")


guest.main(test)
