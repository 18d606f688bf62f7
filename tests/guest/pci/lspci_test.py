#!/usr/bin/env python3
"""`lspci -vv` in one guest, Debian's generic kernel with its drivers, under Trapline and under QEMU with the same
devices: what the functions say of themselves, how the kernel has set them up, and which interrupts it uses. Each line
must be the same, or stand in DIFFERENCES with a reason.

lspci_test.py TRAPLINE GUEST_DIR QEMU DIFFERENCES[,DIFFERENCES...] [KERNEL OPTIONS]

QEMU: its program, or a root with another one (`bench/nested_boot_vs_qemu` says how to make one). With QEMU 11.1:
lspci_test.py build/release/trapline .cache/guest FOLDER lspci_differs.txt,lspci_newest_differs.txt
"""
import difflib
import glob
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "display"))
from viewer import guest  # noqa: E402
import generic  # noqa: E402
import shells  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), *[".."] * 3, "bench"))
import programs  # noqa: E402

MODULES = ["virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "ahci", "virtio_net", "e1000", "ne2k-pci",
           "virtio_rng", "virtio_console", "virtio_input", "virtio_balloon", "snd-hda-codec-generic",
           "snd-hda-intel"]
# What lspci prints in words is compared as that; of the header's words those that it leaves out.
COMMAND = ("for i in 0 1 2; do ip link set eth$i up; done; /lib/lspci -i /lib/pci.ids -vv -x 2>/dev/null; "
           "grep -E 'ITS-MSI|virtio|ahci|eth|snd' /proc/interrupts")
HEADER = {0x08: "Class Code, Revision ID", 0x0c: "BIST, Header Type, Latency Timer, Cache Line Size",
          0x28: "CardBus CIS Pointer", 0x3c: "Max_Lat, Min_Gnt, Interrupt Pin, Interrupt Line"}


def trapline(disks, sound):
    one, two, three = disks
    return ["--disk", one + ",bus=pci", "--disk", two + ",bus=scsi-pci", "--disk", three + ",bus=ahci",
            "--net", "user,bus=pci", "--net", "user,model=e1000", "--net", "user,model=ne2000", "--rng=bus=pci",
            "--virtio-console=bus=pci", "--input=bus=pci", "--balloon=bus=pci", "--audio", "wav:" + sound]


def qemu(disks):
    """In the order that Trapline gives them."""
    devices = [
        "virtio-blk-pci,drive=d0", "virtio-scsi-pci,id=scsi", "ich9-ahci,id=ahci",
        "virtio-net-pci,netdev=n0,romfile=", "e1000,netdev=n1,romfile=", "ne2k_pci,netdev=n2,romfile=",
        "virtio-rng-pci", "virtio-serial-pci", "virtio-keyboard-pci", "virtio-tablet-pci",
        "virtio-balloon-pci,free-page-reporting=on", "intel-hda"]
    options = []
    for number, disk in enumerate(disks):
        options += ["-drive", f"file={disk},format=raw,if=none,id=d{number}", "-netdev", f"user,id=n{number}"]
    for slot, device in enumerate(devices, 1):
        modern = ",disable-legacy=on" if device.startswith("virtio") else ""
        options += ["-device", f"{device},addr={slot:#x}{modern}"]
    return options + ["-device", "scsi-hd,drive=d1,bus=scsi.0", "-device", "ide-hd,drive=d2,bus=ahci.0",
                      "-chardev", "null,id=c0", "-device", "virtconsole,chardev=c0",
                      "-audiodev", "none,id=a0", "-device", "hda-output,audiodev=a0"]


