#!/usr/bin/env python3
"""Wrong input: exactly one line on standard error that names the culprit, status 1, nothing on
standard output.

bad_input_test.py TRAPLINE [NAME]        only the row of that name, or all
"""
import gzip
import os
import struct
import sys
import tempfile

import guest_process as guest

# On every Linux host; not to be written even by root.
READ_ONLY = "/sys/kernel/uevent_seqnum"

# Known not to pass yet: only run by name.
PENDING = {"an unknown command"}


def truncated_image():
    """4 KiB of an Image whose PE header, as EFI-bootable kernels have it, tells of 16 MiB."""
    header = struct.pack("<IIQQQQQQ4sI", 0x14000010, 0, 0, 0x2000000, 0xA, 0, 0, 0, b"ARM\x64", 64)
    pe = struct.pack("<4sHHIIIHH", b"PE\0\0", 0xAA64, 1, 0, 0, 0, 0, 0)
    section = struct.pack("<8sIIIIIIHHI", b".text", 0x1000000, 0x1000, 0x1000000, 0x1000, 0, 0, 0, 0, 0)
    return (header + pe + section).ljust(0x1000, b"\0")


def arm64_image(image_size, file_size):
    """A header by the arm64 boot protocol that claims image_size, with file_size bytes behind it."""
    header = struct.pack("<IIQQQQQQ4sI", 0x14000010, 0, 0, image_size, 0xA, 0, 0, 0, b"ARM\x64", 0)
    return header + bytes(file_size - len(header))


