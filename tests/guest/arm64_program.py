"""The arm64 program in an initramfs: itself, what it loads, and whatever else a test puts beside it."""
import os
import re
import shutil
import subprocess

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


def lay_out(tree, program, sysroot):
    """The program and what it loads."""
    shutil.copy(program, os.path.join(tree, "trapline"))
    lay_out_libraries(tree, program, sysroot)


def lay_out_libraries(tree, program, sysroot):
    """What a program loads, if it is not there yet."""
    os.makedirs(os.path.join(tree, LIBRARIES), exist_ok=True)
    loader = "ld-linux-aarch64.so.1"
    if not os.path.exists(os.path.join(tree, "lib", loader)):
        shutil.copy(library(sysroot, loader), os.path.join(tree, "lib", loader))
    todo, done = needed(program), {loader}
    while todo:
        name = todo.pop()
        if name in done:
            continue
        done.add(name)
        path = library(sysroot, name)
        if not os.path.exists(os.path.join(tree, LIBRARIES, name)):
            shutil.copy(path, os.path.join(tree, LIBRARIES, name))
        todo += needed(path)


def append_to_initrd(tree, base, initrd):
    """`initrd` is `base` and the tree: the kernel unpacks one archive after the other."""
    shutil.copy(base, initrd)
    with open(initrd, "ab") as file:
        subprocess.run("find . | cpio -o -H newc --quiet -R 0:0 | gzip -1", shell=True, cwd=tree,
                       stdout=file, check=True)
