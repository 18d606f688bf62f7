#!/usr/bin/env python3
"""What --record writes, `replay` does again: every register and device value, under each policy and
decoder; its hits and decodes are those of the live run; a fault in the exit path is found.

record_replay_test.py TRAPLINE FAULTY_REPLAY GUEST... [-- RUN OPTIONS]
A GUEST is a raw binary, or a folder with Debian's kernel.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

import guest_process as guest

POLICIES = ("off", "rewalk", "recheck", "protect")


def source(path):
    if not os.path.isdir(path):
        return ["--raw", path]
    guest.need_guest(path, "Image", "initrd-test.gz")
    return ["--kernel", os.path.join(path, "Image"), "--initrd",
            os.path.join(path, "initrd-test.gz"), "--append", guest.CMDLINE]


def command(arguments, *statuses):
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=600,
                          check=False)
    text = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
    if done.returncode not in (statuses or (0,)):
        raise guest.Failure(f"{' '.join(arguments)}: status {done.returncode}\n{text}")
    return text


def record(trapline, path, folder, policy, options):
    trace, stats = os.path.join(folder, policy), os.path.join(folder, policy + ".json")
    command([trapline, "run"] + source(path) + options +
            ["--icache", policy, "--record", trace, "--stats", stats])
    with open(stats, encoding="utf-8") as file:
        return trace, json.load(file)


def check_replays(trapline, path, folder, options, decoders):
    live = {}
    traces = {}
    for policy in POLICIES:
        traces[policy], live[policy] = record(trapline, path, folder, policy, options)
    exact = "icount" in options
    for recorded in POLICIES:
        for policy in POLICIES:
            for decoder in decoders:
                text = command([trapline, "replay", traces[recorded], "--icache", policy,
                                "--decoder", decoder])
                found = re.search(r"(\d+) hits, (\d+) misses, (\d+) invalidations; (\d+) words",
                                  text)
                if ": 0 differ" not in text or not found:
                    raise guest.Failure(text)
                hits, misses, _, decodes = map(int, found.groups())
                stats = live[policy if exact else recorded]
                expected = (stats["icache"]["hits"], stats["icache"]["misses"],
                            stats["decode"]["ok"])
                if (exact or policy == recorded) and (hits, misses, decodes) != expected:
                    raise guest.Failure(f"{recorded} replayed under {policy}: hits, misses, decodes "
                                        f"{(hits, misses, decodes)}, live {expected}")
                exits = int(re.search(r": (\d+) exits", text).group(1))
                if policy == recorded and exits != stats["exits"]["total"]:
                    raise guest.Failure(f"{exits} exits in the trace, {stats['exits']['total']} live")
    print(f"{os.path.basename(path)}: 4 recordings, {4 * 4 * len(decoders)} replays, 0 differences")
    return traces["protect"]


def check_faults(faulty, trace):
    """Of trace.S: the exits that each fault must change."""
    for fault, text in (("none", None), ("sign", "x2: recorded 0xffffffffffffffc0, replayed 0xc0"),
                        ("writeback", "x3: recorded"), ("stale", "x5: recorded")):
        lines = command([faulty, trace, fault]).splitlines()
        differing = int(lines[0])
        if (differing != 0) != (text is not None):
            raise guest.Failure(f"fault {fault}: {differing} exits differ")
        if text is not None and not any(text in line for line in lines[1:]):
            raise guest.Failure(f"fault {fault}: not {text!r} in {lines}")
        if text is not None and not re.match(r"\d+ 0x4008", lines[1]):
            raise guest.Failure(f"fault {fault}: no exit number: {lines[1]}")
        print(f"fault {fault}: {differing} exits differ")


def check_bad_input(trapline, trace, folder):
    with open(trace, "rb") as file:
        whole = file.read()
    bad = os.path.join(folder, "bad")

    def write(content):
        with open(bad, "wb") as out:
            out.write(content)

    # What is there is shown, and the last line says what is not.
    def broken(verb):
        lines = command([trapline, verb, bad], 1).splitlines()
        if "cut off" not in lines[-1] or not lines[-1].startswith("trapline: "):
            raise guest.Failure(f"{verb} of a truncated trace: {lines[-1]}")
        return "\n".join(lines)

    write(whole[:len(whole) // 2])
    broken("replay")
    broken("report")
    # Without the names that it ends with, block 3: those that it begins with, of registers.
    for cut in range(20, len(whole) // 2, 20):
        write(whole[:-cut])
        text = broken("report")
        if ": block 3: " in text:
            break
    if ": block 3: " not in text or "GICD_" not in text:
        raise guest.Failure(f"a truncated trace has no names: {text}")
    write(b"not a trace at all")
    line = command([trapline, "replay", bad], 1)
    if line.count("\n") != 1 or "bad" not in line:
        raise guest.Failure(line)
    damaged = bytearray(whole)
    damaged[len(damaged) * 2 // 3] ^= 1
    write(bytes(damaged))
    for verb in ("replay", "report"):
        line = command([trapline, verb, bad], 1).splitlines()[-1]
        if "checksum" not in line and "cut off" not in line and "block" not in line:
            raise guest.Failure(f"{verb} of a damaged trace: {line}")
    line = command([trapline, "replay", os.path.join(folder, "missing")], 1)
    if "missing: No such file" not in line:
        raise guest.Failure(line)
    line = command([trapline, "run", "--raw", bad, "--record", "/nowhere/trace"], 1)
    if "--record /nowhere/trace" not in line:
        raise guest.Failure(line)


def check_report(trapline, trace):
    text = command([trapline, "report", trace])
    if "DABT_LOW" not in text or "gicd" not in text or "gicd +0x0" in text:
        raise guest.Failure(text)
    # A recording's stages, and what its cache did, are its replay's.
    replayed = re.search(r"icache: (\d+) hits, (\d+) misses", command([trapline, "replay", trace]))
    shown = json.loads(command([trapline, "report", trace, "--format", "json"]))["profile"]
    if [shown["icache"]["hits"], shown["icache"]["misses"]] != [int(n) for n in replayed.groups()]:
        raise guest.Failure(f"{replayed.group()}; the report: {shown['icache']}")
    stages = {name for row in shown["rows"] if row.get("isv") == 0 for name in row["stages_ns"]}
    if not {"translate", "fetch", "lookup", "emulate"} <= stages:
        raise guest.Failure(f"stages: {stages}")
    line = command([trapline, "report", trace, "--symbols", trace + ".none"], 1)
    if "No such file" not in line:
        raise guest.Failure(line)


def main():
    trapline, faulty = sys.argv[1:3]
    rest = sys.argv[3:]
    options = rest[rest.index("--") + 1:] if "--" in rest else []
    guests = rest[:rest.index("--")] if "--" in rest else rest
    decoders = ["native"]
    if "built without" not in command([trapline, "run", "--raw", guests[0], "--decoder", "capstone",
                                       "--max-insns", "1"], 1, 124):
        decoders.append("capstone")
    for path in guests:
        with tempfile.TemporaryDirectory() as folder:
            trace = check_replays(trapline, path, folder, options, decoders)
            check_report(trapline, trace)
            if os.path.basename(path).startswith("trace"):
                check_faults(faulty, trace)
                check_bad_input(trapline, trace, folder)


if __name__ == "__main__":
    try:
        main()
    except guest.Failure as failure:
        sys.exit(f"FAILED: {failure}")
