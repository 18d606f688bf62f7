#!/usr/bin/env python3
"""The KVM backend on a real KVM: Debian's arm64 kernel under qemu-system-aarch64, which has EL2, and in
it the arm64 program with guests of its own. On an arm64 host with /dev/kvm the same commands run there.

kvm_test.py QEMU|native GUEST_DIR ARM64_TRAPLINE SYSROOT FOLDER[:FOLDER] GROUP...

The folders hold the guests and what is preloaded, at any depth.
"""
import itertools
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



def only_failed(*names):
    """No check of a bare-metal guest has failed but these."""
    return rf"\A(?!.*FAILED (?!{'|'.join(names)}))(?s:.)*GUEST"


def gdb_session(*bodies):
    """A shell's debugger: packets, a second each, to port 1234; what comes back is on the console."""
    parts = []
    for body in bodies:
        text = body if body == "\\003" else f"${body}#{sum(body.encode()) & 0xff:02x}"
        parts.append(f"printf '{text}'; sleep 1")
    return "(" + "; ".join(parts) + ") | nc 127.0.0.1 1234 | tr '#' '\\n'"


ENTRY = 0x40080000
UARTCR = 0x09000030  # which guest.inc's prologue writes
GDB = gdb_session(f"Z1,{ENTRY + 8:x},4", "c", "p20", "s", "p20", f"z1,{ENTRY + 8:x},4", f"Z2,{UARTCR:x},4", "c",
                  "s", f"z2,{UARTCR:x},4", "c", "\\003", "p20", "k")

# Group -> cases: name, command, status, what its output must have (regular expressions). Files stand in
# ./bin: X.bin of the bare-metal guests, and whatever NEEDS names.
CASES = {
    "bare": [
        # QEMU lets an unaligned access of Device memory pass.
        ("isv0", RAW % "isv0", 0, [only_failed("unaligned ldr"), r"ok ldaddb: new value", r"kvm backend",
                                   r"data_abort.isv0 +\d\d+", r"stepped 2, of those beyond reach 0"]),
        # The abort is KVM's, which does not set WnR.
        ("hole", RAW % "hole", 0, [only_failed("str: WnR", "str pre-index: WnR"),
                                   r"ok half in a hole: the base is unchanged"]),
        ("off", RAW % "off", 0, []),
        ("translation", RAW % "translation", 0, [r"GUEST PASSED"]),
    ],
    "run": [
        ("gic", RAW % "gic" + " --cpus 2 --stats /tmp/stats; s=$?; sed -n '/\"kvm\"/,/}/p' /tmp/stats; (exit $s)",
         0, [r"GUEST PASSED", r'"nisv_hits": \d{3}', r'"nisv_misses": [1-9]']),
        ("stop", "for i in 1 2 3 4 5 6 7 8; do " + RAW % "spin" + " --cpus 2 > /dev/null 2>&1 & p=$!; "
         "sleep 0.$i; kill -TERM $p; wait $p || echo ended $?; done", 0, [r"(ended 143\s+(Terminated\s+)?){8}"]),
        ("reset", RAW % "reset_loop" + " & p=$!; sleep 2; kill -TERM $p; wait $p", 143,
         [r"the guest has reset itself 3 times"]),
        ("no_reboot", RAW % "reset_loop" + " --no-reboot", 0, [r"kvm backend"]),
        # Breakpoint, step, watchpoint, a step past it, an interrupt, kill.
        ("gdb", "ip link set lo up; " + RAW % "spin" + f" --gdb 1234 & p=$!; sleep 1; {GDB}; wait $p", 0,
         [r"\$0800084000000000", r"\$0c00084000000000", rf"\$T05.*watch:0*{UARTCR:x}", r"kvm backend"]),
        ("profile", RAW % "isv0" + " --profile --stats /tmp/p --stats-every 1 > /dev/null 2>&1; "
         "./trapline report /tmp/p --format csv | head -20", 0, [r"0x4008[0-9a-f]{4}"]),
        ("record", RAW % "isv0" + " --record /tmp/t > /dev/null 2>&1; ./trapline replay /tmp/t", 0, []),
        # Flash leaves array mode and comes back: the slot goes and comes. The guest types for itself.
        ("uboot", "(sleep 4; printf '\\r'; sleep 2; printf 'setenv hello world\\rsaveenv\\r'; sleep 6; "
         "printf 'reset\\r'; sleep 4; printf '\\r'; sleep 2; printf 'printenv hello\\rpoweroff\\r'; sleep 4) | "
         "./trapline run --backend kvm --memory 256M --firmware ./bin/u-boot.bin --vars /tmp/vars", 0,
         [r"hello=world", r"kvm backend"]),
    ],
    # An old kernel, by a preload: the guest runs, and what is not described is an abort.
    "old": [
        ("no_nisv", "LD_PRELOAD=/kvm/bin/no_nisv.so " + RAW % "hole", 0,
         [r"^trapline: this host's KVM has no KVM_CAP_ARM_NISV_TO_USER", r"ok ldp post-index: fault status",
          r"ok ldp: the base is unchanged", r"ok half in a hole: the base is unchanged"]),
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
        ("no_permission", "chmod 700 /dev/kvm; echo u:x:1000:1000::/:/bin/sh >> /etc/passwd; chmod 755 /kvm /kvm/bin; "
         "su u -c '" + RAW % "off" + "'; s=$?; chmod 666 /dev/kvm; (exit $s)", 1,
         [r"^trapline: --backend kvm: no permission for /dev/kvm"]),
        ("no_kvm", "mv /dev/kvm /dev/kvm.aside; " + RAW % "off" + "; s=$?; mv /dev/kvm.aside /dev/kvm; (exit $s)", 1,
         [r"^trapline: --backend kvm: this host has no /dev/kvm"]),
    ],
    "linux": [
        ("linux", LINUX % "uname -m", 0, [r"TRAPLINE-TEST PASS", r"kvm backend"]),
        ("disk", "dd if=/dev/urandom of=/tmp/disk bs=64k count=64 2> /dev/null; md5sum < /tmp/disk; "
         + LINUX % "md5sum /dev/vda" + " --disk /tmp/disk", 0,
         [r"\A([0-9a-f]{32})  -.*\1  /dev/vda", r"TRAPLINE-TEST PASS"]),
        ("linux.cpus2", LINUX % "nproc" + " --cpus 2", 0, [r"TRAPLINE-TEST PASS", r"^2\s*$"]),
    ],
}
NEEDS = {"linux": ["Image", "initrd-test.gz"], "run": ["firmware/u-boot.bin"]}


