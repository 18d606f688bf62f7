#!/usr/bin/env python3
"""A session of the real gdb-multiarch with a guest of four CPUs. Skipped where it is not installed.

gdb_multiarch_test.py TRAPLINE DEBUG.bin DEBUG.elf
"""
import shutil
import subprocess
import sys
import tempfile

import guest_process as guest
from gdb_remote import Machine

SCRIPT = """
set pagination off
set confirm off
set tcp connect-timeout 30
target remote :{port}
echo \\n== registers\\n
print $cpsr
set $fpsr = 0x1f
print $fpsr
set $fpcr = 0x1000000
print $fpcr
set $v1.d.u[1] = 0x3ff0000000000000
print $v1.d.f
print $v1.s.u
print $v1.h.bf
print $v1.b.u[15]
print $v1.q.u
print/x $CurrentEL
set $VBAR_EL1 = 0x40090800
print $VBAR_EL1
info registers system
echo \\n== breakpoint\\n
break work
continue
continue
info threads
delete
echo \\n== watch\\n
watch *(unsigned long *)&shared
continue
continue
delete
echo \\n== rwatch\\n
rwatch *(unsigned long *)&shared
continue
delete
echo \\n== awatch\\n
awatch *(unsigned long *)&shared
continue
delete
echo \\n== step\\n
stepi
stepi
echo \\n== monitor\\n
monitor help
monitor exits
monitor insns
monitor translate 0x40080000
monitor nonsense
echo \\n== end\\n
set *(unsigned long *)&quit = 1
continue
"""

WANTED = {
    "registers": [
        "$1 = [ SP EL=1 F I A D ]",
        "$2 = [ IOC DZC OFC UFC IXC ]",
        "$3 = [ RMode=0 FZ ]",
        "$4 = {0, 1}",
        "$5 = {0, 0, 0, 1072693248}",
        "$7 = 63",
        "$9 = 0x4",
        "0x40090800",
        "TTBR1_EL1 ",
        "CNTV_CTL_EL0 ",
    ],
    "breakpoint": ["hit Breakpoint 1, work ()", "(vcpu 3: "],
    "watch": [
        "hit Hardware watchpoint 2",
        "Old value = {old}\nNew value = {new}",
    ],
    "rwatch": ["hit Hardware read watchpoint 3", "Value = "],
    "awatch": ["hit Hardware access (read/write) watchpoint 4", "alue = "],
    "monitor": [
        "monitor translate VA",
        "exit profile (4 cpus",
        "vcpu 3: ",
        "stage 2: level 2 (2 MiB), rwx: RAM",
        "monitor nonsense: not known",
    ],
    "end": ["exited normally"],
}


def test():
    trapline, binary, elf = sys.argv[1:]
    debugger = shutil.which("gdb-multiarch")
    if debugger is None:
        print("SKIPPED: no gdb-multiarch (scripts/install-deps)")
        sys.exit(guest.SKIPPED)
    with Machine(trapline, binary, "--cpus", "4") as machine:
        with tempfile.NamedTemporaryFile("w", suffix=".gdb") as script:
            script.write(SCRIPT.format(port=machine.port))
            script.flush()
            done = subprocess.run(
                [debugger, "-nx", "-batch", elf, "-x", script.name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=300,
                check=False,
                text=True,
            )
        machine.end(0)
    print(done.stdout)
    sections = dict(
        part.split("\n", 1) for part in done.stdout.split("\n== ")[1:]
    )
    values = [
        int(line.split("= ")[1])
        for line in sections["watch"].splitlines()
        if line.startswith(("Old value", "New value"))
    ]
    guest.require(
        len(values) == 4 and values[1] == values[0] + 1 and values[2:] == [values[1], values[1] + 1],
        f"old and new values: {values}",
    )
    for section, texts in WANTED.items():
        for text in texts:
            text = text.replace("{old}", str(values[0])).replace("{new}", str(values[1]))
            guest.require(text in sections[section], f"{section}: no {text!r}")


guest.main(test)
