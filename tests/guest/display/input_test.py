#!/usr/bin/env python3
"""A viewer's keys and pointer arrive at Linux's evdev: the very events.

input_test.py TRAPLINE GUEST_DIR mmio|pci
"""
import os
import re
import struct
import sys

from viewer import Vnc, guest
import generic
import shells
import vm

EV_SYN, EV_KEY, EV_REL, EV_ABS = 0, 1, 2, 3
KEY_A, KEY_ENTER, KEY_LEFTSHIFT, KEY_F11, BTN_LEFT, REL_WHEEL = 30, 28, 42, 87, 0x110, 8
MOST = 0x7fff


def command(machine, text):
    """Typed at busybox's prompt; what it printed."""
    since = len(machine.output)
    command.number += 1
    end = f"end-{command.number}-"
    machine.type(f"{text}; echo en''d-{command.number}-\r")
    machine.await_output(end, since)
    return machine.output[since:].decode(errors="replace").replace("\r", "")


command.number = 0


def events(machine, path, least):
    """Those that are in the file, once it has so many, without times."""
    size = 24 * least
    # Without a limit of its own: the test has one.
    text = command(machine, f"while [ $(wc -c < {path}) -lt {size} ]; do sleep 0.1; done; "
                   f"echo 'hex''dump'; xxd -p -c 24 {path}")
    lines = re.findall(r"^[0-9a-f]{48}$", text.split("hexdump", 1)[1], re.M)
    return [struct.unpack("<HHi", bytes.fromhex(line)[16:]) for line in lines]


def held_and_let_go(machine, path, skipped):
    """Of the one key that comes after so many events: what happened to it, until it is up. Linux
    repeats it while it is down."""
    least = skipped + 4
    while True:
        happened = [e for e in events(machine, path, least)[skipped:] if e[0] == EV_KEY and e[2] != 2]
        if happened and happened[-1][2] == 0:
            return happened
        least += 2


def device(machine, name):
    text = command(machine, "cat /proc/bus/input/devices")
    found = re.search(rf'Name="{name}".*?\bevent(\d+)', text, re.S)
    guest.require(found is not None, f"no {name}:\n{text}")
    return f"/dev/input/event{found[1]}"


def test():
    _, directory, bus = sys.argv[1:]
    generic.need(directory)
    with shells.scratch() as folder:
        vm.use_folder(folder)
        image, sock = os.path.join(folder, "initrd"), os.path.join(folder, "vnc")
        generic.initrd(image, directory, "initrd.gz", generic.BUS[bus] + ["virtio_input", "evdev"])
        machine = vm.Vm("input", *generic.options(directory, image), f"--input=bus={bus}",
                        "--display", "vnc:unix:" + sock)
        try:
            machine.await_output("trapline# ")
            keyboard, tablet = (device(machine, f"Trapline {n}") for n in ("keyboard", "tablet"))
            command(machine, f"cat {keyboard} > /tmp/k & cat {tablet} > /tmp/t & sleep 1")
            viewer = Vnc(sock)
            for keysym in (ord("a"), 0xff0d, 0xffc8, 0x20ac):  # the last is on no such keyboard
                viewer.key(keysym)
            viewer.pointer(viewer.width - 1, 0, 0)
            viewer.pointer(0, viewer.height - 1, 1)
            viewer.pointer(0, viewer.height - 1, 0)
            viewer.pointer(0, viewer.height - 1, 8)
            viewer.pointer(0, viewer.height - 1, 16)
            seen = events(machine, "/tmp/k", 12)
            wanted = []
            for key in (KEY_A, KEY_ENTER, KEY_F11):
                wanted += [(EV_KEY, key, 1), (EV_SYN, 0, 0), (EV_KEY, key, 0), (EV_SYN, 0, 0)]
            guest.require(seen == wanted, f"keys: {seen}")
            seen = [event for event in events(machine, "/tmp/t", 12) if event[0] != EV_SYN]
            # Linux tells of an axis when it has moved.
            wanted = [(EV_ABS, 0, MOST), (EV_ABS, 0, 0), (EV_ABS, 1, MOST), (EV_KEY, BTN_LEFT, 1),
                      (EV_KEY, BTN_LEFT, 0), (EV_REL, REL_WHEEL, 1), (EV_REL, REL_WHEEL, -1)]
            guest.require(seen == wanted, f"pointer: {seen}")
            # A key that is held when the viewer goes is not held for ever.
            viewer.socket.sendall(struct.pack(">BBxxI", 4, 1, 0xffe1))
            events(machine, "/tmp/k", 14)
            viewer.close()
            seen = held_and_let_go(machine, "/tmp/k", 12)
            guest.require(seen == [(EV_KEY, KEY_LEFTSHIFT, 1), (EV_KEY, KEY_LEFTSHIFT, 0)],
                          f"Shift: {seen}")
            command(machine, f"cat {keyboard} > /tmp/k2 & sleep 1")
            # Devices and driver go on in another process.
            saved = os.path.join(folder, "saved")
            status, _, errors = machine.ctl("save", saved)
            guest.require(status == 0, f"save: {errors}")
            machine.ctl("power-off")
            machine.end()
            machine = vm.Vm("again", "--restore", saved, "--display", "vnc:unix:" + sock)
            machine.await_status()
            viewer = Vnc(sock)
            viewer.key(ord("a"))
            seen = events(machine, "/tmp/k2", 4)
            guest.require(seen == [(EV_KEY, KEY_A, 1), (EV_SYN, 0, 0), (EV_KEY, KEY_A, 0),
                                   (EV_SYN, 0, 0)], f"after the restore: {seen}")
            machine.type("poweroff\r")
            guest.require(machine.end() == 0, machine.said())
        finally:
            machine.kill()


guest.main(test)
