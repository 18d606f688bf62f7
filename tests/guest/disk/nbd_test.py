#!/usr/bin/env python3
"""Disks of NBD servers, and images that qemu-nbd opens, under Debian's virtio-blk.

nbd_test.py TRAPLINE GUEST_DIR nbdkit|tls|killed|killed.often|formats [TRAPLINE OPTIONS]

nbdkit: several connections; what the guest writes comes back, and is what the server has.
tls: nbdkit by certificates and by keys; a server that is not the one that it says is refused, by one line.
killed: qemu-nbd is killed and started again while the guest writes: nothing is lost, no error seen.
formats: images of each format, written to and read by qemu-img afterwards.
"""
import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time

import shells
from shells import guest

MIB = 24
# Writes, flushes some of it, and reads all of it back from the disk.
WRITE = f"""#!/bin/sh
fail() {{{{ echo "failed: $1"; exit 1; }}}}
dd if=/dev/urandom of=/tmp/r bs=1M count={MIB} 2>/dev/null
for round in $(seq {{rounds}}); do
  for disk in {{disks}}; do
    dd if=/tmp/r of=$disk bs=64k conv=notrunc 2>/dev/null || fail "write $disk"
    for at in 3 77 200 301; do
      dd if=/dev/urandom of=/tmp/p bs=4k count=5 2>/dev/null
      dd if=/tmp/p of=/tmp/r bs=4k seek=$at conv=notrunc 2>/dev/null
      dd if=/tmp/p of=$disk bs=4k seek=$at conv=notrunc,fsync 2>/dev/null || fail "fsync $disk"
    done
    dd if=/tmp/r of=$disk bs=64k conv=notrunc,fsync 2>/dev/null || fail "fsync $disk"
    echo 3 > /proc/sys/vm/drop_caches
    dd if=$disk of=/tmp/b bs=64k count={MIB * 16} 2>/dev/null || fail "read $disk"
    cmp /tmp/b /tmp/r || fail "compare $disk"
  done
  echo "round $round"
done
for disk in {{disks}}; do
  dd if=/tmp/r of=$disk bs=64k conv=notrunc,fsync 2>/dev/null || fail "last write $disk"
done
blkdiscard -o {MIB << 20} -l 1048576 {{first}} 2>/dev/null
sha256sum /tmp/r
"""


def run(trapline, directory, folder, disks, *options, rounds=1):
    """The SHA-256 of what each disk begins with, as the guest says."""
    initrd = os.path.join(folder, "initrd")
    names = [f"/dev/vd{chr(ord('a') + i)}" for i in range(len(disks))]
    script = WRITE.format(rounds=rounds, disks=" ".join(names), first=names[0])
    shells.initrd_with(initrd, os.path.join(directory, "initrd-test.gz"), script)
    words = [word for disk in disks for word in ("--disk", disk)]
    status, output, errors = guest.run(
        shells.linux(trapline, directory, *words, *options, initrd=initrd,
                     append=guest.CMDLINE + " quiet trapline.cmd=sh /cmd"), 3000)
    output = output.decode(errors="replace").replace("\r", "")
    guest.require(status == 0 and f"round {rounds}" in output and "failed" not in output
                  and "I/O error" not in output, f"status {status}\n{output}\n{errors}")
    return output.split("  /tmp/r")[0].split()[-1], errors


def sum_of(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read(MIB << 20)).hexdigest()


def await_socket(path):
    for _ in range(1000):
        if os.path.exists(path):
            return
        time.sleep(0.01)
    raise guest.Failure(f"no server at {path}")


def nbdkit(trapline, directory, folder, *options):
    path, sock = os.path.join(folder, "disk"), os.path.join(folder, "s")
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    with subprocess.Popen(["nbdkit", "-f", "-e", "/x y", "-U", sock, "file", path]) as server:
        try:
            await_socket(sock)
            stats = os.path.join(folder, "stats")
            said, _ = run(trapline, directory, folder,
                          [f"nbd+unix:////x%20y?socket={sock}"], "--stats", stats, *options)
            device = guest.load_stats(stats)["devices"]["virtio-blk0"]
            guest.require(device["nbd_connections"] == 4, str(device))
        finally:
            server.kill()
    guest.require(sum_of(path) == said, "the server has something else")


def certificates(folder, host):
    """An authority, and a certificate of its for `host`."""
    os.mkdir(folder)
    at = {name: os.path.join(folder, name + ".pem") for name in ("ca-cert", "ca-key", "server-cert", "server-key",
                                                                 "wish", "more")}
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    with open(at["more"], "w", encoding="ascii") as file:
        file.write(f"subjectAltName=DNS:{host}\n")
    shells.host("openssl", "req", "-x509", *new, "-subj", "/CN=authority", "-days", "30",
                "-keyout", at["ca-key"], "-out", at["ca-cert"])
    shells.host("openssl", "req", *new, "-subj", f"/CN={host}", "-keyout", at["server-key"], "-out", at["wish"])
    shells.host("openssl", "x509", "-req", "-in", at["wish"], "-CA", at["ca-cert"], "-CAkey", at["ca-key"],
                "-CAcreateserial", "-days", "30", "-extfile", at["more"], "-out", at["server-cert"])
    return folder


