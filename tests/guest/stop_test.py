#!/usr/bin/env python3
"""Every stop ends the VM with its status, whenever it comes; USR1 ends nothing.

stop_test.py TRAPLINE BINARIES GUEST_DIRECTORY COUNT [LIFE...]: COUNT random instants of each life.
"""
import json
import os
import signal
import sys
import tempfile

import guest_process as guest
import stops


def stop_everywhere(trapline, directories, count, lives):
    for life in lives:
        for kind in stops.KINDS:
            if not stops.applies(life, kind):
                continue
            for instant in stops.instants(life, count, kind):
                seconds, status, errors = stops.stop(trapline, directories, life, kind, instant)
                case = f"{life}, {kind} after {instant:.4f} s"
                guest.require(status is not None, f"{case}: no end\n{errors}")
                guest.require(status in stops.expected(life, kind),
                              f"{case}: status {status} after {seconds:.2f} s\n{errors}")


def statistics_on_request(trapline, directories):
    """USR1 writes whole statistics; the guest goes on; TERM still ends it."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "stats.json")
        run = stops.Run(trapline, directories, "run", False, ["--stats", path])
        try:
            run.drain(0.3)
            guest.require(not os.path.exists(path), "the statistics appear whole or not at all")
            before = 0
            for _ in range(3):
                run.process.send_signal(signal.SIGUSR1)
                for _ in range(600):
                    run.drain(0.05)
                    if os.path.exists(path) and guest.load_stats(path)["insns"] > before:
                        break
                now = guest.load_stats(path)["insns"]
                guest.require(now > before, "the guest runs on after USR1")
                before = now
            guest.require(os.listdir(folder) == ["stats.json"], "nothing else is left there")
            run.process.send_signal(signal.SIGTERM)
            status = run.ended(stops.WATCHDOG_S)
            guest.require(status == 143, f"status {status} after USR1 and TERM")
            with open(path, encoding="utf-8") as file:
                json.load(file)
        finally:
            run.close()
        # Without --stats: the table.
        run = stops.Run(trapline, directories, "run", False)
        try:
            run.drain(0.3)
            for _ in range(5):
                run.process.send_signal(signal.SIGUSR1)
                run.drain(0.2)
            guest.require(run.process.poll() is None, "USR1 does not end the guest")
            guest.require(b"exit profile" in run.errors, "USR1 prints the exit profile")
            run.process.send_signal(signal.SIGINT)
            status = run.ended(stops.WATCHDOG_S)
            guest.require(status == 130, f"status {status} after USR1 and INT")
        finally:
            run.close()


def ignored_signals_stay_ignored(trapline, directories):
    """nohup, and a script's `&`."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run = stops.Run(trapline, directories, "run", False)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        run.drain(0.2)
        run.process.send_signal(signal.SIGHUP)
        run.drain(0.5)
        guest.require(run.process.poll() is None, "an ignored HUP does not end the run")
        run.process.send_signal(signal.SIGTERM)
        guest.require(run.ended(stops.WATCHDOG_S) == 143, "but TERM does")
    finally:
        run.close()


def test():
    trapline, binaries, kernels, count, *lives = sys.argv[1:]
    directories = (binaries, kernels)
    lives = lives or list(stops.LIVES)
    if not os.path.isfile(os.path.join(kernels, "Image")):
        lives = [life for life in lives if stops.LIVES[life][0] != stops.KERNEL]
    stop_everywhere(trapline, directories, int(count), lives)
    statistics_on_request(trapline, directories)
    ignored_signals_stay_ignored(trapline, directories)


guest.main(test)
