"""Commands on a real KVM: Debian's arm64 kernel under qemu-system-aarch64, which has EL2. A case is a
name, a command, the status that it ends with, and regular expressions that its output must have."""
import os
import re

import guest_process as guest

WATCHDOG_S, NESTED_WATCHDOG_S = 600, 1800


def only_failed(*names):
    """No check of a bare-metal guest has failed but these."""
    return rf"\A(?!.*FAILED (?!{'|'.join(names)}))(?s:.)*GUEST"


def script(cases):
    """A shell's script of the cases, in /kvm."""
    lines = ["cd /kvm"]
    for name, command, _, _ in cases:
        lines += [f"echo 'CASE {name} BEGIN'", f"{{ {command}; }} < /dev/null 2>&1",
                  f"echo \"CASE {name} STATUS $?\""]
    return "\n".join(lines) + "\n"


def boot(machine, directory, initrd, nested=False):
    """What the host's console says, to its power-off. `machine`: a qemu-system-aarch64, or trapline, whose
    guest it then is. `nested`: its KVM gives guests EL2."""
    kernel, append = os.path.join(directory, "Image"), (
        f"{guest.CMDLINE} quiet {'kvm-arm.mode=nested ' if nested else ''}trapline.cmd=sh /kvm/run")
    if os.path.basename(machine) == "trapline":
        command = [machine, "run", "--el2", "--cpus", "2", "--memory", "1536M",
                   "--kernel", kernel, "--initrd", initrd, "--append", append]
    else:
        command = [machine, "-M", "virt,virtualization=on,gic-version=3",
                   "-cpu", "max,pauth-impdef=on" if nested else "neoverse-n1", "-smp", "2", "-m", "1536M",
                   "-nodefaults", "-nographic", "-serial", "stdio", "-no-reboot",
                   "-kernel", kernel, "-initrd", initrd, "-append", append]
    status, console, errors = guest.run(command, NESTED_WATCHDOG_S if nested else WATCHDOG_S)
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


def report(cases, console):
    """Says how each case ended; all must have ended well. KVM_TEST_CONSOLE=F keeps the console."""
    if "KVM_TEST_CONSOLE" in os.environ:
        with open(os.environ["KVM_TEST_CONSOLE"], "w", encoding="utf-8") as file:
            file.write(console)
    wrong = 0
    for case in cases:
        problem = judge(case, console)
        print(f"{'FAILED' if problem else 'ok'} {case[0]}{': ' + problem if problem else ''}")
        wrong += bool(problem)
    guest.require(wrong == 0, f"{wrong} cases")
