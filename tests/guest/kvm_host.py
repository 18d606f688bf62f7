"""Commands on a real KVM: that of an arm64 host, or Debian's arm64 kernel's under qemu-system-aarch64, which
has EL2. A case is a name, a command, the status that it ends with, and regular expressions that its output
must have. Commands find ./trapline, what their test puts beside it, and a folder $T for what they write."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import guest_process as guest
from arm64_program import append_to_initrd, lay_out

WATCHDOG_S, NESTED_WATCHDOG_S = 600, 1800
NATIVE = "native"


def only_failed(*names):
    """No check of a bare-metal guest has failed but these."""
    return rf"\A(?!.*FAILED (?!{'|'.join(names)}))(?s:.)*GUEST"


def script(cases):
    """A shell's script of the cases, in its own folder."""
    lines = ['cd "$(dirname "$0")" || exit', "export T=$PWD/tmp"]
    for name, command, _, _ in cases:
        lines += [f"echo 'CASE {name} BEGIN'", f"{{ {command}; }} < /dev/null 2>&1",
                  f"echo \"CASE {name} STATUS $?\""]
    return "\n".join(lines) + "\n"


def boot(machine, directory, initrd, newest=False, append=""):
    """What the host's console says, to its power-off. `machine`: a qemu-system-aarch64, or trapline, whose guest it
    then is. `newest`: the latest kernel, on a CPU that has all that QEMU has."""
    kernel = os.path.join(directory, "sid" if newest else "", "Image")
    append = f"{guest.CMDLINE} quiet {append} trapline.cmd=sh /kvm/run"
    if os.path.basename(machine) == "trapline":
        command = [machine, "run", "--el2", "--cpus", "2", "--memory", "1536M",
                   "--kernel", kernel, "--initrd", initrd, "--append", append]
    else:
        command = [machine, "-M", "virt,virtualization=on,gic-version=3",
                   "-cpu", "max,pauth-impdef=on" if newest else "neoverse-n1", "-smp", "2", "-m", "1536M",
                   "-nodefaults", "-nographic", "-serial", "stdio", "-no-reboot",
                   "-kernel", kernel, "-initrd", initrd, "-append", append]
    status, console, errors = guest.run(command, NESTED_WATCHDOG_S if newest else WATCHDOG_S)
    console = console.decode(errors="replace")
    guest.require(status == 0 and "TRAPLINE-TEST PASS" in console,
                  f"the host ended with {status}: {errors[-500:]}\n{console[-3000:]}")
    return console


def run_cases(machine, directory, program, sysroot, cases, prepare, **how):
    """What the cases' console says. prepare(tree, home) puts into `home` what they want beside trapline, and
    into `tree`, but for a native host, what is loaded from an absolute path. `how`: boot()'s."""
    native = machine == NATIVE
    for path in [program] + ([] if native else [os.path.join(directory, "sid" if how.get("newest") else "", name)
                                                for name in ("Image", "initrd-test.gz")]):
        if not os.path.exists(path):
            print(f"SKIPPED: no {path}")
            sys.exit(guest.SKIPPED)
    if native and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("SKIPPED: no /dev/kvm, or no permission for it")
        sys.exit(guest.SKIPPED)
    with tempfile.TemporaryDirectory() as scratch:
        tree = os.path.join(scratch, "tree")
        home = os.path.join(tree, "kvm")
        os.makedirs(os.path.join(home, "bin"))
        os.mkdir(os.path.join(home, "tmp"))
        os.chmod(os.path.join(home, "tmp"), 0o777)
        os.symlink(os.path.abspath(program) if native else "/trapline", os.path.join(home, "trapline"))
        prepare(tree, home)
        run = os.path.join(home, "run")
        with open(run, "w", encoding="utf-8") as file:
            file.write(script(cases))
        if native:
            done = subprocess.run(["sh", run], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=WATCHDOG_S,
                                  check=False)
            console = done.stdout.decode(errors="replace")
        else:
            initrd = os.path.join(scratch, "initrd")
            lay_out(tree, program, sysroot)
            append_to_initrd(tree, os.path.join(directory, "sid" if how.get("newest") else "", "initrd-test.gz"), initrd)
            console = boot(machine, directory, initrd, **how)
    # KVM_TEST_CONSOLE=F keeps it.
    if "KVM_TEST_CONSOLE" in os.environ:
        with open(os.environ["KVM_TEST_CONSOLE"], "w", encoding="utf-8") as file:
            file.write(console)
    return console


def copy(home, *files):
    """Files into ./bin."""
    for file in files:
        shutil.copy(file, os.path.join(home, "bin"))


def lay_out_drop_in(qemu, tree, library):
    """`trapline wrap` finds it."""
    if qemu == NATIVE:
        os.environ["TRAPLINE_NISV_LIBRARY"] = os.path.abspath(library)
    else:
        shutil.copy(library, tree)


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


def report(cases, console):
    """Says how each case ended; all must have ended well."""
    wrong = 0
    for case in cases:
        problem = judge(case, console)
        print(f"{'FAILED' if problem else 'ok'} {case[0]}{': ' + problem if problem else ''}")
        wrong += bool(problem)
    guest.require(wrong == 0, f"{wrong} cases")