def seen(command):
    """{function or "interrupts": lines}, without the addresses that the kernel chose, which follow from the BARs'
    sizes, and its own numbers for interrupts."""
    status, output, errors = guest.run(command, 900)
    text = output.decode(errors="replace").replace("\r", "")
    guest.require(status == 0 and "TRAPLINE-TEST PASS" in text, f"{command[0]}: {status}\n{text[-3000:]}\n{errors}")
    result, lines = {}, None
    for line in text[text.index("TRAPLINE-TEST BEGIN"):].splitlines():
        found = re.match(r"([0-9a-f]{2}:[0-9a-f]{2}\.[0-9]) (.*)", line)
        if found:
            lines = result[f"{found[1]} {found[2]}"] = []
        elif "ITS-MSI" in line or "GICv3" in line:
            result.setdefault("interrupts", []).append(re.sub(r"^.*(?=ITS-MSI|GICv3)", "", line))
        elif lines is not None and re.match(r"[0-3]0: ", line):
            raw = bytes.fromhex(line[4:])
            for at in range(0, 16, 4):
                name = HEADER.get(int(line[:2], 16) + at)
                if name:
                    lines.append(f"{name}: {int.from_bytes(raw[at:at + 4], 'little'):08x}")
        elif lines is not None and line.startswith("\t"):
            line = re.sub(r" at [0-9a-f]+ (?=\(|\[)", " ", line.strip())
            lines.append(re.sub(r" routed to IRQ \d+", "", line))
    return result


def differences(paths):
    """{function, without where it stands: {QEMU's line: Trapline's lines}}"""
    result, lines, old = {}, None, None
    for path in paths:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for line in text.splitlines():
            if line.startswith("-"):
                old = line[1:]
                lines[old] = []
            elif line.startswith("+"):
                lines[old].append(line[1:])
            elif line and not line.startswith("#"):
                lines, old = result.setdefault(line, {}), None
    return result


def explained(theirs, rules):
    """QEMU's text as Trapline's has to be; rules that meet nothing are left in `rules`."""
    result = {}
    for name, lines in theirs.items():
        changes = rules.get(name.partition(" ")[2] or name, {})
        result[name] = [new for line in lines for new in changes.pop(line, [line])]
    return result


def test():
    program, directory, other, table, *append = sys.argv[1:]
    generic.need(directory)
    guest.need_guest(directory, os.path.join("tools", "packages"))
    with shells.scratch() as folder:
        image = os.path.join(folder, "initrd")
        files = {}
        for path in glob.glob(os.path.join(directory, "tools", "lspci", "*")):
            with open(path, "rb") as file:
                files["lib/" + os.path.basename(path)] = file.read()
        generic.initrd(image, directory, "initrd-test.gz", MODULES, files)
        disks = [os.path.join(folder, name) for name in ("one", "two", "three")]
        for disk in disks:
            with open(disk, "wb") as file:
                file.truncate(1 << 20)
        options = generic.options(directory, image, " ".join([guest.CMDLINE, *append, f"trapline.cmd={COMMAND}"]))
        ours = seen([program, "run", *options, *trapline(disks, os.path.join(folder, "sound.wav"))])
        peer = programs.newest_qemu(other) if os.path.isdir(other) else [other]
        theirs = seen([*peer, "-M", "virt,gic-version=3", "-cpu", "cortex-a57", "-m", "512M", "-nodefaults",
                       "-nographic", "-serial", "stdio", "-no-reboot",
                       *["-" + word[2:] if word.startswith("--") else word for word in options], *qemu(disks)])
    rules = differences(table.split(","))
    changed = sum(map(len, rules.values()))
    expected = explained(theirs, rules)
    wrong = []
    guest.require(list(ours) == list(expected), "not the same functions:\n" + "\n".join(
        difflib.unified_diff(list(expected), list(ours), "QEMU", "Trapline", n=0, lineterm="")))
    for name, lines in expected.items():
        if lines != ours[name]:
            wrong += [name] + list(difflib.unified_diff(lines, ours[name], "QEMU", "Trapline", n=0, lineterm=""))
    unused = [f"{name}: {line}" for name, lines in rules.items() for line in lines]
    guest.require(not wrong, "\n".join(wrong))
    guest.require(not unused, "QEMU does not print this, which the table names:\n" + "\n".join(unused))
    print(f"{len(ours) - 1} functions, {sum(map(len, theirs.values())) - changed} lines are the same, "
          f"{changed} are explained")


guest.main(test)
