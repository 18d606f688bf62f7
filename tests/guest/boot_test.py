#!/usr/bin/env python3
"""Boots Debian's kernel to a shell on a terminal, types, and powers off.

boot_test.py TRAPLINE GUEST_DIR [-- TRAPLINE OPTIONS]
"""
import os
import sys
import tempfile
import time

import guest_process as guest

BOOT_S = 240  # generous: the machine may be busy
COMMAND_S = 60


def option(arguments, name, default):
    return arguments[arguments.index(name) + 1] if name in arguments else default


def check_statistics(stats, isv_never):
    exits = stats["exits"]
    guest.require(exits["total"] > 0, "no exits were counted")
    guest.require(stats["insns"] > 100_000_000, f"insns is {stats['insns']}")
    guest.require(stats["devices"]["pl011"]["writes"] > 0, "no PL011 writes were counted")
    cache = stats["icache"]
    guest.require(cache["mismatches"] == 0, f"{cache['mismatches']} cache mismatches")
    if isv_never:
        isv0, isv1 = exits["data_abort"]["isv0"], exits["data_abort"]["isv1"]
        guest.require(isv1 == 0, f"{isv1} data aborts had ISV=1 in spite of --isv never")
        guest.require(isv0 > 10_000, f"only {isv0} data aborts were decoded")
        rate = cache["hits"] / (cache["hits"] + cache["misses"])
        print(f"cache hit rate {100 * rate:.3f} % of {cache['hits'] + cache['misses']}")
        guest.require(rate >= 0.99, f"cache hit rate {100 * rate:.2f} %")
        guest.require(stats["decode"]["unsupported"] == 0, "an access was not supported")


def test():
    trapline, directory = sys.argv[1:3]
    options = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    guest.need_guest(directory, "Image", "initrd.gz")
    cpus = option(options, "--cpus", "1")
    with tempfile.TemporaryDirectory() as scratch:
        stats = os.path.join(scratch, "stats.json")
        command = [trapline, "run", "--kernel", os.path.join(directory, "Image")]
        command += ["--initrd", os.path.join(directory, "initrd.gz"), "--append", guest.CMDLINE]
        command += ["--stats", stats] + options
        terminal = guest.Terminal(command)
        try:
            terminal.expect("Trapline guest: type poweroff to leave", BOOT_S)
            terminal.expect("trapline# ", COMMAND_S)
            # The answers differ from what is typed, so that an echo cannot pass for them.
            terminal.type("echo answer-$((6*7))-$(nproc)-$(uname -m)\r")
            terminal.expect(f"answer-42-{cpus}-aarch64", COMMAND_S)
            terminal.expect("trapline# ", COMMAND_S)
            # Job control: Ctrl-C reaches the foreground job, not the shell and not Trapline.
            terminal.type("sleep 1000; echo woken-$?\r")
            terminal.expect("woken-$?", COMMAND_S)
            terminal.expect("\n", COMMAND_S)
            time.sleep(1)  # the shell hands the terminal to the job
            terminal.type("\x03")
            terminal.expect("trapline# ", COMMAND_S)
            terminal.type("echo still-$((40+2))\r")
            terminal.expect("still-42", COMMAND_S)
            terminal.expect("trapline# ", COMMAND_S)
            terminal.type("poweroff\r")
            status, errors = terminal.finish(COMMAND_S)
        except guest.Failure as failure:
            tail = terminal.seen[-3000:].decode(errors="replace")
            raise guest.Failure(f"{failure}\n--- the console's end:\n{tail}") from failure
        finally:
            terminal.kill()
        print(errors)
        guest.require(status == 0, f"status {status} after poweroff")
        guest.require("exit profile" in errors, "no exit profile on standard error")
        check_statistics(guest.load_stats(stats), "never" in options)


guest.main(test)
