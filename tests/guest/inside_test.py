#!/usr/bin/env python3
"""Trapline inside Trapline: the arm64 program, on Debian's arm64 kernel under the host's own program,
runs a bare-metal guest.

inside_test.py HOST_TRAPLINE GUEST_DIR ARM64_TRAPLINE SYSROOT BINARY
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import guest_process as guest

LIBRARIES = "lib/aarch64-linux-gnu"


def needed(path):
    text = subprocess.run(["readelf", "-d", path], stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.findall(r"\(NEEDED\).*\[(.*)\]", text)


def library(sysroot, name):
    for folder in ("lib", "usr/lib", LIBRARIES, "usr/" + LIBRARIES):
        path = os.path.join(sysroot, folder, name)
        if os.path.exists(path):
            return path
    raise guest.Failure(f"no {name} in {sysroot}")


def lay_out(tree, program, sysroot, binary):
    """The program, what it loads, and its guest."""
    os.makedirs(os.path.join(tree, LIBRARIES))
    shutil.copy(program, os.path.join(tree, "trapline"))
    shutil.copy(binary, os.path.join(tree, "guest.bin"))
    loader = "ld-linux-aarch64.so.1"
    shutil.copy(library(sysroot, loader), os.path.join(tree, "lib", loader))
    todo, done = needed(program), {loader}
    while todo:
        name = todo.pop()
        if name in done:
            continue
        done.add(name)
        path = library(sysroot, name)
        shutil.copy(path, os.path.join(tree, LIBRARIES, name))
        todo += needed(path)


def test():
    trapline, directory, program, sysroot, binary = sys.argv[1:6]
    guest.need_guest(directory, "Image", "initrd-test.gz")
    for path in (trapline, binary):
        if not os.path.exists(path):
            print(f"SKIPPED: no {path}: build the preset release first")
            sys.exit(guest.SKIPPED)
    with tempfile.TemporaryDirectory() as scratch:
        tree, initrd = os.path.join(scratch, "tree"), os.path.join(scratch, "initrd")
        os.mkdir(tree)
        lay_out(tree, program, sysroot, binary)
        # The kernel unpacks one archive after the other.
        shutil.copy(os.path.join(directory, "initrd-test.gz"), initrd)
        with open(initrd, "ab") as file:
            subprocess.run("find . | cpio -o -H newc --quiet -R 0:0 | gzip -1", shell=True, cwd=tree,
                           stdout=file, check=True)
        inner = "/trapline run --raw /guest.bin --memory 64M"
        status, console, errors = guest.run(
            [trapline, "run", "--kernel", os.path.join(directory, "Image"), "--initrd", initrd,
             "--memory", "1G", "--append", f"{guest.CMDLINE} trapline.cmd={inner}"], 240)
    console = console.decode(errors="replace")
    print(console[-3000:])
    guest.require(status == 0, f"status {status}: {errors[-500:]}")
    guest.require("GUEST PASSED" in console, "the inner guest did not pass")
    guest.require("exit profile" in console, "the inner program told no exit profile")
    guest.require("TRAPLINE-TEST PASS" in console, "the inner program did not end with status 0")


guest.main(test)
