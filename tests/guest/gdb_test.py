#!/usr/bin/env python3
"""The GDB remote protocol against a bare-metal guest: registers, memory, a breakpoint, a step, a
detach, and a look into a guest that crashed.

gdb_test.py TRAPLINE GUEST.bin CRASHING_GUEST.bin
"""
import socket
import subprocess
import sys
import time

import guest_process as guest

ENTRY = 0x40080000


class Remote:
    """A debugger's end of the connection."""

    def __init__(self, port):
        deadline = time.monotonic() + 30
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
                break
            except OSError:
                guest.require(time.monotonic() < deadline, "nobody listens on the gdb port")
                time.sleep(0.05)
        self.buffer = b""

    def send(self, body):
        data = body.encode()
        self.socket.sendall(b"$%s#%02x" % (data, sum(data) & 0xFF))

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

    def register(self, number):
        return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")), "little")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(trapline, binary):
    port = free_port()
    process = subprocess.Popen(
        [trapline, "run", "--raw", binary, "--gdb", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    return process, Remote(port)


def look_inside(trapline, binary):
    process, gdb = start(trapline, binary)
    with open(binary, "rb") as file:
        image = file.read()
    guest.require("qXfer:features:read+" in gdb.ask("qSupported:swbreak+"), "qSupported")
    guest.require("org.gnu.gdb.aarch64.core" in gdb.ask("qXfer:features:read:target.xml:0,ffb"), "xml")
    guest.require(gdb.ask("?").startswith("T05"), "stop reason")
    guest.require(gdb.register(32) == ENTRY, "the guest waits at its first instruction")
    guest.require(gdb.ask(f"m{ENTRY:x},20") == image[:32].hex(), "memory is the image")
    guest.require(gdb.ask("m0,4").startswith("E"), "no memory there")
    guest.require(len(gdb.ask("g")) == 2 * (33 * 8 + 4 + 32 * 16 + 8), "g")
    gdb.ask("s")
    guest.require(gdb.register(32) == ENTRY + 4, "one step")
    guest.require(gdb.ask("P7=efbeadde00000000") == "OK", "P")
    guest.require(gdb.register(7) == 0xDEADBEEF, "a register written")
    guest.require(gdb.ask(f"M{ENTRY + 0x40000:x},4:01020304") == "OK", "M")
    guest.require(gdb.ask(f"m{ENTRY + 0x40000:x},4") == "01020304", "memory written")
    guest.require(gdb.ask(f"Z0,{ENTRY + 16:x},4") == "OK", "Z0")
    guest.require(gdb.ask("c").startswith("T05"), "the breakpoint")
    guest.require(gdb.register(32) == ENTRY + 16, "stopped on it")
    gdb.ask("s")
    guest.require(gdb.register(32) == ENTRY + 20, "stepped over it")
    guest.require(gdb.ask(f"z0,{ENTRY + 16:x},4") == "OK", "z0")
    guest.require(gdb.ask("qUnknown") == "", "an unknown packet is answered empty")
    guest.require(gdb.ask("D") == "OK", "detach")
    output, errors = process.communicate(timeout=60)
    print(errors.decode(errors="replace"))
    guest.require(process.returncode == 0, f"status {process.returncode} after the detach")
    guest.require(b"GUEST PASSED" in output, "the guest went on to its end")


def look_after_a_crash(trapline, binary):
    process, gdb = start(trapline, binary)
    guest.require(gdb.ask("c").startswith("T0b"), "SIGSEGV when the guest is beyond help")
    guest.require(gdb.register(5) == 0x5EED0FCA5E, "x5 as the guest left it")
    gdb.send("k")
    process.communicate(timeout=60)
    guest.require(process.returncode == 0, "killed by the debugger")


def test():
    trapline, binary, crashing = sys.argv[1:]
    look_inside(trapline, binary)
    look_after_a_crash(trapline, crashing)


guest.main(test)
