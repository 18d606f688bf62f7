#!/usr/bin/env python3
"""A hypervisor as guest: Debian's kernel at EL2, KVM in it, and a guest of that.

kvm_test.py TRAPLINE GUEST-DIR KVM_VMM INNER.bin exits|ledger|linux OPTIONS...

exits: the inner guest makes its exits of each class, with interrupts, timers and stage-2 faults. ledger:
the same twice under --clock icount with --nested-ledger: identical, and what the classes must cost. linux:
Debian's kernel once more as the inner guest, to its user space.
"""
import gzip
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from guest_process import CMDLINE, need_guest  # noqa: E402

COUNT = 200
# What the inner guest prints a line of, by what the ledger calls it.
CLASSES = {"hypercall": "hypercall", "mmio": "mmio_isv1", "mmio_isv0": "mmio_isv0", "sgi_self": "ipi",
           "timer": "interrupt", "wfi": "wfx", "stage2_fault": "stage2_fault"}


def fail(why, output=b""):
    sys.exit(f"FAILED: {why}\n{output.decode(errors='replace')[-4000:]}")


def cpio_entry(number, name, mode, data):
    """One member of an initramfs, in the format "newc"."""
    fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    entry = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    entry += b"\0" * (-len(entry) % 4)
    return entry + data + b"\0" * (-len(data) % 4)


def initramfs(base, files, path):
    """`base` and, appended, executable files in /bin."""
    archive = b""
    for number, (name, source) in enumerate(files, 1):
        with open(source, "rb") as f:
            archive += cpio_entry(number, "bin/" + name, 0o100755, f.read())
    archive += cpio_entry(0, "TRAILER!!!", 0, b"")
    with open(base, "rb") as f, open(path, "wb") as out:
        out.write(f.read() + gzip.compress(archive, 1))


def run(trapline, guest, initrd, command, options, memory):
    done = subprocess.run([trapline, "run", "--kernel", os.path.join(guest, "Image"), "--initrd", initrd,
                           "--memory", memory, "--append",
                           f"{CMDLINE} quiet trapline.cmd={command}"] + options,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    if done.returncode != 0 or b"TRAPLINE-TEST PASS" not in done.stdout:
        fail(f"status {done.returncode}", done.stdout)
    return done.stdout


def check_exits(output, cpus):
    for name in list(CLASSES) + (["ipi"] if cpus > 1 else []):
        if f"inner: {name} {COUNT} exits".encode() not in output:
            fail(f"no line of {name}", output)


def check_ledger(ledger, vhe):
    for name in CLASSES.values():
        row = ledger[name]
        if row["exits"] + row["moved"] < COUNT:
            fail(f"{name}: {row['exits']} exits, of {COUNT}")
        if not 0 < row["traps_nv2"] < row["traps_nv"]:
            fail(f"{name}: {row['traps_nv']} traps under NV, {row['traps_nv2']} under NV2")
        for way in ("nv", "nv2"):
            if sum(trap[way] for trap in row["traps"]) != row["traps_" + way]:
                fail(f"{name}: the registers do not sum up to traps_{way}")
    call = ledger["hypercall"]
    # The exit, ERET, and nothing else but memory: a VHE kernel of today under FEAT_NV2.
    each = call["traps_nv2"] / call["exits"]
    if not (1.9 < each < 4 if vhe else 10 < each < 30):
        fail(f"a hypercall has {each} traps under NV2")


def main():
    trapline, guest, vmm, inner, what = sys.argv[1:6]
    options = sys.argv[6:]
    need_guest(guest, "Image", "initrd-test.gz")
    cpus = int(options[options.index("--cpus") + 1]) if "--cpus" in options else 1
    with tempfile.TemporaryDirectory() as directory:
        initrd = os.path.join(directory, "initrd.gz")
        base = os.path.join(guest, "initrd-test.gz")
        if what == "linux":
            tree = os.path.join(directory, "inner.dtb")
            subprocess.run([trapline, "run", "--dump-dtb", tree, "--kernel", os.path.join(guest, "Image"),
                            "--initrd", base, "--memory", "256M", "--cpus", str(cpus), "--append",
                            f"{CMDLINE} quiet trapline.cmd=nproc"], check=True, stdout=subprocess.DEVNULL)
            initramfs(base, [("kvm_vmm", vmm), ("Image", os.path.join(guest, "Image")), ("dtb", tree),
                             ("initrd", base)], initrd)
            output = run(trapline, guest, initrd,
                         f"/bin/kvm_vmm linux /bin/Image /bin/dtb /bin/initrd --cpus {cpus}", options, "1G")
            if output.count(b"TRAPLINE-TEST PASS") != 2 or b"system event 1" not in output:
                fail("the inner guest did not come to its end", output)
            return
        initramfs(base, [("kvm_vmm", vmm), ("inner.bin", inner)], initrd)
        command = f"/bin/kvm_vmm exits /bin/inner.bin --count {COUNT} --cpus {cpus}"
        if what == "exits":
            check_exits(run(trapline, guest, initrd, command, options, "512M"), cpus)
            return
        ledgers = []
        for attempt in range(2):
            stats = os.path.join(directory, f"stats{attempt}.json")
            run(trapline, guest, initrd, command,
                options + ["--clock", "icount", "--nested-ledger", "both", "--stats", stats], "512M")
            with open(stats, encoding="utf-8") as f:
                ledgers.append(json.load(f)["nested_ledger"])
        if ledgers[0] != ledgers[1]:
            fail("two runs under icount have different ledgers")
        check_ledger(ledgers[0], "--el2" in options)


if __name__ == "__main__":
    main()
