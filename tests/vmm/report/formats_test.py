#!/usr/bin/env python3
"""Each format of `trapline report`, opened by a reader of that format, against the profile it is of.

formats_test.py TRAPLINE PERFETTO_SAMPLE

PERFETTO_SAMPLE prints a trace of single exits, which no JSON holds. pprof and Perfetto are
decoded by protoc with the public schema, pprof also by `go tool pprof`; where a reader is not installed it is
passed over, and the test says so.
"""
import csv
import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

TRAPLINE = sys.argv[1]
HERE = os.path.dirname(os.path.abspath(__file__))


def require(condition, message):
    if not condition:
        sys.exit(message)


def report(*arguments, status=0):
    done = subprocess.run([TRAPLINE, "report", *arguments], capture_output=True, timeout=60, check=False)
    require(done.returncode == status, f"{arguments}: status {done.returncode}\n{done.stderr.decode()}")
    if status:
        lines = done.stderr.decode().splitlines()
        require(len(lines) == 1 and lines[0].startswith("trapline: "), f"{arguments}: {lines}")
        return lines[0]
    require(not done.stderr, f"{arguments}: {done.stderr.decode()}")
    return done.stdout


def make(folder, name, *options):
    path = os.path.join(folder, name)
    subprocess.run([sys.executable, "-B", os.path.join(HERE, "make_profile.py"), *options, path], check=True)
    return path


def decode(message, schema, data):
    """protoc's text as [(name, [...] or text)]; fields that the schema does not know are refused."""
    folder = os.path.join(HERE, "schema")
    done = subprocess.run(["protoc", f"--decode={message}", f"-I{folder}", schema], input=data,
                          capture_output=True, check=False)
    require(done.returncode == 0, f"protoc: {done.stderr.decode()}")
    root = []
    stack = [root]
    for line in done.stdout.decode().splitlines():
        line = line.strip()
        if line == "}":
            stack.pop()
        elif line.endswith("{"):
            name = line[:-1].strip()
            require(not name.isdigit(), f"{message}: a field {name} that the schema does not know")
            stack[-1].append((name, []))
            stack.append(stack[-1][-1][1])
        else:
            name, _, value = line.partition(": ")
            require(not name.isdigit(), f"{message}: a field {name} that the schema does not know")
            stack[-1].append((name, value))
    return root


def fields(message, name):
    return [value for key, value in message if key == name]


def field(message, name, default="0"):
    return (fields(message, name) or [default])[0]


def test_text(a, b, profile):
    text = report(a).decode()
    total = sum(row["count"] for row in profile["rows"])
    require(f"{total:,} exits in 1.62 s" in text, text[:300])
    require("VM-EXIT    Samples Samples%    Time%  Min Time  Max Time  Avg time" in text, "perf kvm stat's names")
    both = report(a, b).decode()
    require("registers, by change of cost" in both and "instructions, by change" in both, both)
    require(report(a, "--format", "text") == text.encode(), "the default is text")


def test_csv(a, b, profile):
    rows = list(csv.DictReader(io.StringIO(report(a, "--format", "csv").decode(), newline="")))
    require(len(rows) == len(profile["rows"]), "csv: rows")
    for row, source in zip(rows, profile["rows"]):
        require(int(row["count"]) == source["count"] and row["register"] == source["register"], f"csv: {row}")
        require(row["text"] == source.get("text", ""), f"csv: {row}")
        require(abs(float(row["p50_ns"]) - source["time_ns"]["p50"]) <= 1 + 0.04 * source["time_ns"]["p50"],
                f"csv: p50 {row} {source['time_ns']['p50']}")
    both = list(csv.DictReader(io.StringIO(report(a, b, "--format", "csv").decode(), newline="")))
    require({row["file"] for row in both} == {a, b}, "csv: both files")


def test_folded(a, b, profile):
    lines = report(a, "--format", "folded").decode().splitlines()
    total = 0
    for line in lines:
        match = re.fullmatch(r"[^;\n]+(?:;[^;\n]+)* (\d+)", line)
        require(match, f"folded: {line!r}")
        total += int(match.group(1))
    require(total == sum(stack["count"] for stack in profile["stacks"]), "folded: the sum")
    for line in report(a, b, "--format", "folded").decode().splitlines():
        require(re.fullmatch(r"[^;\n]+(?:;[^;\n]+)* \d+ \d+", line), f"folded, of two: {line!r}")