@contextlib.contextmanager
def tls_server(path, *options):
    """nbdkit, which takes no connection without TLS; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        # As systemd hands over a socket that listens: as descriptor 3.
        start = f'exec 3<&{listener.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        command = ["bash", "-c", start, "bash", "nbdkit", "-f", "--tls=require", *options, "file", path]
        with subprocess.Popen(command, pass_fds=[listener.fileno()], stderr=subprocess.DEVNULL) as server:
            try:
                yield port
            finally:
                server.kill()


def tls(trapline, directory, folder, *options):
    shells.need_tools("openssl")
    path = os.path.join(folder, "disk")
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    good = certificates(os.path.join(folder, "good"), "localhost")
    other = certificates(os.path.join(folder, "other"), "elsewhere.invalid")
    keys, wrong = os.path.join(folder, "keys"), os.path.join(folder, "wrong")
    for name, key in ((keys, "00112233445566778899aabbccddeeff"), (wrong, "ff" * 16)):
        with open(name, "w", encoding="ascii") as file:
            file.write(f"me:{key}\n")

    def refused(uri, why):
        status, output, errors = guest.run(shells.linux(trapline, directory, "--disk", uri), 600)
        lines = errors.splitlines()
        guest.require(status == 1 and len(lines) == 1 and uri in lines[0] and why in lines[0] and not output,
                      f"{uri}: {status}\n{output}\n{errors}")

    with tls_server(path, "--tls-certificates=" + good) as port:
        at = f"nbds://localhost:{port}/"
        said, _ = run(trapline, directory, folder, [f"{at}?tls-certificates={good}"], *options)
        guest.require(sum_of(path) == said, "the server has something else")
        refused(f"{at}?tls-certificates={other}", "certificate is not good")
        refused(f"nbds://127.0.0.1:{port}/?tls-certificates={good}", "certificate is not good")
        refused(f"{at}?tls-certificates={folder}/none", "no ca-cert.pem")
        refused(f"nbd://localhost:{port}/", "requires TLS")
    with tls_server(path, "--tls-certificates=" + other) as port:
        refused(f"nbds://localhost:{port}/?tls-certificates={other}", "certificate is not good")
    with tls_server(path, "--tls-psk=" + keys) as port:
        said, _ = run(trapline, directory, folder, [f"nbds://me@localhost:{port}/?tls-psk-file={keys}"], *options)
        guest.require(sum_of(path) == said, "the server has something else")
        refused(f"nbds://me@localhost:{port}/?tls-psk-file={wrong}", "handshake")


class Killed:
    """A qemu-nbd that is killed and started again, until stopped."""

    def __init__(self, path, sock):
        self.command = ["qemu-nbd", "-t", "-f", "raw", "-k", sock, path]
        self.sock, self.times, self.stopping = sock, 0, False
        self.process = subprocess.Popen(self.command)
        await_socket(sock)
        self.thread = threading.Thread(target=self.torment)

    def torment(self):
        while not self.stopping:
            time.sleep(1.5)
            self.process.kill()
            self.process.wait()
            os.unlink(self.sock)
            time.sleep(0.3)
            self.process = subprocess.Popen(self.command)
            self.times += 1

    def stop(self):
        self.stopping = True
        self.thread.join()
        self.process.kill()
        self.process.wait()


def killed(trapline, directory, folder, *options, rounds=2):
    path, sock = os.path.join(folder, "disk"), os.path.join(folder, "s")
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    server = Killed(path, sock)
    server.thread.start()
    try:
        said, errors = run(trapline, directory, folder, [f"nbd+unix:///?socket={sock}"], *options,
                           rounds=rounds)
    finally:
        server.stop()
    guest.require(server.times > rounds / 2 and "requests wait for the server" in errors
                  and "the server is back" in errors, f"killed {server.times} times\n{errors}")
    guest.require(sum_of(path) == said, "the server has something else")
    print(f"killed {server.times} times, nothing lost")


def killed_often(*arguments):
    killed(*arguments, rounds=12)


def formats(trapline, directory, folder, *options):
    names = ["qcow2", "vmdk", "vpc", "vhdx", "vdi"]
    paths = [os.path.join(folder, f"disk.{name}") for name in names]
    for name, path in zip(names, paths):
        shells.host("qemu-img", "create", "-q", "-f", name, path, "64M")
    said, _ = run(trapline, directory, folder,
                  [f"{path},format={name}" for name, path in zip(names, paths)], *options)
    plain = os.path.join(folder, "plain")
    for name, path in zip(names, paths):
        shells.host("qemu-img", "convert", "-f", name, "-O", "raw", path, plain)
        guest.require(sum_of(plain) == said, f"{name}: qemu-img reads something else")


def test():
    trapline, directory, what, *options = sys.argv[1:]
    guest.need_guest(directory, "Image", "initrd-test.gz")
    shells.need_tools("qemu-nbd", "qemu-img", "nbdkit")
    with shells.scratch() as folder:
        {"nbdkit": nbdkit, "tls": tls, "killed": killed, "killed.often": killed_often, "formats": formats}[what](
            trapline, directory, folder, *options)


guest.main(test)
