#!/usr/bin/env python3
"""Under a shell with job control: in the background the terminal is left alone and nothing stops the
machine; brought to the foreground it takes the terminal up; stopped, it gives it back.

job_control_test.py TRAPLINE UART_ECHO UART_BLIND
"""
import os
import re
import pty
import select
import shutil
import signal
import sys
import tempfile
import termios
import time

import guest_process as guest

LOCAL_FLAGS = 3  # index into tcgetattr()'s list
PATIENCE_S = 60


class Shell:
    """An interactive bash on a terminal that is its controlling one."""

    def __init__(self):
        self.seen = b""
        self.at = 0
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.environ["PS1"] = "ready> "
            os.environ["TERM"] = "dumb"
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
        self.expect("ready> ")

    def expect(self, pattern):
        deadline = time.monotonic() + PATIENCE_S
        pattern = re.compile(pattern.encode())
        while not (match := pattern.search(self.seen, self.at)):
            if time.monotonic() > deadline:
                tail = self.seen[-2000:].decode(errors="replace")
                raise guest.Failure(f"no {pattern.pattern!r} within {PATIENCE_S} s:\n{tail}")
            if select.select([self.master], [], [], 0.2)[0]:
                self.seen += os.read(self.master, 65536)
        self.at = match.end()
        return match

    def type(self, text):
        os.write(self.master, text.encode())

    def command(self, text):
        self.type(text + "\n")
        self.expect("\n")  # the echo

    def job(self):
        """`jobs` of the one job: Running, Stopped or Done."""
        self.command("jobs -l")
        state = self.expect(r"(Running|Stopped|Done|Exit \d+)").group(1).decode()
        self.expect("ready> ")
        return state

    def taken_by(self, pid):
        """In the foreground and raw (bash's line editor is raw too, until it has started the job)."""
        flags = termios.tcgetattr(self.master)[LOCAL_FLAGS]
        return os.tcgetpgrp(self.master) == pid and not flags & (termios.ICANON | termios.ECHO)

    def until(self, condition, text):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            guest.require(time.monotonic() < deadline, text)
            time.sleep(0.05)

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.close(self.master)
        os.waitpid(self.pid, 0)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def background_then_foreground(shell, run, scratch):
    out, errors = os.path.join(scratch, "out"), os.path.join(scratch, "err")
    shell.command(f"{run} >{out} 2>{errors} &")
    pid = int(shell.expect(r"\[1\] (\d+)").group(1))
    shell.expect("ready> ")
    time.sleep(1)
    guest.require(shell.job() == "Running", "stopped in the background")
    shell.command("echo typed-$((40+2))")  # the keys are the shell's
    shell.expect("typed-42")
    shell.expect("ready> ")
    guest.require(read(out) == b"", "the guest got the shell's keys")
    shell.command("fg")
    shell.until(lambda: shell.taken_by(pid), "not raw in the foreground")
    shell.type("for the guest")
    shell.until(lambda: read(out) == b"for the guest", "the keys did not reach the guest")

    # Ctrl-Z is the guest's; a SIGTSTP stops us, with the terminal in order.
    os.kill(pid, signal.SIGTSTP)
    shell.expect("Stopped")
    shell.expect("ready> ")
    guest.require(shell.job() == "Stopped", "not stopped by SIGTSTP")
    shell.command("bg")
    shell.expect("ready> ")
    time.sleep(0.6)
    guest.require(shell.job() == "Running", "stopped in the background, after bg")
    shell.command("fg")
    shell.until(lambda: shell.taken_by(pid), "not raw in the foreground, the second time")
    # SIGSTOP is heard by nobody, but what follows it is.
    os.kill(pid, signal.SIGSTOP)
    shell.expect("Stopped")
    shell.expect("ready> ")
    shell.command("fg")
    shell.until(lambda: shell.taken_by(pid), "not raw in the foreground, the third time")
    shell.type(" again")
    shell.until(lambda: read(out) == b"for the guest again", "the keys did not reach the guest")
    shell.type("\x01x")
    shell.expect("ready> ")
    shell.command("echo status-$?")
    shell.expect("status-0")
    shell.expect("ready> ")
    guest.require(b"exit profile" in read(errors), "no exit profile")
    # The line editor of bash is raw too: a command's settings are what counts.
    shell.command("stty -a")
    guest.require(b" icanon" in shell.expect(r"(?s)speed.*?ready> ").group(0), "the terminal is raw")


def output_in_the_background(shell, run, scratch):
    """`stty tostop`: the output waits for the foreground, and the machine is not stopped."""
    errors = os.path.join(scratch, "err")
    shell.command("stty tostop")
    shell.expect("ready> ")
    shell.command(f"{run} 2>{errors} &")
    shell.expect(r"\[1\] \d+")
    shell.expect("ready> ")
    time.sleep(1)
    guest.require(shell.job() == "Running", "stopped by its output")
    guest.require(b"00000001" not in shell.seen, "wrote from the background in spite of tostop")
    shell.command("fg")
    shell.expect("00000001")
    shell.expect("00009c3f")  # the last line
    shell.expect("ready> ")


def killed_in_the_background(shell, run, scratch):
    errors = os.path.join(scratch, "err")
    shell.command(f"{run} 2>{errors} &")
    pid = int(shell.expect(r"\[1\] (\d+)").group(1))
    shell.expect("ready> ")
    guest.wait_until_idle(pid)  # held by its output
    os.kill(pid, signal.SIGTERM)
    shell.command(f"wait {pid}; echo status-$?")
    shell.expect("status-143")
    guest.require(b"output were dropped" in read(errors), "nothing said about the output")


def test():
    trapline, uart_echo, uart_blind = (os.path.abspath(path) for path in sys.argv[1:])
    if shutil.which("bash") is None:
        print("SKIPPED: no bash")
        sys.exit(guest.SKIPPED)
    for clock in ("host", "icount"):
        for scene, binary in ((background_then_foreground, uart_echo),
                              (output_in_the_background, uart_blind),
                              (killed_in_the_background, uart_blind)):
            run = f"{trapline} run --memory 16M --clock {clock} --raw {binary}"
            with tempfile.TemporaryDirectory() as scratch:
                shell = Shell()
                try:
                    if scene is killed_in_the_background:
                        shell.command("stty tostop")
                        shell.expect("ready> ")
                    scene(shell, run, scratch)
                finally:
                    shell.close()
            print(scene.__name__, clock, "passed", flush=True)


guest.main(test)
