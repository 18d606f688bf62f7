#!/usr/bin/env python3
"""type_at_prompt.py LINE... -- COMMAND...: runs a guest on a pseudo-terminal, types each LINE when
the guest shows its prompt, passes its console through, and exits with the command's status."""
import os
import pty
import select
import sys
import time

PROMPT = b"trapline# "
TIMEOUT_S = 300  # of silence


def main() -> int:
    if "--" not in sys.argv:
        print(__doc__, file=sys.stderr)
        return 1
    at = sys.argv.index("--")
    lines, command = sys.argv[1:at], sys.argv[at + 1 :]
    stderr = os.dup(2)  # the profile goes where ours goes, not into the guest's console
    pid, console = pty.fork()
    if pid == 0:
        os.dup2(stderr, 2)
        os.execvp(command[0], command)
    seen = b""
    last = time.monotonic()
    while True:
        ready, _, _ = select.select([console], [], [], 1.0)
        if not ready:
            if time.monotonic() - last > TIMEOUT_S:
                print(f"\ndemo: the guest was silent for {TIMEOUT_S} s", file=sys.stderr)
                os.kill(pid, 15)
                os.waitpid(pid, 0)
                return 1
            continue
        try:
            data = os.read(console, 4096)
        except OSError:  # EIO: the other side is closed
            data = b""
        if not data:
            break
        last = time.monotonic()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        seen = (seen + data)[-4096:]
        if PROMPT in seen and lines:
            seen = b""
            os.write(console, lines.pop(0).encode() + b"\n")
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF


if __name__ == "__main__":
    sys.exit(main())
