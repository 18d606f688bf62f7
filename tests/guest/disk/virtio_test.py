#!/usr/bin/env python3
"""Debian's virtio drivers at work: disk, network, entropy and, if asked for, console.

virtio_test.py TRAPLINE GUEST_DIR [TRAPLINE OPTIONS]
"""
import hashlib
import http.server
import os
import socket
import sys
import threading
import time
import urllib.request

import shells
from shells import guest

SIZE = 3_000_000


class Files(http.server.BaseHTTPRequestHandler):
    """Serves one file to the guest."""

    data = os.urandom(SIZE)

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.data)))
        self.end_headers()
        self.wfile.write(self.data)

    def log_message(self, format, *args):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url, seconds):
    """The guest's server may need a moment to listen."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as reply:
                return reply.read()
        except OSError as error:
            if time.monotonic() > deadline:
                raise guest.Failure(f"{url}: {error}") from error
            time.sleep(0.5)


def disk_written(shell):
    shell.run("mkdir -p /mnt && mount -t ext4 /dev/vda /mnt")
    shell.run("dd if=/dev/urandom of=/mnt/a bs=64k count=128 2>&1 && cp /mnt/a /mnt/b")
    # Scattered overwrites, a truncated and a removed file, a directory.
    shell.run("for i in 5 77 1033 2000; do dd if=/dev/urandom of=/mnt/b bs=4k seek=$i count=1 "
              "conv=notrunc 2>/dev/null || break; done")
    shell.run("cp /mnt/a /mnt/gone && rm /mnt/gone && mkdir /mnt/d && echo whole > /mnt/d/text")
    shell.run("cd /mnt && sha256sum a b d/text > sums && sync && cd /")


def network(shell, hostfwd):
    shell.run("ip link set lo up && ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up && "
              "ip route add default via 10.0.2.2")
    # One by one: of several, busybox gives the last a second only, and a busy host takes longer.
    for _ in range(3):
        said = shell.run("ping -c 1 10.0.2.2")
        guest.require("1 packets received" in said, f"ping:\n{said}")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        said = shell.run(f"wget -q -O - http://10.0.2.2:{server.server_address[1]}/ | sha256sum")
    finally:
        server.shutdown()
    guest.require(hashlib.sha256(Files.data).hexdigest() in said, f"wget got other bytes: {said}")
    shell.run("mkdir -p /tmp/www && dd if=/dev/urandom of=/tmp/www/f bs=1000 count=1500 2>/dev/null")
    said = shell.run("httpd -p 80 -h /tmp/www && sha256sum /tmp/www/f")
    body = fetch(f"http://127.0.0.1:{hostfwd}/f", shells.COMMAND_S)
    guest.require(hashlib.sha256(body).hexdigest() in said, "hostfwd brought other bytes")


def test():
    trapline, directory, *options = sys.argv[1:]
    guest.need_guest(directory, "Image", "initrd.gz")
    shells.need_tools("mke2fs", "e2fsck", "debugfs")
    cpus = options[options.index("--cpus") + 1] if "--cpus" in options else "1"
    with shells.scratch() as folder:
        disk, second = os.path.join(folder, "disk"), os.path.join(folder, "ro")
        stats = os.path.join(folder, "stats.json")
        shells.make_ext4(disk, 64)
        with open(second, "wb") as file:
            file.write(b"read me" + bytes((1 << 20) - 7))
        port = free_port()
        command = shells.linux(
            trapline, directory, "--disk", disk, "--disk", second + ",ro", "--net",
            f"user,host-access,hostfwd=tcp:127.0.0.1:{port}-:80", "--rng", "--stats", stats, *options)
        with shells.running(command) as terminal:
            shell = shells.busybox(terminal)
            guest.require(shell.run("nproc").strip() == cpus, "not all CPUs are there")
            if "--virtio-console" in options:
                guest.require("hvc0" in shell.run("tty"), "this shell is not on hvc0")
            disk_written(shell)
            said = shell.run("head -c 7 /dev/vdb; cat /sys/block/vdb/ro")
            guest.require(said.strip() == "read me1", f"the read-only disk: {said}")
            shell.run("echo no > /dev/vdb", status=1)
            shell.run("blkdiscard -o 33554432 -l 1048576 /dev/vdb", status=1)
            random = shell.run("dd if=/dev/hwrng bs=32 count=1 2>/dev/null | xxd -p -c 64").strip()
            guest.require(len(random) == 64 and len(set(random)) > 4, f"hwrng: {random}")
            network(shell, port)
            # SYSTEM_RESET inside one VM: the devices start afresh, the disk is as it was.
            terminal.type("reboot\r")
            shell = shells.busybox(terminal)
            shell.run("mkdir -p /mnt && mount -t ext4 /dev/vda /mnt && cd /mnt && "
                      "sha256sum -c sums && cat d/text && test ! -e gone && cd /")
            network(shell, port)
            sums = shell.run("cat /mnt/sums; umount /mnt")
            print(shells.power_off(terminal))
        host_sum = hashlib.sha256()
        copy = os.path.join(folder, "a")
        shells.host("debugfs", "-R", f"dump /a {copy}", disk)
        with open(copy, "rb") as file:
            host_sum.update(file.read())
        guest.require(host_sum.hexdigest() in sums, "the image holds other bytes than the guest saw")
        shells.check_ext4(disk)
        counted = guest.load_stats(stats)["devices"]
        for device in ("virtio-blk0", "virtio-blk1", "virtio-net2", "virtio-rng0"):
            guest.require(counted[device]["writes"] > 0, f"{device} was not used")


guest.main(test)
