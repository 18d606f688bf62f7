#!/usr/bin/env python3
"""The GDB remote protocol with several vCPUs: breakpoints hit by all, a crash of all, steps, commands
while the guest runs, watchpoints, kill, detach and reconnect, and clients that mean harm.

gdb_smp_test.py TRAPLINE DEBUG.bin ROUNDS [trapline run options]
"""
import signal
import socket
import sys

import guest_process as guest
from gdb_remote import Machine, Symbols, thread_of

TRAPLINE, BINARY, ROUNDS = sys.argv[1], sys.argv[2], int(sys.argv[3])
OPTIONS = sys.argv[4:]
CPUS = 4


def start(cpus=CPUS):
    return Machine(TRAPLINE, BINARY, "--cpus", str(cpus), *OPTIONS)


def all_work(gdb, symbols, cpus=CPUS):
    """Runs until each CPU has come by work(): first all, which turns them on, then each alone."""
    guest.require(gdb.ask(f"Z0,{symbols.work:x},4") == "OK", "Z0")
    stop = gdb.ask("vCont;c")
    guest.require(stop.startswith("T05"), f"the breakpoint: {stop}")
    for thread in range(1, cpus + 1):
        # What all of them met before is told first, one by one.
        while gdb.pc(thread) != symbols.work:
            stop = gdb.ask(f"vCont;c:{thread}")
            guest.require(thread_of(stop)[0] == thread, f"its breakpoint: {stop}")
    guest.require(gdb.ask(f"z0,{symbols.work:x},4") == "OK", "z0")


def power_off(gdb, symbols):
    gdb.set_quad(symbols.quit, 1)
    gdb.send("c")


def breakpoints_hit_by_all():
    with start() as machine:
        gdb = machine.connect()
        symbols = Symbols(gdb)
        all_work(gdb, symbols)
        guest.require(gdb.ask(f"Z1,{symbols.work:x},4") == "OK", "Z1")
        before = gdb.quads(symbols.counters, CPUS)
        stops = 40 * ROUNDS
        for _ in range(stops):
            thread, _ = thread_of(gdb.ask("c"))
            guest.require(gdb.pc(thread) == symbols.work, "stopped on it")
        # Each stop is one CPU's before its count: none passed the breakpoint unseen.
        counted = sum(gdb.quads(symbols.counters, CPUS)) - sum(before)
        guest.require(abs(counted - stops) <= CPUS, f"{counted} passes, {stops} stops")
        guest.require(gdb.ask(f"z1,{symbols.work:x},4") == "OK", "z1")
        power_off(gdb, symbols)
        guest.require(gdb.receive() == "W00", "power-off")
        machine.end(0)


def stepped_over_by_gdb():
    """As gdb does it: the breakpoint is taken away while one CPU steps over it, and put back. No
    CPU passes it unseen meanwhile, though more than one may have met it."""
    with start() as machine:
        gdb = machine.connect()
        symbols = Symbols(gdb)
        all_work(gdb, symbols)
        gdb.ask("QStartNoAckMode")
        point = f"0,{symbols.work:x},4"
        passes = dict.fromkeys(range(1, CPUS + 1), 0)
        thread = None
        before = gdb.quads(symbols.counters, CPUS)
        for _ in range(60 * ROUNDS):
            if thread is not None:
                gdb.ask(f"vCont;s:{thread}")
                passes[thread] += 1
            guest.require(gdb.ask("Z" + point) == "OK", "Z0")
            thread, _ = thread_of(gdb.ask("vCont;c"))
            guest.require(gdb.pc(thread) == symbols.work, "stopped on it")
            guest.require(gdb.ask("z" + point) == "OK", "z0")
        counted = [n - b for n, b in zip(gdb.quads(symbols.counters, CPUS), before)]
        for number, told in passes.items():
            # The first pass is from where all_work() left it.
            guest.require(abs(counted[number - 1] - told) <= 1, f"passes {counted}, told {passes}")
        gdb.send("k")
        machine.end(0)


def crash_of_all():
    for _ in range(4 * ROUNDS):
        with start(8) as machine:
            gdb = machine.connect()
            symbols = Symbols(gdb)
            all_work(gdb, symbols, 8)
            gdb.set_quad(symbols.crash, 1)
            seen = set()
            while len(seen) < 8:
                # One that crashed does so again at once, and would halt the others on their way.
                left = [f"c:{thread}" for thread in range(1, 9) if thread not in seen]
                stop = gdb.ask("vCont;" + ";".join(left))
                guest.require(stop.startswith("T0b"), f"a crash: {stop}")
                thread, _ = thread_of(stop)
                gdb.pc(thread)
                guest.require(gdb.register(5) == 0x5EED0FCA5E, "x5 as the guest left it")
                seen.add(thread)
            gdb.send("k")
            _, errors = machine.end(0)
            guest.require(errors.count("beyond help") == 8, "each crash is reported once")


