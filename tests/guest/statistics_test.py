#!/usr/bin/env python3
"""Compares docs/statistics.md with what --stats writes, field by field and both ways.

statistics_test.py TRAPLINE GUEST.bin EL2-GUEST.bin docs/statistics.md

A field that the page does not have fails, and so does one of the page that no run writes, unless the
page says `sometimes`.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import guest_process as guest

DISTRIBUTION = "A distribution, which is"
SAMPLED = "A sampled one has besides"


class Field:
    def __init__(self, path, unit, when):
        self.path, self.unit = path, unit
        self.optional = when.startswith("*sometimes*")
        self.profile = path.startswith("profile.") or when == "`--profile`"
        self.ledger = when == "`--nested-ledger`"
        # <name> is any key, dots and all.
        pattern = "".join(r"[^\0]+" if part.startswith("<") else re.escape(part).replace(r"\.", "\0")
                          for part in re.split(r"(<[a-z]+>)", path))
        self.pattern = re.compile(pattern)


def read_page(path):
    """The fields of the page, those of a distribution expanded; and the lists of names."""
    fields, parts, names = [], {DISTRIBUTION: [], SAMPLED: []}, {}
    target, heading = fields, False
    with open(path, encoding="utf-8") as page:
        text = page.read()
    for line in re.sub(r"\n  ", " ", text).split("\n"):
        if line.startswith("## "):
            target = fields
        for start, part in parts.items():
            if line.startswith(start):
                target = part
        if found := re.match(r"- `(<[a-z]+>)`: (.*)", line):
            names[found[1]] = set(re.findall(r"`([^`]+)`", found[2].split("The last two")[0]))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        heading = line.startswith("| field") or (heading and line.startswith("|"))
        if not heading or not cells[0].startswith("`"):
            continue
        guest.require(len(cells) == 4, f"{path}: no four cells: {line}")
        target += [Field(name, cells[1], cells[2]) for name in re.findall(r"`([^`]+)`", cells[0])]
    whole = []
    for field in fields:
        inside = parts[DISTRIBUTION] if field.unit.startswith("ns") else []
        if field.unit == "ns, sampled":
            inside = inside + parts[SAMPLED]
        object_of_times = bool(inside) and (
            field.unit == "ns, sampled" or re.search(r"time_ns$|<stage>$|<latency>$", field.path)
            and not field.path.startswith(("profile.stacks", "profile.rows[].stages_ns")))
        if not object_of_times:
            whole.append(field)
        for part in inside if object_of_times else []:
            child = Field(f"{field.path}.{part.path}", part.unit, "")
            child.optional = field.optional or part.optional
            whole.append(child)
    return whole, names


def walk(value, path, out):
    if isinstance(value, dict):
        for key, inner in value.items():
            walk(inner, path + "\0" + key if path else key, out)
    elif isinstance(value, list):
        for inner in value:
            walk(inner, path + "[]", out)
    else:
        out.setdefault(path, value)


def statistics(trapline, binary, options):
    with tempfile.TemporaryDirectory() as scratch:
        file = os.path.join(scratch, "stats.json")
        status, output, errors = guest.run(
            [trapline, "run", "--raw", binary, "--stats", file] + options, 240)
        guest.require(status == 0, f"status {status}:\n{output.decode(errors='replace')}\n{errors}")
        return guest.load_stats(file)


def compare(fields, stats, what, profiled):
    written = {}
    walk(stats, "", written)
    met = set()
    for path, value in written.items():
        matching = [f for f in fields if f.pattern.fullmatch(path)]
        readable = path.replace("\0", ".")
        guest.require(matching, f"{what}: {readable} is not in the page")
        met.update(id(f) for f in matching)
        unit = matching[0].unit
        if unit == "count":
            guest.require(isinstance(value, int), f"{what}: {readable} is a count, and {value!r}")
        if unit in ("ns", "seconds"):
            guest.require(isinstance(value, (int, float)), f"{what}: {readable} is {value!r}")
            guest.require("ns" in readable or "latencies" in readable or unit == "seconds",
                          f"{readable} does not have its unit in its name")
    for field in fields:
        if field.ledger:
            guest.require(id(field) not in met, f"{what}: {field.path} is there without --nested-ledger")
        elif field.profile and not profiled:
            guest.require(id(field) not in met, f"{what}: {field.path} is there without --profile")
        elif not field.optional:
            guest.require(id(field) in met, f"{what}: {field.path} is in the page, not in the JSON")
    return len(written)


def compare_ledger(fields, stats):
    """The part of --nested-ledger alone."""
    written = {}
    walk({"nested_ledger": stats["nested_ledger"]}, "", written)
    paths = [f for f in fields if f.ledger]
    for path in written:
        guest.require(any(f.pattern.fullmatch(path) for f in paths), f"{path} is not in the page")
    for field in paths:
        guest.require(any(field.pattern.fullmatch(path) for path in written),
                      f"{field.path} is in the page, not in the JSON")


def test():
    trapline, binary, el2_binary, page = sys.argv[1:5]
    fields, names = read_page(page)
    guest.require(len(fields) > 120, f"only {len(fields)} fields were found in the page")
    always = ["--stats-every", "1", "--net", "user", "--rng=bus=pci", "--isv", "never"]
    always += ["--input", "--balloon=bus=pci", "--audio", "none"]
    has_qemu_nbd = shutil.which("qemu-nbd") is not None
    has_passt = shutil.which("passt") is not None
    if has_passt:
        always += ["--net", "passt"]
    with tempfile.TemporaryDirectory() as scratch:
        if has_qemu_nbd:
            disk = os.path.join(scratch, "disk")
            subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", disk, "1M"], check=True)
            always += ["--disk", f"{disk},format=vmdk"]
        check(trapline, binary, el2_binary, fields, names, always, has_passt, has_qemu_nbd)


def check(trapline, binary, el2_binary, fields, names, always, has_passt, has_qemu_nbd):
    plain = statistics(trapline, binary, always)
    profiled = statistics(trapline, binary, always + ["--profile", "--profile-stacks", "5"])
    counts = [compare(fields, plain, "--stats", False), compare(fields, profiled, "--profile", True)]
    guest.require(set(plain["latency_ns"]) == names["<class>"],
                  f"classes: {sorted(plain['latency_ns'])}, the page has {sorted(names['<class>'])}")
    for name, times in plain["latency_ns"].items():
        guest.require(set(times["stages"]) == names["<stage>"], f"{name}: {list(times['stages'])}")
    rows = profiled["profile"]["rows"]
    guest.require(sum(row["count"] for row in rows) == profiled["exits"]["total"], "rows' sum")
    guest.require(profiled["profile"]["stacks"], "no stacks")
    for row in rows:
        guest.require(set(row["stages_ns"]) <= names["<stage>"], f"{list(row['stages_ns'])}")
    compare_ledger(fields, statistics(trapline, el2_binary, ["--el2", "--nested-ledger", "both"]))
    # Those of the KVM backend and of the drop-in need a KVM: kvm/kvm_test.py, nisv/nisv_test.py.
    missing = [f.path for f in fields if f.optional and not f.profile and not f.ledger
               and not f.path.startswith(("kvm.", "nisv."))
               and (has_passt or not f.path.endswith(".frames_lost"))
               and (has_qemu_nbd or ".nbd_" not in f.path)
               and not any(f.pattern.fullmatch(p) for p in flat(plain))]
    guest.require(not missing, f"not tried: {missing}")
    print(f"{len(fields)} fields in the page; {counts[0]} values without and {counts[1]} with "
          "--profile")


def flat(stats):
    out = {}
    walk(stats, "", out)
    return out


guest.main(test)
