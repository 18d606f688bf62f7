"""A debugger's end of the GDB remote protocol, and a Trapline to talk to."""
import os
import socket
import subprocess
import tempfile
import time

import guest_process as guest

ENTRY = 0x40080000


class Remote:
    """One connection."""

    def __init__(self, port, rcvbuf=None):
        deadline = time.monotonic() + 30
        while True:
            self.socket = socket.socket()
            if rcvbuf is not None:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            self.socket.settimeout(60)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self.socket.connect(("127.0.0.1", port))
                break
            except OSError:
                self.socket.close()
                guest.require(time.monotonic() < deadline, "nobody listens on the gdb port")
                time.sleep(0.05)
        self.buffer = b""

    def send(self, body):
        data = body.encode()
        self.socket.sendall(b"$%s#%02x" % (data, sum(data) & 0xFF))

    def interrupt(self):
        self.socket.sendall(b"\x03")

    def receive(self):
        while b"#" not in self.buffer or len(self.buffer) < self.buffer.index(b"#") + 3:
            data = self.socket.recv(65536)
            guest.require(data, "the connection ended")
            self.buffer += data
        start = self.buffer.index(b"$") + 1
        end = self.buffer.index(b"#")
        body = self.buffer[start:end]
        checksum = int(self.buffer[end + 1 : end + 3], 16)
        guest.require(sum(body) & 0xFF == checksum, "a wrong checksum")
        self.buffer = self.buffer[end + 3 :]
        # Acknowledgements arrive alone, as from a real gdb.
        self.socket.sendall(b"+")
        return body.decode()

    def ask(self, body):
        self.send(body)
        return self.receive()

    def halt(self):
        """Interrupts a guest that runs; the stop reply."""
        self.interrupt()
        return self.receive()

    def register(self, number):
        return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")), "little")

    def pc(self, thread):
        guest.require(self.ask(f"Hg{thread:x}") == "OK", "Hg")
        return self.register(32)

    def quads(self, address, count):
        data = bytes.fromhex(self.ask(f"m{address:x},{8 * count:x}"))
        return [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]

    def set_quad(self, address, value):
        text = value.to_bytes(8, "little").hex()
        guest.require(self.ask(f"M{address:x},8:{text}") == "OK", "M")

    def is_closed(self):
        """Waits for the other side to close; what came before is dropped."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def close(self):
        self.socket.close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Machine:
    """A Trapline that waits for a debugger. Leaving the `with` kills it if it still runs."""

    def __init__(self, trapline, binary, *options):
        # Another program may take the port before ours does: then the next one.
        for _ in range(5):
            self.port = free_port()
            self.output, self.errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()
            self.process = subprocess.Popen(
                [trapline, "run", "--raw", binary, "--gdb", str(self.port), *options],
                stdin=subprocess.DEVNULL,
                stdout=self.output,
                stderr=self.errors,
            )
            while self.process.poll() is None and "waiting for gdb" not in self.said():
                time.sleep(0.02)
            if "in use" not in self.said():
                break

    def said(self):
        """Standard error so far."""
        return os.pread(self.errors.fileno(), 1 << 20, 0).decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def connect(self, **how):
        try:
            return Remote(self.port, **how)
        except guest.Failure as failure:
            raise guest.Failure(
                f"{failure} (status {self.process.poll()}): {self.said()}"
            ) from failure

    def end(self, status):
        """Waits for the end with this status; standard output and error."""
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired as late:
            raise guest.Failure("the program does not end") from late
        self.output.seek(0)
        output, errors = self.output.read(), self.said()
        guest.require(
            self.process.returncode == status, f"status {self.process.returncode}: {errors}"
        )
        return output, errors


class Symbols:
    """Where the parts of debug.S are: its table."""

    NAMES = "work shared counters quit crash store_shared load_shared powered_off".split()

    def __init__(self, gdb):
        for name, value in zip(self.NAMES, gdb.quads(ENTRY + 8, len(self.NAMES))):
            setattr(self, name, value)


def thread_of(stop):
    """The thread of a stop reply, and the reply's fields."""
    fields = dict(field.split(":") for field in stop[3:].split(";") if field)
    return int(fields["thread"], 16), fields
