#!/usr/bin/env python3
"""Debian's generic kernel moves from process to process while each of its devices is at work: disks behind virtio-blk,
virtio-scsi and AHCI are written and read back, virtio-net, e1000 and NE2000 download, HD Audio plays, keys arrive, memory is
lent and the random source read. Nothing that is summed is wrong, right after a move and on the host at the end.

migrate_devices_test.py TRAPLINE GUEST_DIR MOVES pci|mmio [TRAPLINE OPTIONS]
"""
import hashlib
import http.server
import json
import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "display"))
from viewer import Vnc, guest  # noqa: E402
import audio_tone  # noqa: E402
import generic  # noqa: E402
import shells  # noqa: E402
from network import Files  # noqa: E402
import save_load_shell  # noqa: E402
import vm  # noqa: E402

MIB = 1 << 20
DRIVERS = ["virtio_blk", "virtio_scsi", "sd_mod", "ahci", "ext4", "crc32c_generic", "virtio_net", "e1000", "ne2k-pci",
           "virtio_rng", "virtio_input", "evdev", "virtio_balloon", *audio_tone.MODULES]
SCSI = {"pci": "scsi-pci", "mmio": "scsi"}
# Not of eth2: ne2k-pci's limit for a frame is 200 ms, which a busy host passes, and it goes on.
COMPLAINTS = (b"stall", b"lockup", b"BUG", b"Oops", b"WARNING", b"hung task", b"Call trace", b"Unit Hang", b"WRONG",
              b"I/O error", b"exception Emask", b"hard resetting", b"eth0: NETDEV WATCHDOG",
              b"eth1: NETDEV WATCHDOG")

# Each works until /tmp/stop is there, and counts what it has done in /tmp/done.NAME.
DISK_LOAD = """#!/bin/sh
mkdir -p /mnt/$1 && mount -t ext4 /dev/$1 /mnt/$1 && cd /mnt/$1 || echo WRO''NG: $1
n=0
while ! [ -e /tmp/stop ]; do
  f=f$((n % 8))
  dd if=/dev/urandom of=$f bs=64k count=16 2>/dev/null
  md5sum $f > sum.$f && sync
  echo 3 > /proc/sys/vm/drop_caches
  md5sum -c sum.$f > /dev/null || echo WRO''NG: $1
  n=$((n + 1)); echo $n > /tmp/done.$1
done
"""
# In a network namespace of its own. A download that a move cuts is none: its connection was the old process's.
NET_LOAD = """#!/bin/sh
echo $$ > /tmp/pid.$1
while ! ip addr add 10.0.2.15/24 dev $1 2>/dev/null; do sleep 0.1; done
ip link set $1 up && ip route add default via 10.0.2.2 || echo WRO''NG: $1
n=0
while ! [ -e /tmp/stop ]; do
  if timeout 10 wget -q -O /tmp/got.$1 http://10.0.2.2:$2/; then
    [ "$(md5sum < /tmp/got.$1)" = "$3  -" ] || echo WRO''NG: $1
    n=$((n + 1)); echo $n > /tmp/done.$1
  else
    sleep 0.1
  fi
done
"""
SOUND_LOAD = """#!/bin/sh
n=0
while ! [ -e /tmp/stop ]; do
  cat /tone > /dev/dsp || echo WRO''NG: sound
  n=$((n + 1)); echo $n > /tmp/done.sound
done
"""
RANDOM_LOAD = """#!/bin/sh
n=0
while ! [ -e /tmp/stop ]; do
  [ $(dd if=/dev/hwrng bs=512 count=8 2>/dev/null | wc -c) = 4096 ] || echo WRO''NG: random
  n=$((n + 1)); echo $n > /tmp/done.random
done
"""


def devices(disks, bus):
    options = []
    for disk, where in zip(disks, (bus, SCSI[bus], "ahci")):
        options += ["--disk", f"{disk},bus={where}"]
    for model in (f"bus={bus}", "model=e1000", "model=ne2000"):
        options += ["--net", f"user,host-access,{model}"]
    return options + [f"--rng=bus={bus}", f"--input=bus={bus}", f"--balloon=bus={bus}"]


def find_disks(shell, machine):
    """The kernel's names, by the numbers of KiB in /proc/partitions."""
    names = {}
    for line in shell.run(machine, "cat /proc/partitions").splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[2].isdigit():
            names[int(fields[2])] = fields[3]
    return [names[size * 1024] for size in (32, 40, 48)]


def find_keyboard(shell, machine):
    text = shell.run(machine, "cat /proc/bus/input/devices").replace("\r", "")
    return "/dev/input/" + re.search(r'Name="Trapline keyboard".*?\b(event\d+)', text, re.S)[1]


def start_work(shell, machine, disks, port):
    for disk in disks:
        shell.run(machine, f"disk-load {disk} & :")
    wanted = hashlib.md5(Files.data).hexdigest()
    for card in ("eth0", "eth1", "eth2"):
        shell.run(machine, f"unshare -n net-load {card} {port} {wanted} & while ! [ -s /tmp/pid.{card} ]; do "
                  f"sleep 0.1; done; ip link set {card} netns $(cat /tmp/pid.{card})")
    shell.run(machine, "sound-load & random-load & :")
    shell.run(machine, f"cat {find_keyboard(shell, machine)} > /tmp/keys & :")


def done(shell, machine):
    said = shell.run(machine, "for f in /tmp/done.*; do echo $f $(cat $f); done")
    return {found[1]: int(found[2]) for found in re.finditer(r"/tmp/done\.(\w+) (\d+)", said)}


