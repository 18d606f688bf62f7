#!/usr/bin/env python3
"""SIGKILL while the guest writes, again and again: every flushed write is on the disk.

kill_test.py TRAPLINE GUEST_DIR TIMES [TRAPLINE OPTIONS]

The guest writes numbered records to a raw disk and numbered files to ext4, flushes each, and only
then names it on the console. Trapline is killed at a random moment; whatever was named by then, in
this run or in any before, must be there, and the file system must be sound after its journal.
"""
import os
import random
import select
import subprocess
import sys
import time

import shells
from shells import guest

BLOCK = 4096
BLOCKS = 16384  # of the raw disk; the records go round
# fsync makes the driver send VIRTIO_BLK_T_FLUSH.
GUEST = """#!/bin/sh
mkdir /mnt
mount -t ext4 /dev/vdb /mnt || exit 1
echo writing
n={first}
while true; do
  yes "record $n" | head -c 4096 > /tmp/r
  dd if=/tmp/r of=/dev/vda bs=4096 seek=$((n % 16384)) conv=notrunc,fsync 2>/dev/null || exit 2
  echo "flushed-raw $n"
  dd if=/tmp/r of=/mnt/f$((n % 200)) conv=fsync 2>/dev/null || exit 3
  echo "flushed-file $n"
  n=$((n + 1))
done
"""


def record(number):
    line = f"record {number}\n".encode()
    return (line * (BLOCK // len(line) + 1))[:BLOCK]


def flushed(console, kind):
    """Of the records that the console names, by its whole lines."""
    numbers = []
    for line in console.replace(b"\r", b"").split(b"\n")[:-1]:
        if line.startswith(kind):
            numbers.append(int(line.split()[1]))
    return numbers


def killed_run(command, patience):
    """Runs until a random moment among the writes, then SIGKILL. Returns the console."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        console, wanted = b"", random.randint(1, 60)
        deadline = time.monotonic() + patience
        try:
            while console.count(b"flushed-") < wanted:
                guest.require(time.monotonic() < deadline, "no writes in time:\n"
                              + console[-2000:].decode(errors="replace"))
                if select.select([process.stdout], [], [], 1.0)[0]:
                    data = os.read(process.stdout.fileno(), 65536)
                    guest.require(data, "the guest ended by itself:\n"
                                  + console[-2000:].decode(errors="replace"))
                    console += data
            time.sleep(random.random() * 0.02)
        finally:
            process.kill()
        console += process.stdout.read()  # what it had said before it died
    return console


def check_raw(disk, last):
    """Each block holds the newest record that was flushed to it, or a newer one."""
    with open(disk, "rb") as file:
        for number in range(max(1, last - BLOCKS + 1), last + 1):
            file.seek(number % BLOCKS * BLOCK)
            guest.require(file.read(BLOCK) == record(number), f"raw record {number} of {last} is lost")


def check_files(disk, last, folder):
    shells.check_ext4(disk)
    for number in range(max(1, last - 8), last + 1):
        copy = os.path.join(folder, "copy")
        shells.host("debugfs", "-R", f"dump /f{number % 200} {copy}", disk)
        with open(copy, "rb") as file:
            guest.require(file.read() == record(number), f"file {number} of {last} is lost")


def test():
    trapline, directory, times, *options = sys.argv[1:]
    guest.need_guest(directory, "Image", "initrd-test.gz")
    shells.need_tools("mke2fs", "e2fsck", "debugfs")
    random.seed(6)
    with shells.scratch() as folder:
        raw, files, initrd = (os.path.join(folder, n) for n in ("raw", "files", "initrd"))
        shells.make_ext4(files, 64)
        with open(raw, "wb") as file:
            file.truncate(BLOCKS * BLOCK)
        last = {b"flushed-raw": 0, b"flushed-file": 0}
        for _ in range(int(times)):
            shells.initrd_with(initrd, os.path.join(directory, "initrd-test.gz"),
                               GUEST.format(first=min(last.values()) + 1))
            command = shells.linux(
                trapline, directory, "--disk", raw, "--disk", files, *options, initrd=initrd,
                append=guest.CMDLINE + " quiet trapline.cmd=sh /cmd")
            console = killed_run(command, shells.BOOT_S)
            for kind in last:
                last[kind] = max([last[kind], *flushed(console, kind)])
            check_raw(raw, last[b"flushed-raw"])
            check_files(files, last[b"flushed-file"], folder)
        print(f"killed {times} times; {last[b'flushed-raw']} records and "
              f"{last[b'flushed-file']} files flushed, none lost")


guest.main(test)
