#!/usr/bin/env python3
"""Under --clock icount a machine whose disks are written, behind virtio-blk, virtio-scsi and AHCI, that plays and reads random
numbers is, moved, the one that was not: the same output to the instruction, the same bytes on its disks.

migrate_devices_icount_test.py TRAPLINE GUEST_DIR pci|mmio [TRAPLINE OPTIONS]
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "display"))
from viewer import guest  # noqa: E402
import audio_tone  # noqa: E402
import generic  # noqa: E402
import moves  # noqa: E402
import shells  # noqa: E402
import vm  # noqa: E402

DRIVERS = ["virtio_blk", "virtio_scsi", "sd_mod", "ahci", "virtio_rng", "virtio_balloon", *audio_tone.MODULES]
SCSI = {"pci": "scsi-pci", "mmio": "scsi"}
# All at once; what comes from the random source is written to the disks and read back.
WORK = """#!/bin/sh
cat /tone > /dev/dsp &
for d in vda sda sdb; do (
  for i in 0 1 2 3 4 5; do
    dd if=/dev/hwrng of=/tmp/$d bs=512 count=16 2>/dev/null
    dd if=/tmp/$d of=/dev/$d bs=4k seek=$((i * 7)) conv=fsync 2>/dev/null
    echo 3 > /proc/sys/vm/drop_caches
    dd if=/dev/$d of=/tmp/$d.back bs=4k skip=$((i * 7)) count=2 2>/dev/null
    cmp /tmp/$d /tmp/$d.back && echo $d $i $(md5sum < /tmp/$d)
  done ) & done
wait
md5sum /dev/vda /dev/sda /dev/sdb
"""


def devices(folder, name, bus):
    options = ["--audio", "none", f"--rng=bus={bus}", f"--balloon=bus={bus}"]
    for number, where in enumerate((bus, SCSI[bus], "ahci")):
        path = os.path.join(folder, f"{name}{number}")
        with open(path, "wb") as file:
            file.truncate(1 << 20)
        options += ["--disk", f"{path},bus={where}"]
    return options


def test():
    _, directory, bus, *options = sys.argv[1:]
    generic.need(directory)
    with shells.scratch() as folder:
        vm.use_folder(folder)
        image = os.path.join(folder, "initrd")
        generic.initrd(image, directory, "initrd-test.gz", generic.BUS[bus] + DRIVERS,
                       {"bin/work": WORK.encode(), "tone": audio_tone.tone()})
        run = [*generic.options(directory, image, f"{guest.CMDLINE} trapline.cmd=work"), *options]
        said = moves.compare(folder, run + devices(folder, "still", bus), run + devices(folder, "moving", bus), 1.5)
        said = said.decode(errors="replace")
        guest.require("TRAPLINE-TEST PASS" in said and said.count("sdb ") >= 6, said)
        for number in range(3):
            with open(os.path.join(folder, f"still{number}"), "rb") as one:
                with open(os.path.join(folder, f"moving{number}"), "rb") as other:
                    guest.require(one.read() == other.read(), f"disk {number}: other bytes")


guest.main(test)