def await_progress(shell, machine, before, count):
    """All of them have done more than they had."""
    deadline = time.monotonic() + 300
    while True:
        now = done(shell, machine)
        check(machine)
        if len(now) == count and all(value > before.get(name, 0) for name, value in now.items()):
            return
        guest.require(time.monotonic() < deadline, f"what goes on: {now}, before: {before}")
        time.sleep(0.1)


def check(machine):
    for complaint in COMPLAINTS:
        guest.require(complaint not in machine.output, machine.output[-4000:].decode(errors="replace"))


def balloon(machine):
    return json.loads(machine.ctl("status")[1])["balloon"]["actual_bytes"]


def press(shell, machine, sock, keys):
    """A key of a viewer's arrives, behind those that came before: two events down, two up."""
    viewer = Vnc(sock)
    viewer.key(ord("a"))
    vm.until(lambda: int(shell.run(machine, "wc -c < /tmp/keys")) == 24 * 4 * keys, f"{keys} keys arrive")
    viewer.close()


def move(machine, folder, number):
    """The machine in another process, with a viewer's socket and a sound file of its own there."""
    socket, sock, sound = (os.path.join(folder, f"{name}{number}") for name in ("move", "vnc", "sound"))
    there = vm.Vm(f"vm{number}", "--incoming", "unix:" + socket, "--display", "vnc:unix:" + sock, "--audio",
                  "wav:" + sound)
    vm.until(lambda: os.path.exists(socket), "the receiver listens")
    errors = "Connection refused"  # the socket's file is there before it listens
    while "Connection refused" in errors:
        status, out, errors = machine.ctl("migrate", "unix:" + socket)
    guest.require(status == 0, f"migrate: {errors}; {machine.said()}; {there.said()}")
    guest.require(machine.end() == 3, f"the sender's status is not 3: {machine.said()}")
    there.await_status()
    return there, sock, sound, out.strip().rsplit(" for ")[-1]


def stop_work(shell, machine, disks):
    """All that is on the disks, read from them."""
    shell.run(machine, "touch /tmp/stop; while pidof disk-load net-load sound-load random-load; do sleep 0.1; done; "
              "sync; echo 3 > /proc/sys/vm/drop_caches")
    for disk in disks:
        said = shell.run(machine, f"cd /mnt/{disk} && cat sum.* | md5sum -c && echo all-rig''ht; cd /")
        guest.require("all-right" in said and "FAILED" not in said, f"{disk}: {said}")
        shell.run(machine, f"umount /mnt/{disk}")


def check_disk(path, folder):
    """The host finds what the guest had summed."""
    shells.check_ext4(path)
    for number in range(8):
        for name in (f"f{number}", f"sum.f{number}"):
            shells.host("debugfs", "-R", f"dump /{name} {os.path.join(folder, name)}", path)
        with open(os.path.join(folder, f"f{number}"), "rb") as file:
            found = hashlib.md5(file.read()).hexdigest()
        with open(os.path.join(folder, f"sum.f{number}"), encoding="ascii") as file:
            guest.require(file.read().split()[0] == found, f"{path}: f{number}")


def test():
    _, directory, moves, bus, *options = sys.argv[1:]
    generic.need(directory)
    shells.need_tools("mke2fs", "e2fsck", "debugfs")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with shells.scratch() as folder:
        vm.use_folder(folder)
        image, sock, sound = (os.path.join(folder, name) for name in ("initrd", "vnc", "sound"))
        disks = [os.path.join(folder, name) for name in ("blk", "scsi", "ahci")]
        for disk, size in zip(disks, (32, 40, 48)):
            shells.make_ext4(disk, size)
        scripts = {"disk-load": DISK_LOAD, "net-load": NET_LOAD, "sound-load": SOUND_LOAD, "random-load": RANDOM_LOAD}
        files = {"bin/" + name: text.encode() for name, text in scripts.items()} | {"tone": audio_tone.tone()}
        generic.initrd(image, directory, "initrd.gz", generic.BUS[bus] + DRIVERS, files)
        machine = vm.Vm("vm", *generic.options(directory, image), "--display", "vnc:unix:" + sock, "--audio",
                        "wav:" + sound, *devices(disks, bus), *options)
        try:
            machine.await_output("trapline# ")
            shell = save_load_shell.Shell()
            shell.run(machine, "dmesg -n 5; stty cols 500")
            names = find_disks(shell, machine)
            start_work(shell, machine, names, server.server_address[1])
            still, keys = [], 0
            count, before = len(names) + 3 + 2, {}
            for number in range(1, int(moves) + 1):
                await_progress(shell, machine, before, count)
                keys += 1
                press(shell, machine, sock, keys)
                lent = 64 * MIB if number % 2 == 1 else 0
                machine.ctl("balloon", str(lent))
                vm.until(lambda: balloon(machine) == lent, f"a balloon of {lent} bytes")
                before = done(shell, machine)
                was = machine
                machine, sock, sound, pause = move(was, folder, number)
                check(was)
                still.append(pause)
                guest.require(balloon(machine) == lent, "the balloon has another size")
            await_progress(shell, machine, before, count)
            press(shell, machine, sock, keys + 1)
            machine.ctl("balloon", "0")
            vm.until(lambda: balloon(machine) == 0, "the balloon is empty")
            totals = done(shell, machine)
            stop_work(shell, machine, names)
            check(machine)
            machine.type("poweroff\n")
            guest.require(machine.end() == 0, f"after poweroff: {machine.said()}")
        finally:
            machine.kill()
        for disk in disks:
            check_disk(disk, folder)
        audio_tone.check_pitch(sound)
        print(f"{moves} moves; the guest stood still for {', '.join(still)}; done: {totals}")


guest.main(test)
