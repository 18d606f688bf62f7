#!/usr/bin/env python3
"""EDK2 draws into the framebuffer: `ctl screenshot` shows its shell's text, a VNC viewer sees the
same pixels, hears of what changes and of nothing else; the screen comes back after a restore.

edk2_screen_test.py TRAPLINE GUEST_DIR [KEEP.png]
"""
import os
import sys
import time

from viewer import Vnc, guest, read_png
import shells
import vm

FIRMWARE = os.path.join("firmware", "AAVMF_CODE.fd")


def screenshot(machine, path):
    status, _, errors = machine.ctl("screenshot", path)
    guest.require(status == 0, f"screenshot: {errors}")
    return read_png(path)


def check_shell(picture, what):
    guest.require(picture.width >= 640 and picture.height >= 480,
                  f"{what} is {picture.width} by {picture.height}")
    lit, rows = picture.lit(), picture.rows_with_text()
    # White and yellow letters on black, some six lines of them.
    guest.require(0.003 < lit < 0.5, f"{what}: {lit:.3f} of it is lit")
    guest.require(rows > 60, f"{what}: only {rows} rows with text")


def await_shell(machine):
    machine.await_output("UEFI Interactive Shell")
    machine.await_output(" seconds to skip ")
    machine.type("\x1b")
    machine.await_output("Shell> ")


def await_same(viewer, machine, path):
    """Until the viewer has what a screenshot shows."""
    deadline = time.monotonic() + vm.WAIT_S
    while True:
        viewer.update()
        viewer.ask(1)
        if viewer.picture().pixels == screenshot(machine, path).pixels:
            return
        guest.require(time.monotonic() < deadline, "the viewer never sees what is there")


def test():
    trapline, directory, *keep = sys.argv[1:]
    guest.need_guest(directory, FIRMWARE)
    with shells.scratch() as folder:
        vm.use_folder(folder)
        path, sock = os.path.join(folder, "s.png"), os.path.join(folder, "vnc")
        saved = os.path.join(folder, "saved")
        options = ["--firmware", os.path.join(directory, FIRMWARE)]
        machine = vm.Vm("edk2", *options, "--display", "vnc:unix:" + sock)
        try:
            machine.await_status()
            status, _, errors = machine.ctl("screenshot", path)
            guest.require(status == 1 and "shows nothing" in errors, f"no screen yet: {errors}")
            guest.require(not os.path.exists(path), "a file of no screen")
            await_shell(machine)
            picture = screenshot(machine, path)
            check_shell(picture, "the screenshot")
            if keep:
                os.system(f"cp {path} {keep[0]}")
            viewer = Vnc(sock)
            guest.require(viewer.name == "Trapline", viewer.name)
            viewer.ask(0)
            await_same(viewer, machine, path)
            # Nothing happens, and so nothing comes.
            guest.require(viewer.quiet(2), "updates of a screen that does not change")
            viewer.socket.settimeout(60)
            machine.type("ver\r")
            changed = viewer.update()
            area = sum(w * h for _, _, w, h in changed)
            guest.require(0 < area < viewer.width * viewer.height / 2,
                          f"a line of text changes {changed}")
            viewer.close()
            status, _, errors = machine.ctl("save", saved)
            guest.require(status == 0, f"save: {errors}")
            machine.ctl("power-off")
            guest.require(machine.end() == 0, machine.said())
            guest.require(not os.path.exists(sock), "the viewers' socket stays")
            # Without a word it has its framebuffer, and no viewers.
            machine = vm.Vm("again", "--restore", saved)
            machine.await_status()
            check_shell(screenshot(machine, path), "the restored screen")
            machine.ctl("power-off")
            guest.require(machine.end() == 0, machine.said())
        finally:
            machine.kill()


guest.main(test)
