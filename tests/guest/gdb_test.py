#!/usr/bin/env python3
"""The GDB remote protocol against bare-metal guests: registers, memory, breakpoints, steps, a
detach, and a look into a guest that crashed.

gdb_test.py TRAPLINE GUEST.bin CRASHING_GUEST.bin
"""
import sys

import guest_process as guest
from gdb_remote import ENTRY, Machine


def look_inside(trapline, binary):
    with open(binary, "rb") as file:
        image = file.read()
    with Machine(trapline, binary) as machine:
        gdb = machine.connect()
        guest.require("qXfer:features:read+" in gdb.ask("qSupported:swbreak+"), "qSupported")
        xml = gdb.ask("qXfer:features:read:target.xml:0,ffb")
        guest.require("org.gnu.gdb.aarch64.core" in xml, "xml")
        guest.require(gdb.ask("?").startswith("T05"), "stop reason")
        guest.require(gdb.register(32) == ENTRY, "the guest waits at its first instruction")
        guest.require(gdb.ask(f"m{ENTRY:x},20") == image[:32].hex(), "memory is the image")
        guest.require(gdb.ask("m0,4").startswith("E"), "no memory there")
        guest.require(len(gdb.ask("g")) == 2 * (33 * 8 + 4 + 32 * 16 + 8), "g")
        guest.require(gdb.ask("s").startswith("T05"), "s")
        guest.require(gdb.register(32) == ENTRY + 4, "one step")
        guest.require(gdb.ask("P7=efbeadde00000000") == "OK", "P")
        guest.require(gdb.register(7) == 0xDEADBEEF, "a register written")
        guest.require(gdb.ask("P42=1f000000") == "OK", "FPSR")
        guest.require(gdb.register(0x42) == 0x1F, "FPSR written")
        guest.require(gdb.ask(f"M{ENTRY + 0x40000:x},4:01020304") == "OK", "M")
        guest.require(gdb.ask(f"m{ENTRY + 0x40000:x},4") == "01020304", "memory written")
        guest.require(gdb.ask(f"Z0,{ENTRY + 16:x},4") == "OK", "Z0")
        guest.require(gdb.ask("c").startswith("T05"), "the breakpoint")
        guest.require(gdb.register(32) == ENTRY + 16, "stopped on it")
        guest.require(gdb.ask("s").startswith("T05"), "s from a breakpoint")
        guest.require(gdb.register(32) == ENTRY + 20, "stepped over it")
        guest.require(gdb.ask(f"z0,{ENTRY + 16:x},4") == "OK", "z0")
        guest.require(gdb.ask("qUnknown") == "", "an unknown packet is answered empty")
        guest.require(gdb.ask("D") == "OK", "detach")
        output, _ = machine.end(0)
        guest.require(b"GUEST PASSED" in output, "the guest went on to its end")


def told_of_the_end(trapline, binary):
    with Machine(trapline, binary) as machine:
        gdb = machine.connect()
        guest.require(gdb.ask("c") == "W00", "the guest's exit")
        guest.require(gdb.is_closed(), "closed after it")
        output, _ = machine.end(0)
        guest.require(b"GUEST PASSED" in output, "the guest ran")


def told_of_a_limit(trapline, binary):
    with Machine(trapline, binary, "--max-insns", "100") as machine:
        guest.require(machine.connect().ask("c") == "W7c", "status 124 is told")
        machine.end(124)


def look_after_a_crash(trapline, binary):
    with Machine(trapline, binary) as machine:
        gdb = machine.connect()
        guest.require(gdb.ask("c").startswith("T0b"), "SIGSEGV when the guest is beyond help")
        guest.require(gdb.register(5) == 0x5EED0FCA5E, "x5 as the guest left it")
        gdb.send("k")
        machine.end(0)


def leave_after_a_crash(trapline, binary):
    """Without a debugger a crash is the end, as ever."""
    with Machine(trapline, binary) as machine:
        gdb = machine.connect()
        guest.require(gdb.ask("c").startswith("T0b"), "SIGSEGV when the guest is beyond help")
        guest.require(gdb.ask("D") == "OK", "detach")
        machine.end(2)


def test():
    trapline, binary, crashing = sys.argv[1:]
    look_inside(trapline, binary)
    told_of_the_end(trapline, binary)
    told_of_a_limit(trapline, binary)
    look_after_a_crash(trapline, crashing)
    leave_after_a_crash(trapline, crashing)


guest.main(test)
