#!/usr/bin/env python3
"""What can be wrong with a saved machine, its files and its options: one clear line, status 1. And
files that earlier versions have written still load.

save_files_test.py TRAPLINE BINARIES KEPT: the folder of kept files
"""
import gzip
import json
import os
import shutil
import sys
import tempfile
import time

import guest_process as guest
import vm

BINARIES, KEPT = sys.argv[2:4]


def binary(name):
    return os.path.join(BINARIES, name + ".bin")


def run(*options, seconds=60):
    return guest.run([vm.TRAPLINE, "run", *options], seconds)


def refused(*options, text):
    status, _, errors = run(*options)
    guest.require(status == 1 and errors.count("\n") == 1 and text in errors,
                  f"{options}: status {status}: {errors!r} lacks {text!r}")


def saved(folder, name, *options):
    """A file of a running machine with these options."""
    path = os.path.join(folder, name)
    machine = vm.Vm("files", "--serial", "none", *options)
    machine.await_status()
    status, _, errors = machine.ctl("save", path)
    machine.kill()
    guest.require(status == 0, errors)
    return path


def damage(folder, path):
    bad = os.path.join(folder, "bad")
    with open(path, "rb") as file:
        content = file.read()

    def written(data):
        with open(bad, "wb") as file:
            file.write(data)
        return bad

    refused("--restore", os.path.join(folder, "none"), text="No such file")
    refused("--restore", folder, text="is no regular file")
    refused("--restore", written(b""), text="is no saved machine")
    refused("--restore", written(b"ELF or something" * 40), text="is no saved machine")
    for size in (20, 127, 128, 200, 4096, len(content) // 2, len(content) - 1):
        refused("--restore", written(content[:size]), text="is cut off")
    other = bytearray(content)
    other[8] = 2  # the format
    refused("--restore", written(other), text="in format 2; this is trapline")
    other = bytearray(content)
    other[100] ^= 1
    refused("--restore", written(other), text="is damaged: its header")
    other = bytearray(content)
    at = content.rindex(b"gic\0\0\0\0") + 64 + 20
    other[at] ^= 1
    refused("--restore", written(other), text="is damaged: section 'gic'")
    # RAM is looked at behind the guest's back: it is stopped.
    other = bytearray(content)
    other[4096 + 0x80000] ^= 1  # the program's first byte
    status, _, errors = run("--restore", written(other), "--serial", "none")
    guest.require(status == 1 and "is damaged" in errors, f"damaged RAM: {status}, {errors!r}")


def options(folder, path):
    refused("--restore", path, "--memory", "32M", text="--memory: a machine that goes on is what it was")
    refused("--restore", path, "--cpus", "2", text="--cpus: a machine")
    refused("--restore", path, "--rng", text="--rng: a machine")
    refused("--restore", path, "--incoming", "unix:/x", text="exclude each other")
    refused("--restore", path, "--dump-dtb", os.path.join(folder, "dtb"), text="--dump-dtb")
    refused("--restore", path, "--record", os.path.join(folder, "trace"), text="--record: a trace")
    refused("--incoming", "nowhere:1", text="unix:PATH or exec:COMMAND")
    refused("--incoming", "exec:true", text="is no saved machine")
    refused("--incoming", "exec:echo this is no machine at all, whatever it may be that it is, but a "
            "text that is longer than 128 bytes and then some more", text="is no saved machine")


def disks(folder):
    disk = os.path.join(folder, "disk")
    with open(disk, "wb") as file:
        file.truncate(1 << 20)
    path = saved(folder, "with-disk", "--raw", binary("spin"), "--memory", "16M", "--disk", disk)
    status, _, errors = run("--restore", path, "--max-insns", "100000000", "--serial", "none")
    guest.require(status == 124, f"an unchanged disk: {status}, {errors}")
    # The same save twice: the disk's lock.
    first = vm.Vm("first", "--restore", path, "--serial", "none")
    first.await_status()
    refused("--restore", path, text="locked: another virtual machine has it open")
    first.kill()
    copy = os.path.join(folder, "copy")
    shutil.copy2(disk, copy)
    status, _, errors = run("--restore", path, "--disk", copy, "--max-insns", "100000000",
                            "--serial", "none")
    guest.require(status == 124, f"a copied disk: {status}, {errors}")
    time.sleep(0.01)
    os.utime(disk)
    refused("--restore", path, text="was changed since")
    status, _, errors = run("--restore", path, "--accept-changed-disks", "--max-insns", "100000000",
                            "--serial", "none")
    guest.require(status == 124, f"accepted: {status}, {errors}")
    with open(disk, "ab") as file:
        file.truncate(2 << 20)
    refused("--restore", path, text="has another size since")
    os.unlink(disk)
    refused("--restore", path, text="No such file")


def chains(folder):
    machine = vm.Vm("chain", "--raw", binary("spin"), "--memory", "16M", "--serial", "none")
    machine.await_status()
    names = [os.path.join(folder, name) for name in ("one", "two", "three")]
    status, _, errors = machine.ctl("save", names[1], "--since", names[0])
    guest.require(status == 1 and "No such file" in errors, errors)
    guest.require(machine.ctl("save", names[0])[0] == 0, "save")
    guest.require(machine.ctl("save", names[1], "--since", names[0])[0] == 0, "save --since")
    status, _, errors = machine.ctl("save", names[2], "--since", names[0])
    guest.require(status == 1 and "is not this machine's last save" in errors, errors)
    status, _, errors = machine.ctl("save", "/proc/nothing/here")
    guest.require(status == 1 and "/proc/nothing/here" in errors, errors)
    guest.require(machine.ctl("status")[0] == 0, "it runs on")
    machine.kill()
    go = ["--max-insns", "100000000", "--serial", "none"]
    guest.require(run("--restore", names[1], *go)[0] == 124, "a chain")
    elsewhere = os.path.join(folder, "elsewhere")
    os.mkdir(elsewhere)
    for name in names[:2]:
        shutil.move(name, elsewhere)
    moved = [os.path.join(elsewhere, name) for name in ("one", "two")]
    guest.require(run("--restore", moved[1], *go)[0] == 124, "a chain that was moved")
    shutil.copy(moved[1], names[0] + "-x")
    os.replace(names[0] + "-x", moved[0])
    refused("--restore", moved[1], text="is not the save that")
    os.unlink(moved[0])
    refused("--restore", moved[1], text="No such file")


def config(folder):
    path = os.path.join(folder, "vm.json")

    def written(what):
        with open(path, "w", encoding="utf-8") as file:
            file.write(what if isinstance(what, str) else json.dumps(what))
        return path

    whole = {"raw": binary("off"), "memory": "16M", "cpus": 2, "rng": True, "serial": "none"}
    status, _, errors = run("--config", written(whole))
    guest.require(status == 0, f"--config: {status}, {errors}")
    refused("--config", written(whole), "--memory", "12", text="--memory 12")
    refused("--config", written("{"), text="is no JSON object")
    refused("--config", written({"raw": {}}), text="raw: give text, a number, true, false or a list")
    refused("--config", written({"rwa": "x"}), text="rwa")
    refused("--config", os.path.join(folder, "none"), text="No such file")


def kept(folder):
    files = sorted(f for f in os.listdir(KEPT) if f.endswith(".state.gz"))
    guest.require(files, f"{KEPT} is empty")
    for name in files:
        path = os.path.join(folder, name.removesuffix(".gz"))
        with gzip.open(os.path.join(KEPT, name)) as packed, open(path, "wb") as file:
            shutil.copyfileobj(packed, file)
        status, output, errors = run("--restore", path, "--raw", binary("ticks"))
        guest.require(status == 0, f"{name}: status {status}: {errors}")
        with open(os.path.join(KEPT, name.removesuffix(".state.gz") + ".txt"), "rb") as file:
            guest.require(output == file.read(), f"{name} goes on otherwise")
    return files


def test():
    with tempfile.TemporaryDirectory() as folder:
        vm.use_folder(folder)
        path = saved(folder, "good", "--raw", binary("ticks"), "--memory", "16M")
        damage(folder, path)
        options(folder, path)
        disks(folder)
        chains(folder)
        config(folder)
        print("kept files:", *kept(folder))


guest.main(test)
