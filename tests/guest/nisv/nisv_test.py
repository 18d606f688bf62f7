#!/usr/bin/env python3
"""The drop-in on a real KVM, under VMMs that know nothing of it: see ../kvm/kvm_test.py for how.

nisv_test.py QEMU GUEST_DIR ARM64_TRAPLINE SYSROOT ARM64_QEMU FOLDER:LIBRARY:NO_NISV HOST_GUESTS GROUP...

FOLDER holds the VMMs and their guest, HOST_GUESTS the bare-metal guests of the host's build.
"""
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import guest_process as guest  # noqa: E402
from arm64_program import append_to_initrd, lay_out, lay_out_libraries  # noqa: E402
from kvm_host import boot, only_failed, report, script  # noqa: E402

GUEST = "./bin/nisv_guest.bin"
WRAP = "./trapline wrap --"
STATS = "TRAPLINE_NISV_STATS=/tmp/stats"


def stats(*names):
    """Prints these fields of the statistics."""
    return "; s=$?; " + "; ".join(f"grep -o '\"{name}\": [0-9]*' /tmp/stats" for name in names) + "; (exit $s)"


def plain(word, *fields):
    return f"{STATS} {WRAP} ./bin/plain_vmm {GUEST} {word}" + (stats(*fields) if fields else "")


QEMU = "./qemu -M virt,gic-version=3 -accel kvm -cpu host -m 128M -nodefaults -nographic -no-reboot"
MONITOR = f"{QEMU} -smp 2 -monitor stdio"

PASSED = r"^GUEST PASSED"
CASES = {
    "plain": [
        # What happens without it.
        ("plain.none", f"./bin/plain_vmm {GUEST}", 1, [r"VMM: KVM_RUN: Function not implemented"]),
        # Thousands of exits; what they cost.
        ("plain.many", plain("rounds=2000", "nisv_hits", "nisv_misses", "nisv_hit_ioctls", "nisv_miss_ioctls",
                        "ioeventfds", "dropped", "exclusives_stepped"), 0,
         [PASSED, r'"nisv_hits": [34]\d{3}', r'"nisv_misses": \d\d\b', r'"ioeventfds": 4\b', r'"dropped": 0\b',
          r'"exclusives_stepped": [1-9]']),
        ("finish", plain("finish rounds=20", "finished_by_immediate_exit"), 0,
         [PASSED, r'finished_by_immediate_exit": \d\d']),
        ("registers", plain("registers rounds=20", "registers_read_between", "dropped"), 0,
         [PASSED, r'registers_read_between": \d\d', r'"dropped": 0\b']),
        ("reset", plain("reset rounds=20", "dropped"), 0, [r"^reset", PASSED, r'"dropped": 1\b']),
        ("flip", plain("flip rounds=20", "dropped"), 0, [PASSED]),
        ("coalesced", plain("coalesced rounds=20", "dropped"), 0,
         [PASSED, r"^coalesced [1-9]", r'"dropped": 0\b']),
        ("dups", plain("dups rounds=20"), 0, [PASSED]),
        ("fork", plain("fork rounds=20"), 0, [r"GUEST PASSED\s+the child ended with 0\s+GUEST PASSED"]),
        ("unshare", plain("unshare rounds=20"), 0, [PASSED]),
        ("foreign", plain("foreign"), 0,
         [r"\A(?s:.*)^trapline: anon_inode:kvm-vcpu:0: a vCPU of another process's passes unchanged(?!(?s:.*)passes)",
          r"(KVM_RUN of another process's vCPU: Input/output error\s+){2}"]),
        ("static", f"{WRAP} ./bin/static_vmm {GUEST}", 1,
         [r"^trapline: wrap: ./bin/static_vmm: is statically linked: nothing can be preloaded into it\r?$"]),
        ("no_program", f"{WRAP} absent", 1, [r"^trapline: wrap: absent: no such program\r?$"]),
        ("old", f"LD_PRELOAD=/kvm/bin/no_nisv.so {WRAP} ./bin/plain_vmm {GUEST}", 1,
         [r"^trapline: this host's KVM has no KVM_CAP_ARM_NISV_TO_USER", r"KVM_RUN: Function not implemented"]),
        # Programs that are no VMM, and their children, do not notice.
        ("no_vmm", f"TRAPLINE_NISV_STATS=/tmp/none {WRAP} ./bin/plain_vmm; cat /tmp/none | tr -d '[:space:]'", 0, [r"^VMM: no image", r"^\{\}"]),
    ],
    "busy": [
        ("busy.none", f"./bin/busy_vmm {GUEST} 1 50", 1, [r"VMM: vCPU 0: KVM_RUN: Function not implemented"]),
        *((f"cpus{n}", f"{STATS} {WRAP} ./bin/busy_vmm {GUEST} {n} 100"
           + stats("performed", "busy", "dropped", "retries"), 0,
           [PASSED, r"VMM: \d+ exits, \d{3,} signals, \d{3,} interrupted", r'"dropped": 0\b']) for n in (1, 2, 4)),
    ],
    "qemu": [
        ("qemu.none", f"{QEMU} -serial stdio -kernel ./bin/isv0.bin", 0, [r"^UNEXPECTED EXCEPTION .* 0x\w*96000010"]),
        # QEMU lets an unaligned access of Device memory pass, here as the host's processor.
        ("isv0", f"{STATS} {WRAP} {QEMU} -serial stdio -kernel ./bin/isv0.bin" + stats("performed"), 0,
         [only_failed("unaligned ldr"), r'"performed": \d\d']),
        ("translation", f"{WRAP} {QEMU} -serial stdio -kernel ./bin/translation.bin", 0, [PASSED]),
        # Two CPUs on the vGIC, saved in the middle, restored, to the end.
        ("save", f"(sleep 6; echo stop; sleep 1; echo 'migrate \"exec:cat > /tmp/state\"'; sleep 8; echo quit) | {WRAP} "
         f"{MONITOR} -serial file:/tmp/first -kernel ./bin/gic.bin > /dev/null; cat /tmp/first; echo; (sleep 8; echo cont; "
         f"sleep 200) | {STATS} {WRAP} {MONITOR} -serial file:/tmp/then -kernel ./bin/gic.bin -incoming 'exec:cat "
         "/tmp/state' > /dev/null; cat /tmp/then" + stats("performed"), 0,
         [r"^ok CPU_ON", PASSED, r'"performed": \d\d']),
    ],
}


