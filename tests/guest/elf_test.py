#!/usr/bin/env python3
"""ELF files of several shapes around a guest that says what it finds, and EFI zboot kernels.

elf_test.py TRAPLINE BOOT_STATE_BIN      also beside qemu-system-aarch64, where that is installed
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile

import guest_process as guest

RAM = 0x40000000
HIGH = 0xFFFFFF8000000000
MAGIC = 0xD00DFEED
CODE_AT = 0x400000  # in the file: behind the headers, however many they are
MEMORY = 64 << 20


def elf(code, entry, segments, bits=64, big=False):
    """`segments`: (vaddr, paddr, offset, file size, memory size)."""
    ident = b"\x7fELF" + bytes([bits // 32, 2 if big else 1, 1]) + bytes(9)
    header = ident + struct.pack(
        "<HHIQQQIHHHHHH", 2, 183, 1, entry, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    table = b"".join(struct.pack("<IIQQQQQQ", 1, 7, offset, vaddr, paddr, filesz, memsz, 0x1000)
                     for vaddr, paddr, offset, filesz, memsz in segments)
    return (header + table).ljust(CODE_AT, b"\0") + code


def findings(console):
    lines = (line.split(" 0x") for line in console.splitlines() if " 0x" in line)
    return {name: int(value, 16) for name, value in lines}


def run(trapline, arguments):
    done = subprocess.run(
        [trapline, "run"] + arguments, stdin=subprocess.DEVNULL,
        capture_output=True, timeout=120, check=False)
    errors = done.stderr.decode(errors="replace")
    guest.require(done.returncode == 0, f"status {done.returncode}: {errors[-2000:]}")
    return findings(done.stdout.decode(errors="replace"))


def run_qemu(path):
    done = subprocess.run(
        ["qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "cortex-a57", "-m", "64M",
         "-nodefaults", "-display", "none", "-serial", "stdio", "-kernel", path],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    return findings(done.stdout.decode(errors="replace"))


def test():
    trapline, binary = sys.argv[1:3]
    # Far below what some headers ask for, far above what a guest of 64 MiB takes.
    guest.limit_memory(trapline, 3 << 30)
    with open(binary, "rb") as file:
        code = file.read()
    size = len(code)

    def one(vaddr, paddr, entry):
        return elf(code, entry, [(vaddr, paddr, CODE_AT, size, size + 0x20000)])

    # All of RAM again and again, and the code last.
    many = [(RAM, RAM, 0, CODE_AT, MEMORY)] * 65534
    many += [(HIGH, RAM + 0x200000, CODE_AT, size, size + 0x20000)]
    twenty = [(RAM, RAM, 0, 0, MEMORY)] * 20 + many[-1:]
    # What it is, the file, where it is entered, the tree at the start of RAM, beside QEMU.
    # (QEMU 7.2's tree takes 1 MiB.)
    rows = [
        ("linked where it is loaded", one(RAM + 0x200000, RAM + 0x200000, RAM + 0x200000),
         RAM + 0x200000, True, True),
        ("linked high", one(HIGH, RAM + 0x200000, HIGH), RAM + 0x200000, True, True),
        ("linked high, entered by its physical address",
         one(HIGH, RAM + 0x200000, RAM + 0x200000), RAM + 0x200000, True, True),
        ("linked low", one(0x10000, RAM + 0x300000, 0x10000), RAM + 0x300000, True, True),
        ("half a MiB below it", one(HIGH, RAM + 0x80000, HIGH), RAM + 0x80000, True, False),
        ("no room below it", one(HIGH, RAM + 0x1000, HIGH), RAM + 0x1000, False, True),
        ("at the start of RAM", one(HIGH, RAM, HIGH), RAM, False, True),
        ("20 segments over all of RAM", elf(code, HIGH, twenty), RAM + 0x200000, False, False),
        ("65535 segments over all of RAM", elf(code, HIGH, many), RAM + 0x200000, False, False),
    ]
    qemu = shutil.which("qemu-system-aarch64") is not None
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "guest")
        for name, content, entry, below, beside in rows:
            with open(path, "wb") as file:
                file.write(content)
            try:
                if "all of RAM" in name:
                    # No place for a tree: a little more memory than the segments cover.
                    found = run(trapline, ["--memory", str(MEMORY + (4 << 20)), "--kernel", path])
                else:
                    found = run(trapline, ["--memory", str(MEMORY), "--kernel", path])
                guest.require(found.get("at") == entry, f"entered at {found.get('at')}: {found}")
                guest.require(found["x0-magic"] == MAGIC, f"no device tree at x0: {found}")
                guest.require((found["ram-magic"] == MAGIC) == below, f"start of RAM: {found}")
                guest.require((found["x0"] == RAM) == below, f"x0: {found}")
                guest.require(found["behind"] == 0, f"zeroes behind the bytes: {found}")
                if beside and qemu:
                    theirs = run_qemu(path)
                    guest.require(
                        [theirs.get(key) for key in ("at", "ram-magic")]
                        == [found[key] for key in ("at", "ram-magic")],
                        f"QEMU has {theirs}, we have {found}")
                print(f"ok {name}")
            except guest.Failure as failure:
                failed += 1
                print(f"FAILED {name}: {failure}")
        found = run(trapline, ["--raw", binary])
        guest.require(found["x0"] == RAM and found["ram-magic"] == MAGIC, f"--raw: {found}")
    guest.require(failed == 0, f"{failed} of {len(rows)} files")


guest.main(test)