def test_json(a, folder, profile):
    again = os.path.join(folder, "again.json")
    report(a, "-o", again)
    with open(again, encoding="utf-8") as file:
        part = json.load(file)["profile"]
    require([r["count"] for r in part["rows"]] == [r["count"] for r in profile["rows"]], "json: counts")
    require(part["timeline"]["series"] == profile["timeline"]["series"], "json: timeline")
    text = report(a).decode().split("\n", 1)[1]
    require(report(again).decode().split("\n", 1)[1] == text, "json: the text of what was read again")
    refused = report(a, a, "--format", "json", status=1)
    require("one input" in refused, refused)


def test_pprof(path, counts, total, names):
    compressed = report(path, "--format", "pprof")
    message = decode("perftools.profiles.Profile", "profile.proto", gzip.decompress(compressed))
    strings = [json.loads(text) for text in fields(message, "string_table")]
    require(strings[0] == "", "pprof: the first string must be empty")
    types = [(strings[int(field(t, "type"))], strings[int(field(t, "unit"))]) for t in fields(message, "sample_type")]
    require(types == [("exits", "count"), ("time", "nanoseconds")], f"pprof: {types}")
    functions = {field(f, "id"): strings[int(field(f, "name"))] for f in fields(message, "function")}
    mappings = {field(m, "id") for m in fields(message, "mapping")}
    locations = {}
    for location in fields(message, "location"):
        require(field(location, "mapping_id") in mappings, "pprof: a mapping that is none")
        locations[field(location, "id")] = functions[field(field(location, "line"), "function_id")]
    samples = fields(message, "sample")
    require(len(samples) == counts, f"pprof: {len(samples)} samples")
    exits, innermost = 0, set()
    for sample in samples:
        where = [locations[i] for i in fields(sample, "location_id")]
        innermost.add(where[0])
        values = [int(v) for v in fields(sample, "value")]
        require(len(values) == 2 and values[1] >= 0, "pprof: values")
        exits += values[0]
        labels = {strings[int(field(l, "key"))]: strings[int(field(l, "str"))] for l in fields(sample, "label")}
        require("class" in labels, f"pprof: labels {labels}")
    require(exits == total, f"pprof: {exits} exits of {total}")
    require(names <= innermost, f"pprof: missing {names - innermost}")
    test_pprof_tool(compressed, names)


def test_pprof_tool(compressed, names):
    """The format's own program."""
    if shutil.which("go") is None:
        print("passed over: go tool pprof (golang-go is not installed)")
        return
    with tempfile.NamedTemporaryFile(suffix=".pb.gz") as file:
        file.write(compressed)
        file.flush()
        done = subprocess.run(["go", "tool", "pprof", "-top", "-nodecount=1000", file.name], capture_output=True, check=False)
    text = done.stdout.decode(errors="replace")
    require(done.returncode == 0 and "flat%" in text, f"go tool pprof: {done.stderr.decode(errors='replace')}")
    for name in names:
        require(name in text, f"go tool pprof: no {name} in {text[:500]}")


def packets_of(data):
    packets = fields(decode("perfetto.protos.Trace", "trace.proto", data), "packet")
    require(field(packets[0], "sequence_flags") == "1", "perfetto: the state is cleared first")
    tracks = {}
    for packet in packets:
        for track in fields(packet, "track_descriptor"):
            tracks[field(track, "uuid")] = track
    return packets, tracks


def test_perfetto_counters(a, b, profile):
    packets, tracks = packets_of(report(a, b, "--format", "perfetto"))
    processes = [json.loads(field(field(t, "process"), "process_name")) for t in tracks.values() if fields(t, "process")]
    require(processes == [a, b], f"perfetto: {processes}")
    counters = [t for t in tracks.values() if fields(t, "counter")]
    require(len(counters) == 2 * len(profile["timeline"]["series"]), "perfetto: a counter a series")
    for packet in packets:
        for event in fields(packet, "track_event"):
            require(field(event, "track_uuid") in tracks and field(event, "type") == "TYPE_COUNTER", f"{event}")


