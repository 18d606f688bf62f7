#!/usr/bin/env python3
"""A parallel load of fixed work: shell loops and md5sum over files in tmpfs, on all CPUs at once.

load_test.py TRAPLINE GUEST_DIR ROUNDS [TRAPLINE OPTIONS]

Each worker makes files, sums them, copies and sums them again through a pipe, and prints the sum of
all its sums, which the host knows too. The kernel may not complain meanwhile.
"""
import hashlib
import os
import sys

import guest_process as guest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "disk"))
import shells  # noqa: E402

WORKERS = 8
FILE_BYTES = 131072
COMPLAINTS = ("stall", "lockup", "BUG", "Oops", "WARNING", "hung task", "Call trace")
GUEST = """#!/bin/sh
worker() {
  mkdir /tmp/$1
  cd /tmp/$1 || exit 1
  round=0
  while [ $round -lt $2 ]; do
    yes "worker $1 round $round" | head -c %(bytes)d > file
    sum=$(md5sum < file)
    cp file copy
    again=$(cat copy | md5sum)
    [ "$sum" = "$again" ] || echo "CORRUPT worker $1 round $round: $sum and $again"
    i=0 total=0
    while [ $i -lt 2000 ]; do total=$((total + i * round)) i=$((i + 1)); done
    echo "$sum $total" >> sums
    rm file copy
    round=$((round + 1))
  done
  md5sum < sums > sum-of-sums
}
for w in $(seq 1 %(workers)d); do worker $w %(rounds)d & done
wait
echo "uptime $(cat /proc/uptime)"
for w in $(seq 1 %(workers)d); do echo "worker $w: $(cat /tmp/$w/sum-of-sums)"; done
dmesg | grep -c .
"""


def expected(worker, rounds):
    sums = hashlib.md5()
    for number in range(rounds):
        line = f"worker {worker} round {number}\n".encode()
        data = (line * (FILE_BYTES // len(line) + 1))[:FILE_BYTES]
        total = number * (2000 * 1999 // 2)
        sums.update(f"{hashlib.md5(data).hexdigest()}  - {total}\n".encode())
    return sums.hexdigest()


def test():
    trapline, directory, rounds, *options = sys.argv[1:]
    guest.need_guest(directory, "Image", "initrd-test.gz")
    with shells.scratch() as folder:
        initrd = os.path.join(folder, "initrd")
        shells.initrd_with(initrd, os.path.join(directory, "initrd-test.gz"),
                           GUEST % {"bytes": FILE_BYTES, "workers": WORKERS, "rounds": int(rounds)})
        command = shells.linux(trapline, directory, *options, initrd=initrd,
                               append=f"{guest.CMDLINE} trapline.cmd=sh /cmd")
        status, output, errors = guest.run(command, 3000)
    text = output.decode(errors="replace")
    at = text.find("TRAPLINE-TEST BEGIN")
    print(text[at:] if at >= 0 else text[-3000:])
    print(errors)
    guest.require(status == 0, f"status {status} after poweroff")
    guest.require("TRAPLINE-TEST PASS" in text, "the load did not end well")
    for worker in range(1, WORKERS + 1):
        guest.require(f"worker {worker}: {expected(worker, int(rounds))}" in text,
                      f"worker {worker}'s sums are wrong")
    guest.require("CORRUPT" not in text, "a file changed while it was copied")
    lines = [line for line in text.split("\n") if any(word in line for word in COMPLAINTS)]
    guest.require(not lines, "the kernel complains:\n" + "\n".join(lines))


guest.main(test)
