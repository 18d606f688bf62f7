#!/usr/bin/env python3
"""The console on pipes that stall: nothing is lost while the machine runs, in either direction, and
a stop always ends it.

console_stall_test.py TRAPLINE UART_ECHO UART_BLIND VIRTIO_ECHO
"""
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import tty

import guest_process as guest

WATCHDOG_S = 120
BLIND = b"".join(b"%08x\n" % n for n in range(40_000))
TYPED = b"".join(b"%d\n" % n for n in range(200_000))[:1_000_000]
F_SETPIPE_SZ = 1031


class Machine:
    """A run whose standard output is a small pipe that nobody reads until asked to."""

    def __init__(self, command, stdin=subprocess.DEVNULL, together=False):
        self.output, theirs = os.pipe()
        fcntl.fcntl(theirs, F_SETPIPE_SZ, 4096)
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdin=stdin, stdout=theirs, stderr=theirs if together else self.errors,
            preexec_fn=os.setpgrp,
        )
        os.close(theirs)

    def wait_until_stalled(self):
        """Until there is output, and then for long enough that pipe and buffers are full."""
        deadline = time.monotonic() + WATCHDOG_S
        while self._waiting() == 0:
            guest.require(self.process.poll() is None, "the guest ended, and its output was not read")
            guest.require(time.monotonic() < deadline, "the guest says nothing")
            time.sleep(0.01)
        time.sleep(0.5)
        guest.require(self.process.poll() is None, "the guest ended, and its output was not read")

    def _waiting(self):
        return struct.unpack("i", fcntl.ioctl(self.output, termios.FIONREAD, b"\0" * 4))[0]

    def read(self, pause=0.0):
        out = []
        while data := os.read(self.output, 65536):
            out.append(data)
            time.sleep(pause)
        return b"".join(out)

    def finish(self):
        """Status and standard error."""
        try:
            status = self.process.wait(WATCHDOG_S)
        except subprocess.TimeoutExpired as late:
            self.process.kill()
            raise guest.Failure(f"no end within {WATCHDOG_S} s") from late
        self.errors.seek(0)
        os.close(self.output)
        return status, self.errors.read().decode(errors="replace")


def feed(fd, data):
    def run():
        with os.fdopen(fd, "wb", buffering=0) as file:
            view = memoryview(data)
            try:
                while view:
                    view = view[file.write(view) :]
            except BrokenPipeError:
                pass  # the machine has ended

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def run(trapline, binary, options):
    return [trapline, "run", "--raw", binary, "--memory", "16M"] + options


def every_byte_arrives(command):
    """A million bytes in, as many back, to a reader that stalls at first."""
    stdin, mine = os.pipe()
    machine = Machine(command, stdin=stdin)
    os.close(stdin)
    feeder = feed(mine, TYPED + b"\x04")
    machine.wait_until_stalled()
    output = machine.read()
    status, errors = machine.finish()
    feeder.join()
    guest.require(status == 0, f"status {status}: {errors}")
    guest.require(output == TYPED, f"{len(output)} of {len(TYPED)} bytes came back, or out of order")
    guest.require("dropped" not in errors, errors)


def who_does_not_look_loses_nothing(command):
    """To a reader that stalls and one that does not: the guest does the same under icount."""
    seen = []
    for stall in (True, False):
        with tempfile.NamedTemporaryFile() as stats:
            machine = Machine(command + ["--stats", stats.name])
            if stall:
                machine.wait_until_stalled()
            output = machine.read(pause=0.001 if stall else 0)
            status, errors = machine.finish()
            figures = json.load(open(stats.name, encoding="utf-8"))
        guest.require(status == 0, f"status {status}: {errors}")
        guest.require(output == BLIND, f"{len(output)} of {len(BLIND)} bytes, or out of order")
        guest.require("dropped" not in errors, errors)
        seen.append((figures["insns"], figures["exits"]["total"]))
    if "icount" in command:
        guest.require(seen[0] == seen[1], f"the guest saw the reader: {seen}")


def a_signal_ends_it(command, keys, together):
    stdin, mine = os.pipe()
    machine = Machine(command, stdin=stdin, together=together)
    os.close(stdin)
    feed(mine, keys)
    machine.wait_until_stalled()
    machine.process.send_signal(signal.SIGTERM)
    status, errors = machine.finish()
    guest.require(status == 128 + signal.SIGTERM, f"status {status} after SIGTERM: {errors}")
    if not together:
        guest.require("of the guest's output were dropped" in errors, f"nothing said: {errors}")
        guest.require("exit profile" in errors, errors)


def power_off_waits_for_the_reader(command):
    """Until a signal comes."""
    for wait in (True, False):
        stdin, mine = os.pipe()
        machine = Machine(command, stdin=stdin)
        os.close(stdin)
        feed(mine, TYPED[:20_000] + b"\x04").join()
        machine.wait_until_stalled()
        guest.wait_until_idle(machine.process.pid)  # the guest is off
        if not wait:
            machine.process.send_signal(signal.SIGTERM)
            status, errors = machine.finish()
            guest.require(status == 0, f"status {status}: the power-off came first: {errors}")
            guest.require("output were dropped" in errors, errors)
            continue
        output = machine.read(pause=0.01)
        status, errors = machine.finish()
        guest.require(status == 0 and output == TYPED[:20_000], f"status {status}: {errors}")


def keys_leave(command):
    master, slave = pty.openpty()
    tty.setraw(slave)
    machine = Machine(command, stdin=slave)
    machine.wait_until_stalled()
    os.write(master, b"\x01x")
    status, errors = machine.finish()
    guest.require(status == 0, f"status {status} after Ctrl-A x")
    guest.require("output were dropped" in errors, errors)
    os.close(master)
    os.close(slave)


def nobody_listens(command):
    machine = Machine(command)
    os.read(machine.output, 1)
    os.close(machine.output)
    machine.output = os.open("/dev/null", os.O_RDONLY)
    status, errors = machine.finish()
    guest.require(status == 0, f"status {status}: the guest goes on: {errors}")
    guest.require("output were dropped: standard output: Broken pipe" in errors, errors)


def test():
    trapline, uart_echo, uart_blind, virtio_echo = sys.argv[1:]
    for clock in (["--clock", "host"], ["--clock", "icount"]):
        echoes = [run(trapline, uart_echo, clock),
                  run(trapline, virtio_echo, clock + ["--virtio-console"])]
        blind = run(trapline, uart_blind, clock)
        for echo in echoes:
            every_byte_arrives(echo)
            for together in (False, True):
                a_signal_ends_it(echo, TYPED, together)
            print("echo", clock, "passed")
        who_does_not_look_loses_nothing(blind)
        a_signal_ends_it(blind, b"", False)
        a_signal_ends_it(blind, b"", True)
        nobody_listens(blind)
        power_off_waits_for_the_reader(echoes[0])
        keys_leave(blind)
        print("blind", clock, "passed")


guest.main(test)