def test_perfetto_events(program):
    packets, tracks = packets_of(subprocess.run([program], capture_output=True, check=True).stdout)
    names, open_slices, slices = {}, {}, 0
    for packet in packets:
        for data in fields(packet, "interned_data"):
            for name in fields(data, "event_names"):
                names[field(name, "iid")] = field(name, "name")
        for event in fields(packet, "track_event"):
            track = field(event, "track_uuid")
            require(fields(tracks[track], "thread"), "perfetto: a slice on no vCPU")
            if field(event, "type") == "TYPE_SLICE_BEGIN":
                require(names[field(event, "name_iid")] == '"DABT_LOW pl011 UARTFR"', f"perfetto: {names}")
                notes = {field(n, "name") for n in fields(event, "debug_annotations")}
                require({'"pc"', '"symbol"', '"instruction"'} <= notes, f"perfetto: {notes}")
                open_slices[track] = int(field(packet, "timestamp"))
                slices += 1
            else:
                require(int(field(packet, "timestamp")) >= open_slices.pop(track), "perfetto: ends before it begins")
    require(slices == 100 and not open_slices, f"perfetto: {slices} slices")


def test_selection(a, profile):
    rows = list(csv.DictReader(io.StringIO(report(a, "--format", "csv", "--vcpu", "1", "--filter", "uart").decode())))
    wanted = sum(r["count"] for r in profile["rows"] if r["vcpu"] == 1 and "UART" in r["register"])
    require(sum(int(r["count"]) for r in rows) == wanted, "selection")
    for option in (("--from", "1s"), ("--to", "20ms"), ("--min-ns", "100")):
        require("has sums only" in report(a, *option, status=1), option)


def test_refusals(a, folder):
    def write(name, text):
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(text)
        return path
    with open(a, "rb") as file:
        whole = file.read()
    document = json.loads(whole)
    document["schema"] = 99
    rows = (
        ((write("cut.json", whole[:len(whole) // 2]),), "not JSON, or cut off: line"),
        ((write("text.json", b"{]"),), "not JSON, or cut off: line 1, column 2"),
        ((write("other.json", b'{"name": "package"}'),), "no statistics of Trapline's"),
        ((write("unprofiled.json", b'{"schema": 2, "exits": {}}'),), "made without --profile"),
        ((write("future.json", json.dumps(document).encode()),), "schema 99 is newer"),
        ((write("empty.json", b""),), "is empty"),
        ((write("noise.bin", bytes(range(256)) * 8),), "neither statistics"),
        ((folder,), "is a directory"),
        ((os.path.join(folder, "none"),), "cannot open: No such file"),
        ((a, "--format", "html"), "--format html needs -o"),
        ((a, "--format", "tree"), "--format"),
        ((a, a, a), "At Most 2"),
        ((), "files is required"),
        ((a, "--from", "soon"), "--from soon: not a time"),
        ((a, "--from", "2s", "--to", "1s"), "--to is not after --from"),
        ((a, "--vcpu", "x"), "--vcpu x: not a number"),
        ((a, "--vcpu", "9"), "no exit of a vCPU 9"),
        ((a, "-o", os.path.join(folder, "no", "where.html")), "cannot make a file there"),
    )
    for arguments, expected in rows:
        line = report(*arguments, status=1)
        require(expected in line, f"{arguments}: {line}")
    kept = write("kept.html", b"old")
    report(os.path.join(folder, "cut.json"), "-o", kept, status=1)
    with open(kept, "rb") as file:
        require(file.read() == b"old", "a report that fails leaves the file as it was")


def main():
    with tempfile.TemporaryDirectory() as folder:
        a = make(folder, "a.json")
        b = make(folder, "b.json", "--seed", "2", "--slow", "1.5")
        plain = make(folder, "plain.json", "--no-stacks")
        with open(a, encoding="utf-8") as file:
            profile = json.load(file)["profile"]
        test_text(a, b, profile)
        test_csv(a, b, profile)
        test_folded(a, b, profile)
        test_json(a, folder, profile)
        test_selection(a, profile)
        test_refusals(a, folder)
        if shutil.which("protoc") is None:
            print("passed over: pprof and perfetto (protoc is not installed)")
        else:
            rows, stacks = profile["rows"], profile["stacks"]
            test_pprof(plain, len(rows), sum(r["count"] for r in rows), {"pl011_console_putchar", "virtio_mmio:vm_notify"})
            test_pprof(a, len(stacks), sum(s["count"] for s in stacks), {"pl011_console_putchar"})
            test_perfetto_counters(a, b, profile)
            test_perfetto_events(sys.argv[2])
    print("ok")


main()
