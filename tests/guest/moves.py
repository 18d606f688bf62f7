"""A machine under --clock icount that moves from process to process, beside one that does not."""
import os
import random
import time

import guest_process as guest
import vm

MOVES = 4  # one after the other, of one machine


def await_and_send(machine, socket):
    """To a receiver that listens, or is about to. Returns what `ctl migrate` does."""
    vm.until(lambda: os.path.exists(socket), "the receiver listens")
    errors = "Connection refused"  # the socket's file is there before it listens
    while "Connection refused" in errors:
        status, out, errors = machine.ctl("migrate", "unix:" + socket)
    return status, out, errors


def compare(folder, still, moving, longest_s):
    """Runs with the options `still` as a whole, then with `moving`, moved at random instants, `longest_s`
    apart at most: the same output, and the same count of instructions."""
    stats = os.path.join(folder, "stats")
    status, whole, errors = guest.run(
        [vm.TRAPLINE, "run", "--clock", "icount", "--stats", stats] + still, 600)
    guest.require(status == 0, f"status {status}: {errors}")
    count = vm.insns(stats)
    machine = vm.Vm("vm0", "--clock", "icount", *moving)
    written, moved, figures = b"", 0, []
    for number in range(1, MOVES + 1):
        socket = os.path.join(folder, f"move{number}")
        there = vm.Vm(f"vm{number}", "--incoming", "unix:" + socket, "--stats", stats)
        time.sleep(random.uniform(0, longest_s))
        vm.until(lambda: machine.ctl("status")[0] == 0 or machine.process.poll() is not None, "it answers, or ends")
        status, out, errors = await_and_send(machine, socket)
        if status != 0:
            guest.require(machine.end() == 0, f"migrate: {errors}; {machine.said()}")
            there.kill()
            break
        guest.require(machine.end() == 3, f"the sender's status is not 3: {machine.said()}")
        figures.append(out.strip().rsplit(" for ")[-1])
        written += machine.output
        machine, moved = there, moved + 1
    guest.require(machine.end() == 0, f"the last one: {machine.said()}")
    written += machine.output
    guest.require(moved > 0, "the guest ended before it moved")
    guest.require(written == whole, "the moved machine wrote something else")
    if moved == MOVES:
        guest.require(vm.insns(stats) == count, f"{vm.insns(stats)} instructions, not {count}")
    print(f"{moved} moves, {len(whole)} bytes, {count} instructions; still for {figures}")
    return whole
