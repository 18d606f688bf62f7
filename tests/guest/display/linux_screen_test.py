#!/usr/bin/env python3
"""What EDK2 boots draws on its framebuffer: GRUB's menu with its font, and Linux's console by efifb, each pixel as the guest's own
text (/dev/vcs1) has it, also after a move to another process; Debian's installer, where keys of a VNC viewer choose a language.

linux_screen_test.py TRAPLINE GUEST_DIR linux|grub|installer [KEEP]

KEEP: a folder for the screenshots.
"""
import os
import re
import shutil
import sys
import time

from viewer import Vnc, guest, read_png
import fonts
import generic
import save_load_shell
import shells
import vm

FIRMWARE = os.path.join("firmware", "AAVMF_CODE.fd")
GRUB_CFG = """loadfont /boot/grub/unicode.pf2
set gfxmode=auto
set gfxpayload=keep
set timeout=-1
terminal_output gfxterm
menuentry 'Linux on the framebuffer' {{
  linux /Image console=tty0 {append}
  initrd /initrd
}}
menuentry "Debian's installer" {{
  linux /installer console=ttyAMA0 console=tty0 cryptomgr.notests
  initrd /installer.gz
}}
"""
DOWN = 0xff54
BLUE, GREY, RED = (bytes(colour) for colour in ((0, 0, 170), (170, 170, 170), (170, 0, 0)))


class Screens:
    def __init__(self, folder, keep):
        self.path, self.keep = os.path.join(folder, "screen.png"), keep

    def take(self, machine, name):
        status, _, errors = machine.ctl("screenshot", self.path)
        guest.require(status == 0, f"screenshot: {errors}")
        if self.keep:
            shutil.copyfile(self.path, os.path.join(self.keep, name + ".png"))
        return read_png(self.path)


def make_disk(path, folder, directory, kind):
    """A FAT file system that EDK2 boots from: by its shell's script, or by GRUB."""
    tools = os.path.join(directory, "tools")
    files = []
    if kind != "installer":
        image = os.path.join(folder, "initrd")
        generic.initrd(image, directory, "initrd.gz", ["virtio_mmio"])
        files += [(os.path.join(directory, generic.DIRECTORY, "Image"), "Image"), (image, "initrd")]
    else:
        files += [(os.path.join(tools, "installer", "linux"), "installer"),
                  (os.path.join(tools, "installer", "initrd.gz"), "installer.gz")]
    script = os.path.join(folder, "script")
    if kind == "linux":
        text, name = f"fs0:\\Image initrd=\\initrd console=tty0 {guest.CMDLINE}\r\n", "startup.nsh"
    else:
        text, name = GRUB_CFG.format(append=guest.CMDLINE), "boot/grub/grub.cfg"
        files += [(os.path.join(tools, "grub", "gcdaa64.efi"), "EFI/BOOT/BOOTAA64.EFI"),
                  (os.path.join(tools, "grub", "unicode.pf2"), "boot/grub/unicode.pf2")]
    with open(script, "w", encoding="ascii") as file:
        file.write(text)
    files.append((script, name))
    shells.host("mformat", "-C", "-i", path, "-T", str(128 << 11), "::")
    for folder_name in ("EFI", "EFI/BOOT", "boot", "boot/grub"):
        shells.host("mmd", "-i", path, "::/" + folder_name)
    for source, name in files:
        shells.host("mcopy", "-i", path, source, "::/" + name)


def check_menu(machine, screens, directory):
    """GRUB's own font has these words at the left of two lines, one above the other; the first is chosen."""
    font = fonts.Pf2(os.path.join(directory, "tools", "grub", "unicode.pf2"))

    def drawn():
        picture = screens.take(machine, "grub")
        screen = fonts.lit(picture)
        inverse = [row.translate({48: 49, 49: 48}) for row in screen]
        return (fonts.find(screen, font.draw("GNU GRUB  version 2.")), fonts.find(screen, font.draw("Debian's installer")),
                fonts.find(inverse, font.draw("Linux on the framebuffer")))
    vm.until(lambda: machine.ctl("screenshot", screens.path)[0] == 0, "there is a screen")
    vm.until(lambda: all(len(places) == 1 for places in drawn()), "GRUB's menu is on the screen")
    (title,), (second,), (first,) = drawn()
    guest.require(first[0] == second[0] and title[1] < first[1] < second[1], f"{title}, {first}, {second}")
    print(f"GRUB's menu: title at {title}, entries at {first} and {second}")