def table(path):
    """Each row: what it is, the arguments, what the line must name."""
    good = path("good-image")
    return [
        ("no kernel at all", [], "--kernel"),
        ("a missing kernel", ["--kernel", path("absent")], "absent"),
        ("a directory as kernel", ["--kernel", path("directory")], "directory"),
        ("an empty kernel", ["--kernel", path("empty")], "empty"),
        ("a text file as kernel", ["--kernel", path("text")], "text"),
        ("a truncated Image header", ["--kernel", path("stub")], "stub"),
        ("a truncated Image", ["--kernel", path("truncated")], "truncated"),
        ("a truncated gzip", ["--kernel", path("short.gz")], "short.gz"),
        ("a missing initrd", ["--kernel", good, "--initrd", path("absent")], "absent"),
        ("a module without EL2", ["--kernel", good, "--module", good], "--module needs --el2"),
        ("a module without a kernel", ["--el2", "--raw", good, "--module", good], "--kernel"),
        ("a module beside an initrd",
         ["--el2", "--kernel", good, "--module", good, "--initrd", good], "--initrd"),
        ("a missing module", ["--el2", "--kernel", good, "--module", path("absent")], "absent"),
        ("an empty module", ["--el2", "--kernel", good, "--module", path("empty")], "empty: is empty"),
        ("a named pipe as module", ["--el2", "--kernel", good, "--module", path("fifo")],
         "fifo: not a regular file"),
        ("a module without a name", ["--el2", "--kernel", good, "--module", ",append=x"], "names no file"),
        ("a module with an unknown option", ["--el2", "--kernel", good, "--module", good + ",args=x"],
         "give append=TEXT after the file's name, not `args=x`"),
        ("a second module larger than memory",
         ["--el2", "--kernel", good, "--module", good, "--module", path("large"), "--memory", "64M"],
         "large: needs"),
        ("an initrd larger than memory",
         ["--kernel", good, "--initrd", path("large"), "--memory", "64M"], "large"),
        ("a kernel larger than memory", ["--kernel", path("huge"), "--memory", "64M"], "huge"),
        ("a named pipe as kernel", ["--kernel", path("fifo")], "fifo: not a regular file"),
        ("a named pipe as initrd", ["--kernel", good, "--initrd", path("fifo")],
         "fifo: not a regular file"),
        ("a named pipe as raw binary", ["--raw", path("fifo")], "fifo: not a regular file"),
        ("a named pipe as firmware", ["--firmware", path("fifo")], "fifo: not a regular file"),
        ("a named pipe for variables", ["--firmware", good, "--vars", path("fifo")], "fifo"),
        ("endless zeroes as kernel", ["--kernel", "/dev/zero"], "/dev/zero: not a regular file"),
        ("endless zeroes as initrd", ["--kernel", good, "--initrd", "/dev/zero"], "/dev/zero"),
        ("endless zeroes as raw binary", ["--raw", "/dev/zero"], "/dev/zero"),
        ("endless zeroes as firmware", ["--firmware", "/dev/zero"], "/dev/zero"),
        ("endless zeroes for variables", ["--firmware", good, "--vars", "/dev/zero"], "/dev/zero"),
        ("a terminal as kernel", ["--kernel", "/dev/tty"], "/dev/tty"),
        ("6 GB of Image", ["--kernel", path("sparse")], "sparse: needs"),
        ("6 GB of gzip", ["--kernel", path("sparse.gz")], "sparse.gz: compressed"),
        ("6 GB of initrd", ["--kernel", good, "--initrd", path("sparse")], "sparse: needs"),
        ("6 GB of raw binary", ["--raw", path("sparse.raw")], "sparse.raw: needs"),
        ("6 GB of firmware", ["--firmware", path("sparse")], "sparse: 6442450944 bytes"),
        ("6 GB of variables", ["--firmware", good, "--vars", path("sparse")], "sparse"),
        ("a gzip bomb", ["--kernel", path("bomb.gz"), "--memory", "64M"], "bomb.gz: larger"),
        ("a kernel for another machine", ["--kernel", path("x86.elf")], "x86.elf"),
        ("a bare binary as kernel", ["--kernel", path("text")], "--raw"),
        ("an ELF file as raw binary", ["--raw", path("x86.elf")], "--kernel"),
        ("memory that ends in letters", ["--kernel", good, "--memory", "512Mx"], "--memory 512Mx"),
        ("a fraction of a byte", ["--kernel", good, "--memory", "0.1G"], "--memory 0.1G"),
        ("memory beyond 64 bits", ["--kernel", good, "--memory", "0x10000000000000000"],
         "--memory 0x1"),
        ("CPUs beyond 32 bits", ["--kernel", good, "--cpus", "4294967297"], "--cpus 4294967297"),
        ("a limit beyond 64 bits", ["--kernel", good, "--max-insns", "18446744073709551617"],
         "--max-insns 18446744073709551617"),
        ("a port beyond 32 bits for gdb", ["--kernel", good, "--gdb", "4294967297"],
         "--gdb 4294967297"),
        ("too little memory for an Image", ["--kernel", good, "--memory", "1M"],
         "KiB of memory, but the guest has 1024 KiB"),
        ("no memory", ["--kernel", good, "--memory", "0"], "--memory"),
        ("negative memory", ["--kernel", good, "--memory", "-1"], "--memory"),
        ("memory in words", ["--kernel", good, "--memory", "lots"], "--memory"),
        ("more memory than can be", ["--kernel", good, "--memory", "99999999999G"], "--memory"),
        ("99 CPUs", ["--kernel", good, "--cpus", "99"], "--cpus"),
        ("nine CPUs", ["--kernel", good, "--cpus", "9"], "--cpus"),
        ("no CPUs", ["--kernel", good, "--cpus", "0"], "--cpus"),
        ("CPUs in words", ["--kernel", good, "--cpus", "two"], "--cpus"),
        ("a limit in words", ["--kernel", good, "--max-insns", "x"], "--max-insns"),
        ("a negative limit", ["--kernel", good, "--max-insns", "-1"], "--max-insns"),
        ("too many runs", ["--kernel", good, "--translate-after", "65536"], "--translate-after"),
        ("an unknown option", ["--kernel", good, "--frobnicate"], "--frobnicate"),
        ("an unknown policy", ["--kernel", good, "--icache", "psychic"], "--icache"),
        ("an unknown clock", ["--kernel", good, "--clock", "sundial"], "--clock"),
        ("an option without its value", ["--kernel", good, "--append"], "--append"),
        ("a kernel and a raw binary", ["--kernel", good, "--raw", good], "--raw"),
        ("a missing raw binary", ["--raw", path("absent")], "absent"),
        ("a missing disk", ["--kernel", good, "--disk", path("absent")], "absent"),
        ("a directory as disk", ["--kernel", good, "--disk", path("directory")], "directory"),
        ("a disk of no sector", ["--kernel", good, "--disk", path("stub")], "stub"),
        ("a disk that is a device of characters", ["--kernel", good, "--disk", "/dev/null"], "null"),
        ("a disk twice", ["--kernel", good, "--disk", path("large"), "--disk", path("large")],
         "given twice"),
        ("a disk twice, by a link",
         ["--kernel", good, "--disk", path("large") + ",ro", "--disk", path("link")], "given twice"),
        ("a disk that is the flash, too",
         ["--firmware", good, "--vars", path("flash"), "--disk", path("flash")], "given twice"),
        ("a disk with an unknown option", ["--kernel", good, "--disk", path("large") + ",rw"],
         "unknown option `rw`"),
        ("a disk with an unknown format", ["--kernel", good, "--disk", path("large") + ",format=iso"],
         "format=raw|qcow2"),
        ("a disk that is no vmdk image", ["--kernel", good, "--disk", path("large") + ",format=vmdk"],
         "VMDK"),
        ("an NBD server that is not there",
         ["--kernel", good, "--disk", f"nbd+unix:///?socket={path('absent')}"], "absent"),
        ("what a lost server means, of a file",
         ["--kernel", good, "--disk", path("large") + ",on-server-loss=wait"], "on-server-loss"),
        ("a network card that is none", ["--kernel", good, "--net", "user,model=tulip"], "model=virtio|e1000"),
        ("a PCI card elsewhere", ["--kernel", good, "--net", "user,model=e1000,bus=mmio"], "PCI card"),
        ("a disk without a name", ["--kernel", good, "--disk", ""], "--disk"),
        ("a disk that is no qcow2 image",
         ["--kernel", good, "--disk", path("large") + ",ro,format=qcow2"], "no qcow2 image"),
        ("a read-only disk for writing", ["--kernel", good, "--disk", READ_ONLY], READ_ONLY),
        ("a slot beyond the last", ["--kernel", good, "--disk", path("large") + ",slot=32"],
         "slot=32"),
        ("a bus that is none", ["--kernel", good, "--disk", path("large") + ",bus=usb"], "bus=usb"),
        ("a target beyond the last", ["--kernel", good, "--disk", path("large") + ",bus=scsi,slot=32"],
         "slot=32"),
        ("a CD without a controller", ["--kernel", good, "--disk", path("large") + ",cd"], "add bus="),
        ("a CD of less than a block",
         ["--kernel", good, "--disk", path("sector") + ",cd,bus=scsi"], "2048 bytes"),
        ("a network card on a disk bus", ["--kernel", good, "--net", "user,bus=scsi"], "mmio|pci"),
        ("the bridge's slot", ["--kernel", good, "--net", "user,bus=pci,slot=0"], "slot=0"),
        ("a bus that is none, of rng", ["--kernel", good, "--rng=bus=usb"], "--rng=bus=usb"),
        ("a bus that is none, of keys", ["--kernel", good, "--input=bus=usb"], "--input=bus=usb"),
        ("a bus that is none, of a balloon", ["--kernel", good, "--balloon=1G"], "--balloon=1G"),
        ("a display that is none", ["--kernel", good, "--display", "sdl"], "vnc:unix:PATH"),
        ("viewers without a path", ["--kernel", good, "--display", "vnc:unix:"], "needs a path"),
        ("viewers at no port", ["--kernel", good, "--display", "vnc:70000"], "70000"),
        ("viewers at no path", ["--kernel", good, "--display", "vnc:unix:" + path("absent/x")],
         "absent"),
        ("RAM that 32 bits do not reach", ["--kernel", good, "--highmem", "off", "--memory", "4G"], "no more than 3G"),
        ("a sound card that is none", ["--kernel", good, "--audio", "oss"], "none, wav:FILE, pipewire or alsa"),
        ("sound without a file", ["--kernel", good, "--audio", "wav:"], "none, wav:FILE, pipewire or alsa"),
        ("sound into a directory", ["--kernel", good, "--audio", "wav:" + path("directory")],
         "directory"),
        ("a slot in words", ["--kernel", good, "--net", "user,slot=top"], "slot=top"),
        ("a slot twice",
         ["--kernel", good, "--disk", path("large") + ",slot=4", "--net", "user,slot=4"],
         "slot 4 is taken"),
        ("a missing firmware", ["--firmware", path("absent")], "absent"),
        ("a directory as firmware", ["--firmware", path("directory")], "directory"),
        ("an empty firmware", ["--firmware", path("empty")], "empty"),
        ("a firmware larger than the flash", ["--firmware", path("large")], "large"),
        ("variables larger than the flash",
         ["--firmware", good, "--vars", path("large")], "large"),
        ("a directory for variables", ["--firmware", good, "--vars", path("directory")],
         "directory"),
        ("variables without firmware", ["--kernel", good, "--vars", path("absent")], "--vars"),
        ("an unknown network", ["--kernel", good, "--net", "token-ring"], "token-ring"),
        ("a network with an unknown option", ["--kernel", good, "--net", "user,speed=9"], "speed=9"),
        ("a port forward without ports", ["--kernel", good, "--net", "user,hostfwd=tcp"],
         "hostfwd=tcp"),
        ("a port beyond 65535", ["--kernel", good, "--net", "user,hostfwd=tcp::99999-:22"], "99999"),
        ("a tap without a name", ["--kernel", good, "--net", "tap"], "ifname"),
        ("statistics to nowhere",
         ["--kernel", good, "--stats", path("absent/stats.json")], "stats.json"),
        *([] if os.uname().machine == "aarch64" else [
            ("KVM on a host of another kind", ["--kernel", good, "--backend", "kvm"], "--backend kvm: this host is not arm64"),
        ]),
    ]


