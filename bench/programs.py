"""What the scripts here run when they are not told otherwise: the release build of this tree."""
import glob
import os
import shutil
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TRAPLINE = os.path.join(ROOT, "build", "release", "trapline")
GUEST = os.path.join(ROOT, ".cache", "guest")


def require(*programs, files=()):
    """Ends the script with one line for the first that is not there."""
    name = os.path.basename(sys.argv[0])
    for program in programs:
        if shutil.which(program) is None:
            if os.path.basename(program) == "trapline":
                sys.exit(f"{name}: {program} is not there: cmake --preset release && "
                         "cmake --build --preset release")
            sys.exit(f"{name}: {program} is not there: run scripts/install-deps")
    for file, remedy in files:
        if not os.path.isfile(file):
            sys.exit(f"{name}: {file} is not there: {remedy}")


def split_arguments():
    """The script's own arguments, and those after `--`."""
    words = sys.argv[1:]
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1:]


def newest_qemu(folder):
    """The program in a root of its own, by that root's loader."""
    usr = os.path.join(folder, "usr")
    loader = glob.glob(os.path.join(usr, "lib*", "ld-linux-x86-64.so.2")) + glob.glob(
        os.path.join(usr, "lib", "*", "ld-linux-x86-64.so.2"))
    if not loader:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {folder}: no root with a QEMU for x86-64")
    libraries = glob.glob(os.path.join(usr, "lib", "x86_64-linux-gnu"))
    return [loader[0], "--library-path", ":".join(libraries), os.path.join(usr, "bin", "qemu-system-aarch64"),
            "-L", os.path.join(usr, "share", "qemu")]
