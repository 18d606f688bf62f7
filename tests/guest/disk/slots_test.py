#!/usr/bin/env python3
"""Which slot each virtio device has, and how Linux names them: in the order of the command line,
wherever they are.

slots_test.py TRAPLINE GUEST_DIR [TRAPLINE OPTIONS]
"""
import os
import re
import sys

import shells
from shells import guest

MIB = 1 << 20
# Sizes tell the disks apart, addresses the networks.
TABLE = [
    # options (disks are named by their MiB), {name: (address of the slot, what it is)}
    (["--disk", "3", "--disk", "5", "--net", "user,mac=52:54:00:00:00:01",
      "--net", "user,mac=52:54:00:00:00:02"],
     {"vda": ("a003e00", "3"), "vdb": ("a003c00", "5"),
      "eth0": ("a003a00", "52:54:00:00:00:01"), "eth1": ("a003800", "52:54:00:00:00:02")}),
    (["--disk", "3", "--disk", "5,slot=31", "--disk", "7,ro,slot=0", "--net",
      "user,slot=7,mac=52:54:00:00:00:03", "--net", "user,mac=52:54:00:00:00:04"],
     {"vda": ("a003c00", "3"), "vdb": ("a003e00", "5"), "vdc": ("a000000", "7"),
      "eth0": ("a000e00", "52:54:00:00:00:03"), "eth1": ("a003a00", "52:54:00:00:00:04")}),
]
SCRIPT = ("for d in /sys/block/vd*; do echo at ${d##*/} $(readlink -f $d) $(cat $d/size); done; "
          "for n in /sys/class/net/eth*; do echo at ${n##*/} $(readlink -f $n) $(cat $n/address); "
          "done")


def test():
    trapline, directory, *extra = sys.argv[1:]
    guest.need_guest(directory, "Image", "initrd-test.gz")
    with shells.scratch() as folder:
        for size in ("3", "5", "7"):
            with open(os.path.join(folder, size), "wb") as file:
                file.truncate(int(size) * MIB)
        for options, expected in TABLE:
            words = [os.path.join(folder, word) if word[0].isdigit() else word
                     for word in options]
            status, output, errors = guest.run(
                [trapline, "run", "--kernel", os.path.join(directory, "Image"), "--initrd",
                 os.path.join(directory, "initrd-test.gz"), "--append",
                 f"{guest.CMDLINE} trapline.cmd={SCRIPT}", *words, *extra], 600)
            said = output.decode(errors="replace")
            guest.require(status == 0, f"status {status}\n{said}\n{errors}")
            found = {}
            for name, slot, what in re.findall(
                    r"^at (\w+) \S*/(\w+)\.virtio_mmio/\S+ ([\w:]+)", said, re.M):
                sectors = name.startswith("vd")
                found[name] = (slot, str(int(what) * 512 // MIB) if sectors else what)
            print(options, found)
            guest.require(found == expected, f"expected {expected}\n{said}")


guest.main(test)
