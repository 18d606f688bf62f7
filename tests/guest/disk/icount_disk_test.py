#!/usr/bin/env python3
"""Two runs with a disk and the entropy device under --clock icount: the same console bytes, exits,
instructions, and bytes on the disk.

icount_disk_test.py TRAPLINE GUEST_DIR [TRAPLINE OPTIONS]
"""
import hashlib
import os
import re
import sys

import shells
from shells import guest

HOST_TIME = re.compile(r"(_ns$|^wall|latency)")
# Read, write, sync, file system, direct I/O and entropy; what it prints depends on the order and
# the time of every completion.
GUEST = """#!/bin/sh
mkdir /mnt
mount -t ext4 /dev/vda /mnt || exit 1
dd if=/dev/hwrng of=/mnt/r bs=512 count=8 && sha256sum /mnt/r || exit 2
dd if=/dev/urandom of=/mnt/u bs=64k count=32 && sync || exit 3
dd if=/dev/vda of=/dev/null bs=64k count=64 iflag=direct || exit 4
for i in 1 2 3 4; do cp /mnt/u /mnt/u$i & done
wait
sync
sha256sum /mnt/u*
cat /proc/uptime /proc/diskstats
date
umount /mnt
"""


def without_host_time(value):
    if isinstance(value, dict):
        return {k: without_host_time(v) for k, v in value.items() if not HOST_TIME.search(k)}
    return value


def differences(path, a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            yield from differences(f"{path}.{key}", a.get(key), b.get(key))
    elif a != b:
        yield f"{path[1:]}: {a} and {b}"


def one_run(trapline, directory, folder, number, options):
    disk = os.path.join(folder, f"disk{number}")
    stats = os.path.join(folder, f"stats{number}.json")
    initrd = os.path.join(folder, "initrd")
    shells.make_ext4(disk, 32)
    shells.initrd_with(initrd, os.path.join(directory, "initrd-test.gz"), GUEST)
    command = shells.linux(
        trapline, directory, "--clock", "icount", "--disk", disk, "--rng", "--stats", stats,
        *options, initrd=initrd, append=f"{guest.CMDLINE} trapline.cmd=sh /cmd")
    status, output, errors = guest.run(command, 900)
    text = output.decode(errors="replace")
    guest.require(status == 0, f"run {number}: status {status}\n{errors}")
    guest.require("TRAPLINE-TEST PASS" in text and "/mnt/u4" in text,
                  f"run {number} failed:\n{text[-3000:]}")
    with open(disk, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return output, digest, without_host_time(guest.load_stats(stats))


def test():
    trapline, directory, *options = sys.argv[1:]
    guest.need_guest(directory, "Image", "initrd-test.gz")
    shells.need_tools("mke2fs")
    with shells.scratch() as folder:
        first, second = (one_run(trapline, directory, folder, n, options) for n in range(2))
    if first[0] != second[0]:
        lines = zip(first[0].split(b"\n"), second[0].split(b"\n"))
        unequal = next(((a, b) for a, b in lines if a != b), ("", "(one is longer)"))
        raise guest.Failure(f"the consoles differ: {unequal[0]!r} and {unequal[1]!r}")
    found = list(differences("", first[2], second[2]))
    guest.require(not found, "the statistics differ:\n" + "\n".join(found))
    guest.require(first[1] == second[1], "the disks differ")
    print(f"{len(first[0])} console bytes, {first[2]['exits']['total']} exits, "
          f"{first[2]['insns']} instructions, disk {first[1][:16]}, twice")


guest.main(test)