def write_files(path):
    contents = {
        "good-image": arm64_image(0x10000, 0x10000),
        "empty": b"",
        "sector": bytes(512),
        "text": b"This is not a kernel.\n" * 100,
        "stub": arm64_image(0x10000, 64)[:40],
        "truncated": truncated_image(),
        "short.gz": b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\x4c",
        "huge": arm64_image(0x40000000, 0x10000),
        "sparse": arm64_image(0x10000, 0x10000),
        "sparse.gz": b"\x1f\x8b\x08\0",
        "sparse.raw": b"\x1f\x20\x03\xd5",  # NOP
        "bomb.gz": gzip.compress(bytes(128 << 20), 1),
        "x86.elf": b"\x7fELF\x02\x01\x01".ljust(18, b"\0") + b"\x3e" + bytes(45),
    }
    for name, data in contents.items():
        with open(path(name), "wb") as file:
            file.write(data)
    with open(path("large"), "wb") as file:
        file.truncate(65 << 20)
    os.symlink("large", path("link"))
    with open(path("flash"), "wb") as file:
        file.truncate(1 << 20)
    os.mkdir(path("directory"))
    os.mkfifo(path("fifo"))  # without a writer
    for name in ("sparse", "sparse.gz", "sparse.raw"):
        os.truncate(path(name), 6 << 30)


