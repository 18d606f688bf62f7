#!/usr/bin/env python3
"""The KVM backend on a real KVM: Debian's arm64 kernel under qemu-system-aarch64, which has EL2, and in
it the arm64 program with guests of its own; or under Trapline itself, with --el2. On an arm64 host with
/dev/kvm the same commands run there, but for those of the groups choice and events.none, which change the host.

kvm_test.py QEMU|TRAPLINE|native GUEST_DIR ARM64_TRAPLINE SYSROOT FOLDER[:FOLDER] GROUP...

The folders hold the guests and what is preloaded, at any depth. The group perf needs scripts/arm64-qemu,
whose perf and libraries it takes from beside GUEST_DIR, or the host's own; events needs root. The group el2 is no CTest's: it needs a
KVM that gives guests EL2, which is Linux 7.2's under a newer QEMU than Debian 12's (bench/nested_oracle
says how to get one; QEMU is then a program that starts it).
"""
import base64
import itertools
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "disk"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "stress"))
import guest_process as guest  # noqa: E402
import shells  # noqa: E402
from arm64_program import lay_out_libraries  # noqa: E402
from code_disk import disk_image  # noqa: E402
from kvm_host import NATIVE, copy, only_failed, report, run_cases  # noqa: E402

RAW = "./trapline run --backend kvm --memory 64M --raw ./bin/%s.bin"
LINUX = ("./trapline run --backend kvm --memory 256M --kernel ./bin/Image --initrd ./bin/initrd-test.gz "
         f"--append '{guest.CMDLINE} quiet trapline.cmd=%s'")


TRACEFS = "[ -e /sys/kernel/tracing/events ] || mount -t tracefs t /sys/kernel/tracing"


def gdb_session(port, *bodies):
    """A shell's debugger: packets, each behind the reply to the one before; what comes back is on the console.
    "&": no reply is waited for."""
    lines = [f"rm -f $T/fifo; mkfifo $T/fifo; nc 127.0.0.1 {port} < $T/fifo > $T/replies & exec 4> $T/fifo; n=0",
             "ask() { printf \"$1\" >&4; n=$((n + 1)); t=0; until [ $(grep -o '#' $T/replies | wc -l) -ge $n ] || "
             "[ $t = 600 ]; do sleep 0.1; t=$((t + 1)); done; }"]
    for body in bodies:
        packet = body.rstrip("&")
        text = packet if packet == "\\003" else f"${packet}#{sum(packet.encode()) & 0xff:02x}"
        lines.append(f"printf '{text}' >&4" if body.endswith("&") else f"ask '{text}'")
    return "; ".join(lines) + "; exec 4>&-; tr '#' '\\n' < $T/replies; echo"


def until(condition, seconds=60):
    """A shell's wait for what takes its time on a slow host."""
    return f"n=0; until {condition} || [ $n = {seconds} ]; do sleep 1; n=$((n + 1)); done"


GUID = "5a3f0f5e-0f17-4f2b-9c33-2f3a3c1d9b11"
ENTRY = 0x40080000
RAM = "40000000,2000000"  # all of it that the guest uses: it has stores to its stack alone
GDB = gdb_session(1234, f"Z1,{ENTRY + 8:x},4", "c", "p20", "s", "p20", f"z1,{ENTRY + 8:x},4", f"Z2,{RAM}", "c",
                  "s", f"z2,{RAM}", "c")


def in_gdb(guest_name, port, session, options=""):
    """A guest that a debugger steers, and its last word."""
    return (f"ip link set lo up; {RAW % guest_name} {options} --gdb {port} > $T/gdb 2>&1 & p=$!; "
            + until("grep -q 'waiting for gdb' $T/gdb") + f"; {session}; wait $p; s=$?; grep backend $T/gdb; (exit $s)")


def little(value):
    return value.to_bytes(8, "little").hex()


