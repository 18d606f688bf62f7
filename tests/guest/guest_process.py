"""A Trapline run under test: on a pseudo-terminal (typed to, as a user does) or on pipes."""
import json
import os
import pty
import resource
import select
import subprocess
import sys
import tempfile
import time

SKIPPED = 77  # CTest's SKIP_RETURN_CODE
CMDLINE = "console=ttyAMA0 cryptomgr.notests panic=-1"


class Failure(Exception):
    """What the guest or the program did wrong, with the console so far."""


def need_guest(directory, *names):
    """Exits as skipped when scripts/fetch-guest has not brought the guest here."""
    missing = [n for n in names if not os.path.isfile(os.path.join(directory, n))]
    if missing:
        print(f"SKIPPED: no {', '.join(missing)} in {directory}: run scripts/fetch-guest")
        sys.exit(SKIPPED)


class Terminal:
    """A command on a pseudo-terminal; its standard error goes to a file of its own."""

    def __init__(self, command):
        self.seen = b""
        self.searched = 0  # up to where expect() has looked
        self.errors = tempfile.TemporaryFile()
        self.console, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=self.errors,
            start_new_session=True,
            close_fds=True,
        )
        os.close(theirs)

    def expect(self, marker, seconds):
        """Reads until `marker` shows up after the last one; returns the text before it."""
        deadline = time.monotonic() + seconds
        marker = marker.encode()
        while True:
            at = self.seen.find(marker, self.searched)
            if at >= 0:
                before = self.seen[self.searched : at]
                self.searched = at + len(marker)
                return before.decode(errors="replace")
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"{marker!r} did not appear within {seconds} s")
            if not self._read(min(left, 1.0)):
                raise Failure(f"the guest ended before {marker!r} (status {self.process.wait()})")

    def _read(self, seconds):
        """False at the end of the output."""
        ready, _, _ = select.select([self.console], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.console, 65536)
        except OSError:  # EIO: the other side is closed
            data = b""
        self.seen += data
        return bool(data)

    def type(self, text):
        os.write(self.console, text.encode())

    def finish(self, seconds):
        """Reads to the end; returns the exit status and standard error."""
        deadline = time.monotonic() + seconds
        while self._read(1.0):
            if time.monotonic() > deadline:
                raise Failure(f"the program did not end within {seconds} s")
        status = self.process.wait(timeout=30)
        self.errors.seek(0)
        return status, self.errors.read().decode(errors="replace")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def run(command, seconds):
    """Runs a command without a terminal. Returns status, standard output and error as bytes/text."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise Failure(
            f"no end within {seconds} s; console:\n{(late.stdout or b'').decode(errors='replace')}"
        ) from late
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


def wait_until_idle(pid):
    """Until the process has worked and takes no processor time any more."""
    used = [0, -1]
    while used[-1] == 0 or used[-1] != used[-2]:
        time.sleep(0.5)
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        used.append(int(fields[11]) + int(fields[12]))


def limit_memory(program, size):
    """No process started from here on gets more than `size` bytes of address space: what would take
    all memory fails at once. A sanitizer's runtime wants more than any limit: then nothing happens."""
    with open(program, "rb") as file:
        content = file.read()
    if b"__asan_init" not in content and b"__tsan_init" not in content:
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def load_stats(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def require(condition, text):
    if not condition:
        raise Failure(text)


def main(test):
    """Runs `test()`; a Failure is printed and ends with status 1."""
    try:
        test()
    except Failure as failure:
        print(f"FAILED: {failure}")
        sys.exit(1)
    print("PASSED")
