#!/usr/bin/env python3
"""A host that refuses: descriptors, address space, threads, the size of files, and standard
descriptors that are closed. Each run works or ends in one line and status 1; nothing is written where
it does not belong.

limits_test.py TRAPLINE BINARIES
"""
import os
import resource
import signal
import subprocess
import sys
import tempfile

import guest_process as guest

MIB = 1 << 20


def run(command, limits, close=()):
    """Status and standard error under resource limits. Never a signal."""

    def prepare():
        for what, value in limits:
            resource.setrlimit(what, (value, value))
        for fd in close:
            os.close(fd)

    # Errors go to a file: its size counts under RLIMIT_FSIZE as well, so that limit is not too small.
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=errors, preexec_fn=prepare, close_fds=True)
        try:
            status = process.wait(timeout=120)
        except subprocess.TimeoutExpired as late:
            process.kill()
            raise guest.Failure(f"no end under {limits}") from late
        errors.seek(0)
        return status, errors.read().decode(errors="replace")


def refused_or_done(name, status, errors):
    guest.require(status in (0, 1), f"{name}: status {status}\n{errors}")
    if status == 1:
        lines = [line for line in errors.splitlines() if line.startswith("trapline: ")]
        guest.require(lines, f"{name}: status 1 without a line:\n{errors}")


def sweep(trapline, binaries, folder):
    disk = os.path.join(folder, "disk.img")
    with open(disk, "wb") as file:
        file.truncate(MIB)
    command = [trapline, "run", "--raw", os.path.join(binaries, "off.bin"), "--memory", "16M", "--rng",
               "--disk", disk, "--net", "user", "--virtio-console"]
    outcomes = {}
    cases = [("descriptors", resource.RLIMIT_NOFILE, n) for n in range(3, 41)]
    cases += [("address space", resource.RLIMIT_AS, n * MIB)
              for n in (16, 24, 32, 40, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 512, 768)]
    for name, what, value in cases:
        status, errors = run(command, [(what, value)])
        if status < 0 and name == "address space" and "trapline" not in errors and value < 64 * MIB:
            continue  # the loader itself did not get so far
        if status == 127 and "shared librar" in errors:
            continue
        refused_or_done(f"{name} {value}", status, errors)
        outcomes.setdefault(name, set()).add(status)
    guest.require(outcomes["descriptors"] == {0, 1}, f"the sweep meets both ends: {outcomes}")
    guest.require(1 in outcomes["address space"], f"the sweep meets a refusal: {outcomes}")


def file_size(trapline, binaries, folder):
    """SIGXFSZ: the statistics do not fit."""
    path = os.path.join(folder, "stats.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write("before")
    command = [trapline, "run", "--raw", os.path.join(binaries, "off.bin"), "--stats", path]
    status, errors = run(command, [(resource.RLIMIT_FSIZE, 1024)])
    guest.require(status == 1, f"file size: status {status}\n{errors}")
    with open(path, encoding="utf-8") as file:
        guest.require(file.read() == "before", "what was there is still whole")
    guest.require(sorted(os.listdir(folder)) == ["disk.img", "stats.json"],
                  f"nothing is left beside it: {os.listdir(folder)}")


def closed_descriptors(trapline, binaries, folder):
    """A disk must not become standard output or error."""
    disk = os.path.join(folder, "disk.img")
    with open(disk, "rb") as file:
        before = file.read()
    command = [trapline, "run", "--raw", os.path.join(binaries, "off.bin"), "--disk", disk]
    for close in ([0], [1], [2], [1, 2], [0, 1, 2]):
        status, _ = run(command, [], close)
        guest.require(status == 0, f"with {close} closed: status {status}")
        with open(disk, "rb") as file:
            guest.require(file.read() == before, f"with {close} closed the disk is as it was")


def statistics_targets(trapline, binaries, folder):
    """Where statistics can go, and what is said where they cannot."""
    off = os.path.join(binaries, "off.bin")
    for path, text in (("/nonexistent/s.json", "/nonexistent/s.json"), (folder, "is a directory"),
                       ("/dev/null/s.json", "/dev/null/s.json")):
        status, _, errors = guest.run([trapline, "run", "--raw", off, "--stats", path], 60)
        guest.require(status == 1 and text in errors and "exit profile" not in errors,
                      f"--stats {path}: status {status}, before the guest runs:\n{errors}")
    status, out, _ = guest.run([trapline, "run", "--raw", off, "--stats", "/dev/stdout"], 60)
    guest.require(status == 0 and b'"insns"' in out, "--stats /dev/stdout")
    status, _, errors = guest.run([trapline, "run", "--raw", off, "--stats", "/dev/full"], 60)
    guest.require(status == 1 and "/dev/full" in errors, f"--stats /dev/full: {status}\n{errors}")
    # A link is followed, and its target's mode kept.
    target, link = os.path.join(folder, "target"), os.path.join(folder, "link")
    with open(target, "w", encoding="utf-8") as file:
        file.write("old")
    os.chmod(target, 0o640)
    os.symlink(target, link)
    status, _, _ = guest.run([trapline, "run", "--raw", off, "--stats", link], 60)
    guest.require(status == 0 and os.path.islink(link), "a link stays a link")
    guest.require(guest.load_stats(target)["insns"] > 0, "its target holds the statistics")
    guest.require(os.stat(target).st_mode & 0o777 == 0o640, "the mode stays")
    os.unlink(link)
    os.unlink(target)


def test():
    trapline, binaries = sys.argv[1:]
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and children inherit that
    with tempfile.TemporaryDirectory() as folder:
        sweep(trapline, binaries, folder)
        file_size(trapline, binaries, folder)
        os.unlink(os.path.join(folder, "stats.json"))
        closed_descriptors(trapline, binaries, folder)
        statistics_targets(trapline, binaries, folder)


guest.main(test)
