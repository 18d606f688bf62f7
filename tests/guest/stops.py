"""Stops of every kind at random instants of every part of a machine's life. tests/guest/stop_test.py
checks how they end, bench/stop_times how long they take.
"""
import os
import pty
import random
import select
import signal
import subprocess
import time

import guest_process as guest

WATCHDOG_S = 60  # against a hang: no test of speed

KERNEL = "kernel"  # Debian; other guests are bare-metal binaries by name

# name: (guest, latest instant in seconds, standard output read?, options)
LIVES = {
    "start": ("spin", 0.03, True, []),
    "boot": (KERNEL, 1.5, True, []),
    "reboot": ("reset_loop", 0.3, True, []),
    "run": ("spin", 0.3, True, ["--cpus", "4"]),
    "run_icount": ("spin", 0.3, True, ["--clock", "icount"]),
    "waiting": ("park", 0.3, True, []),
    "stalled": ("flood", 0.3, False, []),
    "stalled_icount": ("flood", 0.3, False, ["--clock", "icount"]),
    "shutdown": ("off", 0.03, True, []),
}
SIGNALS = {"TERM": signal.SIGTERM, "INT": signal.SIGINT, "HUP": signal.SIGHUP}
KEYS = "CtrlA-x"
REPORT = "USR1"  # ends nothing: a TERM behind it does
KINDS = list(SIGNALS) + [KEYS, REPORT]


def applies(life, kind):
    """Keys that are typed before or after the program reads are the terminal's; and before main()
    watches for it, USR1 does what the system does by itself."""
    return kind not in (KEYS, REPORT) or life not in ("start", "shutdown")


class Run:
    """One run of Trapline, on a pseudo-terminal or with a pipe for standard output."""

    def __init__(self, trapline, directories, life, on_terminal, more=()):
        name, self.latest, self.read, options = LIVES[life]
        binaries, kernels = directories
        if name == KERNEL:
            source = ["--kernel", os.path.join(kernels, "Image"),
                      "--initrd", os.path.join(kernels, "initrd.gz"), "--append", guest.CMDLINE]
        else:
            source = ["--raw", os.path.join(binaries, name + ".bin")]
        self.life = life
        self.errors = b""
        command = [trapline, "run", *source, *options, *more]
        if on_terminal:
            self.output, theirs = pty.openpty()
            self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs,
                                            stderr=subprocess.PIPE, start_new_session=True,
                                            preexec_fn=take_terminal)
            os.close(theirs)
        else:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.output = self.process.stdout.fileno()
        self.on_terminal = on_terminal
        self.open = {self.process.stderr.fileno()} | ({self.output} if self.read else set())

    def drain(self, seconds):
        """Reads what there is for so long, or until the program has closed everything."""
        until = time.monotonic() + seconds
        while self.open:
            left = until - time.monotonic()
            if left <= 0:
                return
            ready, _, _ = select.select(list(self.open), [], [], left)
            for fd in ready:
                try:
                    data = os.read(fd, 65536)
                except OSError:  # a terminal's other side is closed
                    data = b""
                if not data:
                    self.open.discard(fd)
                elif fd != self.output:
                    self.errors += data
        time.sleep(max(0, until - time.monotonic()))

    def ended(self, seconds):
        """The status, or None if it still runs after so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                self.drain(0.001)
                return self.process.returncode
            self.drain(0.0005 if self.open else 0)
            time.sleep(0.0005)
        return None

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        if self.on_terminal:
            os.close(self.output)
        else:
            self.process.stdout.close()


def take_terminal():
    """In the child: the pseudo-terminal is its controlling one, and it is in the foreground."""
    import fcntl
    import termios
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def stop(trapline, directories, life, kind, instant):
    """Stops a run `instant` seconds after its start. Returns seconds to its end, status, stderr."""
    run = Run(trapline, directories, life, kind == KEYS)
    try:
        run.drain(instant)
        start = time.monotonic()
        if kind == KEYS:
            os.write(run.output, b"\x01x")
        elif kind == REPORT:
            run.process.send_signal(signal.SIGUSR1)
            run.drain(0.02)
            start = time.monotonic()
            run.process.send_signal(signal.SIGTERM)
        else:
            run.process.send_signal(SIGNALS[kind])
        status = run.ended(WATCHDOG_S)
        return time.monotonic() - start, status, run.errors.decode(errors="replace")
    finally:
        run.close()


def expected(life, kind):
    """The statuses that are right: the first reason's."""
    if kind == KEYS:
        return {0}
    number = SIGNALS.get(kind, signal.SIGTERM)
    statuses = {128 + number, -number}  # before main() watches: the system's own way, the same status
    if life == "shutdown":
        statuses.add(0)
    return statuses


def instants(life, count, kind):
    random.seed(f"{life} {kind}")
    first = 0.1 if kind == REPORT else 0
    return [random.uniform(first, LIVES[life][1]) for _ in range(count)]
