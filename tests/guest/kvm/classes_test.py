#!/usr/bin/env python3
"""Each class of load and store (classes.h), at each place and under each translation, on a KVM: by the
backend, by the drop-in under the small VMM of ../nisv, and by the C library's example. What comes out in
registers and memory is held, line by line, against the same guest on the software CPU; and what a device
that keeps its bytes gave, against plain memory, which is the host's processor's own doing.

classes_test.py QEMU|native GUEST_DIR ARM64_TRAPLINE SYSROOT HOST_BUILD FOLDER:LIBRARY:NO_NISV
                [--newest ROOT] [--write]

HOST_BUILD has the software CPU's trapline and the guest; FOLDER the small VMM and the example. --write
makes docs/kvm-classes.md's table anew; without it the table must be what came out, but for a native host.
--newest, by hand: the classes that QEMU's CPU has not (the table's `absent`), on that of the QEMU in ROOT
(bench/nested_oracle says how to get one) under the latest kernel (scripts/fetch-hypervisors).
"""
import argparse
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "bench"))
import guest_process as guest  # noqa: E402
from arm64_program import LIBRARIES, lay_out_libraries  # noqa: E402
from arm64_program import library as find_library  # noqa: E402
from kvm_host import NATIVE, copy, lay_out_drop_in, run_cases  # noqa: E402
from programs import newest_qemu  # noqa: E402

PAGE = os.path.join(HERE, "..", "..", "..", "docs", "kvm-classes.md")
EXPLAINED = os.path.join(HERE, "classes_explained.txt")
BEGIN, END = "<!-- classes_test.py --write -->\n", "<!-- end -->\n"
BEGIN_NEWEST = "<!-- classes_test.py --newest --write -->\n"
CARD = "--net user,model=e1000"
WRAP = "./trapline wrap --"
# How a VMM is called here -> its command.
VMMS = {
    "backend": f"./trapline run --backend kvm --memory 64M --raw ./bin/classes.bin {CARD} --stats $T/backend",
    "drop-in": f"TRAPLINE_NISV_STATS=$T/drop-in {WRAP} ./bin/plain_vmm ./bin/classes.bin",
    "example": "./bin/kvm_vmm ./bin/classes_at_0.bin",
}
# Hits of the cache and their ioctls, misses and theirs: as statistics have them, and as the example says.
COSTS = (("nisv_hits\":", "nisv_hit_ioctls\":", "nisv_misses\":", "nisv_miss_ioctls\":"),
         ("^hits", "^hits \\d+, register calls", "misses", "misses \\d+, register calls"))
PLACES = ("device", "gicd", "unmapped")


def lines_of(text, who):
    """(class, place) -> {translations: outcome}, and the classes that the CPU has not."""
    # Its own verdict counts not here: KVM's sign makes it fail.
    guest.require(re.search(r"^ok a device\r?$(?s:.*)^GUEST ", text, re.M), f"{who}: the guest did not end:\n{text[-2000:]}")
    outcomes, absent = {}, set()
    for line in text.replace("\r", "").split("\n"):
        parts = [part.strip() for part in line.split(" | ")] if " | " in line else []
        if len(parts) == 2 and parts[1] == "absent":
            absent.add(parts[0])
        elif len(parts) >= 3:
            name, place = parts[:2]
            translations, _, outcome = line.split(" | ", 2)[2].partition("|")
            outcome = outcome.strip()
            if outcome == "=":  # as on memory
                outcome = outcomes[name, "memory"]["all"]
            outcomes.setdefault((name, place), {})[translations.strip()] = outcome
    return outcomes, absent


