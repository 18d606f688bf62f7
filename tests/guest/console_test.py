#!/usr/bin/env python3
"""The console on a terminal: raw while the guest runs, Ctrl-A h helps, Ctrl-A x leaves, a signal ends
in order, and the terminal's settings always come back.

console_test.py TRAPLINE GUEST_DIRECTORY
"""
import os
import signal
import sys
import termios

import guest_process as guest

LOCAL_FLAGS = 3  # index into tcgetattr()'s list


def boot(trapline, directory):
    terminal = guest.Terminal(
        [trapline, "run", "--kernel", os.path.join(directory, "Image"),
         "--initrd", os.path.join(directory, "initrd.gz"), "--append", guest.CMDLINE]
    )
    return terminal


def cooked(terminal):
    flags = termios.tcgetattr(terminal.console)[LOCAL_FLAGS]
    return bool(flags & termios.ECHO) and bool(flags & termios.ICANON)


def leave_by_keys(trapline, directory):
    terminal = boot(trapline, directory)
    before = termios.tcgetattr(terminal.console)
    terminal.expect("trapline#", 300)
    guest.require(not cooked(terminal), "the terminal is raw while the guest runs")
    terminal.type("echo a$((40 + 2))b\r")
    terminal.expect("a42b", 60)
    terminal.type("\x01h")
    terminal.type("\x01a")  # one Ctrl-A for the guest
    terminal.type("\x01x")
    status, errors = terminal.finish(60)
    guest.require(status == 0, f"status {status} after Ctrl-A x")
    guest.require("Ctrl-A x" in errors, "Ctrl-A h helps on standard error")
    guest.require("exit profile" in errors, "the exit profile comes at the end")
    guest.require(termios.tcgetattr(terminal.console) == before, "the terminal is as it was")


def leave_by_signal(trapline, directory):
    terminal = boot(trapline, directory)
    before = termios.tcgetattr(terminal.console)
    terminal.expect("Booting Linux", 300)
    os.kill(terminal.process.pid, signal.SIGTERM)
    status, errors = terminal.finish(60)
    guest.require(status == 128 + signal.SIGTERM, f"status {status} after SIGTERM")
    guest.require("exit profile" in errors, "the exit profile comes after a signal too")
    guest.require(termios.tcgetattr(terminal.console) == before, "the terminal is as it was")


def test():
    trapline, directory = sys.argv[1:]
    guest.need_guest(directory, "Image", "initrd.gz")
    leave_by_keys(trapline, directory)
    leave_by_signal(trapline, directory)


guest.main(test)
