"""The disk from which the stress guest reads code, made from the instructions in its binary."""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import guest_process as guest  # noqa: E402

FIRST = struct.pack("<I", 0xB8004401)  # str w1, [x0], #4: start.S, `variants`
RETURN = struct.pack("<I", 0xD65F03C0)
VARIANTS = 15
SECTOR = 512


def disk_image(binary):
    with open(binary, "rb") as file:
        text = file.read()
    at = text.find(FIRST + struct.pack("<I", 0xB81FC402))
    guest.require(at >= 0, "no instructions found in the binary")
    sectors = b""
    for i in range(VARIANTS):
        sectors += (text[at + 4 * i : at + 4 * i + 4] + RETURN).ljust(SECTOR, b"\0")
    return sectors