def rules():
    """Differences that are right: VMM, place and class as regular expressions, what of an outcome does not
    count for them (a regular expression, and what stands for it), and a note for the table."""
    found = []
    with open(EXPLAINED, encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                found.append([part.strip() for part in line.split(" ; ")])
    return found


def explanation(given, vmm, name, place, outcome, wanted):
    """The note of the first rule by which the two are the same, or None."""
    for rule in given:
        who, where, which, pattern, instead, note = rule[:6]
        if not (re.fullmatch(who, vmm) and re.fullmatch(where, place) and re.fullmatch(which, name)):
            continue
        if re.sub(pattern, instead, outcome) == re.sub(pattern, instead, wanted):
            rule.append("used")
            return note
    return None


def compare(given, vmm, outcomes, reference):
    """(class, place) -> the notes of its differences (none: it is the same); and what is unexplained."""
    notes, problems = {}, []
    for (name, place), got in outcomes.items():
        wanted = reference.get((name, place))
        if wanted is None:
            continue
        notes[name, place] = set()
        for key in sorted(set(got) | set(wanted)):
            one, other = got.get(key, "not seen"), wanted.get(key, "not seen")
            if one == other:
                continue
            note = explanation(given, vmm, name, place, one, other) if key in got and key in wanted else None
            if note is None:
                problems.append(f"{vmm}: {name} | {place} | {key} | {one}\n  not: {other}")
            else:
                notes[name, place].add(note)
    return notes, problems


def reference_for(vmm, software, own):
    """What should come out. The device of Trapline's machine is an e1000, whose registers take whole words;
    those of the others keep bytes, as memory does. What the software CPU has not is memory's, too."""
    def as_device(found):
        return {(name, "device"): found[name, place] for name, place in found if place == "memory"}
    if vmm == "backend":
        return {**as_device(own), **software}
    return {**as_device(own), **software, **as_device(software)}


def run_software(build):
    status, output, errors = guest.run(
        [os.path.join(build, "trapline"), "run", "--backend", "soft", "--raw",
         os.path.join(build, "tests/guest/kvm/classes.bin")] + CARD.split(), 120)
    guest.require(status == 0, f"the software CPU: {status}: {errors[-1000:]}")
    return output.decode(errors="replace")


def run_on_kvm(qemu, directory, program, sysroot, build, built, newest):
    folder, library, _ = built.split(":")
    image = os.path.join(build, "tests/guest/kvm/classes.bin")

    def prepare(tree, home):
        lay_out_drop_in(qemu, tree, library)
        copy(home, image, os.path.join(folder, "plain_vmm"), os.path.join(folder, "kvm_vmm"))
        with open(image, "rb") as file, open(os.path.join(home, "bin", "classes_at_0.bin"), "wb") as out:
            # The example enters its image at its first byte: a branch to where the guest is.
            out.write(struct.pack("<I", 0x14000000 | 0x80000 >> 2).ljust(0x80000, b"\0") + file.read())
        if qemu != NATIVE:
            slirp = find_library(sysroot, "libslirp.so.0")  # by dlopen
            os.makedirs(os.path.join(tree, LIBRARIES), exist_ok=True)
            shutil.copy(slirp, os.path.join(tree, LIBRARIES))
            for file in (slirp, os.path.join(folder, "kvm_vmm")):
                lay_out_libraries(tree, file, sysroot)

    cases = [(name, f"{command} 2> $T/errors; s=$?; head -c 2000 $T/errors | tail -3; grep -s '_ioctls\\|nisv_[hm]i' $T/{name}; "
              "(exit $s)",
              0, []) for name, command in VMMS.items()]
    return run_cases(qemu, directory, program, sysroot, cases, prepare, newest=newest)


def cell(notes, name, place, who, absent):
    if name in absent[who]:
        return "absent"
    if (name, place) not in notes[who]:
        return "-"
    return ", ".join(sorted(notes[who][name, place])) or "ok"


def table(names, notes, absent):
    """Markdown: a class a row, a VMM and place a column."""
    columns = [(who, place) for who in ("backend", "drop-in", "example") for place in PLACES]
    text = "| class | " + " | ".join(f"{who}: {place}" for who, place in columns) + " |\n"
    text += "|---" * (len(columns) + 1) + "|\n"
    for name in names:
        text += f"| `{name}` | " + " | ".join(cell(notes, name, place, who, absent) for who, place in columns) + " |\n"
    return text


def in_page(begin, wanted=None):
    """The page's table; `wanted` is written in its place."""
    with open(PAGE, encoding="utf-8") as file:
        before, _, rest = file.read().partition(begin)
    now, _, after = rest.partition(END)
    if wanted is not None:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(before + begin + wanted + END + after)
    return now


def newer_qemu(root, folder):
    """A program that starts it."""
    command = subprocess.list2cmdline(newest_qemu(root))
    path = os.path.join(folder, "qemu")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nexec {command} "$@"\n')
    os.chmod(path, 0o755)
    return path


def test():
    parser = argparse.ArgumentParser()
    for name in ("qemu", "directory", "program", "sysroot", "build", "built", "--newest"):
        parser.add_argument(name)
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    for path in (os.path.join(a.build, "trapline"), os.path.join(a.build, "tests/guest/kvm/classes.bin")):
        if not os.path.exists(path):
            print(f"SKIPPED: no {path}")
            sys.exit(guest.SKIPPED)
    with tempfile.TemporaryDirectory() as scratch:
        qemu = newer_qemu(a.newest, scratch) if a.newest else a.qemu
        console = run_on_kvm(qemu, a.directory, a.program, a.sysroot, a.build, a.built, bool(a.newest))
    software, absent_there = lines_of(run_software(a.build), "the software CPU")
    given, problems = rules(), []
    notes, absent = {}, {}
    for vmm in VMMS:
        found = re.search(rf"CASE {vmm} BEGIN\r?\n(.*)CASE {vmm} STATUS (\d+)", console, re.S)
        guest.require(found, f"{vmm} did not end:\n{console[-3000:]}")
        guest.require(found.group(2) == "0", f"{vmm} ended with {found.group(2)}:\n{found.group(1)[-3000:]}")
        outcomes, absent[vmm] = lines_of(found.group(1), vmm)
        notes[vmm], wrong = compare(given, vmm, outcomes, reference_for(vmm, software, outcomes))
        problems += wrong
        print(f"{vmm}: {len(notes[vmm])} classes and places, {sum(not n for n in notes[vmm].values())} the same, "
              f"{len(absent[vmm])} classes absent")
        costs = [[re.search(rf"{word} (\d+)", found.group(1), re.M) for word in words] for words in COSTS]
        cost = next(filter(all, costs), None)
        guest.require(cost, f"{vmm} does not say what its exits cost:\n{found.group(1)[-500:]}")
        hits, hit_ioctls, misses, miss_ioctls = (int(match[1]) for match in cost)
        print(f"  {hits} hits with {hit_ioctls / hits:.1f} ioctls each, {misses} misses with {miss_ioctls / misses:.1f}")
    of_the_page = not a.newest and qemu != NATIVE
    if of_the_page:
        problems += [f"not needed: {' ; '.join(rule)}" for rule in given if rule[-1] != "used"]
    for problem in problems[:200]:
        print(problem)
    guest.require(not problems, f"{len(problems)} differences")
    names = list(dict.fromkeys([name for name, _ in software] + sorted(absent_there)))
    begin = BEGIN_NEWEST if a.newest else BEGIN
    if a.newest:
        names = re.findall(r"^\| `(.*?)` \| absent ", in_page(BEGIN), re.M)
    wanted = table(names, notes, absent)
    if a.write:
        in_page(begin, wanted)
    elif of_the_page:
        guest.require(in_page(begin) == wanted, "docs/kvm-classes.md has another table: --write")
    elif a.newest:
        print(wanted)


guest.main(test)
