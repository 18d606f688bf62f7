#!/usr/bin/env python3
"""Debian's kernel as an EFI zboot file, packed by gzip and by zstd, starts as the Image does: the same
console, to the byte, under icount.

zboot_test.py TRAPLINE GUEST_DIR
"""
import gzip
import os
import shutil
import struct
import subprocess
import sys
import tempfile

import guest_process as guest


def zboot(method, payload, size):
    """As Linux's drivers/firmware/efi/libstub/zboot-header.S lays it out."""
    offset = 0x1000
    header = struct.pack("<4s4sII8x32s4sI", b"MZ\0\0", b"zimg", offset, len(payload), method,
                         b"\xcd\x23\x82\x81", 64)
    return header.ljust(offset, b"\0") + payload + struct.pack("<I", size) + bytes(0x1000)


def test():
    trapline, directory = sys.argv[1:3]
    guest.need_guest(directory, "Image")
    image = os.path.join(directory, "Image")
    with open(image, "rb") as file:
        content = file.read()
    packed = {b"gzip": gzip.compress(content, 1)}
    if shutil.which("zstd"):
        packed[b"zstd22"] = subprocess.run(
            ["zstd", "-q", "-1", "-c", image], capture_output=True, check=True).stdout

    def console(kernel):
        status, output, errors = guest.run(
            [trapline, "run", "--kernel", kernel, "--clock", "icount", "--max-insns", "30000000",
             "--append", "console=ttyAMA0 earlycon"], 300)
        guest.require(status == 124, f"status {status}: {errors}")
        return output

    expected = console(image)
    guest.require(b"Linux version" in expected, f"the Image says {expected[:500]!r}")
    with tempfile.TemporaryDirectory() as scratch:
        for method, payload in packed.items():
            path = os.path.join(scratch, method.decode())
            with open(path, "wb") as file:
                file.write(zboot(method, payload, len(content)))
            guest.require(console(path) == expected, f"{method}: another console")
            print(f"ok {method.decode()}: {len(payload)} bytes")


guest.main(test)
