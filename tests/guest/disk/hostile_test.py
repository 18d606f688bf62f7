#!/usr/bin/env python3
"""A guest that means harm: it writes a qcow2 header on its raw disk, whose backing file is one of the
host's, and calls the host's services. The disk stays raw at the next start; the services see nothing.

hostile_test.py TRAPLINE GUEST-DIRECTORY
"""
import os
import socket
import struct
import sys

import shells
import guest_process as guest

MIB = 1 << 20


def header(backing):
    """A version 3 header; the backing file's name stands behind it."""
    fixed = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 256, len(backing), 16, MIB, 0, 1,
                        65536, 0, 0, 0, 0, 0, 0, 0, 4, 104)
    return (fixed.ljust(256, b"\0") + backing.encode()).ljust(512, b"\0")


def test():
    trapline, directory, *_ = sys.argv[1:]
    guest.need_guest(directory, "Image", "initrd.gz")
    with shells.scratch() as folder:
        disk, second = os.path.join(folder, "disk"), os.path.join(folder, "second")
        stats = os.path.join(folder, "stats.json")
        with open(disk, "wb") as file:
            file.truncate(MIB)
        with open(second, "wb") as file:
            file.write(header("/etc/passwd"))
            file.truncate(MIB)
        server = socket.create_server(("0.0.0.0", 0))
        server.setblocking(False)
        port = server.getsockname()[1]

        command = shells.linux(trapline, directory, "--disk", disk, "--disk",
                               second + ",ro,format=raw", "--net", "user", "--stats", stats)
        with shells.running(command) as terminal:
            shell = shells.busybox(terminal)
            shell.run("dd if=/dev/vdb of=/dev/vda bs=512 count=1 2>/dev/null && sync")
            shell.run("ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up && "
                      "ip route add default via 10.0.2.2 && ping -c 2 10.0.2.2")
            for address in ("10.0.2.2", "10.0.2.3", "169.254.169.254"):
                said = shell.run(f"wget -q -O - http://{address}:{port}/ 2>&1; true")
                guest.require("refused" in said, f"{address}: {said}")
            print(shells.power_off(terminal))
        try:
            server.accept()
            raise guest.Failure("the guest reached a service of the host")
        except BlockingIOError:
            pass
        counted = guest.load_stats(stats)["devices"]["virtio-net2"]
        guest.require(counted["closed_refused"] >= 3, f"counters: {counted}")

        # Written as it was; and read as a raw disk, by a writer and by a reader.
        with open(disk, "rb") as file:
            guest.require(file.read(512) == header("/etc/passwd"), "the guest's write is lost")
        for option in ("", ",ro,backing=yes"):
            command = shells.linux(trapline, directory, "--disk", disk + option)
            with shells.running(command) as terminal:
                shell = shells.busybox(terminal)
                said = shell.run("head -c 3 /dev/vda; cat /sys/block/vda/size")
                guest.require(said.strip() == f"QFI{MIB // 512}", f"{option}: the disk holds {said!r}")
                shells.power_off(terminal)


guest.main(test)