def gdb_of_two(binary):
    """debug.S on two CPUs: both meet a breakpoint, one is stepped alone, one stores what is watched."""
    with open(binary, "rb") as file:
        work, shared, _, quit_now = struct.unpack_from("<4Q", file.read(), 8)
    session = gdb_session(
        1236, "qfThreadInfo", f"Z1,{work:x},4", *(f"vCont;c:{cpu}" for cpu in (1, 1, 1, 2, 2, 2)), "Hg1", "p20", "Hg2", "p20",
        "vCont;s:1", "Hg1", "p20", "Hg2", "p20", f"z1,{work:x},4", f"Z2,{shared:x},8", "c", f"z2,{shared:x},8",
        f"M{quit_now:x},8:{little(1)}", "c")
    at, behind = rf"\$OK\s+\w\w\+*\${little(work)}\s+\w\w\+*", rf"\$OK\s+\w\w\+*\${little(work + 4)}\s+\w\w\+*"
    return ("gdb.cpus2", in_gdb("debug", 1236, session, "--cpus 2"), 0,
            [r"\$m1,2\s", rf"\A(?s:.)*{at}{at}\$T05thread:0*1;\s+\w\w\+*{behind}{at}", rf"watch:0*{shared:x};", r"thread:0*2;",
             r"\$W00\s", r"kvm backend"])


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
        ("beyond", RAW % "beyond", 0, [r"GUEST PASSED", r"stepped 3, of those beyond reach 2"]),
        ("off", RAW % "off", 0, []),
        ("translation", RAW % "translation", 0, [r"GUEST PASSED"]),
        # Code, tables and what maps them change between two hits, and each hit is held against a fresh walk.
        ("stress", RAW % "stress" + " --append stress=150 --disk ./bin/stress.disk,ro --icache-check --stats $T/s; "
         "s=$?; sed -n '/\"icache\"/,/}/p' $T/s; (exit $s)", 0,
         [r"GUEST PASSED", r'"hits": [1-9]\d{2}', r'"mismatches": 0\b', r'"policy": "recheck"']),
    ],
    "run": [
        ("gic", RAW % "gic" + " --cpus 2 --stats $T/stats; s=$?; sed -n '/\"kvm\"/,/}/p' $T/stats; (exit $s)",
         0, [r"GUEST PASSED", r'"nisv_hits": \d{3}', r'"nisv_misses": [1-9]']),
        ("stop", "for i in 1 2 3 4 5 6 7 8; do " + RAW % "spin" + " --cpus 2 > /dev/null 2>&1 & p=$!; "
         "sleep 0.$i; kill -TERM $p; wait $p || echo ended $?; done", 0, [r"(ended 143\s+(Terminated\s+)?){8}"]),
        ("reset", RAW % "reset_loop" + " & p=$!; sleep 2; kill -TERM $p; wait $p", 143,
         [r"the guest has reset itself 3 times"]),
        ("no_reboot", RAW % "reset_loop" + " --no-reboot", 0, [r"kvm backend"]),
        # Breakpoint, step, watchpoint, a step past it, to the end; an interrupt, kill.
        ("gdb", in_gdb("isv0", 1234, GDB), 0,
         [r"\$0800084000000000", r"\$0c00084000000000", r"\$T05.*watch:0*400[0-9a-f]{5};", r"kvm backend"]),
        ("gdb.interrupt", in_gdb("spin", 1235, gdb_session(1235, "c&", "\\003", "k&")), 0, [r"\$T02"]),
        ("profile", RAW % "isv0" + " --profile --stats $T/p --stats-every 1 > /dev/null 2>&1; "
         "./trapline report $T/p --format csv | head -20; ./trapline report $T/p | head -5; grep kernel_ $T/p", 0,
         [r"0x4008[0-9a-f]{4}", r"^note: exits that came to user space, \d+ of the guest's \d{2}",
          r'"kernel_mmio_user": [1-9]', r'"kernel_other": [1-9]']),
        ("record", RAW % "isv0" + " --record $T/t > /dev/null 2>&1; ./trapline replay $T/t; s=$?; "
         "echo TRACE; base64 $T/t; echo END; (exit $s)", 0, []),
        # The guest notifies its console inside the kernel, unless that is not wanted.
        *((f"ioeventfd.{word}", f"printf 'typed{word}\\004' | " + RAW % "virtio_echo" + f" --virtio-console {option} "
           "--stats $T/s; s=$?; grep kernel_mmio_kernel $T/s; (exit $s)", 0, [f"typed{word}", pattern])
          for word, option, pattern in (("on", "", r'mmio_kernel": [1-9]'),
                                        ("off", "--ioeventfd off", r'mmio_kernel": 0\b'))),
        # Flash leaves array mode and comes back: the slot goes and comes. The guest types for itself.
        ("uboot", "(sleep 4; printf '\\r'; sleep 2; printf 'setenv hello world\\rsaveenv\\r'; sleep 6; "
         "printf 'reset\\r'; sleep 4; printf '\\r'; sleep 2; printf 'printenv hello\\rpoweroff\\r'; sleep 4) | "
         "./trapline run --backend kvm --memory 256M --firmware ./bin/u-boot.bin --vars $T/vars", 0,
         [r"hello=world", r"kvm backend"]),
    ],
    # An old kernel, by a preload: the guest runs, and what is not described is an abort.
    "old": [
        ("no_nisv", "dmesg -n 1; LD_PRELOAD=$PWD/bin/no_nisv.so " + RAW % "hole", 0,
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
        ("el2.auto", "./trapline run --memory 64M --raw ./bin/off.bin --el2 --dump-dtb $T/dtb", 0,
         [r"^trapline: --el2: on the software CPU: this host's KVM"]),
        ("no_permission", "chmod 700 /dev/kvm; echo u:x:1000:1000::/:/bin/sh >> /etc/passwd; chmod 755 . bin; "
         "su u -c '" + RAW % "off" + "'; s=$?; chmod 666 /dev/kvm; (exit $s)", 1,
         [r"^trapline: --backend kvm: no permission for /dev/kvm"]),
        ("no_kvm", "mv /dev/kvm /dev/kvm.aside; " + RAW % "off" + "; s=$?; mv /dev/kvm.aside /dev/kvm; (exit $s)", 1,
         [r"^trapline: --backend kvm: this host has no /dev/kvm"]),
    ],
    # What `record --kvm` saw is what the kernel itself counted, and nothing is left behind.
    "events.none": [
        ("events.none", "echo u:x:1000:1000::/:/bin/sh >> /etc/passwd; chmod 755 . bin; "
         "su u -c './trapline record --kvm -o $T/e; ./trapline top --kvm --once'", 1,
         [r"^trapline: record --kvm: .*tracing needs root and tracefs", r"^trapline: top --kvm: "]),
    ],
    "events": [
        ("events", f"{TRACEFS}; e=/sys/kernel/tracing/events/kvm/kvm_exit; echo hist:keys=esr_ec > $e/trigger; "
         "./trapline record --kvm -o $T/e & r=$!; " + until("[ -s $T/e ]") + "; "
         + RAW % "gic" + " --cpus 2 > /dev/null 2>&1; "
         "sleep 1; kill -INT $r; wait $r; echo recorder $?; grep Hits $e/hist; echo '!hist:keys=esr_ec' > $e/trigger; "
         "echo left: $(ls /sys/kernel/tracing/instances); ./trapline report $T/e", 0,
         [r"\A(?s:.)* (\d+) exits: \S+/e\s+recorder 0\s+Hits: \1\s+left:\s*$", r"DABT_LOW", r"gicd"]),
        ("events.pid", RAW % "spin" + " --cpus 2 > /dev/null 2>&1 & p=$!; sleep 1; ./trapline top --kvm $p --once; "
         "./trapline record --kvm --pid $p -o $T/e2 & r=$!; " + until("grep -q kvm_exit $T/e2") + "; "
         "sleep 1; kill -TERM $p; wait $p; wait $r; echo ended $?; "
         "./trapline top --kvm 99999 --once", 1,
         [r"^kvm \d+: 1 vCPU", r"^IRQ +\d{2}", r" \d{2,} exits: \S+/e2", r"^ended 0", r"--pid 99999: no such process"]),
    ],
    # The same run by `perf kvm stat`, which counts an exit at the entry behind it.
    "perf": [
        ("perf", f"{TRACEFS}; ./perf kvm stat record -a -o $T/k > $T/perf 2>&1 & p=$!; "
         "./trapline record --kvm -o $T/e & r=$!; " + until("[ -s $T/e ] && [ -s $T/k ]") + "; sleep 2; "
         + RAW % "gic" + " --cpus 2 > /dev/null 2>&1; sleep 2; kill -INT $r $p; wait $r; wait $p; "
         "./perf kvm -i $T/k stat report > $T/p 2>&1; "
         "awk '$2 ~ /^[0-9]+$/ && $3 ~ /%/ { print $1, $2 }' $T/p | sort > $T/theirs; "
         "./trapline report $T/e --format csv | "
         "awk -F, 'NR > 1 { n[$4] += $9 } END { for (c in n) print c, n[c] }' | sort > $T/ours; "
         "cat $T/theirs; diff $T/theirs $T/ours || cat $T/perf $T/p", 0,
         [r"^DABT_LOW \d{2,}\s+(\S+ \d+\s+)*SYS64 \d+\s+(\S+ \d+\s+)*\Z"]),
    ],
    # From its read-only slot to the shell, which writes a variable: flash leaves array mode and comes back.
    "edk2": [
        ("edk2", "mkfifo $T/in; ./trapline run --backend kvm --memory 256M --firmware ./bin/AAVMF_CODE.fd "
         "--vars ./bin/AAVMF_VARS.fd < $T/in > $T/out 2>&1 & p=$!; exec 3> $T/in; "
         + until("grep -q 'seconds to skip' $T/out", 400) + "; printf '\\033' >&3; " + until("grep -q 'Shell>' $T/out")
         + f"; printf 'setvar Kept -guid {GUID} -nv -bs =L\"kept\"\\r' >&3; sleep 5; "
         f"printf 'setvar Kept -guid {GUID}\\r' >&3; sleep 5; printf 'reset -s\\r' >&3; wait $p; s=$?; "
         "cat $T/out; (exit $s)", 0,
         [r"6B 00 65 00 70 00 74 00", r"kvm backend"]),
    ],
    "el2": [
        # The guests of tests/guest/el2 clear and set E2H, which this EL2 lets nobody do.
        ("el2.isv0", RAW % "isv0" + " --el2", 0, [only_failed("unaligned ldr"), r"kvm backend"]),
        ("el2.novhe", RAW % "isv0" + " --el2=novhe", 0, [only_failed("unaligned ldr"), r"kvm backend"]),
        ("el2.linux", "./trapline run --backend kvm --el2 --memory 512M --kernel ./bin/Image --initrd ./bin/initrd-test.gz "
         f"--append '{guest.CMDLINE} trapline.cmd=dmesg'", 0,
         [r"kvm \[1\]: VHE mode initialized successfully", r"TRAPLINE-TEST PASS", r"kvm backend"]),
    ],
    "linux": [
        ("linux", LINUX % "uname -m", 0, [r"TRAPLINE-TEST PASS", r"kvm backend"]),
        ("disk", "dd if=/dev/urandom of=$T/disk bs=64k count=64 2> /dev/null; md5sum < $T/disk; "
         + LINUX % "md5sum /dev/vda" + " --disk $T/disk", 0,
         [r"\A([0-9a-f]{32})  -.*\1  /dev/vda", r"TRAPLINE-TEST PASS"]),
        # By the kernel's ITS.
        ("disk.pci", "dd if=/dev/urandom of=$T/disk bs=64k count=64 2> /dev/null; md5sum < $T/disk; "
         + LINUX.replace("-test.gz", "-pci.gz") % "md5sum /dev/vda; grep MSI /proc/interrupts"
         + " --disk $T/disk,bus=pci", 0,
         [r"\A([0-9a-f]{32})  -(?s:.*)\1  /dev/vda", r"ITS-MSI.*virtio0-req", r"TRAPLINE-TEST PASS"]),
        ("linux.cpus2", LINUX % "nproc; md5sum /dev/vda" + " --cpus 2 --disk $T/disk", 0,
         [r"TRAPLINE-TEST PASS", r"^2\s*$", r"^[0-9a-f]{32}  /dev/vda"]),
    ],
}
NEEDS = {"linux": ["Image", "initrd-test.gz"], "run": ["firmware/u-boot.bin"],
         "edk2": ["firmware/AAVMF_CODE.fd", "firmware/AAVMF_VARS.fd"],
         "el2": ["sid/Image", "sid/initrd-test.gz"]}