def prepare(tree, groups, folders, host_guests, arm64_qemu):
    home = os.path.join(tree, "kvm")
    os.makedirs(os.path.join(home, "bin"))
    folder, library, no_nisv = folders.split(":")
    shutil.copy(library, tree)
    os.symlink("/trapline", os.path.join(home, "trapline"))
    for name in ("plain_vmm", "busy_vmm", "static_vmm", "nisv_guest.bin"):
        shutil.copy(os.path.join(folder, name), os.path.join(home, "bin"))
    shutil.copy(no_nisv, os.path.join(home, "bin"))
    if "qemu" in groups:
        for name in ("isv0", "translation", "gic"):
            for place in (host_guests, os.path.join(host_guests, "kvm")):
                if os.path.exists(os.path.join(place, name + ".bin")):
                    shutil.copy(os.path.join(place, name + ".bin"), os.path.join(home, "bin"))
        binary = os.path.join(arm64_qemu, "usr/bin/qemu-system-aarch64")
        shutil.copy(binary, os.path.join(home, "qemu"))
        lay_out_libraries(tree, binary, arm64_qemu)
    with open(os.path.join(home, "run"), "w", encoding="utf-8") as file:
        file.write(script([case for group in groups for case in CASES[group]]))


def test():
    qemu, directory, program, sysroot, arm64_qemu, folders, host_guests = sys.argv[1:8]
    groups = sys.argv[8:] or list(CASES)
    guest.need_guest(directory, "Image", "initrd-test.gz")
    if "qemu" in groups and not os.path.exists(os.path.join(arm64_qemu, "usr/bin/qemu-system-aarch64")):
        print("SKIPPED: no arm64 QEMU: run scripts/arm64-qemu")
        sys.exit(guest.SKIPPED)
    with tempfile.TemporaryDirectory() as scratch:
        tree, initrd = os.path.join(scratch, "tree"), os.path.join(scratch, "initrd")
        os.mkdir(tree)
        lay_out(tree, program, sysroot)
        prepare(tree, groups, folders, host_guests, arm64_qemu)
        append_to_initrd(tree, os.path.join(directory, "initrd-test.gz"), initrd)
        console = boot(qemu, directory, initrd)
    report([case for group in groups for case in CASES[group]], console)


guest.main(test)