def check_console(machine, shell, screens, directory, name):
    """Each pixel is that of the console's text."""
    font = fonts.console_font(os.path.join(directory, generic.DIRECTORY, "Image"))
    said = shell.run(machine, "cat /sys/class/graphics/fb0/name; printf '\\033[?25l' > /dev/tty0; fold -w 100 /dev/vcs1 > "
                     "/tmp/text; od -An -v -t x1 -w100 /tmp/text").replace("\r", "")
    guest.require("EFI VGA" in said, f"fb0: {said[:200]}")
    data = bytes.fromhex("".join(re.findall(r"^((?: [0-9a-f]{2})+)$", said, re.M)))
    lines = data.decode("ascii").split("\n")
    picture = screens.take(machine, name)
    columns, count = picture.width // fonts.WIDTH, picture.height // fonts.HEIGHT
    guest.require((columns, count) == (100, 37) == (len(lines[0]), len(lines)),
                  f"{picture.width} by {picture.height}, {len(lines)} lines of {len(lines[0])}")
    wanted = fonts.draw_console(font, lines, columns)
    screen = fonts.lit(picture)[:count * fonts.HEIGHT]
    wrong = [y for y, row in enumerate(screen) if row != wanted[y]]
    guest.require(not wrong, f"{len(wrong)} rows are not those of the text, from {wrong[:1]} on")
    text = "\n".join(line.rstrip() for line in lines).rstrip()
    guest.require(len(text) > 1000, f"an empty console: {text!r}")
    return text


def linux(machine, folder, directory, screens):
    machine.await_output("trapline# ")
    shell = save_load_shell.Shell()
    shell.run(machine, "dmesg -n 1; stty cols 500")
    text = check_console(machine, shell, screens, directory, "linux")
    guest.require("Run /init as init process" in text, text)
    # The framebuffer is where it was, and is written to by the same driver.
    socket = os.path.join(folder, "move")
    there = vm.Vm("there", "--incoming", "unix:" + socket)
    vm.until(lambda: os.path.exists(socket), "the receiver listens")
    errors = "Connection refused"  # the socket's file is there before it listens
    while "Connection refused" in errors:
        status, _, errors = machine.ctl("migrate", "unix:" + socket)
    guest.require(status == 0, f"migrate: {errors}; {there.said()}")
    guest.require(machine.end() == 3, machine.said())
    there.await_status()
    moved = check_console(there, shell, screens, directory, "moved")
    guest.require(moved == text, f"the moved screen:\n{moved}\nwas:\n{text}")
    shell.run(there, "(seq 1 20 | tr '\\n' ' '; echo and so on) > /dev/tty0")
    text = check_console(there, shell, screens, directory, "written")
    guest.require(text.endswith("19 20 and so on"), text)
    there.type("poweroff\r")
    guest.require(there.end() == 0, there.said())
    return there


def red_bar(picture):
    """The rows of the chosen line: those with red for a third of their width."""
    stride = 3 * picture.width
    rows = [picture.pixels[y * stride:(y + 1) * stride] for y in range(picture.height)]
    return [y for y, row in enumerate(rows)
            if sum(row[at:at + 3] == RED for at in range(0, stride, 3)) > picture.width // 3]


def installer(machine, screens, sock):
    """Its first question, as newt draws it on a terminal of its own: blue, a grey window, a red bar for the choice."""
    def shown():
        picture = screens.take(machine, "installer")
        counts, size = picture.colours(), picture.width * picture.height
        return (counts.get(GREY, 0) > size // 2 and counts.get(BLUE, 0) > size // 50 and len(red_bar(picture)) >= 12)
    vm.until(shown, "the installer's question is on the screen", 600)
    before = red_bar(screens.take(machine, "installer"))
    viewer = Vnc(sock)

    def moved(to):
        return lambda: [y - to for y in red_bar(screens.take(machine, f"installer-{to}"))] == before
    for number in (1, 2):
        viewer.key(DOWN)
        vm.until(moved(16 * number), f"{number} lines down")
    viewer.close()
    print(f"the choice was at rows {before[0]} to {before[-1]}, and goes down by 16 for each key")
    machine.ctl("power-off")


def test():
    _, directory, kind, *keep = sys.argv[1:]
    generic.need(directory)
    guest.need_guest(directory, FIRMWARE)
    if kind != "linux":
        guest.need_guest(directory, os.path.join("tools", "packages"))
    shells.need_tools("mformat", "mmd", "mcopy")
    with shells.scratch() as folder:
        vm.use_folder(folder)
        screens = Screens(folder, keep[0] if keep else None)
        disk, sock = os.path.join(folder, "disk"), os.path.join(folder, "vnc")
        make_disk(disk, folder, directory, kind)
        display = ["--display", "vnc:unix:" + sock, "--input"] if kind == "installer" else ["--display", "none"]
        machine = vm.Vm("vm", "--firmware", os.path.join(directory, FIRMWARE), "--disk", disk, "--memory", "1G", *display)
        try:
            if kind != "linux":
                check_menu(machine, screens, directory)
                if kind == "installer":
                    machine.type("\x1b[B")
                    time.sleep(1)  # GRUB waits for more of an escape sequence
                machine.type("\r")
            if kind == "installer":
                installer(machine, screens, sock)
                guest.require(machine.end() == 0, machine.said())
            else:
                machine = linux(machine, folder, directory, screens)
        finally:
            machine.kill()


guest.main(test)
