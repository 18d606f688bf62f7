#!/usr/bin/env python3
"""The KVM backend on a real KVM: Debian's arm64 kernel under qemu-system-aarch64, which has EL2, and in
it the arm64 program with guests of its own. On an arm64 host with /dev/kvm the same commands run there.

kvm_test.py QEMU|native GUEST_DIR ARM64_TRAPLINE SYSROOT BINARIES GROUP...
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import guest_process as guest  # noqa: E402
from arm64_program import append_to_initrd, lay_out  # noqa: E402

WATCHDOG_S = 240
RAW = "./trapline run --backend kvm --memory 64M --raw ./bin/%s.bin"
LINUX = ("./trapline run --backend kvm --memory 256M --kernel ./bin/Image --initrd ./bin/initrd-test.gz "
         f"--append '{guest.CMDLINE} quiet trapline.cmd=%s'")

# Group -> cases: name, command, status, what its output must have (regular expressions). Files stand in
# ./bin: X.bin of the bare-metal guests, and whatever NEEDS names.
CASES = {
    "bare": [
        ("isv0", RAW % "isv0", 0, [r"GUEST PASSED", r"kvm backend", r"data_abort.isv0 +\d\d+"]),
        ("hole", RAW % "hole", 0, [r"GUEST PASSED"]),
        ("off", RAW % "off", 0, []),
        ("translation", RAW % "translation", 0, [r"GUEST PASSED"]),
        ("mmu", RAW % "mmu", 0, [r"GUEST PASSED"]),
        ("exceptions", RAW % "exceptions", 0, [r"GUEST PASSED"]),
    ],
    # Which backend, and why not the one that was asked for.
    "choice": [
        ("auto", "./trapline run --memory 64M --raw ./bin/off.bin", 0, [r"kvm backend"]),
        ("soft", "./trapline run --memory 64M --raw ./bin/off.bin --backend soft", 0, [r"soft backend"]),
        ("max_insns", "./trapline run --memory 64M --raw ./bin/off.bin --max-insns 1000000", 0,
         [r"^trapline: --max-insns: on the software CPU\r?$", r"soft backend"]),
        ("icount", RAW % "off" + " --clock icount", 1, [r"^trapline: --clock icount needs --backend soft\r?$"]),
        ("isv", RAW % "off" + " --isv never", 1, [r"^trapline: --isv never needs --backend soft\r?$"]),
        ("protect", RAW % "off" + " --icache protect", 1, [r"^trapline: --icache protect needs"]),
        ("el2", RAW % "off" + " --el2", 1, [r"^trapline: --backend kvm, --el2: this host's KVM gives guests no EL2"]),
        ("el2.auto", "./trapline run --memory 64M --raw ./bin/off.bin --el2 --dump-dtb /tmp/dtb", 0,
         [r"^trapline: --el2: on the software CPU: this host's KVM"]),
        ("no_permission", "chmod 700 /dev/kvm; adduser -D -H u 2> /dev/null; chmod 755 /kvm /kvm/bin; "
         "su u -c '" + RAW % "off" + "'; s=$?; chmod 666 /dev/kvm; (exit $s)", 1,
         [r"^trapline: --backend kvm: no permission for /dev/kvm"]),
        ("no_kvm", "mv /dev/kvm /dev/kvm.aside; " + RAW % "off" + "; s=$?; mv /dev/kvm.aside /dev/kvm; (exit $s)", 1,
         [r"^trapline: --backend kvm: this host has no /dev/kvm"]),
    ],
    "linux": [
        ("linux", LINUX % "uname -m", 0, [r"TRAPLINE-TEST PASS", r"kvm backend"]),
        ("linux.cpus2", LINUX % "nproc" + " --cpus 2", 0, [r"TRAPLINE-TEST PASS", r"^2\r?$"]),
    ],
}
NEEDS = {"linux": ["Image", "initrd-test.gz"]}


def script(cases):
    lines = ["cd /kvm"]
    for name, command, _, _ in cases:
        lines += [f"echo 'CASE {name} BEGIN'", f"{command} < /dev/null 2>&1",
                  f"echo \"CASE {name} STATUS $?\""]
    return "\n".join(lines) + "\n"


def prepare(tree, groups, directory, program, sysroot, binaries):
    lay_out(tree, program, sysroot)
    home = os.path.join(tree, "kvm")
    os.makedirs(os.path.join(home, "bin"))
    os.symlink("/trapline", os.path.join(home, "trapline"))
    for name in os.listdir(binaries):
        if name.endswith(".bin"):
            shutil.copy(os.path.join(binaries, name), os.path.join(home, "bin"))
    for group in groups:
        for name in NEEDS.get(group, []):
            shutil.copy(os.path.join(directory, name), os.path.join(home, "bin"))
    with open(os.path.join(home, "run"), "w", encoding="utf-8") as file:
        file.write(script([case for group in groups for case in CASES[group]]))


def boot(qemu, directory, initrd):
    """What the host's console says, to its power-off."""
    status, console, errors = guest.run(
        [qemu, "-M", "virt,virtualization=on,gic-version=3", "-cpu", "neoverse-n1", "-smp", "2", "-m", "1536M",
         "-nodefaults", "-nographic", "-serial", "stdio", "-no-reboot",
         "-kernel", os.path.join(directory, "Image"), "-initrd", initrd,
         "-append", f"{guest.CMDLINE} quiet trapline.cmd=sh /kvm/run"], WATCHDOG_S)
    console = console.decode(errors="replace")
    guest.require(status == 0 and "TRAPLINE-TEST PASS" in console,
                  f"the host ended with {status}: {errors[-500:]}\n{console[-3000:]}")
    return console