def script(cases):
    lines = ["cd /kvm"]
    for name, command, _, _ in cases:
        lines += [f"echo 'CASE {name} BEGIN'", f"{{ {command}; }} < /dev/null 2>&1",
                  f"echo \"CASE {name} STATUS $?\""]
    return "\n".join(lines) + "\n"


def prepare(tree, groups, directory, program, binaries):
    home = os.path.join(tree, "kvm")
    os.makedirs(os.path.join(home, "bin"))
    os.symlink(program, os.path.join(home, "trapline"))
    text = script([case for group in groups for case in CASES[group]])
    wanted = set(re.findall(r"bin/(\w+\.(?:bin|so))", text))
    for folder, _, names in itertools.chain.from_iterable(map(os.walk, binaries.split(":"))):
        for name in wanted.intersection(names):
            shutil.copy(os.path.join(folder, name), os.path.join(home, "bin"))
    for group in groups:
        for name in NEEDS.get(group, []):
            shutil.copy(os.path.join(directory, name), os.path.join(home, "bin"))
    with open(os.path.join(home, "run"), "w", encoding="utf-8") as file:
        file.write(text)


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
    problems += [f"no {p!r}" for p in patterns if not re.search(p, output, re.M | (re.S if p.startswith(r"\A") else 0))]
    return "; ".join(problems) and "; ".join(problems) + "\n" + output[-3000:]


def test():
    qemu, directory, program, sysroot, binaries = sys.argv[1:6]
    groups = sys.argv[6:] or list(CASES)
    guest.need_guest(directory, "Image", "initrd-test.gz")
    for path in (program, os.path.join(binaries.split(":")[0], "isv0.bin")):
        if not os.path.exists(path):
            print(f"SKIPPED: no {path}")
            sys.exit(guest.SKIPPED)
    with tempfile.TemporaryDirectory() as scratch:
        tree, initrd = os.path.join(scratch, "tree"), os.path.join(scratch, "initrd")
        os.mkdir(tree)
        native = qemu == "native"
        prepare(tree, groups, directory, os.path.abspath(program) if native else "/trapline", binaries)
        if native:
            done = subprocess.run(["sh", "./run"], cwd=os.path.join(tree, "kvm"), stdout=subprocess.PIPE,
                                  timeout=WATCHDOG_S, check=False)
            console = done.stdout.decode(errors="replace")
        else:
            lay_out(tree, program, sysroot)
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