def nothing_while_it_runs():
    with start() as machine:
        gdb = machine.connect()
        symbols = Symbols(gdb)
        all_work(gdb, symbols)
        for _ in range(10 * ROUNDS):
            gdb.send("c")
            for body in ["s", "vCont;s:1", "vCont;s:2;c", "g", "p0", "c",
                         "P0=0000000000000000", "P20=0000000000000000", f"m{symbols.work:x},8",
                         f"M{symbols.work:x},4:00000000", f"Z0,{symbols.work:x},4",
                         f"Z2,{symbols.shared:x},8", "Hg2", "?", "qRcmd,6578697473"]:
                guest.require(gdb.ask(body) == "E10", f"{body} is refused while the guest runs")
            guest.require(gdb.halt().startswith("T02"), "the interrupt")
        power_off(gdb, symbols)
        guest.require(gdb.receive() == "W00", "unharmed")
        machine.end(0)


def steps():
    with start() as machine:
        gdb = machine.connect()
        symbols = Symbols(gdb)
        all_work(gdb, symbols)
        for _ in range(10 * ROUNDS):
            # Alone: the others do not move.
            others = [gdb.pc(t) for t in range(2, CPUS + 1)]
            counters = gdb.quads(symbols.counters, CPUS)
            pc = gdb.pc(1)
            guest.require(thread_of(gdb.ask("vCont;s:1"))[0] == 1, "the step's end")
            guest.require(gdb.pc(1) != pc, "a step")
            guest.require([gdb.pc(t) for t in range(2, CPUS + 1)] == others, "the others stay")
            now = gdb.quads(symbols.counters, CPUS)
            guest.require(now[1:] == counters[1:] and now[0] - counters[0] < 2, "nor count")
            # Beside others that run.
            guest.require(thread_of(gdb.ask("vCont;s:2;c"))[0] == 2, "the step's end")
            gdb.ask("Hc0")
            gdb.ask("Hg3")
            guest.require(thread_of(gdb.ask("s"))[0] == 3, "the current thread's step")
            gdb.ask("Hc4")
            guest.require(thread_of(gdb.ask("s"))[0] == 4, "Hc's step")
        # One runs alone.
        before = gdb.quads(symbols.counters, CPUS)
        gdb.send("vCont;c:3")
        while True:
            guest.require(gdb.halt().startswith("T02"), "the interrupt")
            now = gdb.quads(symbols.counters, CPUS)
            if now[2] > before[2] + 1000:
                break
            gdb.send("vCont;c:3")
        guest.require(now[:2] + now[3:] == before[:2] + before[3:], "only thread 3 ran")
        power_off(gdb, symbols)
        guest.require(gdb.receive() == "W00", "power-off")
        machine.end(0)


def step_into_the_end():
    with start() as machine:
        gdb = machine.connect()
        symbols = Symbols(gdb)
        guest.require(gdb.ask("vCont;s:2").startswith("T05"), "a CPU that is off: at once")
        all_work(gdb, symbols)
        gdb.set_quad(symbols.quit, 1)
        guest.require(gdb.ask(f"Z0,{symbols.powered_off:x},4") == "OK", "Z0")
        thread, _ = thread_of(gdb.ask("c"))
        guest.require(thread_of(gdb.ask(f"vCont;s:{thread}"))[0] == thread, "to the call")
        guest.require(gdb.ask(f"vCont;s:{thread}") == "W00", "the step that powers off")
        machine.end(0)