def test():
    trapline = sys.argv[1]
    guest.limit_memory(trapline, 3 << 30)  # nothing wrong takes more
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        def path(name):
            return os.path.join(scratch, name)

        write_files(path)
        rows = [(name, ["run"] + arguments, culprit) for name, arguments, culprit in table(path)]
        rows.append(("no command", [], "subcommand"))
        rows.append(("an unknown command", ["dance"], "dance"))
        chosen = sys.argv[2:]
        rows = [row for row in rows if (row[0] in chosen if chosen else row[0] not in PENDING)]
        guest.require(rows, f"no input is called {chosen}")
        for name, arguments, culprit in rows:
            try:
                status, output, errors = guest.run([trapline] + arguments, 30)
                guest.require(status == 1, f"status {status}")
                guest.require(output == b"", f"standard output is {output!r}")
                guest.require(
                    errors.endswith("\n") and errors.count("\n") == 1, "not exactly one line"
                )
                guest.require(culprit in errors, f"the line does not name {culprit!r}")
                print(f"ok {name}: {errors.strip().replace(scratch, '...')}")
            except guest.Failure as failure:
                failed += 1
                print(f"FAILED {name}: {failure}\n    standard error: {errors!r}"[:2000])
    guest.require(failed == 0, f"{failed} of {len(rows)} inputs")


guest.main(test)
