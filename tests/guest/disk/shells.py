"""Shells at the end of a guest's console: type a command, get its output and status."""
import contextlib
import glob
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import guest_process as guest  # noqa: E402

BOOT_S = 400  # generous: the machine may be busy
COMMAND_S = 200
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@contextlib.contextmanager
def running(command):
    """A Terminal of `command`; a Failure carries the end of its console and standard error."""
    terminal = guest.Terminal(command)
    try:
        yield terminal
    except guest.Failure as failure:
        terminal.kill()
        terminal.errors.seek(0)
        errors = terminal.errors.read()[-2000:].decode(errors="replace")
        tail = terminal.seen[-3000:].decode(errors="replace")
        raise guest.Failure(f"{failure}\n--- console:\n{tail}\n--- errors:\n{errors}") from failure
    finally:
        terminal.kill()


class Shell:
    """A POSIX shell behind a Terminal."""

    def __init__(self, terminal):
        self.terminal = terminal
        self.number = 0

    def run(self, command, seconds=COMMAND_S, status=0):
        """Types a command and returns its output; its exit status must be `status`, if not None."""
        self.number += 1
        # The markers are typed in two halves, so that the echo of the line is none.
        begin, end = f"begin-{self.number}-", f"end-{self.number}-"
        line = f"echo 'beg''in-{self.number}-'; {command}; echo \"en\"d-{self.number}-$?-"
        self.terminal.type(line + "\r")
        self.terminal.expect(begin, seconds)
        output = self.terminal.expect(end, seconds)
        got = int(self.terminal.expect("-", seconds))
        output = CONTROL.sub("", output.replace("\r", "")).removeprefix("\n")
        if status is not None:
            guest.require(got == status, f"status {got} of {command!r}:\n{output}")
        return output


def busybox(terminal, seconds=BOOT_S):
    """Waits for the prompt of scripts/guest/init."""
    terminal.expect("Trapline guest: type poweroff to leave", seconds)
    terminal.expect("trapline# ", COMMAND_S)
    return Shell(terminal)


def power_off(terminal):
    """Types poweroff; the run must end with status 0. Returns standard error."""
    terminal.type("poweroff\r")
    status, errors = terminal.finish(COMMAND_S)
    guest.require(status == 0, f"status {status} after poweroff\n{errors}")
    return errors


def debian(terminal, seconds=1500):
    """Logs in as root on scripts/make-debian-image's system."""
    terminal.expect("trapline login: ", seconds)
    terminal.type("root\r")
    terminal.expect("Password: ", seconds)
    terminal.type("trapline\r")
    terminal.expect("root@trapline:~#", seconds)
    # Kernel messages would land amid the answers.
    terminal.type("dmesg -n 1; stty cols 500\r")
    terminal.expect("root@trapline:~#", seconds)
    return Shell(terminal)


def linux(trapline, directory, *options, initrd="initrd.gz", append=guest.CMDLINE, image="Image"):
    return [trapline, "run", "--kernel", os.path.join(directory, image), "--initrd",
            os.path.join(directory, initrd), "--append", append, *options]  # initrd: or absolute


def cpio_entry(name, mode, data):
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % f for f in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def initrd_with(path, initrd, script, programs=None):
    """Writes an initramfs that also holds `script` as /cmd, and programs by their names: an archive
    more, behind the first."""
    with open(initrd, "rb") as file:
        data = file.read()
    data += bytes(-len(data) % 4)
    for name, content in {"cmd": script.encode(), **(programs or {})}.items():
        data += cpio_entry(name, 0o100755, content)
    data += cpio_entry("TRAILER!!!", 0, b"")
    with open(path, "wb") as file:
        file.write(data)


def initrd_with_drivers(path, directory, initrd, *names, modules="work/kernel/lib/modules"):
    """Writes an initramfs as `initrd` that knows these drivers as well. The guest's own has no use for
    them; modules are in the package that it was made from, or in that of the generic kernel."""
    folder = os.path.join(directory, modules)
    found = {os.path.basename(file)[:-3].replace("-", "_"): file
             for file in glob.glob(os.path.join(folder, "**", "*.ko"), recursive=True)}
    files, order = {}, []

    def add(name):
        if name not in found or name in order:
            return  # built into the kernel, or there
        with open(found[name], "rb") as file:
            files[f"lib/modules/{name}.ko"] = content = file.read()
        needed = re.search(rb"\0depends=([^\0]*)\0", content).group(1).decode()
        for other in filter(None, needed.split(",")):
            add(other.replace("-", "_"))
        order.append(name)

    for name in names:
        if name not in found:
            print(f"SKIPPED: no {name}.ko below {folder}")
            sys.exit(guest.SKIPPED)
    for name in [*names, "virtio_mmio", "virtio_blk", "virtio_net", "virtio_rng", "virtio_console"]:
        add(name)
    files["etc/modules"] = "".join(f"{name}\n" for name in order).encode()
    initrd_with(path, os.path.join(directory, initrd), "", files)


def initrd_for_pci(path, directory, initrd):
    initrd_with_drivers(path, directory, initrd, "virtio_pci")


def need_tools(*names):
    """Exits as skipped when the host lacks a program."""
    for name in names:
        found = any(os.access(os.path.join(folder, name), os.X_OK)
                    for folder in os.environ["PATH"].split(":") + ["/sbin", "/usr/sbin"])
        if not found:
            print(f"SKIPPED: no {name} on this machine: run scripts/install-deps")
            sys.exit(guest.SKIPPED)


def host(*command, statuses=(0,)):
    """Runs a program on the host; it must succeed."""
    environment = dict(os.environ, PATH=os.environ["PATH"] + ":/sbin:/usr/sbin")
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode(errors="replace")
    guest.require(done.returncode in statuses, f"{' '.join(command)}: {done.returncode}\n{text}")
    return text


def scratch():
    return tempfile.TemporaryDirectory(prefix="trapline-")


def make_ext4(path, mib):
    """An empty ext4 file system, the same bytes every time."""
    if os.path.exists(path):
        os.remove(path)
    with open(path, "wb") as file:
        file.truncate(mib << 20)
    seed = "8ad6a5b4-7c1b-4cb1-9a3e-0f3bd0a7a001"
    environment = ["env", "E2FSPROGS_FAKE_TIME=1767225600"]
    host(*environment, "mke2fs", "-q", "-t", "ext4", "-U", seed, "-E",
         f"hash_seed={seed},lazy_itable_init=0", path)


def check_ext4(path):
    """Replays the journal as the next mount would (e2fsck then also sums up the free counts, which
    ext4 brings to disk only when it is unmounted); what is left must be without error."""
    host("e2fsck", "-fp", path, statuses=(0, 1))
    host("e2fsck", "-fn", path)
