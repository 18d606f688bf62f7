"""VMs under a test that have names: started, steered by `trapline ctl`, saved, restored, moved."""
import os
import subprocess
import sys
import tempfile
import threading
import time

import guest_process as guest

TRAPLINE = sys.argv[1]
WAIT_S = 120


def use_folder(folder):
    """Control sockets go there, and nowhere else."""
    os.environ["XDG_RUNTIME_DIR"] = folder


class Vm:
    """A run with a name, whose output is collected as it comes."""

    def __init__(self, name, *options):
        self.name = name
        self.output = b""
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([TRAPLINE, "run", "--name", name, *options],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while True:
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                return
            self.output += data

    def type(self, text):
        os.write(self.process.stdin.fileno(), text.encode())

    def ctl(self, *words):
        return ctl(self.name, *words)

    def await_status(self):
        until(lambda: self.ctl("status")[0] == 0 or self.process.poll() is not None,
              f"{self.name} answers")
        guest.require(self.process.poll() is None, f"{self.name} ended: {self.said()}")

    def await_output(self, text, since=0):
        text = text.encode()
        until(lambda: text in self.output[since:] or self.process.poll() is not None,
              f"{self.name} writes {text!r}")
        guest.require(text in self.output[since:], f"{self.name} ended: {self.said()}")

    def said(self):
        """Standard error so far."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def end(self, seconds=600):
        """Its status, once it has ended by itself."""
        status = self.process.wait(seconds)
        self.reader.join(30)
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()


def ctl(name, *words):
    done = subprocess.run([TRAPLINE, "ctl", name, *words], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def until(condition, what, seconds=WAIT_S):
    deadline = time.monotonic() + seconds
    while not condition():
        guest.require(time.monotonic() < deadline, f"{what} within {seconds} s")
        time.sleep(0.01)


def insns(stats):
    return guest.load_stats(stats)["insns"]
