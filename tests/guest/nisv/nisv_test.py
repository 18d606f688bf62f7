#!/usr/bin/env python3
"""The drop-in on a real KVM, under VMMs that know nothing of it: see ../kvm/kvm_test.py for how.

nisv_test.py QEMU|native GUEST_DIR ARM64_TRAPLINE SYSROOT FOLDER:LIBRARY:NO_NISV GUESTS ARM64_QEMU GROUP...

FOLDER holds the VMMs and their guest, GUESTS the bare-metal guests of the host's build; ARM64_QEMU is a program.
"""
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import guest_process as guest  # noqa: E402
from arm64_program import append_to_initrd, lay_out_libraries  # noqa: E402
from kvm_host import NATIVE, copy, lay_out_drop_in, only_failed, report, run_cases  # noqa: E402

GUEST = "./bin/nisv_guest.bin"
WRAP = "./trapline wrap --"
STATS = "TRAPLINE_NISV_STATS=$T/stats"


def stats(*names):
    """Prints these fields of the statistics."""
    return "; s=$?; " + "; ".join(f"grep -o '\"{name}\": [0-9]*' $T/stats" for name in names) + "; (exit $s)"


def plain(word, *fields):
    return f"{STATS} {WRAP} ./bin/plain_vmm {GUEST} {word}" + (stats(*fields) if fields else "")


QEMU = "./qemu -M virt,gic-version=3 -accel kvm -cpu host -nodefaults -nographic -no-reboot"
BARE = f"{QEMU} -m 32M -serial file:$T/console -kernel ./bin/%s.bin"
CONSOLE = "; s=$?; cat $T/console; echo; (exit $s)"


def until(condition):
    """A shell's wait."""
    return f"n=0; until {condition} || [ $n = 1200 ]; do sleep 0.1; n=$((n + 1)); done"


PASSED = r"^GUEST PASSED"
CASES = {
    "plain": [
        # What happens without it.
        ("plain.none", f"./bin/plain_vmm {GUEST}", 1, [r"VMM: KVM_RUN: Function not implemented"]),
        # Thousands of exits; what they cost.
        ("plain.many", plain("rounds=2000", "nisv_hits", "nisv_misses", "nisv_hit_ioctls", "nisv_miss_ioctls",
                        "ioeventfds", "dropped", "exclusives_stepped", "exclusives_beyond_reach"), 0,
         [PASSED, r'"nisv_hits": [34]\d{3}', r'"nisv_misses": \d\d\b', r'"ioeventfds": 4\b', r'"dropped": 0\b',
          r'"exclusives_stepped": [1-9]', r'"exclusives_beyond_reach": 2\b']),
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
        ("leave", plain("leave rounds=20", "dropped"), 0,
         [r"^threads (\d), after setns \1, after unshare \1\r?$", PASSED, r'"dropped": 1\b']),
        ("two", plain("two rounds=200", "cpus", "dropped"), 0,
         [r"GUEST PASSED(?s:.*)GUEST PASSED", r"^the last rounds are 199 and 200\r?$", r'"cpus": 2\b', r'"dropped": 0\b']),
        ("foreign", plain("foreign"), 0,
         [r"\A(?s:.*)^trapline: anon_inode:kvm-vcpu:0: a vCPU of another process's passes unchanged(?!(?s:.*)passes)",
          r"(KVM_RUN of another process's vCPU: Input/output error\s+){2}"]),
        ("static", f"{WRAP} ./bin/static_vmm {GUEST}", 1,
         [r"^trapline: wrap: ./bin/static_vmm: is statically linked: nothing can be preloaded into it\r?$"]),
        ("no_program", f"{WRAP} absent", 1, [r"^trapline: wrap: absent: no such program\r?$"]),
        ("old", f"LD_PRELOAD=$PWD/bin/no_nisv.so {WRAP} ./bin/plain_vmm {GUEST}", 1,
         [r"^trapline: this host's KVM has no KVM_CAP_ARM_NISV_TO_USER", r"KVM_RUN: Function not implemented"]),
        # Programs that are no VMM, and their children, do not notice.
        ("no_vmm", f"TRAPLINE_NISV_STATS=$T/none {WRAP} ./bin/plain_vmm; cat $T/none | tr -d '[:space:]'", 0, [r"^VMM: no image", r"^\{\}"]),
    ],
    "busy": [
        ("busy.none", f"./bin/busy_vmm {GUEST} 1 50", 1, [r"VMM: vCPU 0: KVM_RUN: Function not implemented"]),
        *((f"cpus{n}", f"{STATS} {WRAP} ./bin/busy_vmm {GUEST} {n} 100"
           + stats("performed", "busy", "dropped", "retries"), 0,
           [PASSED, r"VMM: \d+ exits, \d{3,} signals, \d{3,} interrupted", r'"dropped": 0\b']) for n in (1, 2, 4)),
    ],
    "qemu": [
        ("qemu.none", BARE % "isv0" + CONSOLE, 0, [r"^UNEXPECTED EXCEPTION .* 0x\w*96000010"]),
        # QEMU lets an unaligned access of Device memory pass, here as the host's processor.
        ("isv0", f"{STATS} {WRAP} {BARE % 'isv0'}{CONSOLE}" + stats("performed"), 0,
         [only_failed("unaligned ldr"), r'"performed": \d\d']),
        ("translation", f"{WRAP} {BARE % 'translation'}{CONSOLE}", 0, [PASSED]),
        # Two CPUs on the vGIC, moved in the middle.
        ("save", f"mkfifo $T/monitor; {WRAP} {BARE % 'gic'} -smp 2 -monitor stdio < $T/monitor > /dev/null & p=$!; "
         f"exec 5> $T/monitor; {until('grep -q CPU_ON $T/console')}; "
         f"echo 'migrate \"exec:cat > $T/state; : > $T/saved\"' >&5; {until('[ -e $T/saved ]')}; echo quit >&5; "
         f"wait $p; exec 5>&-; mv $T/console $T/first; cat $T/first; echo; "
         f"{STATS} {WRAP} {BARE % 'gic'} -smp 2 -incoming 'exec:cat $T/state'{CONSOLE}" + stats("performed"), 0,
         [r"\A(?s:.)*^ok CPU_ON(?!(?s:.)*^ok CPU_ON)", PASSED, r'"performed": \d\d']),
    ],
    # Debian's kernel, and a process of its own that makes such accesses; nothing went another way than it should.
    "linux": [
        ("linux", f"{STATS} {WRAP} {QEMU} -m 256M -smp 2 -serial stdio -kernel ./bin/Image -initrd ./bin/initrd.gz "
         f"-append '{guest.CMDLINE} quiet iomem=relaxed trapline.cmd=/in_linux; grep -c ^processor /proc/cpuinfo'"
         + stats("isv0", "performed", "nisv_hits", "dropped", "disagreements", "stuck_aborts", "external_aborts",
                 "unsupported_accesses", "exclusives_beyond_reach", "exceptions_written"), 0,
         [r"^PROCESS PASSED", r"^2\s*$", "TRAPLINE-TEST PASS", r'"isv0": ([1-9]\d{3})\s+"performed": \1\b',
          r'"nisv_hits": [1-9]\d{3}', *(rf'"{name}": 0\b' for name in (
              "dropped", "disagreements", "stuck_aborts", "external_aborts", "unsupported_accesses",
              "exclusives_beyond_reach", "exceptions_written"))]),
    ],
}