def judge(case, console):
    """What is wrong; empty if nothing."""
    name, _, status, patterns = case
    name = re.escape(name)
    found = re.search(rf"CASE {name} BEGIN\r?\n(.*)CASE {name} STATUS (\d+)", console, re.S)
    if not found:
        return "did not end"
    output, got = found.groups()
    problems = [] if int(got) == status else [f"status {got}, not {status}"]
    problems += [f"no {p!r}" for p in patterns if not re.search(p, output, re.M)]
    return "; ".join(problems) and "; ".join(problems) + "\n" + output[-3000:]


def test():
    qemu, directory, program, sysroot, binaries = sys.argv[1:6]
    groups = sys.argv[6:] or list(CASES)
    guest.need_guest(directory, "Image", "initrd-test.gz")
    for path in (program, os.path.join(binaries, "isv0.bin")):
        if not os.path.exists(path):
            print(f"SKIPPED: no {path}")
            sys.exit(guest.SKIPPED)
    with tempfile.TemporaryDirectory() as scratch:
        tree, initrd = os.path.join(scratch, "tree"), os.path.join(scratch, "initrd")
        os.mkdir(tree)
        prepare(tree, groups, directory, program, sysroot, binaries)
        if qemu == "native":
            done = subprocess.run(["sh", "./run"], cwd=os.path.join(tree, "kvm"), stdout=subprocess.PIPE,
                                  timeout=WATCHDOG_S, check=False)
            console = done.stdout.decode(errors="replace")
        else:
            append_to_initrd(tree, os.path.join(directory, "initrd-test.gz"), initrd)
            console = boot(qemu, directory, initrd)
    if "KVM_TEST_CONSOLE" in os.environ:
        with open(os.environ["KVM_TEST_CONSOLE"], "w", encoding="utf-8") as file:
            file.write(console)
    wrong = 0
    for case in [case for group in groups for case in CASES[group]]:
        problem = judge(case, console)
        print(f"{'FAILED' if problem else 'ok'} {case[0]}{': ' + problem if problem else ''}")
        wrong += bool(problem)
    guest.require(wrong == 0, f"{wrong} cases")


guest.main(test)
