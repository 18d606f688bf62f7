#!/usr/bin/env python3
"""What an arm64 host runs natively, on one: the scripts of this folder and of ../nisv with the arm64 host's own
Python (scripts/arm64-qemu brings one) in Debian's kernel under qemu-system-aarch64.

native_test.py QEMU GUEST_DIR ARM64_TRAPLINE SYSROOT GUESTS FOLDER:LIBRARY:NO_NISV ARM64_QEMU
"""
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..", "..")
sys.path.insert(0, os.path.join(HERE, ".."))
import guest_process as guest  # noqa: E402
from arm64_program import LIBRARIES, lay_out_libraries  # noqa: E402
from arm64_program import library as find_library  # noqa: E402
from kvm_host import report, run_cases  # noqa: E402

PYTHON = "python3.11"
RUN = f"PYTHONHOME=/usr {PYTHON} -B /native/tests/guest/%s native /native/guest /native/build/trapline /"
BUILT = "/native/build:/native/build/libtrapline-nisv.so:/native/build/no_nisv.so"
GUESTS = "/native/build/tests/guest"
CASES = [
    ("native.backend", RUN % "kvm/kvm_test.py" + f" {GUESTS}:/native/build bare old", 0, [r"^PASSED"]),
    ("native.drop-in", RUN % "nisv/nisv_test.py" + f" {BUILT} {GUESTS} none plain", 0, [r"^PASSED"]),
    ("native.classes", RUN % "kvm/classes_test.py" + f" /native/build {BUILT}", 0, [r"^PASSED"]),
    # As on a host that has none.
    ("native.no_qemu", RUN % "nisv/nisv_test.py" + f" {BUILT} {GUESTS} none qemu", guest.SKIPPED, [r"^SKIPPED: no arm64 QEMU"]),
]


def lay_out_python(tree, packages):
    binary = os.path.join(packages, "usr", "bin", PYTHON)
    if not os.path.exists(binary):
        print("SKIPPED: no arm64 Python: run scripts/arm64-qemu")
        sys.exit(guest.SKIPPED)
    os.makedirs(os.path.join(tree, "bin"), exist_ok=True)
    shutil.copy(binary, os.path.join(tree, "bin"))
    lay_out_libraries(tree, binary, packages)
    shutil.copytree(os.path.join(packages, "usr", "lib", PYTHON), os.path.join(tree, "usr", "lib", PYTHON), symlinks=True,
                    ignore=shutil.ignore_patterns("test", "__pycache__", "ensurepip", "idlelib", "config-*"))


def test():
    qemu, directory, program, sysroot, guests, built, arm64_qemu = sys.argv[1:]
    folder, library, no_nisv = built.split(":")

    def prepare(tree, _):
        lay_out_python(tree, os.path.join(os.path.dirname(arm64_qemu), "..", ".."))
        slirp = find_library(sysroot, "libslirp.so.0")  # by dlopen
        shutil.copy(slirp, os.path.join(tree, LIBRARIES))
        lay_out_libraries(tree, slirp, sysroot)
        native = os.path.join(tree, "native")
        for name in ("tests/guest", "bench", "docs"):
            shutil.copytree(os.path.join(ROOT, name), os.path.join(native, name),
                            ignore=lambda place, names: [n for n in names if not os.path.isdir(os.path.join(place, n))
                                                         and not n.endswith((".py", ".txt", "kvm-classes.md"))])
        build = os.path.join(native, "build")
        os.makedirs(os.path.join(build, "tests/guest"))
        for file in (program, library, no_nisv, *(os.path.join(folder, name) for name in (
                "plain_vmm", "busy_vmm", "static_vmm", "kvm_vmm", "nisv_guest.bin"))):
            shutil.copy(file, build)
        for name in ("isv0", "hole", "beyond", "off", "kvm/translation", "kvm/classes", "stress/stress"):
            place = os.path.join(build, "tests/guest", name + ".bin")
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copy(os.path.join(guests, name + ".bin"), place)

    report(CASES, run_cases(qemu, directory, program, sysroot, CASES, prepare))


guest.main(test)
