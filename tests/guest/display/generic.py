"""Debian's generic kernel (scripts/fetch-generic) with chosen modules, and busybox."""
import os
import sys

import shells
from shells import guest

DIRECTORY = "generic"


def need(directory):
    guest.need_guest(directory, "initrd.gz", "initrd-test.gz", os.path.join(DIRECTORY, "package"))


def find_modules(directory):
    """Name -> path, of all that there are."""
    found = {}
    for folder, _, names in os.walk(os.path.join(directory, DIRECTORY, "modules")):
        for name in names:
            if name.endswith(".ko"):
                found[name[:-3].replace("-", "_")] = os.path.join(folder, name)
    return found


def initrd(path, directory, base, modules, files=None):
    """Writes an initramfs as `base` (initrd.gz or initrd-test.gz) that loads `modules`, and what
    they need, in that order; what the kernel has built in is left out."""
    there = find_modules(directory)
    order, content = [], dict(files or {})

    def add(name):
        name = name.replace("-", "_")
        if name in order or name not in there:
            return
        with open(there[name], "rb") as file:
            data = file.read()
        at = data.index(b"\0depends=") + len(b"\0depends=")
        for needed in filter(None, data[at:data.index(b"\0", at)].decode().split(",")):
            add(needed)
        order.append(name)
        content[f"lib/modules/{name}.ko"] = data

    for name in modules:
        add(name)
    content["etc/modules"] = "".join(f"{name}\n" for name in order).encode()
    shells.initrd_with(path, os.path.join(directory, base), "", content)


def options(directory, image, append=guest.CMDLINE):
    return ["--kernel", os.path.join(directory, DIRECTORY, "Image"), "--initrd", image, "--append",
            append]


BUS = {"mmio": ["virtio_mmio"], "pci": ["virtio_pci"]}