def watchpoints():
    with start() as machine:
        gdb = machine.connect()
        symbols = Symbols(gdb)
        all_work(gdb, symbols)
        for _ in range(5 * ROUNDS):
            for kind, length, name, thread, pc in (
                (2, 8, "watch", 2, symbols.store_shared),
                (3, 8, "rwatch", 3, symbols.load_shared),
                (2, 1, "watch", 2, symbols.store_shared),
                (3, 2, "rwatch", 3, symbols.load_shared),
                (4, 4, "awatch", None, None),
            ):
                watch = f"{kind},{symbols.shared + length % 8:x},{length:x}"
                guest.require(gdb.ask("Z" + watch) == "OK", "Z")
                old = gdb.quads(symbols.shared, 1)[0]
                at, fields = thread_of(gdb.ask("c"))
                guest.require(name in fields, f"{name}: {fields}")
                guest.require(
                    int(fields[name], 16) == symbols.shared + length % 8, "the watched address"
                )
                guest.require(thread is None or at == thread, "who did it")
                guest.require(pc is None or gdb.pc(at) == pc, "before the access")
                guest.require(
                    name != "watch" or gdb.quads(symbols.shared, 1)[0] == old, "not yet written"
                )
                # As gdb goes on.
                guest.require(gdb.ask("z" + watch) == "OK", "z")
                guest.require(thread_of(gdb.ask(f"vCont;s:{at:x}"))[0] == at, "the access")
                new = gdb.quads(symbols.shared, 1)[0]
                guest.require(name != "watch" or new == old + 1, "written")
        # `quit` is a neighbour of what is watched, and not watched.
        guest.require(gdb.ask(f"Z4,{symbols.shared + 4:x},4") == "OK", "Z4")
        for _ in range(3):
            guest.require("awatch" in gdb.ask("c"), "without being taken away it does not stick")
        guest.require(gdb.ask(f"z4,{symbols.shared + 4:x},4") == "OK", "z4")
        power_off(gdb, symbols)
        guest.require(gdb.receive() == "W00", "power-off")
        machine.end(0)


def leave_and_return():
    with start() as machine:
        first = machine.connect()
        symbols = Symbols(first)
        all_work(first, symbols)
        first.ask(f"Z0,{symbols.work:x},4")
        first.ask(f"Z4,{symbols.shared:x},8")
        count = sum(first.quads(symbols.counters, CPUS))
        for way in ["detach", "detach while it runs", "vanish", "vanish while it runs"] * ROUNDS:
            if way.endswith("runs"):
                first.ask(f"z0,{symbols.work:x},4")
                first.ask(f"z4,{symbols.shared:x},8")
                first.send("c")
            if way.startswith("detach"):
                guest.require(first.ask("D") == "OK", "detach")
                guest.require(first.is_closed(), "closed")
            first.close()
            # Without a debugger the guest runs, over where breakpoints were.
            while True:
                first = machine.connect()
                guest.require(first.ask("?").startswith("T05"), "halted by the newcomer")
                now = sum(first.quads(symbols.counters, CPUS))
                if now > count + 10000:
                    break
                first.close()
            count = now
            first.ask(f"Z0,{symbols.work:x},4")
            first.ask(f"Z4,{symbols.shared:x},8")
        guest.require(first.ask("vKill;1") == "OK", "kill")
        guest.require(first.is_closed(), "closed")
        machine.end(0)


def kill_while_it_runs():
    for _ in range(3 * ROUNDS):
        with start() as machine:
            gdb = machine.connect()
            all_work(gdb, Symbols(gdb))
            gdb.send("c")
            gdb.send("k")
            machine.end(0)


def ended_by_a_signal():
    for number, told in ((signal.SIGTERM, "X0f"), (signal.SIGINT, "X02")):
        with start() as machine:
            gdb = machine.connect()
            all_work(gdb, Symbols(gdb))
            gdb.send("c")
            gdb.send("qC")
            guest.require(gdb.receive() == "E10", "it runs")
            machine.process.send_signal(number)
            guest.require(gdb.receive() == told, "told")
            machine.end(128 + number)
        with start() as machine:
            gdb = machine.connect()
            all_work(gdb, Symbols(gdb))  # and it is halted
            machine.process.send_signal(number)
            guest.require(gdb.is_closed(), "closed")
            machine.end(128 + number)


# --- clients that mean harm -----------------------------------------------------------------------


def flood(connection, data):
    """Sends for as long as the other side takes it."""
    connection.socket.setblocking(False)
    try:
        for _ in range(4096):
            connection.socket.send(data)
    except OSError:
        pass


def frame(body):
    return b"$%s#%02x" % (body, sum(body) & 0xFF)


