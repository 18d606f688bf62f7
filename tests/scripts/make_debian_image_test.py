#!/usr/bin/env python3
"""scripts/make-debian-image, killed in each of its steps and started again: it goes on with that step,
and no half of an earlier run is left in the root file system.

make_debian_image_test.py SCRIPT       with stand-ins for all that needs root, the network or time
"""
import os
import shutil
import stat
import subprocess
import sys
import tempfile

# Each notes its call in $CALLS and kills the script in the middle of the one that $KILL_AT names.
STAND_IN = """#!/bin/bash
name=$(basename "$0")
call=$name
case $name$* in
  chroot*--second-stage) call=second-stage ;;
  chroot*chpasswd) call=settings ;;
esac
echo "$call" >> "$CALLS"
killed() { if [ "$call" = "${KILL_AT:-}" ]; then kill -KILL $PPID; exit 1; fi; }
case $call in
  id) echo 0 ;;
  debootstrap)
    for argument; do case $argument in
      --cache-dir=*) : > "${argument#*=}/package.deb" ;;
      /*/root) root=$argument ;;
    esac; done
    [ ! -e "$root/half" ] || { echo "a half of a first stage is left" >&2; exit 1; }
    mkdir -p "$root"; touch "$root/half"
    killed
    rm "$root/half"
    mkdir -p "$root"/{proc,debootstrap,boot,etc/{systemd/network,ssh/sshd_config.d}}
    mkdir -p "$root"/usr/lib/grub/arm64-efi-signed "$root"/var/{cache/apt/archives,lib/apt/lists}
    echo LOGIN_TIMEOUT > "$root/etc/login.defs"
    ;;
  second-stage)
    [ ! -e "$1/half" ] || { echo "a half of a second stage is left" >&2; exit 1; }
    touch "$1/half"
    killed
    rm -r "$1/half" "$1/debootstrap"
    echo kernel > "$1/boot/vmlinuz-6.1"; echo initrd > "$1/boot/initrd.img-6.1"
    ;;
  *) killed ;;
esac
exit 0
"""
PROGRAMS = ("id debootstrap chroot mount umount sgdisk mkfs.vfat mke2fs mmd mcopy "
            "qemu-aarch64-static").split()


class Repository:
    def __init__(self, scratch, script):
        self.calls = os.path.join(scratch, "calls")
        self.script = os.path.join(scratch, "scripts", "make-debian-image")
        self.out = os.path.join(scratch, ".cache", "guest", "debian")
        self.binfmt = os.path.join(scratch, "binfmt")
        self.bin = os.path.join(scratch, "bin")
        for directory in (os.path.dirname(self.script), self.binfmt, self.bin):
            os.makedirs(directory)
        shutil.copy(script, self.script)
        for name, text in (("register", ""), ("qemu-aarch64", "interpreter /usr/bin/qemu-aarch64\n")):
            with open(os.path.join(self.binfmt, name), "w", encoding="utf-8") as file:
                file.write(text)
        for name in PROGRAMS:
            path = os.path.join(self.bin, name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(STAND_IN)
            os.chmod(path, 0o755 | stat.S_IEXEC)

    def run(self, kill_at=""):
        """Status and the steps that were called."""
        if os.path.exists(self.calls):
            os.remove(self.calls)
        done = subprocess.run(
            [self.script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False,
            env={"PATH": self.bin + ":" + os.environ["PATH"], "CALLS": self.calls,
                 "KILL_AT": kill_at, "TRAPLINE_BINFMT": self.binfmt})
        print(done.stdout.decode(errors="replace"), end="")
        with open(self.calls, encoding="utf-8") as file:
            calls = [line.strip() for line in file]
        return done.returncode, [c for c in calls
                                 if c in ("debootstrap", "second-stage", "settings", "mke2fs")]

    def has(self, name):
        return os.path.exists(os.path.join(self.out, name))


ALL = ["debootstrap", "second-stage", "settings", "mke2fs"]


def check(condition, text):
    if not condition:
        print("FAILED:", text)
        sys.exit(1)


def main():
    for at, step in enumerate(ALL):
        print(f"-- killed in {step}")
        with tempfile.TemporaryDirectory() as scratch:
            repository = Repository(scratch, sys.argv[1])
            status, calls = repository.run(kill_at=step)
            check(status != 0 and calls == ALL[:at + 1], f"killed in {step}: {status} {calls}")
            check(not repository.has("disk.img"), "half a disk is there")
            if step == "debootstrap":
                check(repository.has("packages/package.deb"), "the packages are fetched again")
            status, calls = repository.run(kill_at=step)  # and once more
            first = min(at, ALL.index("settings"))
            check(status != 0 and calls == ALL[first:at + 1], f"again in {step}: {status} {calls}")
            status, calls = repository.run()
            check(status == 0 and calls == ALL[first:], f"after {step}: {status} {calls}")
            check(repository.has("disk.img") and repository.has("vmlinuz"), "no disk")
            for rest in ("root", "steps", "first-stage.tar", "packages", "esp.img"):
                check(not repository.has(rest), f"{rest} is left")
            status, calls = repository.run()
            check(status == 0 and calls == [], f"it was there: {calls}")
    print("-- another recipe after a kill")
    with tempfile.TemporaryDirectory() as scratch:
        repository = Repository(scratch, sys.argv[1])
        repository.run(kill_at="mke2fs")
        with open(repository.script, "a", encoding="utf-8") as file:
            file.write("# another\n")
        status, calls = repository.run()
        check(status == 0 and calls == ALL, f"another recipe: {status} {calls}")
    print("PASSED")


main()