def test():
    qemu, directory, program, sysroot, built, guests, arm64_qemu = sys.argv[1:8]
    groups = sys.argv[8:] or list(CASES)
    folder, library, no_nisv = built.split(":")
    cases = [case for group in groups for case in CASES[group]]
    on_qemu = "qemu" in groups or "linux" in groups
    if on_qemu and not os.path.exists(arm64_qemu):
        print("SKIPPED: no arm64 QEMU: run scripts/arm64-qemu")
        sys.exit(guest.SKIPPED)

    def prepare(tree, home):
        lay_out_drop_in(qemu, tree, library)
        copy(home, no_nisv, *(os.path.join(folder, name) for name in ("plain_vmm", "busy_vmm", "static_vmm", "nisv_guest.bin")))
        if "linux" in groups:
            guest.need_guest(directory, "Image", "initrd-test.gz")
            shutil.copy(os.path.join(directory, "Image"), os.path.join(home, "bin"))
            with tempfile.TemporaryDirectory() as inner:
                shutil.copy(os.path.join(folder, "in_linux"), inner)
                append_to_initrd(inner, os.path.join(directory, "initrd-test.gz"), os.path.join(home, "bin", "initrd.gz"))
        if on_qemu:
            copy(home, *(os.path.join(guests, name) for name in ("isv0.bin", "kvm/translation.bin", "kvm/gic.bin")))
            os.symlink(arm64_qemu if qemu == NATIVE else "/qemu", os.path.join(home, "qemu"))
            if qemu != NATIVE:
                shutil.copy(arm64_qemu, os.path.join(tree, "qemu"))
                lay_out_libraries(tree, arm64_qemu, os.path.join(os.path.dirname(arm64_qemu), "..", ".."))

    report(cases, run_cases(qemu, directory, program, sysroot, cases, prepare))


guest.main(test)