HOSTILE = {
    "a lone $": lambda c: c.socket.sendall(b"$"),
    "half a packet": lambda c: c.socket.sendall(b"+$m40080000,"),
    "nothing": lambda c: None,
    "a flood, and no reading": lambda c: flood(c, frame(b"m40080000,1000") * 64),
    "a flood of refusals": lambda c: flood(c, b"$?#00" * 4096),
    "a flood of repetitions": lambda c: flood(c, frame(b"m40080000,1000") + b"-" * 4096),
    "a flood of acknowledgements": lambda c: flood(c, b"+" * 65536),
    "a flood of interrupts": lambda c: flood(c, frame(b"c") + b"\x03" * 1000),
}
REFUSED = {
    "an HTTP request": b"POST / HTTP/1.1\r\nHost: x\r\n\r\n$k#6b",
    "garbage": bytes(range(1, 256)),
    "a telnet": b"\r\n",
    "zeros": b"\0" * 100,
    "a huge packet": b"$" + b"m" * (1 << 20),
    "a packet and then garbage": b"$?#3fGET / HTTP/1.1\r\n$k#6b",
    "a packet in a packet": b"$m40$k#6b",
}


def refused_clients():
    with start() as machine:
        for name, data in REFUSED.items():
            connection = machine.connect()
            try:
                connection.socket.sendall(data)
            except OSError:
                pass
            guest.require(connection.is_closed(), name)
            connection.close()
        # What was no debugger started nothing; "a packet and then garbage" was one, which left.
        gdb = machine.connect()
        symbols = Symbols(gdb)
        all_work(gdb, symbols)
        for _ in range(ROUNDS):
            second = machine.connect()
            guest.require(second.is_closed(), "one client at a time")
            second.close()
            guest.require(gdb.register(32) != 0, "the first is served")
        gdb.send("c")
        second = machine.connect()
        guest.require(second.is_closed(), "one client at a time, also while the guest runs")
        guest.require(gdb.halt().startswith("T02"), "the first is served")
        power_off(gdb, symbols)
        guest.require(gdb.receive() == "W00", "power-off")
        _, errors = machine.end(0)
        guest.require(errors.count("not GDB's remote protocol") == len(REFUSED), errors)
        guest.require("a second client was refused" in errors, errors)


def who_is_not_a_debugger_changes_nothing():
    with start() as machine:
        for data in (b"", b"+", b"$", b"GET / HTTP/1.1\r\n\r\n"):
            connection = machine.connect()
            connection.socket.sendall(data)
            connection.socket.shutdown(socket.SHUT_WR)
            guest.require(connection.is_closed(), "closed")
        gdb = machine.connect()
        guest.require(gdb.ask("qThreadExtraInfo,2") == b"vcpu 1: off".hex(), "nothing ran yet")
        # A silent client makes room.
        gdb.send("k")
        machine.end(0)
    with start() as machine:
        silent = machine.connect()
        gdb = machine.connect()
        guest.require(gdb.ask("?").startswith("T05"), "served beside a silent one")
        guest.require(silent.is_closed(), "which is closed")
        gdb.send("k")
        machine.end(0)


def hostile_clients_hold_nobody():
    for name, attack in HOSTILE.items():
        # SIGTERM, while the guest waits for a debugger, is halted, or runs.
        for before in ("nothing", "halted", "runs", "breakpoints"):
            with start() as machine:
                connection = machine.connect(rcvbuf=4096)
                if before != "nothing":
                    symbols = Symbols(connection)
                    all_work(connection, symbols)
                    if before == "breakpoints":
                        connection.ask(f"Z0,{symbols.work:x},4")
                    if before != "halted":
                        connection.send("c")
                attack(connection)
                machine.process.send_signal(signal.SIGTERM)
                machine.end(128 + signal.SIGTERM)
        # The guest's own power-off.
        with start() as machine:
            connection = machine.connect(rcvbuf=4096)
            symbols = Symbols(connection)
            all_work(connection, symbols)
            power_off(connection, symbols)
            attack(connection)
            try:
                # Interrupts halt the guest before its end: then nobody but SIGTERM ends it.
                machine.end(0) if "interrupts" not in name else None
            except guest.Failure as failure:
                raise guest.Failure(f"{name}: {failure}") from failure


def test():
    for scenario in (
        breakpoints_hit_by_all,
        stepped_over_by_gdb,
        crash_of_all,
        nothing_while_it_runs,
        steps,
        step_into_the_end,
        watchpoints,
        leave_and_return,
        kill_while_it_runs,
        ended_by_a_signal,
        refused_clients,
        who_is_not_a_debugger_changes_nothing,
        hostile_clients_hold_nobody,
    ):
        print(scenario.__name__, flush=True)
        scenario()


guest.main(test)