def lay_out_perf(native, tree, home, packages):
    binary = shutil.which("perf") if native else os.path.join(packages, "usr", "bin", "perf")
    if binary is None or not os.path.exists(binary):
        print("SKIPPED: no perf: run scripts/arm64-qemu, or install it on an arm64 host")
        sys.exit(guest.SKIPPED)
    shutil.copy(binary, home)
    if not native:
        lay_out_libraries(tree, binary, packages)


def replay_here(console, program):
    """What a KVM has recorded, by a program of another architecture."""
    if not os.path.exists(program):
        print(f"not replayed here: no {program}")
        return
    found = re.search(r"^TRACE\r?$(.*?)^END\r?$", console, re.M | re.S)
    guest.require(found, "no recording on the console")
    with tempfile.NamedTemporaryFile() as trace:
        trace.write(base64.b64decode(found[1]))
        trace.flush()
        done = subprocess.run([program, "replay", trace.name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    print(done.stdout.decode(errors="replace"))
    guest.require(done.returncode == 0, f"the recording does not replay here: status {done.returncode}")


def lay_out_guests(home, groups, cases, directory, binaries):
    wanted = set(re.findall(r"bin/(\w+\.(?:bin|so))", " ".join(case[1] for case in cases)))
    for folder, _, names in itertools.chain.from_iterable(map(os.walk, binaries.split(":"))):
        copy(home, *(os.path.join(folder, name) for name in wanted.intersection(names)))
        wanted.difference_update(names)  # those deeper down are others
    needed = [name for group in groups for name in NEEDS.get(group, [])]
    guest.need_guest(directory, *needed)
    copy(home, *(os.path.join(directory, name) for name in needed))
    if "bare" in groups:
        with open(os.path.join(home, "bin", "stress.disk"), "wb") as file:
            file.write(disk_image(os.path.join(home, "bin", "stress.bin")))
    if "linux" in groups:
        shells.initrd_for_pci(os.path.join(home, "bin", "initrd-pci.gz"), directory, "initrd-test.gz")


def test():
    qemu, directory, program, sysroot, binaries = sys.argv[1:6]
    groups = sys.argv[6:]
    native = qemu == NATIVE
    isv0 = os.path.join(binaries.split(":")[0], "isv0.bin")
    if not os.path.exists(isv0) or (native and "events" in groups and os.geteuid() != 0):
        print("SKIPPED: tracing needs root" if os.path.exists(isv0) else f"SKIPPED: no {isv0}")
        sys.exit(guest.SKIPPED)
    cases = [case for group in groups for case in CASES[group]]
    if "run" in groups:
        cases.append(gdb_of_two(os.path.join(binaries.split(":")[0], "debug.bin")))

    def prepare(tree, home):
        lay_out_guests(home, groups, cases, directory, binaries)
        if "perf" in groups:
            lay_out_perf(native, tree, home, os.path.join(os.path.dirname(directory), "arm64-qemu"))

    how = {"newest": True, "append": "kvm-arm.mode=nested"} if "el2" in groups else {}
    console = run_cases(qemu, directory, program, sysroot, cases, prepare, **how)
    report(cases, console)
    if "run" in groups:
        replay_here(console, os.path.join(binaries.split(":")[0], "..", "..", "trapline"))


guest.main(test)
