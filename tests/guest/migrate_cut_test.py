#!/usr/bin/env python3
"""A migration whose link breaks: at the borders of its messages and at every byte of its last
handshake, to the one side and to the other. Never do two machines run; and where none does, there
is a message, and `resume` brings the sender's back.

migrate_cut_test.py TRAPLINE BINARY BYTES: every BYTES-th byte of the handshake
"""
import os
import socket
import struct
import sys
import tempfile
import threading

import guest_process as guest
import vm

HEADER, RECORD = 128, 64


class Link(threading.Thread):
    """Between sender and receiver; breaks when `cut(direction, name, at)` says so, which is asked
    before each byte at a border or in an answer: `at` counts from the beginning of the message."""

    def __init__(self, listen, to, cut):
        super().__init__(daemon=True)
        self.cut, self.to, self.seen = cut, to, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(listen)
        self.listener.listen(1)

    def run(self):
        self.sender, _ = self.listener.accept()
        self.receiver = socket.socket(socket.AF_UNIX)
        vm.until(self.connected, "the receiver listens")
        back = threading.Thread(target=self.pump, args=("back", self.receiver, self.sender, False),
                                daemon=True)
        back.start()
        self.pump("forth", self.sender, self.receiver, True)
        back.join()

    def connected(self):
        """Its file is there before it listens."""
        try:
            self.receiver.connect(self.to)
        except ConnectionRefusedError:
            return False
        return True

    @staticmethod
    def take(from_, size):
        data = b""
        while len(data) < size:
            try:
                piece = from_.recv(size - len(data))
            except OSError:
                piece = b""
            if not piece:
                return None
            data += piece
        return data

    def pump(self, direction, from_, to, has_header):
        if has_header:
            head = self.take(from_, HEADER)
            if head is None or not self.pass_on(direction, "header", head, to):
                return self.hang_up()
            config = self.take(from_, struct.unpack_from("<Q", head, 88)[0])
            if config is None or not self.pass_on(direction, "config", config, to):
                return self.hang_up()
        while True:
            head = self.take(from_, RECORD)
            if head is None:
                return self.hang_up()
            name = head[:32].rstrip(b"\0").decode()
            body = self.take(from_, struct.unpack_from("<Q", head, 40)[0])
            if body is None or not self.pass_on(direction, name, head + body, to):
                return self.hang_up()

    def pass_on(self, direction, name, data, to):
        self.seen.append((direction, name, len(data)))
        for at in [0] if name in ("header", "config", "pages") else range(len(data) + 1):
            if self.cut(direction, name, at):
                try:
                    to.sendall(data[:at])
                except OSError:
                    pass
                return False
        try:
            to.sendall(data)
        except OSError:
            return False
        return True

    def hang_up(self):
        for end in (self.sender, self.receiver):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Trial:
    def __init__(self, folder, binary):
        self.folder, self.binary = folder, binary
        self.number = 0
        self.source = None
        self.outcomes = {}

    def run(self, cut):
        """One migration; who runs afterwards: "here", "there", "nowhere"."""
        self.number += 1
        if self.source is None:
            self.source = vm.Vm(f"here{self.number}", "--raw", self.binary, "--memory", "2M",
                                "--serial", "none")
            self.source.await_status()
        source = self.source
        paths = [os.path.join(self.folder, f"{end}{self.number}") for end in ("link", "there")]
        there = vm.Vm(f"there{self.number}", "--incoming", "unix:" + paths[1], "--serial", "none")
        vm.until(lambda: os.path.exists(paths[1]), "the receiver listens")
        link = Link(paths[0], paths[1], cut)
        link.start()
        status, _, errors = source.ctl("migrate", "unix:" + paths[0])
        link.join(60)
        guest.require(not link.is_alive(), "the link does not end")
        if status == 0:
            guest.require(source.end() == 3, "the sender has not ended with status 3")
            self.source = None
            here = "gone"
        else:
            here = self.state(source)
        # The receiver has ended, or runs.
        vm.until(lambda: there.process.poll() is not None or self.state(there) == "running",
                 "the receiver ends or runs")
        runs_there = there.process.poll() is None
        if not runs_there:
            guest.require(there.process.returncode == 1 and there.said().count("\n") == 1,
                          f"the receiver: {there.process.returncode}, {there.said()!r}")
        guest.require(not (here == "running" and runs_there), f"two run: {errors}")
        if here == "stranded":
            guest.require("stands still" in errors and "stands still" in source.said(),
                          f"no message: {errors!r}, {source.said()!r}")
            if not runs_there:
                status, _, errors = source.ctl("resume")
                guest.require(status == 0 and self.state(source) == "running",
                              f"the stranded one does not go on: {errors}")
        guest.require(here in ("gone", "running", "stranded"), f"the sender is {here}")
        outcome = ("there" if runs_there else "nowhere") if here != "running" else "here"
        if runs_there and here == "stranded":
            outcome = "there, and held here"
            source.kill()
            self.source = None
        there.kill()
        for path in paths:
            if os.path.exists(path):
                os.unlink(path)
        return outcome, link.seen

    @staticmethod
    def state(machine):
        status, out, _ = machine.ctl("status")
        return "none" if status != 0 else out.split('"state": "')[1].split('"')[0]


def test():
    binary, step = sys.argv[2], int(sys.argv[3])
    with tempfile.TemporaryDirectory() as folder:
        vm.use_folder(folder)
        trial = Trial(folder, binary)
        outcome, messages = trial.run(lambda *_: False)
        guest.require(outcome == "there", f"without a cut it runs {outcome}")
        counts = {}
        # Before each message, and for those of the handshake at every byte of it.
        places = []
        for direction, name, size in messages:
            if name != "pages" or ("forth", "pages", 0) not in places:
                places.append((direction, name, 0))
            if name in ("hello", "ready", "go", "running"):
                places += [(direction, name, at) for at in range(step, size + 1, step)]
                places.append((direction, name, size))
        for place in dict.fromkeys(places):
            outcome, _ = trial.run(lambda *here, place=place: here == place)
            counts[outcome] = counts.get(outcome, 0) + 1
            direction, name, at = place
            if (name == "go" and at == RECORD) or name == "running":
                allowed = ("there", "there, and held here")
            elif name == "ready" and at == RECORD:
                # The sender may have said "go" before the link broke, and it may have arrived.
                allowed = ("here", "nowhere", "there, and held here")
            elif name == "go":
                allowed = ("here", "nowhere")  # as far as the sender knows "go" has arrived
            else:
                allowed = ("here",)
            guest.require(outcome in allowed, f"cut at {place}: it runs {outcome}")
        if trial.source is not None:
            trial.source.kill()
        print(f"{len(places)} cuts: {counts}")


guest.main(test)
