#!/usr/bin/env python3
"""Commands piped in before Debian's kernel runs are held until its driver listens: none is lost.

piped_input_test.py TRAPLINE GUEST_DIRECTORY [RUNS]
"""
import os
import subprocess
import sys

import guest_process as guest

SCRIPT = b"echo first-$((40+2))\nuname -a\necho last-$((40+3))\npoweroff\n"


def test():
    trapline, directory, *runs = sys.argv[1:]
    guest.need_guest(directory, "Image", "initrd.gz")
    for options in (["--clock", "host"], ["--clock", "icount"], ["--virtio-console"],
                    ["--cpus", "2"]):
        for _ in range(int(runs[0]) if runs else 2):
            done = subprocess.run(
                [trapline, "run", "--kernel", os.path.join(directory, "Image"),
                 "--initrd", os.path.join(directory, "initrd.gz"), "--append", guest.CMDLINE]
                + options,
                input=SCRIPT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=240,
                check=False,
            )
            console = done.stdout.decode(errors="replace")
            for text in ("first-42", "aarch64 GNU/Linux", "last-43"):
                guest.require(text in console, f"{options}: no {text!r} on the console:\n{console[-2000:]}")
            guest.require(done.returncode == 0, f"{options}: status {done.returncode}")


guest.main(test)
