#!/usr/bin/env python3
"""examples/kvm_vmm.c on a KVM: compiled for arm64 with libtrapline's sources, run on an arm64 host's, or else by
Debian's kernel under qemu-system-aarch64, which has EL2; or the program alone compiled.

kvm_example.py SOURCE_FOLDER boot|compiles GUEST_DIR
"""
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
CROSS = "aarch64-linux-gnu-"
COMMAND = "console=ttyAMA0 quiet trapline.cmd=/kvm_vmm /guest.bin"
EXPECTED = ("GUEST PASSED", "26 exits without a syndrome")


def tool(*names):
    for name in names:
        if shutil.which(name):
            return name
    print(f"SKIPPED: {names[0]} is missing")
    sys.exit(SKIPPED)


def run(*command, **more):
    subprocess.run(command, check=True, **more)


def build(root, folder, with_library):
    """folder/kvm_vmm, static, and folder/guest.bin; or the program's object alone."""
    cxx, cc = tool(CROSS + "g++"), tool(CROSS + "gcc")
    cache = ["ccache"] if shutil.which("ccache") else []
    os.makedirs(f"{folder}/include")
    shutil.copy("/usr/include/xxhash.h", f"{folder}/include")
    include = [f"-I{root}", f"-I{root}/decode", f"-I{root}/vmm/embed", f"-I{folder}/include"]
    files = subprocess.run([f"{root}/scripts/embed-core", "--list"], check=True, capture_output=True,
                           text=True).stdout.split()

    def compile_one(file):
        target = f"{folder}/{os.path.basename(file)}.o"
        run(*cache, cxx, "-std=gnu++20", "-O2", "-mno-outline-atomics", "-fno-exceptions", "-fno-rtti",
            "-fno-threadsafe-statics", "-DTRAPLINE_C_LIBRARY", '-DTRAPLINE_VERSION="0"', *include, "-c", file,
            "-o", target)
        return target

    if not with_library:
        run(cc, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", *include, "-c",
            f"{root}/vmm/embed/examples/kvm_vmm.c", "-o", f"{folder}/kvm_vmm.o")
        return
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, files))
    run(cc, "-static", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", *include,
        f"{root}/vmm/embed/hosted.c", f"{root}/vmm/embed/examples/kvm_vmm.c", *objects,
        "-o", f"{folder}/kvm_vmm")
    run(tool("clang", "clang-14", "clang-19"), "--target=aarch64-none-elf", "-c",
        f"{root}/vmm/embed/examples/kvm_guest.S", "-o", f"{folder}/guest.o")
    run(tool("ld.lld", "ld.lld-14", "ld.lld-19"), "-Ttext=0x40000000", "--image-base=0x40000000",
        "-o", f"{folder}/guest.elf", f"{folder}/guest.o")
    run(tool("llvm-objcopy", "llvm-objcopy-14", "llvm-objcopy-19"), "-O", "binary", "-j", ".text",
        f"{folder}/guest.elf", f"{folder}/guest.bin")


def has_kvm():
    return os.uname().machine == "aarch64" and os.access("/dev/kvm", os.R_OK | os.W_OK)


def boot(folder, guest_dir):
    if has_kvm():
        return [f"{folder}/kvm_vmm", f"{folder}/guest.bin"]
    image, base = os.path.join(guest_dir, "Image"), os.path.join(guest_dir, "initrd-test.gz")
    qemu = tool("qemu-system-aarch64")
    if not os.path.isfile(image) or not os.path.isfile(base):
        print(f"SKIPPED: no guest in {guest_dir}: run scripts/fetch-guest")
        sys.exit(SKIPPED)
    tree, initrd = f"{folder}/tree", f"{folder}/initrd"
    os.mkdir(tree)
    for name in ("kvm_vmm", "guest.bin"):
        shutil.copy(f"{folder}/{name}", tree)
    shutil.copy(base, initrd)
    with open(initrd, "ab") as file:
        run("find . | cpio -o -H newc --quiet -R 0:0 | gzip -1", shell=True, cwd=tree, stdout=file)
    return [qemu, "-M", "virt,virtualization=on,gic-version=3", "-cpu", "neoverse-n1", "-m", "512M", "-nodefaults",
            "-nographic", "-serial", "stdio", "-no-reboot", "-kernel", image, "-initrd", initrd, "-append", COMMAND]


def main():
    root = sys.argv[1]
    with tempfile.TemporaryDirectory() as scratch:
        boots = sys.argv[2] == "boot"
        build(root, scratch, boots)
        if not boots:
            return
        console = subprocess.run(boot(scratch, sys.argv[3]), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, timeout=600, check=False).stdout.decode(errors="replace")
        print(console)
        missing = [text for text in EXPECTED if text not in console]
        if missing:
            sys.exit(f"not said: {missing}")


main()
