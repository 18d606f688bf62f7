#!/usr/bin/env python3
"""Runs a bare-metal guest on Trapline and on QEMU: both must print the same lines.

compare_test.py TRAPLINE QEMU MACHINE CPU CORRECTIONS BINARY [TRAPLINE OPTIONS]
TRAPLINE may be `-`: then QEMU's text, corrected, is only printed. MACHINE and CPU are QEMU's; of the
options --cpus N is for both.

CORRECTIONS, a file qemu_is_wrong.txt beside the guest, lists where QEMU 7.2 departs from the manual:
    GUEST: SECTION      as the guest prints it
    # paragraph of the manual
    -line of QEMU
    +right lines        none, or several
What is wrong in many lines is a rule of corrected() here.
"""
import difflib
import os
import re
import sys

import guest_process as guest


def corrections(path, name):
    """{section: {wrong line: [right lines]}}"""
    result, lines = {}, None
    with open(path, encoding="utf-8") as file:
        for line in file.read().split("\n"):
            if line.startswith("-"):
                right = lines[line[1:]] = []
            elif line.startswith("+"):
                right.append(line[1:])
            elif line and not line.startswith("#"):
                of, _, section = line.partition(": ")
                lines = result.setdefault(section, {}) if of == name else {}
    return result


def without_isv(found):
    return f"esr {int(found[1], 16) & ~0x1ffc000:#x}"


def corrected(lines, wrong):
    result, section = [], {}
    for line in lines:
        if line.startswith("== "):
            section = wrong.get(line[3:], {})
        # ISS encoding of a Data Abort: ISV is 0 for all faults but those of stage 2, which are never
        # taken from EL2, nor from EL0 with E2H and TGE.
        line = re.sub(r"esr (0x97.{6})\b", without_isv, line)
        if "TGE" in line:
            line = re.sub(r"esr (0x93.{6})\b", without_isv, line)
        result += section.get(line, [line])
    return result


def qemu(program, machine, cpu, cpus, binary):
    command = [program, "-M", machine, "-cpu", cpu, "-m", "512"]
    command += ["-smp", cpus]
    # No network card: its option ROM is in a package (ipxe-qemu) that nothing here needs.
    command += ["-nic", "none", "-display", "none", "-serial", "stdio", "-monitor", "none"]
    status, output, errors = guest.run(command + ["-kernel", binary], 60)
    guest.require(status == 0, f"QEMU: status {status}\n{errors}")
    return output.decode(errors="replace").replace("\r", "").split("\n")


def test():
    trapline, program, machine, cpu, departures, binary, *options = sys.argv[1:]
    name = os.path.basename(binary).removesuffix(".bin").removeprefix("el2_")
    cpus = options[options.index("--cpus") + 1] if "--cpus" in options else "1"
    expected = corrected(qemu(program, machine, cpu, cpus, binary), corrections(departures, name))
    if trapline == "-":
        print("\n".join(expected))
        return
    command = [trapline, "run", "--raw", binary, *options]
    status, output, errors = guest.run(command, 60)
    actual = output.decode(errors="replace").replace("\r", "").split("\n")
    print("\n".join(difflib.unified_diff(expected, actual, "QEMU", "Trapline", n=0, lineterm="")))
    print(errors)
    guest.require(status == 0, f"status {status}")
    guest.require("GUEST ENDED" in actual, "the guest did not come to its end")
    guest.require(not any("FAILED" in line for line in actual), "an unexpected exception")
    guest.require(actual == expected, "not what QEMU prints")
    print(f"{len(actual)} lines are the same")


guest.main(test)
